import os
import queue
import signal
import sys
import time

import pytest

from vggres.executors import process
from vggres.executors.orders import Order
from vggres.executors.process import WorkerProcess, converse, wait_for_end
from vggres.sweeps.cell import Cell

# Says what its variables are and what it is given; ends as it is told.
_PROGRAM = """
import json, os, sys
def say(kind, **values):
    print(json.dumps({'kind': kind, 'cell': '', 'values': values}), flush=True)
say('ready', pid=os.getpid(), here=os.getcwd(), session=os.getsid(0),
    cache=os.environ['JAX_COMPILATION_CACHE_DIR'], own=os.environ.get('OWN'))
print('a library speaks')
print('{"kind": "no event"}')
print('and an error', file=sys.stderr)
tries = 0
for line in sys.stdin:
    tries += 1
    given = json.loads(line)
    if given['code'] == 'busy' and tries < 3:
        say('elsewhere', message='it is trained by process 3 on n1.')
    elif given['code'] == 'dies':
        sys.exit(7)
    else:
        say('progress', step=1, total=2)
        say('finished', tries=tries)
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a worker that runs a program: the worker, and the queue of what it says."""
    monkeypatch.setattr(process, '_SECONDS_BETWEEN_ORDERS', 0.05)
    started = []

    def start(program=_PROGRAM, **arguments):
        monkeypatch.setattr(process, 'WORKER', (sys.executable, '-c', program))
        events = queue.SimpleQueue()
        started.append(WorkerProcess(events.put, tmp_path / 'log', **arguments))
        return started[-1], events

    yield start
    for worker in started:
        worker.kill()


@pytest.fixture
def cell(config, tmp_path):
    return Cell(config, tmp_path, 'depth')


def test_it_gets_variables_beside_those_of_this_process(start, tmp_path, monkeypatch):
    monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', 'mine')
    _, events = start(variables={'OWN': 'x'}, directory=tmp_path)
    found = events.get(timeout=30).values
    assert (found['cache'], found['own'], found['here']) == ('mine', 'x', str(tmp_path))
    assert found['session'] == found['pid']  # Ctrl-C in a terminal does not reach it
    assert found['pid'] != os.getpid()


def test_its_orders_are_answered_and_what_libraries_print_goes_to_the_log(start, cell, tmp_path):
    worker, events = start()
    assert events.get(timeout=30).kind == 'ready'
    for number in (1, 2):
        *_, last = said = list(converse(worker, Order(cell, None), events))
        assert [event.kind for event in said] == ['progress', 'finished']
        assert last.values == {'tries': number}
    worker.give_no_more()
    assert worker.cause_of_death() == 'exit code 0'
    worker.kill()
    assert events.get(timeout=30) is None
    lines = (tmp_path / 'log').read_text().splitlines()
    assert sorted(lines) == ['a library speaks', 'and an error', '{"kind": "no event"}']


def test_a_cell_that_another_process_holds_is_ordered_again_with_patience(start, cell):
    worker, events = start()
    *_, last = converse(worker, Order(cell, 'busy'), events)
    assert last.kind == 'elsewhere'
    *_, last = converse(worker, Order(cell, 'busy'), events, patience=60.0)
    assert (last.kind, last.values) == ('finished', {'tries': 3})


def test_a_worker_that_dies_has_no_last_word(start, cell):
    worker, events = start()
    *_, last = converse(worker, Order(cell, 'dies'), events)
    assert last.kind == 'ready'
    assert worker.cause_of_death() == 'exit code 7'
    worker.give(Order(cell, None))  # unheard, and no error


@pytest.mark.parametrize(
    ('heeds', 'cause'), [(True, 'signal 15'), (False, 'signal 9, out of memory?')]
)
def test_one_that_does_not_end_when_told_to_is_killed(start, monkeypatch, heeds, cause):
    monkeypatch.setattr(process, 'SECONDS_TO_END', 30.0 if heeds else 0.5)
    ignores = '' if heeds else 'signal.signal(signal.SIGTERM, signal.SIG_IGN); '
    say = 'print(\'{"kind": "ready", "cell": "", "values": {}}\', flush=True)'
    worker, events = start(f'import signal, time; {ignores}{say}; time.sleep(600)')
    events.get(timeout=30)
    begin = time.monotonic()
    worker.tell_to_end()
    wait_for_end([worker])
    assert worker.ends_within(0.0) == heeds
    worker.kill()
    assert time.monotonic() - begin < 5
    assert worker.cause_of_death() == cause


def test_an_interrupt_ends_the_wait_for_workers(start):
    worker, events = start(
        'import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); '
        'print(\'{"kind": "ready", "cell": "", "values": {}}\', flush=True); '
        'time.sleep(600)'
    )
    events.get(timeout=30)
    worker.tell_to_end()
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    begin = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    wait_for_end([worker])
    signal.signal(signal.SIGALRM, before)
    assert 0.2 < time.monotonic() - begin < 5


def test_what_it_said_last(start, tmp_path):
    worker, events = start('import sys; sys.exit("  Unknown flag in XLA_FLAGS\\n\\n")')
    assert events.get(timeout=30) is None
    assert worker.last_line() == 'Unknown flag in XLA_FLAGS'
    (tmp_path / 'log').write_text('\n')
    assert worker.last_line() == 'it said nothing'


def test_it_is_heard_to_its_end_whatever_its_log_and_its_output_are(start, tmp_path):
    (tmp_path / 'log').symlink_to('/dev/full')
    worker, events = start(
        'import os; os.write(1, bytes([255]) + b" no event and no end of a line")'
    )
    assert events.get(timeout=30) is None
    assert worker.cause_of_death() == 'exit code 0'
