"""Real workers, killed in every way: the numbers stay, to the last bit."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import killed_in
import pytest
import safetensors.numpy

from vggres.executors.orders import ENDS, order
from vggres.executors.worker import TERMINATED
from vggres.sweeps.cell import WEIGHTS_FILE, Cell
from vggres.sweeps.records import METRICS_FILE, PROBES_FILE, read_records
from vggres.sweeps.run import run

ROOT = Path(__file__).parents[2]
WORKER = (sys.executable, '-m', 'vggres.executors.worker')
MEASURED = {'seconds': 0, 'compile_seconds': 0, 'peak_memory_mb': 0, 'attempts': 1}


@pytest.fixture
def config(config):
    """Forty epochs of five updates each."""
    config.train.epochs = 40
    return config


def started(cell, command=WORKER):
    """A worker that trains a cell; its events are read from its standard output."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.stdin.write(json.dumps(order(cell).to_json()) + '\n')
    process.stdin.flush()
    return process


def wait_for(process, kind, count=1):
    """Reads events until so many of a kind have come."""
    for line in process.stdout:
        event = json.loads(line)
        assert event['kind'] != 'failed', event['values']
        count -= event['kind'] == kind
        if not count:
            return
    pytest.fail(f'it ended without the event {kind}')


def left_by(cell):
    """Everything that a cell leaves, without what was measured."""
    records = [replace(each, images_per_second=0) for each in read_records(cell.directory)]
    probes = cell.directory / PROBES_FILE
    return (
        replace(cell.result(), **MEASURED),
        {
            name: array.tobytes()
            for name, array in safetensors.numpy.load_file(cell.directory / WEIGHTS_FILE).items()
        },
        records,
        probes.read_text() if probes.exists() else None,
    )


@pytest.mark.slow
def test_a_worker_that_is_told_to_end_saves_first(config, tmp_path):
    whole, cut = Cell(config, tmp_path / 'whole', ''), Cell(config, tmp_path / 'cut', '')
    run(whole)
    with started(cut) as worker:
        wait_for(worker, 'record', count=3)
        worker.terminate()
        since = time.monotonic()
        assert worker.wait(timeout=60) == TERMINATED == 143
        assert time.monotonic() - since < 10
    assert not (cut.directory / 'result.json').exists()
    saved = sorted((cut.directory / 'checkpoints').iterdir())
    assert len(saved) == 1
    steps = []
    run(cut, on_progress=lambda step, total: steps.append(step))
    assert min(steps) > int(saved[0].stem.removeprefix('step-')) >= 15
    assert cut.result().attempts == 2
    assert left_by(cut) == left_by(whole)


def test_a_worker_without_a_run_ends_at_once_when_told_to(config, tmp_path):
    with subprocess.Popen(WORKER, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as idle:
        assert json.loads(idle.stdout.readline())['kind'] == 'ready'
        idle.terminate()
        assert idle.wait(timeout=10) == TERMINATED


@pytest.mark.slow
def test_a_worker_ends_with_its_launcher(config, tmp_path):
    config.train.epochs = 100_000
    cell = Cell(config, tmp_path, '')
    launcher = (
        'import subprocess, sys, time\n'
        f'worker = subprocess.Popen({WORKER!r}, stdin=subprocess.PIPE, start_new_session=True)\n'
        'worker.stdin.write(sys.stdin.readline().encode()); worker.stdin.flush()\n'
        'print(worker.pid, file=sys.stderr, flush=True); time.sleep(600)\n'
    )
    process = subprocess.Popen(
        [sys.executable, '-c', launcher],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        process.stdin.write(json.dumps(order(cell).to_json()) + '\n')
        process.stdin.flush()
        pid = int(process.stderr.readline())
        wait_for(process, 'progress')
        process.kill()
    deadline = time.monotonic() + 5
    while _is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _is_running(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False


@pytest.mark.slow
def test_a_cell_that_is_trained_elsewhere_is_left_alone(config, tmp_path):
    config.train.epochs = 100_000
    cell = Cell(config, tmp_path, '')
    with started(cell) as owner:
        wait_for(owner, 'progress')
        with started(cell) as second:
            second.stdin.close()
            events = [json.loads(line) for line in second.stdout]
        owner.kill()
    assert [event['kind'] for event in events] == ['ready', 'elsewhere']
    assert f'is trained by process {owner.pid} on ' in events[-1]['values']['message']


@pytest.fixture
def tiny_disk(tmp_path):
    """Mounts a full file system, or one that is full soon, at a place; needs to be root."""
    mounted = []

    def mount(place, size):
        place.mkdir(parents=True)
        command = ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', place]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip('no tmpfs can be mounted here')
        mounted.append(place)

    yield mount
    for place in mounted:
        subprocess.run(['umount', place], check=True)


@pytest.mark.slow
def test_a_full_disk_fails_its_cell_in_one_line_and_no_other(config, tmp_path, tiny_disk):
    config.checkpoint.every_seconds = 0.0
    full = Cell(config.copy_and_resolve_references(), tmp_path, '')
    config.seed = 1
    good = Cell(config, tmp_path, '')
    tiny_disk(full.directory, '16k')
    with started(full) as worker:
        worker.stdin.write(json.dumps(order(good).to_json()) + '\n')
        worker.stdin.close()
        ends = [each for each in map(json.loads, worker.stdout) if each['kind'] != 'progress']
    kinds = [(each['cell'], each['kind']) for each in ends if each['kind'] in ENDS]
    assert kinds == [(full.id, 'failed'), (good.id, 'finished')]
    (message,) = (each['values']['message'] for each in ends if each['kind'] == 'failed')
    assert 'No space left on device' in message
    assert good.result()
    assert [path.name for path in full.directory.iterdir() if path.name.startswith('.')] == []


@pytest.fixture(scope='module')
def observed(data_dir):
    """Four epochs, each of them saved and observed."""
    from conftest import small_config

    config = small_config(data_dir)
    config.train.epochs, config.probes.every_epochs = 4, 1
    config.probes.names, config.checkpoint.every_seconds = ('stem', 'head'), 0.0
    return config


@pytest.fixture(scope='module')
def undisturbed(observed, tmp_path_factory):
    cell = Cell(observed, tmp_path_factory.mktemp('whole'), '')
    run(cell)
    return left_by(cell)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('phase', 'count'),
    [
        # The files that are replaced: config, metrics, probes, then three checkpoints.
        *(('saving', count) for count in (1, 2, 3, 4, 6)),
        ('removing an old checkpoint', 1),
        ('updating', 9),
        ('evaluating', 3),
        ('observing', 3),
        *(('logging', count) for count in (1, 4, 5)),
        ('writing the weights', 1),
        ('writing the result', 1),
        ('cleaning up', 1),
    ],
)
def test_a_kill_in_each_phase_changes_no_bit(observed, undisturbed, tmp_path, phase, count):
    cell = Cell(observed, tmp_path, '')
    command = [sys.executable, killed_in.__file__, phase, str(count)]
    text = json.dumps(cell.to_json())
    killed = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    is_done = phase == 'cleaning up'
    assert (cell.result() is not None) == is_done
    saved = [int(path.stem.removeprefix('step-')) for path in cell.directory.glob('*/step-*.ckpt')]
    newest, steps = max(saved, default=0), []
    run(cell, on_progress=lambda step, total: steps.append(step))
    assert cell.result().attempts == (1 if is_done else 2)
    assert bool(steps) == (newest < 20 and not is_done)  # of 20 updates
    assert all(step > newest for step in steps)  # nothing that was saved is done again
    found = left_by(cell)
    assert found == undisturbed


KILLS = 5


@pytest.mark.slow
@pytest.mark.parametrize('victim', ['launcher', 'worker', 'both'])
def test_kills_at_random_lose_nothing_and_repeat_nothing(observed, tmp_path, victim):
    """A sweep of four cells, killed again and again, beside one that nobody disturbs."""
    arguments = [
        '--sweep=depth',
        f'--config.data.dir={observed.data.dir}',
        '--config.data.name=small_color',
        '--config.data.validation_split=test[:5]',
        '--config.data.test_split=test[5:]',
        '--config.model.width=2',
        '--config.train.batch_size=8',
        '--config.train.epochs=800',
        '--config.evaluation.every_epochs=10',
        '--config.probes.every_epochs=200',
        '--config.checkpoint.every_seconds=0.2',
        '--config.sweep.depths=(8,)',
        '--config.sweep.seeds=2',
        '--config.wandb.mode=disabled',
    ]
    rng = random.Random(victim)
    surroundings = os.environ | {'XDG_CACHE_HOME': str(tmp_path / 'cache'), 'KILLED': str(tmp_path)}

    def launch(workdir):
        return subprocess.Popen(
            [sys.executable, 'launch.py', *arguments, f'--workdir={tmp_path / workdir}'],
            cwd=ROOT,
            env=surroundings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    with launch('whole') as process:
        process.communicate(timeout=300)
        assert process.returncode == 0
    for _ in range(KILLS):
        with launch('cut') as process:
            time.sleep(rng.uniform(1, 12))
            workers = _workers(tmp_path)
            if victim != 'launcher' and workers:
                _kill(rng.choice(workers))
            if victim != 'worker':
                process.kill()
            else:
                time.sleep(1)
                process.terminate()
            process.communicate(timeout=60)
        deadline = time.monotonic() + 10
        while (orphans := _workers(tmp_path)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert orphans == []
    with launch('cut') as process:
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0, out
    whole, cut = tmp_path / 'whole' / 'depth' / 'cells', tmp_path / 'cut' / 'depth' / 'cells'
    names = sorted(path.name for path in whole.iterdir())
    assert len(names) == 4
    assert sorted(path.name for path in cut.iterdir()) == names
    attempts = []
    for name in names:
        for file in (METRICS_FILE, PROBES_FILE):
            a, b = (_lines(directory / name / file) for directory in (whole, cut))
            assert a == b
        a, b = (
            json.loads((directory / name / 'result.json').read_text()) for directory in (whole, cut)
        )
        assert a | MEASURED == b | MEASURED
        attempts.append(b['attempts'])
        a, b = ((directory / name / WEIGHTS_FILE).read_bytes() for directory in (whole, cut))
        assert a == b
    assert max(attempts) > 1  # some kill has hit a cell


def _lines(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        {key: value for key, value in line.items() if key != 'images_per_second'} for line in lines
    ]


def _workers(mark):
    """The workers that were started with a mark in their environment."""
    found = []
    for process in Path('/proc').glob('[0-9]*'):
        try:
            is_worker = b'vggres.executors.worker' in (process / 'cmdline').read_bytes()
            if is_worker and f'KILLED={mark}\0'.encode() in (process / 'environ').read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def _kill(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
