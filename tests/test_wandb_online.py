"""Whole sweeps that log to a stand-in for W&B's server: what it receives, and what faults do."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import wandb_server

ROOT = Path(__file__).parents[1]
SMALL = (
    *('--sweep=depth', '--workers=2', '--config.sweep.seeds=1', '--config.sweep.depths=(8, 14)'),
    *('--config.train.epochs=4', '--config.data.fraction=0.4', '--config.probes.every_epochs=2'),
)
pytestmark = pytest.mark.slow
_LONGEST_WAIT = 60  # seconds that a server that fails may cost a launch


def logged_in(address, key=wandb_server.KEY):
    """The environment variables of a process that knows a server of W&B, and no other."""
    surroundings = {name: os.environ[name] for name in os.environ if 'WANDB' not in name}
    if address:
        surroundings |= {'WANDB_BASE_URL': address, 'WANDB_API_KEY': key}
    return surroundings


def command(workdir, *flags):
    return [sys.executable, 'launch.py', f'--workdir={workdir}', *flags]


def launched(workdir, *flags, address='', key=wandb_server.KEY):
    """What a launch came to, with the given server as that of W&B."""
    return subprocess.run(
        command(workdir, *flags),
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=logged_in(address, key),
    )


def upload(said, address, folder):
    """Runs the command that a launch has printed, which leaves logs in the folder where it runs."""
    (printed,) = re.findall('^upload to W&B: (.*)$', said, re.MULTILINE)
    printed = printed.replace('wandb ', f'{sys.executable} -m wandb ', 1)
    surroundings = logged_in(address)
    subprocess.run(
        printed, shell=True, check=True, capture_output=True, env=surroundings, cwd=folder
    )


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def outcomes(workdir):
    """What must not depend on W&B: the weights, the epochs and the errors of each cell."""
    found = {}
    for cell in sorted(workdir.glob('depth/cells/*')):
        result = json.loads((cell / 'result.json').read_text())
        epochs = [(each['epoch'], each['train/loss']) for each in lines(cell / 'metrics.jsonl')]
        weights = (cell / 'weights.safetensors').read_bytes()
        found[cell.name] = (weights, epochs, result['train_loss'], result['test_error'])
    return found


def check_cells(runs, directory, is_uploaded=False):
    """Everything that the files of the cells say has come to the server, once, and nothing else."""
    named = {runs.told[run]['displayName']: run for run in runs.told}
    (group,) = {runs.told[run]['groupName'] for run in runs.told}
    assert re.fullmatch('depth-digits-[0-9a-f]{6}', group)
    cells = {path.name: path for path in directory.glob('cells/*')}
    assert {*named} == {*cells, f'{group} summary'}
    for name, path in cells.items():
        run, result = named[name], json.loads((path / 'result.json').read_text())
        told, config = runs.told[run], runs.config(run)
        assert (told['jobType'], runs.states[run]) == ('cell', [0])
        assert told['notes'].startswith('python launch.py --config.')
        at = f'depth{result["depth"]}', result['family']
        assert {'depth', 'digits', *at} == {*told['tags']}
        assert (config['model']['depth'], config['seed']) == (result['depth'], result['seed'])
        assert (config['variant'], config['experiment']) == (result['variant'], 'depth')
        history = runs.history(run)
        seen = [each for each in history if 'train/error' in each]
        for entry, own in zip(seen, lines(path / 'metrics.jsonl'), strict=True):
            assert (entry['_step'], entry['epoch']) == (own['step'], own['epoch'])
            for key in ('train/error', 'train/loss', 'validation/error', 'validation/loss'):
                assert entry[key] == own[key]
        assert [each['_step'] for each in history] == sorted({each['_step'] for each in history})
        summary = runs.summary(run)
        for key in ('status', 'train_error', 'test_error', 'parameters', 'steps'):
            assert summary[key] == result[key]
        observed = lines(path / 'probes.jsonl')[-1]
        assert summary['activation/stem'] == observed['activation']['stem']
        pictures = [each for each in runs.files[run] if each.startswith('media/images/')]
        assert len(pictures) >= 8
        assert all(runs.files[run][each][:4] == b'\x89PNG' for each in pictures)
        (version,) = [each for each in runs.artifacts.versions if each.name == name]
        assert (version.kind, version.by, version.is_whole) == ('weights', run, True)
        assert version.files['weights.safetensors'] == (path / 'weights.safetensors').read_bytes()
        # Offline, W&B cannot record who used what.
        assert version.used_by == ([] if is_uploaded else [named[f'{group} summary']])
    return named[f'{group} summary']


def check_summary(runs, run, directory):
    """The verdict, the tables, the figures and the report of a sweep have come to the server."""
    assert runs.told[run]['jobType'] == 'summary'
    assert runs.told[run]['notes'].startswith('python launch.py --sweep depth --config.')
    verdict = json.loads((directory / 'verdict.json').read_text())
    told = runs.summary(run)
    assert told['verdict']['variants'] == verdict['variants']
    results = [json.loads(path.read_text()) for path in directory.glob('cells/*/result.json')]
    tables = [each for each in runs.artifacts.versions if each.kind == 'run_table']
    assert tables
    assert all(each.is_whole and each.by == run for each in tables)
    (cells,) = [
        json.loads(content)
        for each in tables
        for name, content in each.files.items()
        if name == 'errors_by_run.table.json'
    ]
    at = [cells['columns'].index(key) for key in ('variant', 'depth', 'train_error')]
    assert sorted([row[i] for i in at] for row in cells['data']) == sorted(
        [each['variant'], each['depth'], each['train_error']] for each in results
    )
    (page,) = [each for each in runs.files[run] if each.startswith('media/html/charts')]
    assert b'vegaEmbed' in runs.files[run][page]
    (report,) = [each for each in runs.artifacts.versions if each.kind == 'report']
    assert (report.name, report.by, report.is_whole) == ('depth-report', run, True)
    for name in ('report.html', 'results.csv'):
        assert report.files[name] == (directory / name).read_bytes()
    for path in directory.glob('figures/*.png'):
        key = f'media/images/figures/{path.stem}'
        assert path.read_bytes() in [
            content for name, content in runs.files[run].items() if name.startswith(key)
        ]


def test_a_sweep_online_and_one_that_is_uploaded_are_received_whole(tmp_path):
    assert launched(tmp_path / 'off', *SMALL, '--config.wandb.mode=disabled').returncode == 0
    expected = outcomes(tmp_path / 'off')
    assert len(expected) == 4

    with wandb_server.serving() as (address, runs):
        done = launched(tmp_path / 'on', *SMALL, address=address)
        assert (done.returncode, done.stderr) == (0, '')
        assert f'W&B: {address}/me/vggres/runs/' in done.stdout
        assert 'W&B failed' not in done.stdout
        assert 'wandb sync' not in done.stdout
        summary = check_cells(runs, tmp_path / 'on' / 'depth')
        check_summary(runs, summary, tmp_path / 'on' / 'depth')
    assert outcomes(tmp_path / 'on') == expected

    done = launched(tmp_path / 'later', *SMALL, '--config.wandb.mode=offline')
    with wandb_server.serving() as (address, runs):
        upload(done.stdout, address, tmp_path)
        summary = check_cells(runs, tmp_path / 'later' / 'depth', is_uploaded=True)
        check_summary(runs, summary, tmp_path / 'later' / 'depth')
    assert outcomes(tmp_path / 'later') == expected


TINY = (
    *('--sweep=depth', '--workers=2', '--config.sweep.seeds=2', '--config.sweep.depths=(8,)'),
    *('--config.train.epochs=2', '--config.data.fraction=0.3'),
)


def check_numbers(runs, directory):
    """The server has the epochs of all cells once, and their results."""
    cells = [told for told in runs.told.values() if told['jobType'] == 'cell']
    assert len(cells) == 4
    for told in cells:
        path = directory / 'cells' / told['displayName']
        result = json.loads((path / 'result.json').read_text())
        epochs = [(each['epoch'], each['_step']) for each in runs.history(told['name'])]
        assert epochs == [(each['epoch'], each['step']) for each in lines(path / 'metrics.jsonl')]
        assert runs.summary(told['name'])['test_error'] == result['test_error']


METRICS = 'on/depth/cells/*/metrics.jsonl'


def kill_all(mark):
    """Kills at once what was started with a mark in its environment: the launcher and all below."""
    for process in Path('/proc').glob('[0-9]*'):
        with contextlib.suppress(OSError):
            if mark.encode() + b'\0' in (process / 'environ').read_bytes():
                os.kill(int(process.name), signal.SIGKILL)


@pytest.mark.skipif(not Path('/proc/self/environ').exists(), reason='processes are found by Linux')
def test_a_sweep_that_is_killed_and_continued_online_is_received_once(tmp_path):
    shared = [flag for flag in TINY if 'epochs' not in flag]
    flags = (*shared, '--config.train.epochs=80', '--config.checkpoint.every_seconds=0.2')
    assert launched(tmp_path / 'off', *flags, '--config.wandb.mode=disabled').returncode == 0

    with wandb_server.serving() as (address, runs):
        with subprocess.Popen(
            command(tmp_path / 'on', *flags),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=logged_in(address) | {'KILLED': str(tmp_path)},
        ):
            deadline = time.monotonic() + 120
            while not any(path.read_text().count('\n') > 20 for path in tmp_path.glob(METRICS)):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            kill_all(f'KILLED={tmp_path}')
        begun = {*runs.told}
        assert begun

        done = launched(tmp_path / 'on', *flags, address=address)
        assert (done.returncode, done.stderr) == (0, '')
        assert begun < {*runs.told}  # and the summary
        check_numbers(runs, tmp_path / 'on' / 'depth')
        results = (tmp_path / 'on').rglob('result.json')
        assert max(json.loads(path.read_text())['attempts'] for path in results) == 2
    assert outcomes(tmp_path / 'on') == outcomes(tmp_path / 'off')


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    """What a sweep comes to without W&B."""
    workdir, began = tmp_path_factory.mktemp('undisturbed'), time.monotonic()
    assert launched(workdir, *TINY, '--config.wandb.mode=disabled').returncode == 0
    return outcomes(workdir), time.monotonic() - began


@pytest.mark.parametrize('how', ['refuses the key', 'fails half-way', 'falls silent half-way'])
def test_a_server_that_fails_costs_one_line_and_no_result(how, undisturbed, tmp_path):
    expected, seconds = undisturbed
    with wandb_server.serving() as (address, runs):

        def fail(run):
            runs.fault = 500 if how.startswith('fails') else 'silence'

        if how == 'refuses the key':
            runs.fault = 401
        else:
            runs.on_stream = fail  # from the first record on
        began = time.monotonic()
        done = launched(tmp_path, *TINY, address=address)
        assert time.monotonic() - began < seconds + _LONGEST_WAIT
        said = done.stdout
        # The run of each worker that had begun; the others are offline.
        assert ('W&B lacks the end of ' in said) == (how != 'refuses the key')
        if how == 'fails half-way':  # and answers again
            runs.fault, runs.on_stream = None, lambda run: None
            done = launched(tmp_path, *TINY, address=address)
            assert 'W&B lacks' not in done.stdout
            upload(said, address, tmp_path)
            check_numbers(runs, tmp_path / 'depth')
    assert (done.returncode, done.stderr) == (0, '')
    assert len(re.findall('^W&B .* logged offline', said, re.M)) == 1
    assert re.search('^upload to W&B: wandb sync .*/depth/wandb$', said, re.MULTILINE)
    assert outcomes(tmp_path) == expected


def test_a_key_that_cannot_be_one_is_said_in_one_line(undisturbed, tmp_path):
    done = launched(tmp_path, *TINY, address='http://127.0.0.1:9', key='short')
    assert done.returncode == 0
    assert done.stdout.count('W&B cannot be used, runs are logged offline: ') == 1
    assert 'W&B failed' not in done.stdout
    assert outcomes(tmp_path) == undisturbed[0]
