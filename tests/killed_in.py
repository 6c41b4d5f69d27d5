"""Runs a cell and kills itself with SIGKILL in a phase of it: python killed_in.py PHASE COUNT.

The cell comes from standard input, as JSON. COUNT says which time the phase has to come.
"""

import json
import os
import signal
import sys

from vggres.sweeps import cell as cells
from vggres.sweeps import records, run
from vggres.training import checkpoint, trainer

# Where each phase happens, and whether death comes before or after the function has done its work.
PHASES = {
    'saving': (os, 'replace', 'before'),  # of a file that is written beside its place
    'removing an old checkpoint': (checkpoint, '_remove', 'before'),
    'updating': (trainer._Dispatches, '_offer', 'after'),
    'evaluating': (trainer, '_evaluate', 'after'),
    'observing': (trainer, '_observation', 'after'),
    'logging': (records.RecordsFile, 'append', 'after'),
    'writing the weights': (run, '_save_weights', 'after'),
    'writing the result': (cells.Cell, 'finish', 'before'),
    'cleaning up': (checkpoint.Checkpoints, 'remove', 'before'),
}


def main():
    place, name, when = PHASES[sys.argv[1]]
    whole, calls = getattr(place, name), []

    def fatal(*arguments, **options):
        calls.append(1)
        dies = len(calls) == int(sys.argv[2])
        if dies and when == 'before':
            os.kill(os.getpid(), signal.SIGKILL)
        found = whole(*arguments, **options)
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(place, name, fatal)
    run.run(cells.Cell.from_json(json.load(sys.stdin)))


if __name__ == '__main__':
    main()
