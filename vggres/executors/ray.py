"""Runs cells as tasks of Ray: on this machine, or on the nodes of a running cluster.

A task starts a worker for its one cell, so that jax reads its environment afresh, and relays the
worker's events. All that passes between the launcher and a node is text.

Ray's own retries stay off. They would hide from the launcher how often a cell was begun, and they
expect a task to say the same again, word for word, which a cell that continues does not do.
"""

import contextlib
import dataclasses
import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from vggres.errors import UserError
from vggres.executors.options import RayOptions
from vggres.executors.orders import LAST_WORDS, SECONDS_OF_SILENCE, Event, order
from vggres.executors.process import PATIENCE_SECONDS, SECONDS_TO_END
from vggres.executors.ray_task import run_once
from vggres.sweeps.cell import Cell
from vggres.sweeps.failure import write_failure

RETRIES = 3  # of a cell whose node is lost
# Variables of the launcher that a worker gets, by the beginnings of their names. All others are
# those of its node.
_HANDED_ON = ('JAX_', 'XLA_', 'TF_', 'TFDS_', 'WANDB_')
_SECONDS_TO_CONNECT = 10.0


@dataclass
class _Attempt:
    """A task that waits or runs."""

    cell: Cell
    number: int = 1
    node: str = ''  # where it runs; '' while it waits
    has_ended: bool = False  # the cell, so that its worker has only to exit


def run(
    cells: Sequence[Cell],
    costs: Mapping[str, float],
    options: RayOptions,
    log_dir: Path,
    on_event: Callable[[Event], None],
) -> None:
    """Runs cells to their end, those that fail included.

    Args:
        cells: what to run.
        costs: the relative cost of each cell, by its id: the costliest start first.
        options: the cluster, and what a cell asks for.
        log_dir: the output of a cell goes to `<cell id>.log` there. All nodes have to see it.
        on_event: called in this thread with each event; 'ready' comes once, of the first worker. A
            cell that has said nothing yet waits for a free node; one whose node was lost, or
            cannot start a worker, says 'lost' and waits once more.

    Raises:
        UserError: where Ray is not installed or cannot be reached, where no node has what a cell
            asks for, or where the first worker cannot start.
        KeyboardInterrupt: passed on, after all workers have saved what they were training and have
            ended. A second one kills those that are left.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    with _connected(options.address) as ray:
        _check_resources(ray, options)
        launch = _Launch(ray, options, log_dir.resolve(), on_event)
        launch.run(sorted(cells, key=lambda cell: (-costs[cell.id], cell.id)))


class _Launch:
    """The tasks of one launch, by the generators of what they say."""

    def __init__(
        self,
        ray: ModuleType,
        options: RayOptions,
        log_dir: Path,
        on_event: Callable[[Event], None],
    ) -> None:
        self._ray = ray
        self._log_dir = log_dir
        self._on_event = on_event
        self._surroundings = {'cwd': os.getcwd(), 'variables': _variables(options.gpus)}
        self._task = ray.remote(
            num_cpus=1, num_gpus=options.gpus, max_retries=0, num_returns='streaming'
        )(run_once)
        self._attempts: dict[Iterator, _Attempt] = {}
        self._some_started = False

    def run(self, cells: Sequence[Cell]) -> None:
        """Runs the cells, the first ones first."""
        try:
            for cell in cells:
                self._submit(_Attempt(cell))
            while self._attempts:
                ready, _ = self._ray.wait(
                    [*self._attempts], num_returns=1, timeout=SECONDS_OF_SILENCE
                )
                for generator in ready:
                    self._hear(generator)
                if not ready:
                    self._on_event(Event('silence', '', {}))
        except KeyboardInterrupt:
            self._on_event(Event('stopping', '', {}))
            raise
        finally:
            with contextlib.suppress(KeyboardInterrupt):  # which ends the wait
                self._cancel()
            for generator in self._attempts:
                self._ray.cancel(generator, force=True)

    def _submit(self, attempt: _Attempt) -> None:
        arguments = self._surroundings | {
            'order': order(attempt.cell).to_json(),
            'log': str(self._log(attempt.cell)),
            # The lease of a lost node has to run out first.
            'patience': PATIENCE_SECONDS if attempt.number > 1 else 0.0,
        }
        self._attempts[self._task.remote(json.dumps(arguments))] = attempt

    def _log(self, cell: Cell) -> Path:
        return self._log_dir / f'{cell.id}.log'

    def _hear(self, generator: Iterator) -> None:
        """Takes in what a task says next, be it that it has ended or is lost."""
        attempt, errors = self._attempts[generator], self._ray.exceptions
        lost = (
            *(errors.NodeDiedError, errors.WorkerCrashedError, errors.OutOfMemoryError),
            *(errors.ObjectLostError, errors.RaySystemError),  # a pipe to what was killed is broken
        )
        try:
            said = Event(**json.loads(self._ray.get(next(generator))))
        except StopIteration:
            del self._attempts[generator]
        except lost as error:
            del self._attempts[generator]
            if not attempt.has_ended:
                self._try_again(attempt, _in_words(error, attempt.node))
        except errors.RayError as error:
            del self._attempts[generator]
            if not attempt.has_ended:
                self._fail(attempt, f'Ray could not run it: {_in_one_line(error)}')
        else:
            self._take_in(said, attempt)

    def _take_in(self, said: Event, attempt: _Attempt) -> None:
        message = said.values.get('message', '')
        attempt.has_ended |= said.kind in (*LAST_WORDS, 'died')
        if said.kind == 'started':
            attempt.node = said.values['node']
            self._on_event(said)
        elif said.kind == 'ready':
            if not self._some_started:
                self._on_event(dataclasses.replace(said, cell=''))
            self._some_started = True
        elif said.kind == 'failed':
            self._fail(attempt, message)
        elif said.kind in ('unable', 'died') and not self._some_started:
            raise UserError(f'a worker cannot start on {attempt.node}: {message}')
        elif said.kind == 'unable':
            self._try_again(attempt, f'its worker cannot start on {attempt.node}: {message}')
        elif said.kind == 'died':
            self._end_without_a_word(attempt, f'its worker died ({message})')
        else:
            self._on_event(said)

    def _try_again(self, attempt: _Attempt, reason: str) -> None:
        if attempt.number > RETRIES or attempt.cell.result():
            self._end_without_a_word(attempt, f'{reason} (attempt {attempt.number})')
            return
        if attempt.node:
            message = f'{reason} (attempt {attempt.number})'
            self._on_event(Event('lost', attempt.cell.id, {'message': message}))
        self._submit(_Attempt(attempt.cell, attempt.number + 1))

    def _end_without_a_word(self, attempt: _Attempt, message: str) -> None:
        """Reports on a cell whose worker is gone: it may have died after its work."""
        if result := attempt.cell.result():
            self._say_started(attempt)
            self._on_event(Event('finished', attempt.cell.id, dataclasses.asdict(result)))
        else:
            self._fail(attempt, message)

    def _fail(self, attempt: _Attempt, message: str) -> None:
        cell = attempt.cell
        self._say_started(attempt)
        log = str(self._log(cell))
        write_failure(cell.directory, message, log)
        self._on_event(Event('failed', cell.id, {'message': message, 'log': log}))

    def _say_started(self, attempt: _Attempt) -> None:
        """Says that a cell has started, where its task ended before it could."""
        if not attempt.node:
            self._on_event(Event('started', attempt.cell.id, {'node': ''}))

    def _cancel(self) -> None:
        """Tells the workers that still run to save and to end, and waits for that."""
        for generator in self._attempts:
            self._ray.cancel(generator)
        deadline = time.monotonic() + SECONDS_TO_END + 5
        while self._attempts and time.monotonic() < deadline:
            ready, _ = self._ray.wait([*self._attempts], num_returns=1, timeout=1)
            for generator in ready:
                try:
                    self._ray.get(next(generator))
                except (StopIteration, self._ray.exceptions.RayError):
                    del self._attempts[generator]


def _in_words(error: Exception, node: str) -> str:
    """Why a task was lost, by the name of Ray's error."""
    where = f' {node}' if node else ''
    if 'OutOfMemory' in type(error).__name__:
        return f'its node{where} ran out of memory'
    if 'WorkerCrashed' in type(error).__name__:
        return f'its task crashed on node{where}' if node else 'its task crashed'
    return f'its node{where} was lost'


def _in_one_line(error: Exception) -> str:
    """What an error of Ray says last, after its stack."""
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[-1].strip()[:300]


def _variables(gpus: float) -> dict[str, str]:
    """The environment variables that a worker gets from the launcher."""
    handed_on = {name: os.environ[name] for name in os.environ if name.startswith(_HANDED_ON)}
    if not gpus:  # without a request, some versions of Ray show a task every GPU of its node
        return handed_on | {'JAX_PLATFORMS': 'cpu', 'CUDA_VISIBLE_DEVICES': ''}
    return handed_on | {
        'JAX_PLATFORMS': 'cuda,cpu',  # a node without a working GPU fails in place of being slow
        'XLA_PYTHON_CLIENT_MEM_FRACTION': f'{0.9 * min(gpus, 1.0):.3f}',
    }


@contextlib.contextmanager
def _connected(address: str | None) -> Iterator[ModuleType]:
    """The library of Ray, connected; only a connection that was made here is closed."""
    os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
    os.environ.setdefault('RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO', '0')  # or Ray prints a hint
    try:
        import ray
    except ImportError:
        raise UserError("--executor ray needs Ray: pip install -e '.[ray]'.") from None
    if ray.is_initialized():
        yield ray
        return
    _check_address(address)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address or 'local',
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            **({} if address else {'include_dashboard': False}),
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise UserError(
            f'cannot connect to Ray at {address!r}: {_in_one_line(error)}. (A cluster that asks '
            'for a token needs RAY_AUTH_MODE=token.)'
        ) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)  # Ray takes it over
    # Pages about lost nodes stay off the terminal, for which Ray has no setting.
    ray._private.worker._worker_logs_enabled = False
    try:
        yield ray
    finally:
        ray.shutdown()
        ray._private.worker._worker_logs_enabled = True


def _check_address(address: str | None) -> None:
    """Raises UserError for an address where nobody listens, on which Ray would wait for minutes."""
    if address == 'auto':
        address = os.environ.get('RAY_ADDRESS', '')
    if address in (None, '', 'auto', 'local'):
        return
    host, _, port = address.rpartition(':')
    try:
        if not host or '/' in address:
            raise ValueError('it has to be auto or HOST:PORT, on a machine of the cluster')
        socket.create_connection((host, int(port)), _SECONDS_TO_CONNECT).close()
    except (OSError, ValueError) as error:
        raise UserError(f'cannot connect to Ray at {address!r}: {error}.') from None


def _check_resources(ray: ModuleType, options: RayOptions) -> None:
    """Raises UserError where no node has what a cell asks for, which would then wait for ever."""
    nodes = [node['Resources'] for node in ray.nodes() if node['Alive']]
    if not any(node.get('CPU', 0) >= 1 and node.get('GPU', 0) >= options.gpus for node in nodes):
        most = max((node.get('GPU', 0) for node in nodes), default=0)
        raise UserError(
            f'no node of Ray has a free place for a cell with one CPU core and {options.gpus:g} '
            f'GPUs: nodes: {len(nodes)}, with at most {most:g} GPUs each.'
        )
