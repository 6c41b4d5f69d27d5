"""A worker process: reads orders from its input, a JSON line each, and answers with events.

Every executor starts such processes. Whatever libraries print goes to standard error, the worker's
log. A worker that is told to end (SIGTERM) saves the run that it is in first; one whose launcher
dies ends at once.
"""

import _thread
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
from vggres.executors.ending import SECONDS_OF_UPDATES, TERMINATED, when_told_to_end
from vggres.executors.orders import Event, Order, Telling
from vggres.executors.placement import check_devices, found_devices, take_cores
from vggres.sweeps.lease import LostError, TakenError

_SECONDS_TO_CLOSE = 2.0  # after the save, for W&B to end its run
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

    for line in sys.stdin:
        _obey(Order.from_json(json.loads(line)), events, running)
        running.save = None


def _obey(order: Order, events: TextIO, running: Running) -> None:
    """Runs the cell of an order, and says how that ended."""
    from vggres.sweeps.run import run  # imports jax, which reads its surroundings once

    tell = Telling(order.cell, lambda event: _say(events, event))

    def on_notice(sentence: str) -> None:
        print(time.ctime(), sentence, file=sys.stderr)
        tell.notice(sentence)

    try:
        order.check_code()
        result = run(order.cell, tell.record, tell.progress, on_notice, running.begin)
    except BrokenPipeError:
        raise
    except (TakenError, LostError) as error:
        if running.is_ending:  # it was saved and given back, and says nothing more
            raise KeyboardInterrupt from None
        tell.say('elsewhere', message=str(error))
    except Exception as error:
        print(time.ctime(), order.cell.id, file=sys.stderr)
        traceback.print_exc()
        tell.say('failed', message=_first_line(error))
    else:
        tell.finished(result)


def _end_with_launcher() -> None:
    """Ends this process when the one that started it has ended, however busy this one is."""
    launcher = os.getppid()

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(_LOOK_AT_LAUNCHER_EVERY)
        os._exit(TERMINATED)

    threading.Thread(target=watch, daemon=True).start()


def _save_when_told_to_end(running: Running) -> None:
    """Lets SIGTERM save the run and end this process."""

    def end(number: int) -> None:
        if running.is_ending:
            return
        running.is_ending = True
        if running.save:
            try:
                saved = 'saved' if running.save(SECONDS_OF_UPDATES) else 'nothing to save'
                print(time.ctime(), 'told to end:', saved, file=sys.stderr, flush=True)
            except Exception:
                traceback.print_exc()
            _thread.interrupt_main()
            time.sleep(_SECONDS_TO_CLOSE)
        os._exit(TERMINATED)

    when_told_to_end(end, [signal.SIGTERM])


def _finds_devices(events: TextIO) -> bool:
    """Says whether jax finds the devices that its environment asks for."""
    try:
        check_devices()
    except UserError as error:
        traceback.print_exc()
        _say(events, Event('unable', '', {'message': str(error)}))
        return False
    _say(events, Event('ready', '', found_devices()))
    return True


def _say(events: TextIO, event: Event) -> None:
    events.write(json.dumps(event.to_json()) + '\n')
    events.flush()


def _first_line(error: Exception) -> str:
    message = f': {error}' if str(error) else ''
    kind = type(error).__name__
    text = str(error) if isinstance(error, UserError) else f'{kind}{message}'
    return text.splitlines()[0][:200]


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
