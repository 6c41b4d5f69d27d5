"""Speaks the protocol of `vggres.executors.worker` without training; seeds say how to behave."""

import json
import os
import signal
import sys
import time
from pathlib import Path

from ml_collections import ConfigDict

from vggres.cell import Cell

DIES, RAISES, HANGS = 100, 101, 102  # seeds


def main():
    print('noise of a library', file=sys.stderr)
    for line in sys.stdin:
        order = json.loads(line)
        cell = Cell(ConfigDict(order['config']), Path(order['workdir']), order['sweep'])

        def say(kind, values, cell=cell):
            print(json.dumps({'kind': kind, 'cell': cell.id, 'values': values}), flush=True)

        say('progress', {'step': 1, 'total': 2})
        if cell.config.seed == DIES:
            os.kill(os.getpid(), signal.SIGKILL)
        if cell.config.seed == HANGS:
            time.sleep(600)
        if cell.config.seed == RAISES:
            say('failed', {'message': 'ValueError: no such thing'})
        else:
            say('finished', {'pid': os.getpid(), 'cores': os.environ.get('VGGRES_CORES')})


if __name__ == '__main__':
    main()
