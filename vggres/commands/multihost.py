"""Trains one network in several processes, which may be on several hosts, on all their devices.

The same command is started once on each host. The first process writes all files and says what
happens; the others compute with it. Whatever depends on a clock or on a file is decided by the
first.
"""

import atexit
import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from configs import base
from vggres import environment
from vggres.commands import train
from vggres.data import datasets
from vggres.data.source import DatasetInfo
from vggres.errors import UserError
from vggres.executors import here
from vggres.executors.ending import SECONDS_OF_UPDATES, TERMINATED, when_told_to_end
from vggres.executors.options import LocalOptions
from vggres.executors.placement import check_devices, default_environment, placement
from vggres.sweeps.cell import Cell
from vggres.sweeps.grid import changes
from vggres.sweeps.sweep import Sweep

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SECONDS_TO_JOIN = 300  # as long as jax itself waits
# What errors of jax say where another process is gone.
_LOST = ('Gloo', 'UNAVAILABLE', 'ABORTED', 'DEADLINE_EXCEEDED', 'onnection', 'heartbeat')
_ONE_REQUEST = 1.0  # seconds, within which two signals are one: `timeout` sends two
# On ending, where there is nothing to save: Slurm and clouds kill 30 seconds after SIGTERM.
SECONDS_TO_AGREE = 25.0
_NOTHING_TO_DO = 0  # what the first process tells the others instead of what it trains
# Knobs that may differ.
_OF_ONE_HOST = ('data.dir', 'data.workers', 'init.weights', 'init.deepened_from', 'wandb.')


@dataclass(frozen=True)
class Coordinates:
    """Where a process stands among those that train together.

    Attributes:
        address: host and port of the first process.
        count: the number of processes.
        index: of this one, from 0 on.
    """

    address: str
    count: int
    index: int


def coordinates(text: str) -> Coordinates | None:
    """What --multihost says; None for 'auto', which leaves it to jax.

    >>> coordinates('node1:1234,2,0')
    Coordinates(address='node1:1234', count=2, index=0)

    Raises:
        UserError: where it makes no sense.
    """
    if text == 'auto':
        return None
    if given := re.fullmatch(r'(.+):(\d{1,5}),(\d+),(\d+)', text):
        port, count, index = map(int, given.groups()[1:])
        if 0 < port < 2**16 and index < count:
            return Coordinates(f'{given[1]}:{port}', count, index)
    raise UserError(
        f'--multihost={text}: give auto, or HOST:PORT,NUM,INDEX with the address of the first '
        'process, the number of processes and the index of this one, from 0 on.'
    )


def run(sweep: Sweep, info: DatasetInfo, place: Coordinates | None, console: Console) -> int:
    """Trains the one network of a sweep with the other processes.

    Args:
        sweep: of one cell, as `planning.checked_sweep` returns it.
        info: of its data set.
        place: of this process among those that train together; None where jax finds it out.
        console: of the first process gets progress and result.

    Returns:
        The exit code.

    Raises:
        UserError: where the processes cannot find one another, or are to train different networks,
            and what `train.run` raises.
    """
    is_first = place is None or place.index == 0
    datasets.prepare(sweep.config.data, console if is_first else None)  # it may take long
    chosen = {'JAX_PLATFORMS': placement(0, 1).get('JAX_PLATFORMS')}  # and all of their devices
    for name, value in (default_environment() | chosen).items():
        if value:
            os.environ.setdefault(name, value)
    ending = _Ending(console)
    numbers = [n for n in SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]  # as nohup sets it
    when_told_to_end(ending.end, numbers)
    _keep_stdout_to_python()
    try:
        _join(place, console)
        ending.has_joined = True
        check_devices()
        _train(sweep, info, console, ending)
    except BaseException as error:
        lost = '' if ending.is_told else _lost_process(error)
        atexit.register(_end_at_once, 2 if lost else ending.exit_code(error))
        if ending.is_told:  # the first one may have ended already
            raise KeyboardInterrupt from None
        if lost:
            raise UserError(lost) from None
        raise
    return 0


def _keep_stdout_to_python() -> None:
    """Silences what libraries of C++ print: Gloo tells of each of its connections."""
    sys.stdout.flush()
    how = {'buffering': 1, 'encoding': sys.stdout.encoding, 'errors': sys.stdout.errors}
    sys.stdout = os.fdopen(os.dup(1), 'w', **how)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _train(sweep: Sweep, info: DatasetInfo, console: Console, ending: '_Ending') -> None:
    import jax

    if jax.process_index() > 0:
        _follow(sweep.cells[0])
    else:
        _lead(sweep, info, console, ending)


def _lost_process(error: BaseException) -> str:
    """What is to be said of an error of jax that comes from the end of another process."""
    import jax

    is_of_jax = isinstance(error, jax.errors.JaxRuntimeError)
    if not is_of_jax or not any(word in str(error) for word in _LOST):
        return ''
    return (
        f'--multihost: another process seems to be lost ({_first_line(error)}). The same commands '
        'go on from the newest checkpoint.'
    )


class _Ending:
    """The end of this process at a signal: all processes save and end together, if they can.

    They agree on it between two updates. Where that is too long to wait for, as during an
    evaluation, the first process saves what it has by then, and each one that was told ends alone;
    those with nothing to save wait longer for the others.
    """

    def __init__(self, console: Console) -> None:
        """Nothing is told yet, and nothing runs that could be saved."""
        self._console = console
        self._told: int | None = None  # the first signal
        self._told_at = 0.0
        self._save: Callable[[float], bool] | None = None
        self.has_joined = False  # the other processes

    @property
    def is_told(self) -> bool:
        """Whether a signal has asked for it."""
        return self._told is not None

    def begin(self, save: Callable[[float], bool]) -> None:
        """A run has begun, which this function saves."""
        self._save = save

    def end(self, number: int) -> None:
        """Ends the process because of this signal, or, at a later one, at once."""
        if self._told is None:
            self._told, self._told_at = number, time.monotonic()
            try:
                if self.has_joined:
                    self._end_with_the_others()
            finally:
                _end_at_once(128 + number)
        elif time.monotonic() - self._told_at > _ONE_REQUEST:
            _end_at_once(128 + number)

    def _end_with_the_others(self) -> None:
        from vggres.training import devices

        devices.ask_to_end()
        with contextlib.suppress(OSError, SystemExit):  # the terminal may be gone
            self._console.print('stopping: the processes end together; Ctrl-C again ends this one.')
        if not self._save:
            time.sleep(SECONDS_TO_AGREE)
            return
        time.sleep(SECONDS_OF_UPDATES)
        with contextlib.suppress(Exception):  # another process may have it by now
            self._save(0.0)

    def exit_code(self, error: BaseException) -> int:
        """That of a process that ends by an error, which its end may have caused."""
        if self._told is not None:
            return 128 + self._told
        if isinstance(error, KeyboardInterrupt):
            return TERMINATED
        return 2 if isinstance(error, UserError | OSError) else 1


def _join(place: Coordinates | None, console: Console) -> None:
    """Makes this process one of several, before jax looks for devices."""
    import jax

    # Without this, processes on CPUs would not reach one another's devices.
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        if place:
            others = 'the first process' if place.index else f'{place.count - 1} more'
            console.print(f'process {place.index} of {place.count}: waits for {others}')
            _check_address(place)
            jax.distributed.initialize(place.address, place.count, place.index)
        else:
            jax.distributed.initialize()
    except Exception as error:  # of many kinds, by what jax tried
        raise UserError(
            f'--multihost: the processes cannot be joined: {_first_line(error)}'
        ) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)  # jax takes SIGTERM over, and goes on training


def _check_address(place: Coordinates) -> None:
    """Waits for the address of the first process, for which jax would end with a stack of C++.

    Raises:
        OSError: where there is no such host, the first process cannot have that port, or another
            one does not find it there in time.
    """
    host, _, port = place.address.rpartition(':')
    host = host.strip('[]')
    if place.index == 0:
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            own.bind(('', int(port)))
        return
    give_up = time.monotonic() + SECONDS_TO_JOIN
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
            return
        except OSError as error:
            if time.monotonic() > give_up:
                raise TimeoutError(
                    f'nobody listens at {place.address} within {SECONDS_TO_JOIN} s: {error}'
                ) from None
            time.sleep(1)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _end_at_once(code: int) -> None:
    """Ends this process now: jax would wait for the others, which wait for this one."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # its other end may be gone
            stream.flush()
    os._exit(code)


def _lead(sweep: Sweep, info: DatasetInfo, console: Console, ending: _Ending) -> None:
    """Trains in the first process, if there is something to do, and lets the others know."""
    from vggres.training import devices

    has_begun = False

    def execute(*arguments: Any) -> None:
        nonlocal has_begun
        has_begun = True
        devices.agreed(_digest(sweep.cells[0]))
        here.run(*arguments, ending.begin)

    try:
        train.run(sweep, info, LocalOptions(1), console, execute)
    finally:
        if not has_begun:
            devices.agreed(_NOTHING_TO_DO)


def _follow(cell: Cell) -> None:
    """Trains in another process than the first, without a word."""
    from vggres.sweeps.run import train_in_process
    from vggres.training import devices

    digest = devices.agreed(_digest(cell))
    if digest == _NOTHING_TO_DO:
        return
    if digest != _digest(cell):
        raise UserError(
            '--multihost: the first process trains another network, or with other code: start all '
            'of them with the same command.'
        )
    train_in_process(cell.config)


def _digest(cell: Cell) -> int:
    """What tells networks and versions of the code apart, and is not `_NOTHING_TO_DO`."""
    knobs = changes(cell.config, base.get_config())
    same = {name: value for name, value in knobs.items() if not name.startswith(_OF_ONE_HOST)}
    text = json.dumps([same, environment.code_version()], sort_keys=True)
    return 1 + int.from_bytes(hashlib.sha256(text.encode()).digest()[:3], 'big')
