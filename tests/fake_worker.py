"""Speaks the protocol of `vggres.executors.worker` without training; seeds say how to behave."""

import json
import os
import signal
import sys
import time

from planted import finish

from vggres.executors.orders import Order

# Seeds.
DIES, RAISES, HANGS, GARBLES, DIES_LATE, SAVES, HOLDS, ELSEWHERE, FREE_LATER = range(100, 109)


def save(cell):
    """What a worker does that is told to end."""
    time.sleep(1)
    (cell.workdir / f'{os.getpid()}.saved').touch()
    sys.exit(143)


def main():
    how = os.environ.get('FAKE_WORKER')
    if os.environ.get('VGGRES_CORES') == '1':
        how = os.environ.get('FAKE_WORKER_OF_CORE_1', how)
    if how == 'aborts':
        print('Unknown flag in XLA_FLAGS', file=sys.stderr)
        sys.exit(1)
    print('noise of a library', file=sys.stderr)
    print('no event at all', flush=True)
    values = {'hardware': 'a fake device', 'platform': 'fake'}
    values = {'message': 'jax finds no device'} if how == 'unable' else values
    print(json.dumps({'kind': how or 'ready', 'cell': '', 'values': values}), flush=True)
    if how == 'unable':
        return
    for number, line in enumerate(sys.stdin):
        cell = Order.from_json(json.loads(line)).cell

        def say(kind, values, cell=cell):
            print(json.dumps({'kind': kind, 'cell': cell.id, 'values': values}), flush=True)

        if cell.config.seed == FREE_LATER:
            kind = 'finished' if number == 3 else 'elsewhere'
            say(kind, {'message': 'it is trained by process 3 on n1.'})
            continue
        if cell.config.seed == SAVES:
            signal.signal(signal.SIGTERM, lambda *_, cell=cell: save(cell))
        say('progress', {'step': 1, 'total': 2})
        if cell.config.seed == DIES:
            os.kill(os.getpid(), signal.SIGKILL)
        if cell.config.seed in (HANGS, SAVES):
            (cell.workdir / f'{os.getpid()}.pid').write_text(str(os.getpid()))
            time.sleep(600)
        if cell.config.seed == HOLDS:
            (cell.workdir / f'{cell.id}.{os.getpid()}.pid').write_text(str(os.getpid()))
            while not (cell.workdir / 'go').exists():
                time.sleep(0.05)
            finish(cell)
        if cell.config.seed == GARBLES:
            print('{"kind": "finis', end='', flush=True)
            sys.exit(3)
        if cell.config.seed == DIES_LATE:
            finish(cell)
            os.kill(os.getpid(), signal.SIGKILL)
        if cell.config.seed == RAISES:
            say('failed', {'message': 'ValueError: no such thing'})
        elif cell.config.seed == ELSEWHERE:
            say('notice', {'message': 'it looks around.'})
            say('elsewhere', {'message': 'it is trained by somebody.'})
        else:
            found = {
                'cores': 'VGGRES_CORES',
                'cache': 'JAX_COMPILATION_CACHE_DIR',
                'platforms': 'JAX_PLATFORMS',
                'flags': 'XLA_FLAGS',
                'gpus': 'CUDA_VISIBLE_DEVICES',
                'memory': 'XLA_PYTHON_CLIENT_MEM_FRACTION',
                'secret': 'SECRET_OF_THE_LAUNCHER',
            }
            values = {key: os.environ.get(name) for key, name in found.items()}
            say('finished', {'pid': os.getpid(), **values})


if __name__ == '__main__':
    main()
