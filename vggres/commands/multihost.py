"""Trains one network in several processes, which may be on several hosts, on all their devices.

The same command is started once on each host. The first process writes all files and says what
happens; the others compute with it. Whatever depends on a clock or on a file is decided by the
first.
"""

import atexit
import hashlib
import json
import os
import re
import signal
import sys
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
from vggres.executors.options import LocalOptions
from vggres.executors.placement import check_devices, default_environment, placement
from vggres.results import Failure
from vggres.sweeps.cell import Cell
from vggres.sweeps.grid import changes
from vggres.sweeps.sweep import Sweep

_NOTHING_TO_DO = 0  # what the first process tells the others instead of what it trains
_OF_ONE_HOST = ('data.dir', 'data.workers', 'init.weights', 'wandb.')  # knobs that may differ


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
    if given := re.fullmatch(r'(.+:\d{1,5}),(\d+),(\d+)', text):
        found = Coordinates(given[1], int(given[2]), int(given[3]))
        if found.index < found.count:
            return found
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
    _join(place)
    check_devices()

    import jax

    try:
        if jax.process_index() > 0:
            return _follow(sweep.cells[0])
        return 1 if _lead(sweep, info, console) else 0
    except BaseException as error:
        atexit.register(_end_at_once, _exit_code(error))
        raise


def _join(place: Coordinates | None) -> None:
    """Makes this process one of several, before jax looks for devices."""
    import jax

    on_sigterm = signal.getsignal(signal.SIGTERM)
    # Without this, processes on CPUs would not reach one another's devices.
    jax.config.update('jax_cpu_collectives_implementation', 'gloo')
    try:
        if place:
            jax.distributed.initialize(place.address, place.count, place.index)
        else:
            jax.distributed.initialize()
    except Exception as error:  # of many kinds, by what jax tried
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f'--multihost: the processes cannot be joined: {reason}') from None
    finally:
        signal.signal(signal.SIGTERM, on_sigterm)  # jax takes it over, and goes on training


def _exit_code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, UserError | OSError) else 1


def _end_at_once(code: int) -> None:
    """Ends a process that fails: jax would wait for the others, which wait for this one."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _lead(sweep: Sweep, info: DatasetInfo, console: Console) -> list[Failure]:
    """Trains in the first process, if there is something to do, and lets the others know."""
    from vggres.training import devices

    has_begun = False

    def execute(*arguments: Any) -> None:
        nonlocal has_begun
        has_begun = True
        devices.agreed(_number(sweep.cells[0]))
        here.run(*arguments)

    try:
        return train.run(sweep, info, LocalOptions(1), console, execute)
    finally:
        if not has_begun:
            devices.agreed(_NOTHING_TO_DO)


def _follow(cell: Cell) -> int:
    """Trains in another process than the first, without a word."""
    from vggres.sweeps.run import train_in_process
    from vggres.training import devices

    told = devices.agreed(_number(cell))
    if told == _NOTHING_TO_DO:
        return 0
    if told != _number(cell):
        raise UserError(
            '--multihost: the first process trains another network, or with other code: start all '
            'of them with the same command.'
        )
    train_in_process(cell.config)
    return 0


def _number(cell: Cell) -> int:
    """What tells networks and versions of the code apart, and is not `_NOTHING_TO_DO`."""
    knobs = changes(cell.config, base.get_config())
    same = {name: value for name, value in knobs.items() if not name.startswith(_OF_ONE_HOST)}
    text = json.dumps([same, environment.code_version()], sort_keys=True)
    return 1 + int.from_bytes(hashlib.sha256(text.encode()).digest()[:3], 'big')
