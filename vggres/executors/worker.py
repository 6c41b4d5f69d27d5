"""A worker process: reads cells from its input, a JSON line each, and answers with events.

Started by `executors.local`. Whatever libraries print goes to standard error, the worker's log.
"""

import json
import os
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from absl import logging
from ml_collections import ConfigDict

from vggres.sweeps.cell import Cell
from vggres.sweeps.records import to_dict


def main() -> None:
    """Runs cells until its input ends; dies when its output is no longer read."""
    events = _claim_output()
    logging.set_verbosity(logging.WARNING)
    take_cores()

    from vggres.sweeps.run import run  # imports jax, which reads its surroundings once

    for line in sys.stdin:
        order = json.loads(line)
        cell = Cell(
            ConfigDict(order['config']), Path(order['workdir']), order['sweep'], order['variant']
        )

        def say(kind: str, values: dict, cell: Cell = cell) -> None:
            events.write(json.dumps({'kind': kind, 'cell': cell.id, 'values': values}) + '\n')
            events.flush()

        try:
            result = run(
                cell,
                on_record=lambda record, say=say: say('record', to_dict(record)),
                on_progress=lambda step, total, say=say: say(
                    'progress', {'step': step, 'total': total}
                ),
            )
        except BrokenPipeError:
            raise
        except Exception as error:
            print(time.ctime(), cell.id, file=sys.stderr)
            traceback.print_exc()
            say('failed', {'message': f'{type(error).__name__}: {error}'.splitlines()[0][:200]})
        else:
            say('finished', asdict(result))


def take_cores() -> None:
    """Stays on the cores that `local.placement` gave this process."""
    if cores := os.environ.get('VGGRES_CORES'):
        os.sched_setaffinity(0, {int(core) for core in cores.split(',')})


def _claim_output() -> TextIO:
    """The pipe to the launcher, for events alone: all other output joins standard error."""
    events = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)
    return events


if __name__ == '__main__':
    main()
