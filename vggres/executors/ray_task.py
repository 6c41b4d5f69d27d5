"""A task of Ray: runs one cell in a worker of the node that it landed on, and relays its events."""

import json
import os
import platform
import queue
from collections.abc import Iterator
from pathlib import Path

from vggres.executors.orders import LAST_WORDS, Event, Order
from vggres.executors.process import WorkerProcess, converse, wait_for_end


def run_once(arguments: str) -> Iterator[str]:
    """Runs a cell, once.

    Args:
        arguments: JSON: the `order`; the worker's `variables` and its `cwd`; the `log`, a file;
            the `patience` with a cell that another process holds, in seconds.

    Yields:
        Events as JSON: 'started', then what the worker says; 'died' where that has no end.
    """
    for event in _events(json.loads(arguments)):
        yield json.dumps(event.to_json())


def _events(given: dict) -> Iterator[Event]:
    order, log, directory = Order.from_json(given['order']), Path(given['log']), Path(given['cwd'])
    cell, node = order.cell.id, platform.node()
    yield Event('started', cell, {'node': node})
    for place in (log.parent, directory):
        if not place.is_dir():
            message = f'{node} has no {place}, which all nodes have to share'
            yield Event('failed', cell, {'message': message})
            return
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    worker = WorkerProcess(events.put, log, _with_code(given['variables']), directory)
    has_ended = False
    try:
        for event in converse(worker, order, events, given['patience']):
            has_ended = event.kind in LAST_WORDS
            yield event
        if not has_ended:
            cause = f'{worker.cause_of_death()}: {worker.last_line()}'
            yield Event('died', cell, {'message': cause})
    finally:
        worker.give_no_more()
        if not has_ended:
            worker.tell_to_end()
        wait_for_end([worker])
        worker.kill()


def _with_code(variables: dict[str, str]) -> dict[str, str]:
    """Variables by which a worker finds this code, which need not be installed."""
    code = str(Path(__file__).parents[2])
    return variables | {
        'PYTHONPATH': os.pathsep.join(filter(None, (code, os.environ.get('PYTHONPATH'))))
    }
