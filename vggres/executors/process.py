"""A worker as its executor sees it: a process of this machine that takes orders and says events."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from vggres.executors.orders import LAST_WORDS, Event, Order
from vggres.executors.placement import default_environment

WORKER = (sys.executable, '-m', 'vggres.executors.worker')
SECONDS_TO_END = 9.5  # for a worker that saves, before it is killed
# How long a cell that another attempt seems to hold is ordered again, where that attempt may be one
# of a lost machine, whose lease has not run out yet.
PATIENCE_SECONDS, _SECONDS_BETWEEN_ORDERS = 180.0, 10.0


class WorkerProcess:
    """A process that runs `executors/worker.py`.

    It is a subprocess rather than one of a pool: if it dies, it takes its own cell along and
    nothing else; it gets its own cores or GPU before jax is imported; and it can be stopped at any
    moment.
    """

    def __init__(
        self,
        hear: Callable[[Event | None], object],
        log: Path | None = None,
        variables: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        """Starts the process.

        Args:
            hear: called, in a thread of its own, with each event, and with None after the last one.
            log: the file that takes what libraries print; None for this process's standard error.
            variables: environment variables, beside those of this process.
            directory: where it works; None for where this process does.
        """
        self._hear = hear
        self._log = log
        with self._opened_log() as errors:
            self._process = subprocess.Popen(
                WORKER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                errors='replace',
                cwd=directory,
                env=default_environment() | os.environ | (variables or {}),
                start_new_session=True,  # Ctrl-C reaches its executor alone, which then stops it
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def give(self, order: Order) -> None:
        """Gives it an order; a dead worker is noticed by its last event, not here."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(order.to_json()) + '\n')
            self._process.stdin.flush()

    def give_no_more(self) -> None:
        """Lets it end after the orders that it was given."""
        with contextlib.suppress(BrokenPipeError):  # what a dead worker never read
            self._process.stdin.close()

    def tell_to_end(self) -> None:
        """Tells it to save what it trains, and to end."""
        self._process.terminate()

    def ends_within(self, seconds: float) -> bool:
        """Waits until it ends, for so many seconds at most, and returns whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, seconds))
        return self._process.returncode is not None

    def kill(self) -> None:
        """Ends it at once, if it still runs, and waits until all that it said has been heard."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        self.give_no_more()

    def cause_of_death(self) -> str:
        """Why it ended, by its exit code."""
        code = self._process.wait()
        if code < 0:
            return f'signal {-code}, out of memory?' if code == -9 else f'signal {-code}'
        return f'exit code {code}'

    def last_line(self) -> str:
        """The last line of its log, which may go with the directory of a refused sweep."""
        text = self._log.read_text(errors='replace') if self._log else ''
        lines = [line for line in text.splitlines() if line.strip()]
        return lines[-1].strip()[:300] if lines else 'it said nothing'

    def _opened_log(self) -> contextlib.AbstractContextManager:
        return self._log.open('a') if self._log else contextlib.nullcontext(sys.stderr)

    def _listen(self) -> None:
        with self._process.stdout:
            for line in self._process.stdout:
                try:
                    event = Event(**json.loads(line))
                except (ValueError, TypeError):  # a library's, or half of one, from a killed worker
                    self._keep(line)
                else:
                    self._hear(event)
        self._hear(None)

    def _keep(self, line: str) -> None:
        with contextlib.suppress(OSError), self._opened_log() as log:  # the disk may be full
            log.write(line)


def wait_for_end(workers: Iterable[WorkerProcess]) -> None:
    """Waits until workers that were told to end have saved and ended; the time for that is short.

    A Ctrl-C meanwhile ends the wait.
    """
    deadline = time.monotonic() + SECONDS_TO_END
    with contextlib.suppress(KeyboardInterrupt):
        for worker in workers:
            worker.ends_within(deadline - time.monotonic())


def converse(
    worker: WorkerProcess, order: Order, events: queue.SimpleQueue, patience: float = 0.0
) -> Iterator[Event]:
    """Gives a worker one order, and yields what it says, up to its last word.

    Args:
        worker: a worker that says its events to the queue.
        order: a cell to run.
        events: what the worker says; where it dies, that ends without a last word.
        patience: for how many seconds a cell that another process holds is ordered again.
    """
    give_up = time.monotonic() + patience
    worker.give(order)
    while event := _next(events):
        if event.kind == 'elsewhere' and time.monotonic() < give_up:
            _sleep(_SECONDS_BETWEEN_ORDERS)
            worker.give(order)
            continue
        yield event
        if event.kind in LAST_WORDS:
            return


def _next(events: queue.SimpleQueue) -> Event | None:
    while True:  # an interrupt from another thread is noticed between two calls, not in one
        with contextlib.suppress(queue.Empty):
            return events.get(timeout=0.5)


def _sleep(seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        time.sleep(min(0.5, left))
