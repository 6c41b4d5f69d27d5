import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_worker
import pytest
from fake_slurm import FakeSlurm

from vggres.executors.orders import order
from vggres.sweeps.cell import Cell
from vggres.sweeps.failure import read_failure

# The task with another worker: the first argument.
_TASK = """
import sys
from vggres.executors import process, slurm_task
process.WORKER = (sys.executable, sys.argv.pop(1))
process._SECONDS_BETWEEN_ORDERS = 0.1
slurm_task.PATIENCE_SECONDS = 2.0
sys.exit(slurm_task.main())
"""
# A worker that saves when it is told to end.
_SAVES = """
import json, signal, sys, time
from pathlib import Path
from planted import finish
from vggres.executors.orders import Order

cell = Order.from_json(json.loads(sys.stdin.readline())).cell
def save(*_):
    (cell.directory / 'checkpoints' / f'step-{time.monotonic_ns()}').mkdir(parents=True)
    sys.exit(143)
signal.signal(signal.SIGTERM, save)
cell.directory.mkdir(parents=True, exist_ok=True)
(cell.directory / 'training').touch()
time.sleep(60)
"""
_ELSEWHERE = """
import json, sys
from planted import finish
from vggres.executors.orders import Order

for number, line in enumerate(sys.stdin):
    cell = Order.from_json(json.loads(line)).cell
    if number == 3 and cell.config.seed == 1:
        finish(cell)
        print(json.dumps({'kind': 'finished', 'cell': cell.id, 'values': {}}), flush=True)
    values = {'message': f'{cell.id} is trained by process 3 on n1.'}
    print(json.dumps({'kind': 'elsewhere', 'cell': cell.id, 'values': values}), flush=True)
"""


@pytest.fixture
def fake(tmp_path):
    return FakeSlurm(tmp_path / 'fake')


@pytest.fixture
def start(config, tmp_path, fake):
    """A seed and the source of a worker → its cell, and the process of its task."""

    def start(seed, worker=None):
        own = config.copy_and_resolve_references()
        own.seed = seed
        cell = Cell(own, tmp_path / 'depth', 'depth')
        (tmp_path / 'depth').mkdir(exist_ok=True)
        other = Cell(config, tmp_path / 'depth', 'depth')
        lines = [json.dumps(order(each).to_json()) + '\n' for each in (other, other, other, cell)]
        (tmp_path / 'orders.jsonl').write_text(''.join(lines))
        program = Path(fake_worker.__file__)
        if worker:
            program = tmp_path / 'worker.py'
            program.write_text(worker)
        environment = os.environ | {
            'PATH': f'{fake.programs}:{os.environ["PATH"]}',
            'PYTHONPATH': os.pathsep.join(map(str, (Path(__file__).parents[1], *sys.path))),
            'SLURM_ARRAY_JOB_ID': '7',
            'SLURM_ARRAY_TASK_ID': '1',
            'SLURM_JOB_ID': '7',  # as in the last task of an array
        }
        command = (sys.executable, '-c', _TASK, program, tmp_path / 'orders.jsonl', '2')
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        return cell, process

    return start


def ended(process):
    """The exit code of a task, and what it printed."""
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_a_task_runs_the_cell_of_its_line_and_explains_what_went_wrong(start, tmp_path):
    cell, process = start(fake_worker.RAISES)
    code, said = ended(process)
    assert code == 1
    failure = read_failure(cell.directory)
    assert failure.message == 'ValueError: no such thing'
    assert failure.log == str(tmp_path / 'depth' / 'logs' / 'slurm-7_1.log')
    assert 'noise of a library' in said  # goes to the job's log
    assert 'no event at all' in said


@pytest.mark.parametrize(
    ('seed', 'message'),
    [
        (fake_worker.DIES, 'its worker died (signal 9, out of memory?)'),
        (fake_worker.GARBLES, 'its worker died (exit code 3)'),
    ],
)
def test_a_worker_that_dies_is_a_failure(start, seed, message):
    cell, process = start(seed)
    assert ended(process)[0] == 1
    assert read_failure(cell.directory).message == message


def test_a_worker_that_cannot_start_is_a_failure(start, monkeypatch):
    monkeypatch.setenv('FAKE_WORKER', 'unable')
    cell, process = start(0)
    assert ended(process)[0] == 1
    assert read_failure(cell.directory).message == 'a worker cannot start: jax finds no device'


def test_a_result_is_what_counts(start, fake):
    cell, process = start(fake_worker.DIES_LATE)
    assert ended(process)[0] == 0
    assert cell.result()
    assert read_failure(cell.directory) is None
    before = (cell.directory / 'result.json').stat().st_mtime_ns
    _, again = start(fake_worker.DIES_LATE)  # a done cell is left alone
    assert ended(again)[0] == 0
    assert (cell.directory / 'result.json').stat().st_mtime_ns == before


def signalled(start, number):
    """A task whose worker saves, after a signal at a time when it trains."""
    cell, process = start(0, _SAVES)
    deadline = time.monotonic() + 30
    while not (cell.directory / 'training').exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    return cell, ended(process)


def test_before_the_time_limit_it_saves_and_queues_itself_alone(start, fake):
    cell, (code, said) = signalled(start, signal.SIGUSR2)
    assert code == 0
    assert len(list(cell.directory.glob('checkpoints/*'))) == 1
    # SLURM_JOB_ID, 7, would queue the whole array again.
    assert fake.calls('scontrol') == [['requeue', '7_1']]
    assert 'queued again' in said
    assert read_failure(cell.directory) is None


def test_where_slurm_takes_the_node_it_saves_and_leaves_the_rest_to_slurm(start, fake):
    cell, (code, _) = signalled(start, signal.SIGTERM)
    assert code == 143
    assert len(list(cell.directory.glob('checkpoints/*'))) == 1
    assert fake.calls('scontrol') == []
    assert read_failure(cell.directory) is None


def test_a_time_limit_in_which_nothing_can_be_saved_does_not_go_on_for_ever(start, fake):
    cell, process = start(fake_worker.HANGS)
    deadline = time.monotonic() + 30
    while not list(cell.workdir.glob('*.pid')) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR2)
    assert ended(process)[0] == 1
    assert 'came no further within the time limit' in read_failure(cell.directory).message
    assert fake.calls('scontrol') == []


def test_a_queue_that_refuses_is_a_failure(start, fake):
    fake.refuses('scontrol', 'Requested operation is presently disabled\n')
    cell, (code, _) = signalled(start, signal.SIGUSR2)
    assert code == 1
    message = read_failure(cell.directory).message
    assert message.endswith('did not queue it again: Requested operation is presently disabled')


def test_a_cell_that_a_lost_attempt_holds_is_asked_for_until_it_is_free(start):
    cell, process = start(1, _ELSEWHERE)
    assert ended(process)[0] == 0
    assert cell.result()


@pytest.mark.slow
def test_a_cell_that_is_trained_elsewhere_is_left_there(start):
    cell, process = start(2, _ELSEWHERE)
    code, said = ended(process)
    assert code == 0
    assert f'left alone: {cell.id} is trained by process 3 on n1.' in said
    assert read_failure(cell.directory) is None
