"""A task of an array job of Slurm: runs one cell in a worker, and heeds Slurm's signals.

Before the time limit Slurm sends SIGUSR2: the worker saves and ends, and the task is queued again.
Where Slurm takes the node away (preemption, requeue, cancellation) it sends SIGTERM: the worker
saves as well, and Slurm itself decides what follows.
"""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from vggres.executors.local import WORKER, cause_of_death
from vggres.executors.orders import ENDS, Event, Order
from vggres.executors.slurm import log_name
from vggres.executors.worker import TERMINATED
from vggres.sweeps.cell import Cell
from vggres.sweeps.failure import write_failure

# How long a cell that another attempt seems to hold is asked for again. The attempt may be one of
# a lost node, whose lease has not run out yet.
_PATIENCE_SECONDS, _SECONDS_BETWEEN_TRIES = 180.0, 10.0


def main() -> int:
    """Runs the cell whose order stands in the line of this task; returns the exit code."""
    signals: list[int] = []
    workers: list[subprocess.Popen] = []

    def stop(number: int, frame: object) -> None:
        signals.append(number)
        for worker in workers:
            worker.terminate()

    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, stop)
    line = _order(Path(sys.argv[1]), int(sys.argv[2]) + int(os.environ['SLURM_ARRAY_TASK_ID']))
    cell = Order.from_json(json.loads(line)).cell
    attempt = 1 + int(os.environ.get('SLURM_RESTART_COUNT', '0'))
    _log(f'{cell.id}: attempt {attempt} of this job, on {os.environ.get("SLURMD_NODENAME")}')
    if cell.result():
        return 0
    saved = _saved(cell)
    worker = subprocess.Popen(WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    workers.append(worker)
    if signals:
        worker.terminate()
    end = _converse(worker, line)
    worker.wait()
    if cell.result():
        return 0
    if signal.SIGUSR2 in signals:
        return _queue_again(cell, saved)
    if signals:
        return TERMINATED
    if end:
        return _end(end, cell)
    return _fail(f'its worker died ({cause_of_death(worker.returncode)})', cell)


def _order(path: Path, number: int) -> str:
    with path.open() as lines:
        return next(itertools.islice(lines, number, None))


def _converse(worker: subprocess.Popen, line: str) -> Event | None:
    """Gives a worker its order, and returns the event by which its work ended; None if it died."""
    give_up = time.monotonic() + _PATIENCE_SECONDS
    with contextlib.suppress(BrokenPipeError), worker.stdin:
        _give(worker, line)
        for text in worker.stdout:
            event = _event(text)
            if not event or event.kind not in ('unable', *ENDS):
                continue
            if event.kind != 'elsewhere' or time.monotonic() > give_up:
                return event
            time.sleep(_SECONDS_BETWEEN_TRIES)
            _give(worker, line)
    return None


def _give(worker: subprocess.Popen, line: str) -> None:
    worker.stdin.write(line)
    worker.stdin.flush()


def _event(text: str) -> Event | None:
    """What a worker said; None where a library printed it, or it is half a line."""
    try:
        return Event(**json.loads(text))
    except (ValueError, TypeError):
        print(text, end='', file=sys.stderr)
        return None


def _end(end: Event, cell: Cell) -> int:
    """The exit code of a cell that has no result, after an event."""
    if end.kind == 'elsewhere':
        _log(f'left alone: {end.values["message"]}')
        return 0
    cannot = 'a worker cannot start: ' * (end.kind == 'unable')
    return _fail(cannot + end.values.get('message', f'{end.kind} without a result'), cell)


def _queue_again(cell: Cell, saved: set[str]) -> int:
    """Lets Slurm start the task anew, unless that would go on without end."""
    if _saved(cell) == saved:
        return _fail('it saved nothing within the time limit: give more --slurm.time', cell)
    # SLURM_JOB_ID will not do: in the last task to start, it names the whole array.
    done = subprocess.run(
        ('scontrol', 'requeue', '_'.join(_task(os.environ))), capture_output=True, text=True
    )
    if done.returncode:
        said = ' '.join((done.stdout + done.stderr).split())
        return _fail(f'at the time limit, Slurm did not queue it again: {said}', cell)
    _log(f'{cell.id} is saved and queued again: its time limit is near')
    return 0


def _saved(cell: Cell) -> set[str]:
    """The names of the checkpoints that are there: they change when something is saved."""
    return {path.name for path in cell.directory.glob('checkpoints/step-*')}


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
