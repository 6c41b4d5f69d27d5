"""A task of an array job of Slurm: runs one cell in a worker, and heeds Slurm's signals.

Before the time limit Slurm sends SIGUSR2: the worker saves and ends, and the task is queued again.
Where Slurm takes the node away (preemption, requeue, cancellation) it sends SIGTERM: the worker
saves as well, and Slurm itself decides what follows.
"""

import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from vggres.executors.ending import TERMINATED
from vggres.executors.orders import LAST_WORDS, Event, Order
from vggres.executors.process import PATIENCE_SECONDS, WorkerProcess, converse
from vggres.executors.slurm import log_name
from vggres.sweeps.cell import Cell
from vggres.sweeps.failure import write_failure


def main() -> int:
    """Runs the cell whose order stands in the line of this task; returns the exit code."""
    signals: list[int] = []
    workers: list[WorkerProcess] = []

    def stop(number: int, frame: object) -> None:
        signals.append(number)
        for worker in workers:
            worker.tell_to_end()

    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, stop)
    order = _order(Path(sys.argv[1]), int(sys.argv[2]) + int(os.environ['SLURM_ARRAY_TASK_ID']))
    cell = order.cell
    attempt = 1 + int(os.environ.get('SLURM_RESTART_COUNT', '0'))
    _log(f'{cell.id}: attempt {attempt} of this job, on {os.environ.get("SLURMD_NODENAME")}')
    if cell.result():
        return 0
    saved = cell.saved()
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    worker = WorkerProcess(events.put)
    workers.append(worker)
    if signals:
        worker.tell_to_end()
    *_, end = None, *converse(worker, order, events, PATIENCE_SECONDS)
    worker.give_no_more()
    cause = worker.cause_of_death()
    if cell.result():
        return 0
    if signal.SIGUSR2 in signals:
        return _queue_again(cell, saved)
    if signals:
        return TERMINATED
    if end and end.kind in LAST_WORDS:
        return _end(end, cell)
    return _fail(f'its worker died ({cause})', cell)


def _order(path: Path, number: int) -> Order:
    with path.open() as lines:
        return Order.from_json(json.loads(next(itertools.islice(lines, number, None))))


def _end(end: Event, cell: Cell) -> int:
    """The exit code of a cell that has no result, after an event."""
    if end.kind == 'elsewhere':
        _log(f'left alone: {end.values["message"]}')
        return 0
    cannot = 'a worker cannot start: ' * (end.kind == 'unable')
    return _fail(cannot + end.values.get('message', f'{end.kind} without a result'), cell)


def _queue_again(cell: Cell, saved: set[str]) -> int:
    """Lets Slurm start the task anew, unless that would go on without end."""
    if cell.saved() == saved:
        return _fail('it came no further within the time limit: give more --slurm.time', cell)
    # SLURM_JOB_ID will not do: in the last task to start, it names the whole array.
    done = subprocess.run(
        ('scontrol', 'requeue', '_'.join(_task(os.environ))), capture_output=True, text=True
    )
    if done.returncode:
        said = ' '.join((done.stdout + done.stderr).split())
        return _fail(f'at the time limit, Slurm did not queue it again: {said}', cell)
    _log(f'{cell.id} is saved and queued again: its time limit is near')
    return 0


def _fail(message: str, cell: Cell) -> int:
    log = cell.workdir / 'logs' / log_name(*_task(os.environ))
    write_failure(cell.directory, message, str(log))
    _log(f'{cell.id} failed: {message}')
    return 1


def _task(environment: Mapping[str, str]) -> tuple[str, str]:
    """The job and the number of a task, as Slurm tells it."""
    return environment['SLURM_ARRAY_JOB_ID'], environment['SLURM_ARRAY_TASK_ID']


def _log(text: str) -> None:
    print(time.strftime('%Y-%m-%d %H:%M:%S'), text, file=sys.stderr, flush=True)


if __name__ == '__main__':
    sys.exit(main())
