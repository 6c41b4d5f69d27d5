"""Runs cells in worker processes of this machine.

Workers stay up between cells, so that the seeds of a network share its compiled programs and all
cells share the data. They are subprocesses rather than a pool: one that dies takes its own cell
along and nothing else, each gets its own cores or GPU before jax is imported, and they can be
stopped at any moment.
"""

import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vggres.errors import UserError
from vggres.executors.orders import ENDS, Event, order
from vggres.executors.placement import default_environment, gpus_each, placement
from vggres.executors.schedule import Waiting
from vggres.sweeps.cell import Cell
from vggres.sweeps.failure import write_failure

_SECONDS_OF_SILENCE = 30.0  # without an event, after which this is an event of its own
_SECONDS_TO_END = 9.5  # for workers that save, before they are killed
WORKER = (sys.executable, '-m', 'vggres.executors.worker')


@dataclass
class _Worker:
    number: int
    process: subprocess.Popen
    listener: threading.Thread
    log: Path
    cell: Cell | None = None
    is_ready: bool = False  # it has found its devices


def run(
    cells: Sequence[Cell],
    costs: Mapping[str, float],
    num_workers: int,
    log_dir: Path,
    on_event: Callable[[Event], None],
) -> None:
    """Runs cells to their end, those that fail included.

    Args:
        cells: what to run.
        costs: the relative cost of each cell, by its id: the costliest start first.
        num_workers: processes at most; each gets its share of the cores, whether or not there are
            cells for all of them. Each gets one GPU, or more where cells are fewer than GPUs.
        log_dir: their output goes to `worker<n>.log` there.
        on_event: called in this thread with each event; 'ready' comes once, of the first worker.

    Raises:
        UserError: where a worker cannot start, for want of a device or by a bad flag of XLA.
        KeyboardInterrupt: passed on, after all workers have saved what they were training and have
            ended. A second one kills those that are left.
    """
    waiting = Waiting(cells, costs)
    messages: queue.SimpleQueue = queue.SimpleQueue()
    log_dir.mkdir(parents=True, exist_ok=True)
    workers: list[_Worker] = []
    started = min(num_workers, len(cells))
    gpus = gpus_each(started, (cell.config.train.batch_size for cell in cells)) if cells else 1
    start = partial(_start, num_workers=num_workers, gpus=gpus, log_dir=log_dir, messages=messages)
    try:
        for number in range(started):
            workers.append(start(number))
            _give_next(workers[number], waiting, workers, on_event)
        while any(worker.cell for worker in workers):
            try:
                number, message = messages.get(timeout=_SECONDS_OF_SILENCE)
            except queue.Empty:
                on_event(Event('silence', '', {}))
                continue
            worker = workers[number]
            if message is None:
                if worker.cell is None:
                    continue
                _bury(worker, any(each.is_ready for each in workers), on_event)
                workers[number] = start(number)
                workers[number].cell = worker.cell
                _give_next(workers[number], waiting, workers, on_event)
            elif message['kind'] == 'ready':
                if not any(each.is_ready for each in workers):
                    on_event(Event(**message))
                worker.is_ready = True
            elif message['kind'] == 'unable':
                if any(each.is_ready for each in workers):
                    continue  # its end follows, and fails its cell alone
                raise UserError(f'a worker cannot start: {message["values"]["message"]}')
            else:
                _pass_on(Event(**message), worker, on_event)
                if message['kind'] in ENDS:
                    _give_next(worker, waiting, workers, on_event)
    except BaseException as error:
        _tell_to_end(workers)
        if isinstance(error, KeyboardInterrupt):
            with contextlib.suppress(OSError, SystemExit):  # the terminal may be gone
                on_event(Event('stopping', '', {}))
        _wait_for_end(workers)
        raise
    finally:
        _stop(workers)


def _pass_on(event: Event, worker: _Worker, on_event: Callable[[Event], None]) -> None:
    if event.kind == 'failed':
        event = _failed(worker, event.values['message'])
    on_event(event)


def _bury(worker: _Worker, some_started: bool, on_event: Callable[[Event], None]) -> None:
    """Reports what became of the cell of a worker that died."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.process.wait(timeout=5)  # its own exit code, where it has one
    _stop([worker])
    cause = cause_of_death(worker.process.returncode)
    if not some_started:
        raise UserError(f'a worker cannot start ({cause}): {last_line(worker.log)}')
    if result := worker.cell.result():  # it died after its work
        on_event(Event('finished', worker.cell.id, dataclasses.asdict(result)))
    else:
        on_event(_failed(worker, f'its worker died ({cause})'))


def last_line(log: Path) -> str:
    """What a worker said last; the log itself may go with the directory of a refused sweep."""
    lines = [line for line in log.read_text(errors='replace').splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else 'it said nothing'


def _give_next(
    worker: _Worker, waiting: Waiting, workers: list[_Worker], on_event: Callable[[Event], None]
) -> None:
    running = [other.cell for other in workers if other.cell and other is not worker]
    worker.cell = cell = waiting.take(worker.cell, running)
    with contextlib.suppress(BrokenPipeError):  # a dead worker is noticed by its end of output
        if cell is None:
            worker.process.stdin.close()
            return
        worker.process.stdin.write(json.dumps(order(cell).to_json()) + '\n')
        worker.process.stdin.flush()
    on_event(Event('started', cell.id, {}))


def _tell_to_end(workers: Iterable[_Worker]) -> None:
    """Tells workers to save what they train, and to end."""
    for worker in workers:
        worker.process.terminate()


def _wait_for_end(workers: Iterable[_Worker]) -> None:
    """Waits until workers have saved and ended; a second Ctrl-C ends the wait."""
    deadline = time.monotonic() + _SECONDS_TO_END
    with contextlib.suppress(KeyboardInterrupt):
        for worker in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()))


def _stop(workers: Iterable[_Worker]) -> None:
    for worker in workers:
        worker.process.kill()
    for worker in workers:
        worker.process.wait()
        worker.listener.join()
        with contextlib.suppress(BrokenPipeError):  # what a dead worker never read
            worker.process.stdin.close()


def _failed(worker: _Worker, message: str) -> Event:
    write_failure(worker.cell.directory, message, str(worker.log))
    return Event('failed', worker.cell.id, {'message': message, 'log': str(worker.log)})


def cause_of_death(code: int) -> str:
    """Why a worker died, by the exit code of its process."""
    if code < 0:
        return f'signal {-code}, out of memory?' if code == -9 else f'signal {-code}'
    return f'exit code {code}'


def _start(
    number: int, num_workers: int, gpus: int, log_dir: Path, messages: queue.SimpleQueue
) -> _Worker:
    log = log_dir / f'worker{number}.log'
    with log.open('a') as errors:
        process = subprocess.Popen(
            WORKER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=default_environment() | os.environ | placement(number, num_workers, gpus),
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
