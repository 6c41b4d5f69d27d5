"""Speaks the protocol of `vggres.executors.worker` without training; seeds say how to behave."""

import json
import os
import signal
import sys
import time
from pathlib import Path

from ml_collections import ConfigDict

from vggres.files import write_json
from vggres.sweeps.cell import Cell

DIES, RAISES, HANGS, GARBLES, DIES_LATE = range(100, 105)  # seeds


def main():
    print('noise of a library', file=sys.stderr)
    print('no event at all', flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        cell = Cell(ConfigDict(order['config']), Path(order['workdir']), order['sweep'])

        def say(kind, values, cell=cell):
            print(json.dumps({'kind': kind, 'cell': cell.id, 'values': values}), flush=True)

        say('progress', {'step': 1, 'total': 2})
        if cell.config.seed == DIES:
            os.kill(os.getpid(), signal.SIGKILL)
        if cell.config.seed == HANGS:
            (cell.workdir / f'{os.getpid()}.pid').write_text(str(os.getpid()))
            time.sleep(600)
        if cell.config.seed == GARBLES:
            print('{"kind": "finis', end='', flush=True)
            sys.exit(3)
        if cell.config.seed == DIES_LATE:
            cell.directory.mkdir(parents=True)
            write_json(cell.directory / 'result.json', {'train_error': 0.0})
            os.kill(os.getpid(), signal.SIGKILL)
        if cell.config.seed == RAISES:
            say('failed', {'message': 'ValueError: no such thing'})
        else:
            found = {'cores': 'VGGRES_CORES', 'cache': 'JAX_COMPILATION_CACHE_DIR'}
            values = {key: os.environ.get(name) for key, name in found.items()}
            say('finished', {'pid': os.getpid(), **values})


if __name__ == '__main__':
    main()
