"""Runs cells in worker processes of this machine.

Workers stay up between cells, so that the seeds of a network share its compiled programs and all
cells share the data.
"""

import contextlib
import dataclasses
import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vggres.errors import UserError
from vggres.executors.orders import ENDS, SECONDS_OF_SILENCE, Event, order
from vggres.executors.placement import gpus_each, placement
from vggres.executors.process import WorkerProcess, wait_for_end
from vggres.executors.schedule import Waiting
from vggres.sweeps.cell import Cell
from vggres.sweeps.failure import write_failure


@dataclass
class _Worker:
    number: int
    log: Path
    process: WorkerProcess = field(init=False)
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
        UserError: where no worker can start, for want of a device or by a bad flag of XLA.
        KeyboardInterrupt: passed on, after all workers have saved what they were training and have
            ended. A second one kills those that are left.
    """
    log_dir.mkdir(parents=True, exist_ok=True)
    launch = _Launch(cells, costs, num_workers, log_dir, on_event)
    try:
        launch.run()
    except BaseException as error:
        launch.tell_to_end()
        if isinstance(error, KeyboardInterrupt):
            with contextlib.suppress(OSError, SystemExit):  # the terminal may be gone
                on_event(Event('stopping', '', {}))
        launch.wait_for_end()
        raise
    finally:
        launch.kill()


class _Launch:
    """The workers of one launch, and the cells that wait for them."""

    def __init__(
        self,
        cells: Sequence[Cell],
        costs: Mapping[str, float],
        num_workers: int,
        log_dir: Path,
        on_event: Callable[[Event], None],
    ) -> None:
        self._waiting = Waiting(cells, costs)
        self._num_started = min(num_workers, len(cells))
        sizes = [cell.config.train.batch_size for cell in cells]
        self._gpus = gpus_each(self._num_started, sizes) if cells else 1
        self._num_workers = num_workers
        self._log_dir = log_dir
        self._on_event = on_event
        self._events: queue.SimpleQueue[tuple[_Worker, Event | None]] = queue.SimpleQueue()
        self._workers: list[_Worker] = []
        self._some_started = False

    def run(self) -> None:
        """Runs the cells."""
        for number in range(self._num_started):
            self._workers.append(self._start(number))
            self._give_next(self._workers[number])
        while any(worker.cell for worker in self._workers):
            try:
                worker, event = self._events.get(timeout=SECONDS_OF_SILENCE)
            except queue.Empty:
                self._on_event(Event('silence', '', {}))
            else:
                self._take_in(event, worker)

    def tell_to_end(self) -> None:
        """Tells all workers to save what they train, and to end."""
        for worker in self._workers:
            worker.process.tell_to_end()

    def wait_for_end(self) -> None:
        """Waits until they have done so; a second Ctrl-C ends the wait."""
        wait_for_end(worker.process for worker in self._workers)

    def kill(self) -> None:
        """Ends what is left of them."""
        for worker in self._workers:
            worker.process.kill()

    def _start(self, number: int) -> _Worker:
        worker = _Worker(number, self._log_dir / f'worker{number}.log')
        place = placement(number, self._num_workers, self._gpus)
        worker.process = WorkerProcess(
            lambda event: self._events.put((worker, event)), worker.log, place
        )
        return worker

    def _take_in(self, event: Event | None, worker: _Worker) -> None:
        """Takes in what a worker says next, be it nothing more."""
        if event is None:
            if worker.cell:
                self._bury(worker)
        elif event.kind == 'ready':
            if not self._some_started:
                self._on_event(event)
            self._some_started = worker.is_ready = True
        elif event.kind == 'unable':
            self._do_without(worker, f': {event.values["message"]}')
        elif event.kind == 'failed':
            self._fail(worker, event.values['message'])
            self._give_next(worker)
        else:
            self._on_event(event)
            if event.kind in ENDS:
                self._give_next(worker)

    def _bury(self, worker: _Worker) -> None:
        """Reports what became of the cell of a worker that died, and starts another worker."""
        worker.process.ends_within(5.0)  # with its own exit code, where it has one
        worker.process.kill()
        cause = worker.process.cause_of_death()
        if not worker.is_ready:
            self._do_without(worker, f' ({cause}): {worker.process.last_line()}')
            return
        if result := worker.cell.result():  # it died after its work
            self._on_event(Event('finished', worker.cell.id, dataclasses.asdict(result)))
        else:
            self._fail(worker, f'its worker died ({cause})')
        self._replace(worker)

    def _do_without(self, worker: _Worker, reason: str) -> None:
        """Leaves the cell of a worker that cannot start to the others, if one of them can."""
        if not worker.cell:
            return
        cell, worker.cell = worker.cell, None
        able = [each for each in self._workers if each.is_ready]
        if not able and not any(each.cell for each in self._workers):
            raise UserError(f'a worker cannot start{reason}')
        self._waiting.put_back(cell)
        self._on_event(Event('lost', cell.id, {'message': f'its worker cannot start{reason}'}))
        if idle := [each for each in able if not each.cell]:  # it has ended, for want of cells
            self._replace(idle[0])

    def _replace(self, worker: _Worker) -> None:
        """Starts another worker in the place of one that has ended, for the cells that wait."""
        worker.process.kill()
        self._workers[worker.number] = heir = self._start(worker.number)
        heir.cell = worker.cell
        self._give_next(heir)

    def _give_next(self, worker: _Worker) -> None:
        running = [other.cell for other in self._workers if other.cell and other is not worker]
        worker.cell = cell = self._waiting.take(worker.cell, running)
        if cell is None:
            worker.process.give_no_more()
            return
        worker.process.give(order(cell))
        self._on_event(Event('started', cell.id, {}))

    def _fail(self, worker: _Worker, message: str) -> None:
        write_failure(worker.cell.directory, message, str(worker.log))
        values = {'message': message, 'log': str(worker.log)}
        self._on_event(Event('failed', worker.cell.id, values))
