"""Runs two cells, and strikes the process of W&B in the first: python struck_wandb.py SIGNAL.

The cells come from standard input, as a list of JSON objects. It prints the seconds that each took.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

from vggres.sweeps.cell import Cell
from vggres.sweeps.run import run
from vggres.tracking import wandb_run


def service():
    """The process of W&B that belongs to this one."""
    for process in Path('/proc').glob('[0-9]*'):
        try:
            is_core = b'wandb-core' in (process / 'cmdline').read_bytes()
            parent = (process / 'stat').read_text().rpartition(')')[2].split()[1]
        except OSError:
            continue
        if is_core and int(parent) == os.getpid():
            return int(process.name)
    raise RuntimeError('the process of W&B is not found')


def main():
    wandb_run._FINISH_TIMEOUT = wandb_run._CALL_TIMEOUT = wandb_run._GRACE = 2
    cells, struck = map(Cell.from_json, json.load(sys.stdin)), []

    def strike(record):
        if not struck:
            struck.append(service())
            os.kill(struck[0], signal.Signals[sys.argv[1]])

    seconds = []
    for cell in cells:
        began = time.monotonic()
        run(cell, on_record=strike)
        seconds.append(time.monotonic() - began)
    print(json.dumps(seconds), flush=True)
    os.kill(struck[0], signal.SIGKILL)
    os._exit(0)


if __name__ == '__main__':
    main()
