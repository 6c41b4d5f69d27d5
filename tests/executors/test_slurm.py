import dataclasses
import functools
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
import slurm_cluster
from fake_slurm import FakeSlurm

from vggres.errors import UserError
from vggres.executors import slurm
from vggres.executors.options import SlurmOptions
from vggres.executors.orders import Order
from vggres.sweeps.cell import Cell
from vggres.sweeps.status import Queued


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """The commands of Slurm, on PATH, outside of any allocation."""
    found = FakeSlurm(tmp_path / 'fake')
    for name in os.environ:
        if name.startswith(('SLURM_', 'SBATCH_', 'SQUEUE_', 'JAX_PLATFORMS')):
            monkeypatch.delenv(name)
    monkeypatch.setenv('PATH', f'{found.programs}:{os.environ["PATH"]}')
    return found


@pytest.fixture
def cells(config, tmp_path):
    """Six cells of a sweep; the deepest costs most."""
    made = []
    for depth in (8, 20, 14):
        for seed in range(2):
            own = config.copy_and_resolve_references()
            own.model.depth, own.seed = depth, seed
            made.append(Cell(own, tmp_path / 'depth', 'depth'))
    return made


def submit(cells, **options):
    costs = {cell.id: float(cell.config.model.depth) for cell in cells}
    return slurm.submit(cells, costs, SlurmOptions(**options), cells[0].workdir)


def test_a_sweep_is_one_job_with_a_line_for_each_cell(fake, cells, tmp_path):
    assert submit(cells, parallel=2) == ['101']
    (call,) = fake.calls('sbatch')
    folder = tmp_path / 'depth' / 'slurm' / '1'
    assert '--array=0-5%2' in call
    assert call[-2:] == [str(folder / 'task.sh'), '0']
    lines = (folder / 'orders.jsonl').read_text().splitlines()
    orders = [Order.from_json(json.loads(line)) for line in lines]
    assert [order.cell.config.model.depth for order in orders] == [20, 20, 14, 14, 8, 8]
    assert {order.cell.id for order in orders} == {cell.id for cell in cells}
    stored = json.loads((folder / 'job.json').read_text())
    assert stored['jobs'] == {'101': [order.cell.id for order in orders]}
    assert (tmp_path / 'depth' / 'logs').is_dir()


def test_what_a_task_asks_for(fake, cells, tmp_path):
    options = {
        'partition': 'gpu',
        'account': 'vision',
        'gpus': 1,
        'cpus': 4,
        'memory': '8G',
        'time': '4:00:00',
        'extra': '--qos=low --comment="a b"',
    }
    assert {*options, 'parallel'} == {field.name for field in dataclasses.fields(SlurmOptions)}
    submit(cells, **options)
    (call,) = fake.calls('sbatch')
    assert call[:-2] == [
        '--parsable',
        '--job-name=vggres-depth',
        '--nodes=1',
        '--ntasks=1',
        '--requeue',
        '--open-mode=append',
        '--signal=B:USR2@120',
        f'--output={tmp_path}/depth/logs/slurm-%A_%a.log',
        '--partition=gpu',
        '--account=vision',
        '--gres=gpu:1',
        '--cpus-per-task=4',
        '--mem=8G',
        '--time=4:00:00',
        '--qos=low',
        '--comment=a b',
        '--array=0-5',
    ]


@pytest.mark.parametrize(
    ('time', 'seconds'), [(None, 120), ('1', 15), ('4', 60), ('8', 120), ('2-0', 120)]
)
def test_the_warning_leaves_time_to_save_and_most_of_it_to_train(fake, cells, time, seconds):
    submit(cells, time=time)
    (call,) = fake.calls('sbatch')
    assert f'--signal=B:USR2@{seconds}' in call


@pytest.mark.parametrize(('gpus', 'platforms'), [(0, 'cpu'), (2, 'cuda,cpu')])
def test_tasks_get_the_platform_that_was_asked_for(fake, cells, gpus, platforms):
    submit(cells, gpus=gpus)
    assert fake.environment('sbatch')['JAX_PLATFORMS'] == platforms


def test_what_the_user_sets_wins(fake, cells, monkeypatch):
    monkeypatch.setenv('JAX_PLATFORMS', 'rocm')
    submit(cells, gpus=1)
    assert fake.environment('sbatch')['JAX_PLATFORMS'] == 'rocm'


def test_a_login_node_without_gpus_does_not_keep_cells_from_theirs(fake, cells, monkeypatch):
    monkeypatch.setenv('JAX_PLATFORMS', 'cpu')
    submit(cells, gpus=1)
    assert fake.environment('sbatch')['JAX_PLATFORMS'] == 'cuda,cpu'


def test_inside_an_allocation_its_variables_are_not_handed_on(fake, cells, monkeypatch):
    monkeypatch.setenv('SLURM_JOB_ID', '7')
    monkeypatch.setenv('SLURM_CPU_BIND', 'quiet,mask_cpu:0x1')
    monkeypatch.setenv('SBATCH_PARTITION', 'debug')
    monkeypatch.setenv('SLURM_CONF', '/etc/slurm/slurm.conf')
    submit(cells)
    given = {name for name in fake.environment('sbatch') if name.startswith(('SLURM', 'SBATCH'))}
    assert given == {'SLURM_CONF'}


def test_outside_of_one_the_users_defaults_hold(fake, cells, monkeypatch):
    monkeypatch.setenv('SBATCH_ACCOUNT', 'vision')
    monkeypatch.setenv('SQUEUE_STATES', 'RUNNING')  # would hide what waits
    monkeypatch.setenv('SLURM_TIME_FORMAT', 'relative')
    submit(cells)
    slurm.queue(cells[0].workdir)
    assert fake.environment('sbatch')['SBATCH_ACCOUNT'] == 'vision'
    assert not {'SQUEUE_STATES', 'SLURM_TIME_FORMAT'} & set(fake.environment('squeue'))


def test_a_cluster_of_small_arrays_gets_several_one_after_another(fake, cells):
    fake.says('scontrol', 'Configuration data\nMaxArraySize            = 4\nMaxJobCount = 9\n')
    assert submit(cells, parallel=3) == ['101', '102']
    first, second = fake.calls('sbatch')
    assert first[-3:][0] == '--array=0-3%3'
    assert (first[-1], second[-1]) == ('0', '4')  # where their orders begin
    assert {'--array=0-1%3', '--dependency=afterany:101'} <= set(second)
    (path,) = cells[0].workdir.glob('slurm/*/job.json')
    assert [len(each) for each in json.loads(path.read_text())['jobs'].values()] == [4, 2]


def test_without_a_limit_several_arrays_run_side_by_side(fake, cells):
    fake.says('scontrol', 'MaxArraySize = 4\n')
    submit(cells)
    assert not any('--dependency' in word for call in fake.calls('sbatch') for word in call)


def test_a_refusal_is_one_line_and_leaves_nothing(fake, cells):
    fake.refuses('sbatch', 'sbatch: error: invalid partition specified: gpu\nsbatch: error: No!\n')
    with pytest.raises(UserError, match=r'sbatch refuses: invalid .*: gpu; No!') as caught:
        submit(cells)
    assert '\n' not in str(caught.value)
    assert list(cells[0].workdir.glob('slurm/*')) == []


def test_a_machine_without_slurm_is_one_line(cells, tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(UserError, match='there is no sbatch on this machine') as caught:
        submit(cells)
    assert '\n' not in str(caught.value)


def test_the_queue_by_cell(fake, cells):
    assert slurm.queue(cells[0].workdir) == {}
    assert fake.calls('squeue') == []  # nothing was submitted
    submit(cells[:2])
    submit(cells[2:])
    first, second = ([c.id for c in part] for part in (cells[:2], cells[2:]))
    fake.says(
        'squeue',
        '101 1 RUNNING 2026-01-31T14:05:00 vggres-depth\n'
        '102 3 PENDING N/A vggres-depth\n'
        '102 0 COMPLETING 2026-01-31T14:05:00 vggres-depth\n'
        '103 0 RUNNING 2026-01-31T14:05:00 vggres-depth\n'  # of another sweep
        '101 0 RUNNING 2026-01-31T14:05:00 train\n',  # another job to which the id has come
    )
    started = datetime(2026, 1, 31, 14, 5).timestamp()
    assert slurm.queue(cells[0].workdir) == {
        first[1]: Queued(started),
        second[3]: Queued(None),
        second[0]: Queued(started),
    }
    assert fake.calls('squeue')[-1][2] == '--jobs=101,102'


def test_a_queue_that_has_forgotten_the_job_is_empty(fake, cells):
    submit(cells)
    fake.refuses('squeue', 'slurm_load_jobs error: Invalid job id specified\n')
    assert slurm.queue(cells[0].workdir) == {}


def test_a_queue_that_does_not_answer_is_one_line(fake, cells):
    submit(cells)
    fake.refuses('squeue', 'slurm_load_jobs error: Unable to contact slurm controller\n')
    with pytest.raises(UserError, match=r'squeue refuses: .*Unable to contact'):
        slurm.queue(cells[0].workdir)


def test_what_the_queue_holds_is_cancelled(fake, cells):
    submit(cells[:2])
    submit(cells[2:])
    fake.says('squeue', '102 0 RUNNING N/A vggres-depth\n102 1 PENDING N/A vggres-depth\n')
    ids = [cell.id for cell in sorted(cells[2:], key=lambda c: -c.config.model.depth)]
    assert slurm.cancel(cells[0].workdir) == {'102': ids[:2]}
    assert fake.calls('scancel') == [['102']]


def test_where_the_queue_is_empty_nothing_is_cancelled(fake, cells):
    submit(cells)
    assert slurm.cancel(cells[0].workdir) == {}
    assert fake.calls('scancel') == []


def test_a_warning_that_comes_too_early_does_not_kill_the_task(fake, cells, tmp_path, monkeypatch):
    task = tmp_path / 'task'
    task.write_text('#!/bin/sh\ntouch "$0.began"\nsleep 1\necho "$@" > "$0.ended"\n')
    task.chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(task))
    submit(cells)
    folder = tmp_path / 'depth' / 'slurm' / '1'
    process = subprocess.Popen(['sh', folder / 'task.sh', '3'])
    wait_for((tmp_path / 'task.began').exists, 30)
    process.send_signal(signal.SIGUSR2)
    assert process.wait(30) == 0
    said = (tmp_path / 'task.ended').read_text()
    assert said == f'-m vggres.executors.slurm_task {folder / "orders.jsonl"} 3\n'


def test_a_thousand_cells_are_one_submission(fake, cells):
    many = [
        Cell(cells[0].config, cells[0].workdir, 'depth', stored_id=f'plain-d8-s{seed}-000000')
        for seed in range(1000)
    ]
    begin = time.monotonic()
    assert submit(many) == ['101']
    assert len(fake.calls('sbatch')) == 1
    assert '--array=0-999' in fake.calls('sbatch')[0]
    assert time.monotonic() - begin < 10


# A real cluster of two nodes

ROOT = Path(__file__).parents[2]
EPOCHS = 500


@pytest.fixture
def cluster(tmp_path):
    if reason := slurm_cluster.unavailable():
        pytest.skip(reason)
    (tmp_path / 'slurm').mkdir()
    with slurm_cluster.Cluster(tmp_path / 'slurm') as found:
        yield found


@pytest.fixture
def launch(cluster, data_dir, tmp_path):
    """Calls `launch.py` for a sweep of four cells, two of which run at once; what it prints."""
    grid = [
        f'--config.data.dir={data_dir}',
        '--config.data.name=small_color',
        '--config.data.validation_split=test[:5]',
        '--config.data.test_split=test[5:]',
        '--config.model.width=2',
        '--config.train.batch_size=8',
        f'--config.train.epochs={EPOCHS}',
        '--config.checkpoint.every_seconds=1',
        '--config.sweep.depths=(8,)',
        '--config.sweep.seeds=2',
    ]
    submits = ['--executor=slurm', '--slurm.cpus=2', '--slurm.time=8', *grid]

    def launch(*flags):
        done = subprocess.run(
            [
                *(sys.executable, 'launch.py', '--sweep=depth', f'--workdir={tmp_path / "runs"}'),
                *(flags or submits),
            ],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=cluster.environment | {'WANDB_MODE': 'disabled'},
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return launch


def wait_for(what, seconds=180.0):
    """Waits until a function gives something true, and returns that."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f'{what} in vain'
        time.sleep(0.2)
    return found


def counts(text):
    """The first line of --status: the number of cells in each state."""
    return {state: int(n) for n, state in re.findall(r'(\d+) (\w+)(?=[,\n])', text)}


def has_saved(cell):
    return any(cell.glob('checkpoints/step-*'))


def hold(cluster, task):
    """Holds the worker of a task still, lest a fast machine finishes its cell; its process id."""
    (worker,) = (
        pid
        for pid in cluster.processes(SLURM_ARRAY_TASK_ID=task)
        if b'vggres.executors.worker' in Path(f'/proc/{pid}/cmdline').read_bytes()
    )
    os.kill(worker, signal.SIGSTOP)
    return worker


def is_told_to_end(worker):
    """Whether a process that is held still has been sent SIGTERM."""
    text = Path(f'/proc/{worker}/status').read_text()
    return int(re.search(r'ShdPnd:\s*(\w+)', text)[1], 16) >> (signal.SIGTERM - 1) & 1


@pytest.mark.slow
def test_a_real_cluster_loses_no_cell(cluster, launch, tmp_path):
    """Of four cells, one meets its time limit, and one loses its node."""
    directory = tmp_path / 'runs' / 'depth'
    assert '4 of 4 cells submitted to Slurm as job 1' in launch()
    (stored,) = directory.glob('slurm/*/job.json')
    cells = [directory / 'cells' / cell for cell in json.loads(stored.read_text())['jobs']['1']]
    held = []
    for task, cell in enumerate(cells[:2]):
        wait_for(functools.partial(has_saved, cell))
        held.append(hold(cluster, str(task)))
    assert counts(launch('--status')) == {
        'done': 0, 'running': 2, 'waiting': 2, 'failed': 0, 'lost': 0
    }  # fmt: skip
    assert '4 cells already queued or running' in launch()

    nodes = cluster.say('squeue', '--noheader', '--array', '--states=R', '--format=%K %N')
    on = dict(line.split() for line in nodes.splitlines())
    cluster.say('scontrol', 'update', 'jobid=1_0', 'timelimit=1')
    wait_for(lambda: is_told_to_end(held[0]))  # Slurm looks at limits twice a minute
    os.kill(held[0], signal.SIGCONT)
    logs = [directory / 'logs' / f'slurm-1_{task}.log' for task in range(4)]
    wait_for(lambda: 'is saved and queued again' in logs[0].read_text(), 30)
    cluster.say('scontrol', 'update', 'jobid=1_0', 'timelimit=8')
    cluster.lose(on['1'])
    found = counts(launch('--status'))
    assert (found['failed'], found['lost']) == (0, 0)
    assert found['running'] + found['waiting'] + found['done'] == 4
    assert not (cells[1] / 'result.json').exists()

    wait_for(lambda: all((cell / 'result.json').exists() for cell in cells), 400)
    assert counts(launch('--status'))['done'] == 4
    for task, cell in enumerate(cells):
        records = (cell / 'metrics.jsonl').read_text().splitlines()
        assert [json.loads(record)['epoch'] for record in records] == list(range(1, EPOCHS + 1))
        result = json.loads((cell / 'result.json').read_text())
        assert (result['status'], result['steps']) == ('finished', EPOCHS * 5)
        attempts = re.findall(r'attempt (\d) of this job', logs[task].read_text())
        assert attempts == (['1', '2'] if task < 2 else ['1'])
    assert not (directory / 'report.html').exists()
    launch()
    assert (directory / 'report.html').exists()
    assert [*directory.glob('slurm/*/job.json')] == [stored]


@pytest.mark.slow
def test_a_real_cluster_cancels_what_is_not_done(cluster, launch, tmp_path):
    directory = tmp_path / 'runs' / 'depth'
    launch()
    wait_for(lambda: any(map(has_saved, directory.glob('cells/*'))))
    for task in ('0', '1'):
        hold(cluster, task)
    assert 'cancelled job 1: 4 cells not done' in launch('--cancel')
    wait_for(lambda: not cluster.say('squeue', '--noheader'), 60)
    found = counts(launch('--status'))
    assert (found['done'], found['failed']) == (0, 0)
    assert 'nothing to cancel' in launch('--cancel')
