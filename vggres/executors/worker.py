"""A worker process: reads orders from its input, a JSON line each, and answers with events.

Every executor starts such processes. Whatever libraries print goes to standard error, the worker's
log. A worker that is told to end (SIGTERM) saves the run that it is in first; one whose launcher
dies ends at once.
"""

import _thread
import dataclasses
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TextIO

from absl import logging

from vggres.errors import UserError
from vggres.executors.orders import Event, Order
from vggres.executors.placement import check_devices, found_devices, take_cores
from vggres.results import Record
from vggres.sweeps.lease import LostError, TakenError

TERMINATED = 128 + signal.SIGTERM  # the exit code of a worker that was told to end
SECONDS_TO_SAVE = 7.0  # from the signal on, for the updates that run and for the save itself
_SECONDS_TO_CLOSE = 2.0  # after that, for W&B to end its run
_SECONDS_TO_CLEAN_UP = 20.0
_LOOK_AT_LAUNCHER_EVERY = 0.5  # seconds

Save = Callable[[float], bool]  # (seconds to wait) → whether something was saved: see `sweeps.run`


class Running:
    """What the worker is in the middle of, for the thread that ends it."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self.save: Save | None = None
        self.is_ending = False

    def begin(self, save: Save) -> None:
        """A run has begun, which this function saves."""
        self.save = save


def main() -> None:
    """Runs cells until its input ends."""
    running = Running()
    _end_with_launcher()
    _save_when_told_to_end(running)
    events = _own_output()
    logging.set_verbosity(logging.WARNING)
    take_cores()
    if not _finds_devices(events):
        return

    from vggres.sweeps.run import run  # imports jax, which reads its surroundings once

    for line in sys.stdin:
        order = Order.from_json(json.loads(line))
        cell = order.cell

        def say(kind: str, values: dict, name: str = cell.id) -> None:
            _say(events, kind, name, values)

        def on_record(record: Record, say: object = say) -> None:
            say('record', dataclasses.asdict(record))

        def on_progress(step: int, total: int, say: object = say) -> None:
            say('progress', {'step': step, 'total': total})

        def on_notice(sentence: str, say: object = say) -> None:
            print(time.ctime(), sentence, file=sys.stderr)
            say('notice', {'message': sentence})

        try:
            order.check_code()
            result = run(cell, on_record, on_progress, on_notice, running.begin)
        except BrokenPipeError:
            raise
        except (TakenError, LostError) as error:
            if running.is_ending:  # it was saved and given back, and says nothing more
                raise KeyboardInterrupt from None
            say('elsewhere', {'message': str(error)})
        except Exception as error:
            print(time.ctime(), cell.id, file=sys.stderr)
            traceback.print_exc()
            say('failed', {'message': _first_line(error)})
        else:
            say('finished', dataclasses.asdict(result))
        running.save = None


def _end_with_launcher() -> None:
    """Ends this process when the one that started it has ended, however busy this one is."""
    launcher = os.getppid()

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(_LOOK_AT_LAUNCHER_EVERY)
        os._exit(TERMINATED)

    threading.Thread(target=watch, daemon=True).start()


def _save_when_told_to_end(running: Running) -> None:
    """Lets SIGTERM save the run and end this process.

    Python calls handlers of signals between two steps of the main thread, which may be in a long
    computation; the number of the signal reaches another thread through a pipe at once.
    """
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(writes)

    def end() -> None:
        while signal.SIGTERM not in os.read(reads, 64):
            pass
        running.is_ending = True
        if running.save:
            try:
                saved = 'saved' if running.save(SECONDS_TO_SAVE) else 'nothing to save'
                print(time.ctime(), 'told to end:', saved, file=sys.stderr, flush=True)
            except Exception:
                traceback.print_exc()
            _thread.interrupt_main()
            time.sleep(_SECONDS_TO_CLOSE)
        os._exit(TERMINATED)

    threading.Thread(target=end, daemon=True).start()


def _finds_devices(events: TextIO) -> bool:
    """Says whether jax finds the devices that its environment asks for."""
    try:
        check_devices()
    except UserError as error:
        traceback.print_exc()
        _say(events, 'unable', '', {'message': str(error)})
        return False
    _say(events, 'ready', '', found_devices())
    return True


def _say(events: TextIO, kind: str, cell: str, values: dict) -> None:
    events.write(json.dumps(Event(kind, cell, values).to_json()) + '\n')
    events.flush()


def _first_line(error: Exception) -> str:
    message = f': {error}' if str(error) else ''
    return f'{type(error).__name__}{message}'.splitlines()[0][:200]


def _own_output() -> TextIO:
    """The pipe to the launcher, for events alone: all other output joins standard error."""
    events = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    return events


def _end_anyway(code: int) -> None:
    """Ends this process soon even where a library cannot clean up, as with a hanging W&B."""
    timer = threading.Timer(_SECONDS_TO_CLEAN_UP, os._exit, (code,))
    timer.daemon = True
    timer.start()
    sys.exit(code)


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        _end_anyway(TERMINATED)
    _end_anyway(0)
