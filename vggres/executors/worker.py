"""A worker process: reads orders from its input, a JSON line each, and answers with events.

Every executor starts such processes. Whatever libraries print goes to standard error, the worker's
log.
"""

import dataclasses
import json
import os
import sys
import time
import traceback
from typing import TextIO

from absl import logging

from vggres.errors import UserError
from vggres.executors.orders import Event, Order
from vggres.executors.placement import check_devices, take_cores
from vggres.results import Record
from vggres.sweeps.cell import Cell


def main() -> None:
    """Runs cells until its input ends, and dies when its output is no longer read."""
    events = _own_output()
    logging.set_verbosity(logging.WARNING)
    take_cores()
    if not _finds_devices(events):
        return

    from vggres.sweeps.run import run  # imports jax, which reads its surroundings once

    for line in sys.stdin:
        order = Order.from_json(json.loads(line))
        cell = order.cell

        def say(kind: str, values: dict, cell: Cell = cell) -> None:
            _say(events, kind, cell.id, values)

        def on_record(record: Record, say: object = say) -> None:
            say('record', dataclasses.asdict(record))

        def on_progress(step: int, total: int, say: object = say) -> None:
            say('progress', {'step': step, 'total': total})

        try:
            order.check_code()
            result = run(cell, on_record, on_progress)
        except BrokenPipeError:
            raise
        except Exception as error:
            print(time.ctime(), cell.id, file=sys.stderr)
            traceback.print_exc()
            say('failed', {'message': _first_line(error)})
        else:
            say('finished', dataclasses.asdict(result))


def _finds_devices(events: TextIO) -> bool:
    """Says whether jax finds the devices that its environment asks for."""
    try:
        check_devices()
    except UserError as error:
        traceback.print_exc()
        _say(events, 'unable', '', {'message': str(error)})
        return False
    _say(events, 'ready', '', {})
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


if __name__ == '__main__':
    main()
