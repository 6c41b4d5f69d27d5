"""Cells in worker processes of this machine.

Workers stay up between cells, so that the seeds of a network share its compiled programs and all
cells share the data. They are subprocesses rather than a pool: one that dies takes its own cell
along and nothing else, each gets its own cores or GPU before jax is imported, and they can be
stopped at any moment.
"""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from vggres import config as configuration
from vggres import environment
from vggres.sweeps.cell import Cell

_CACHE = Path(os.environ.get('XDG_CACHE_HOME', '~/.cache')).expanduser() / 'vggres' / 'xla'
DEFAULT_ENVIRONMENT = {
    'JAX_COMPILATION_CACHE_DIR': str(_CACHE),
    'TF_CPP_MIN_LOG_LEVEL': '2',
    'GLIBC_TUNABLES': 'glibc.malloc.hugetlb=1',  # huge pages: a deep network touches gigabytes
}
WORKER = (sys.executable, '-m', 'vggres.executors.worker')


@dataclass(frozen=True)
class Event:
    """What a worker says of its cell.

    Attributes:
        kind: 'started', 'progress', 'record', 'finished' or 'failed'.
        cell: the cell's id.
        values: of 'progress': step and total; of 'record' and 'finished': as `run.run` gives
            them; of 'failed': message, one line, and log, the file that says more.
    """

    kind: str
    cell: str
    values: dict


@dataclass
class _Worker:
    number: int
    process: subprocess.Popen
    listener: threading.Thread
    log: Path
    cell: Cell | None = None


def default_workers() -> int:
    """What is fastest on this machine: one a GPU, one for all TPU cores, or else one a CPU core.

    One core a worker, because at a demonstration's sizes several cores hardly speed up one run.
    """
    return len(_gpus()) or (1 if _has_tpu() else len(environment.cores()))


def run(
    cells: Sequence[Cell],
    costs: Mapping[str, float],
    num_workers: int,
    log_dir: Path,
    on_event: Callable[[Event], None],
) -> None:
    """Runs cells to their end, failed ones included.

    Args:
        cells: what to run.
        costs: of each cell, by its id, relative to the others: the costliest start first.
        num_workers: processes at most; each gets its share of the cores, or one GPU, whether or
            not there are cells for all of them.
        log_dir: their output goes to `worker<n>.log` there.
        on_event: called in this thread with each event.

    Raises:
        KeyboardInterrupt: passed on, after all workers have been killed.
    """
    waiting = Waiting(cells, costs)
    messages: queue.SimpleQueue = queue.SimpleQueue()
    log_dir.mkdir(parents=True, exist_ok=True)
    workers: list[_Worker] = []
    try:
        for number in range(min(num_workers, len(cells))):
            workers.append(_start(number, num_workers, log_dir, messages))
            _give_next(workers[number], waiting, workers, on_event)
        while any(worker.cell for worker in workers):
            number, message = messages.get()
            worker = workers[number]
            if message is None:
                if worker.cell is None:
                    continue
                _stop([worker])
                if result := worker.cell.result():  # it died after its work
                    on_event(Event('finished', worker.cell.id, result))
                else:
                    cause = _cause(worker.process.returncode)
                    on_event(_failed(worker, f'its worker died ({cause})'))
                workers[number] = _start(number, num_workers, log_dir, messages)
                workers[number].cell = worker.cell
                _give_next(workers[number], waiting, workers, on_event)
                continue
            event = Event(**message)
            if event.kind == 'failed':
                event = _failed(worker, event.values['message'])
            on_event(event)
            if event.kind in ('finished', 'failed'):
                _give_next(worker, waiting, workers, on_event)
    finally:
        _stop(workers)


class Waiting:
    """The cells not started yet, by the compiled program that they share."""

    def __init__(self, cells: Iterable[Cell], costs: Mapping[str, float]) -> None:
        """Takes the cells in; `costs` are theirs, by id."""
        self._costs = costs
        self._cells: dict[Hashable, list[Cell]] = {}
        for cell in cells:
            self._cells.setdefault(configuration.program(cell.config), []).append(cell)

    def take(self, last: Cell | None, running: Iterable[Cell]) -> Cell | None:
        """The next cell for a worker, None when all have started.

        Another seed of what it did last, which costs no compilation; or else the costliest program
        that nobody is at; or else what is left of the costliest one.

        Args:
            last: what the worker did last.
            running: what the other workers are at.
        """
        if not self._cells:
            return None
        program = last and configuration.program(last.config)
        if program not in self._cells:
            busy = {configuration.program(cell.config) for cell in running}
            program = max(self._cells.keys() - busy or self._cells, key=self._cost)
        cells = self._cells[program]
        cell = cells.pop(0)
        if not cells:
            del self._cells[program]
        return cell

    def _cost(self, program: Hashable) -> tuple[float, str]:
        cells = self._cells[program]
        return sum(self._costs[cell.id] for cell in cells), cells[0].id


def _give_next(
    worker: _Worker, waiting: Waiting, workers: list[_Worker], on_event: Callable[[Event], None]
) -> None:
    running = [other.cell for other in workers if other.cell and other is not worker]
    worker.cell = cell = waiting.take(worker.cell, running)
    with contextlib.suppress(BrokenPipeError):  # a dead worker is noticed by its end of output
        if cell is None:
            worker.process.stdin.close()
            return
        order = {
            'config': cell.config.to_dict(),
            'workdir': str(cell.workdir),
            'sweep': cell.sweep,
            'variant': cell.variant,
        }
        worker.process.stdin.write(json.dumps(order) + '\n')
        worker.process.stdin.flush()
    on_event(Event('started', cell.id, {}))


def _stop(workers: Iterable[_Worker]) -> None:
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.process.wait()
        worker.listener.join()
        with contextlib.suppress(BrokenPipeError):  # what a dead worker never read
            worker.process.stdin.close()


def _failed(worker: _Worker, message: str) -> Event:
    return Event('failed', worker.cell.id, {'message': message, 'log': str(worker.log)})


def _cause(code: int) -> str:
    if code < 0:
        return f'signal {-code}, out of memory?' if code == -9 else f'signal {-code}'
    return f'exit code {code}'


def _start(number: int, num_workers: int, log_dir: Path, messages: queue.SimpleQueue) -> _Worker:
    log = log_dir / f'worker{number}.log'
    with log.open('a') as errors:
        process = subprocess.Popen(
            WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=DEFAULT_ENVIRONMENT | os.environ | placement(number, num_workers),
            start_new_session=True,  # Ctrl-C reaches this process alone, which then stops them
        )

    def listen() -> None:
        with process.stdout, log.open('a') as rest:
            for line in process.stdout:
                try:
                    messages.put((number, json.loads(line)))
                except ValueError:  # a library's, or half of one, from a worker that was killed
                    rest.write(line)
        messages.put((number, None))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    return _Worker(number, process, listener, log)


def placement(number: int, num_workers: int) -> dict[str, str]:
    """Environment variables that give a worker its GPU or its cores."""
    gpus, given = _gpus(), {}
    if _may_use('tpu') and not _has_tpu() and 'JAX_PLATFORMS' not in os.environ:
        given['JAX_PLATFORMS'] = 'cuda,cpu' if gpus else 'cpu'  # or jax would look for a TPU
    if gpus:
        memory = 0.9 / -(-num_workers // len(gpus))
        return given | {
            'CUDA_VISIBLE_DEVICES': gpus[number % len(gpus)],
            'XLA_PYTHON_CLIENT_MEM_FRACTION': f'{memory:.2f}',
        }
    if _has_tpu() or not hasattr(os, 'sched_setaffinity'):
        return given
    cores = environment.cores()
    share = max(1, len(cores) // num_workers)
    first = number * share % len(cores)
    return given | {'VGGRES_CORES': ','.join(map(str, cores[first : first + share]))}


def _gpus() -> list[str]:
    """The CUDA devices that a worker's jax could use, as CUDA_VISIBLE_DEVICES names them."""
    if not _may_use('cuda'):
        return []
    if (visible := os.environ.get('CUDA_VISIBLE_DEVICES')) is not None:
        return [name for name in visible.split(',') if name]
    return [str(i) for i in range(len(list(Path('/dev').glob('nvidia[0-9]*'))))]


def _has_tpu() -> bool:
    """Whether a worker's jax could use a TPU, which only one process can hold."""
    return _may_use('tpu') and bool([*Path('/dev').glob('accel*'), *Path('/dev').glob('vfio/*')])


def _may_use(platform: str) -> bool:
    """Whether jax has what it needs for a platform and is not told to leave it alone."""
    asked = os.environ.get('JAX_PLATFORMS', '')
    if asked and platform not in asked and not (platform == 'cuda' and 'gpu' in asked):
        return False
    if platform == 'tpu':
        return find_spec('libtpu') is not None
    return any(platform in point.name for point in entry_points(group='jax_plugins'))
