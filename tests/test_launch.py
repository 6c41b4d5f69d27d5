import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def launch(*arguments, cwd=ROOT, **kwargs):
    environment = os.environ | {'WANDB_API_KEY': '', 'WANDB_MODE': 'offline'}
    return subprocess.run(
        [sys.executable, str(ROOT / 'launch.py'), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        check=False,
        **kwargs,
    )


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--sweep', 'detph'], "unknown sweep 'detph': did you mean depth?"),
        (['--config.model.deph=3'], "unknown config key 'model.deph': did you mean model.depth"),
        (['--config.train.epochs=many'], 'invalid literal'),
        (['--config', 'configs/digit.py'], "no configuration file 'configs/digit.py'"),
        (['--swep', 'depth'], "'swep'"),
        (['--config.data.name=digitz'], 'did you mean digits'),
        (['--config.data.name=cifar10'], "'cifar10': did you mean small_color|there is digits"),
        (['--config.model.depth=57'], 'nearest 56 or 62'),
        (['--config.train.batch_size=-1'], 'train.batch_size must be at least 1'),
        (['--config.train.batch_size=5000'], 'more than the 1437 training images'),
        (['--config.train.epochs=0'], 'epochs or steps'),
        (['--workers=0'], 'positive'),
        (['sweep'], "'sweep'"),
        (['--report_only', '--sweep', 'depth'], 'no sweep in'),
        (['--report_only'], 'needs --sweep'),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else '',
)
def test_bad_input_is_one_line_and_nothing_written(arguments, message, data_dir, tmp_path):
    arguments = [*arguments, f'--config.data.dir={data_dir}', f'--workdir={tmp_path / "runs"}']
    if any(argument.startswith('configs') for argument in arguments):
        arguments = arguments[:2]
    done = launch(*arguments)
    assert done.returncode == 2
    assert re.search(message, done.stderr)
    assert done.stderr.startswith('launch.py: ')
    assert done.stderr.count('\n') == 1
    assert done.stdout == ''
    assert list(tmp_path.iterdir()) == []


def test_help_lists_the_flags():
    text = launch('--help').stdout
    for flag in ('config', 'sweep', 'workdir', 'workers', '[no]dry_run', '[no]report_only'):
        assert f'--{flag}: ' in text


@pytest.fixture
def small(data_dir, tmp_path):
    """Arguments of a sweep that takes seconds."""
    return [
        '--sweep=depth',
        f'--workdir={tmp_path / "runs"}',
        f'--config.data.dir={data_dir}',
        '--config.data.name=small_color',
        '--config.data.validation_split=test[:5]',
        '--config.data.test_split=test[5:]',
        '--config.model.width=2',
        '--config.train.batch_size=8',
        '--config.train.epochs=2',
        '--config.sweep.depths=(8,)',
        '--config.sweep.seeds=2',
    ]


def test_a_sweep_from_plan_to_report_and_again(small, tmp_path):
    plan = launch(*small, '--dry_run')
    assert plan.returncode == 0
    assert '4 cells, 4 to run' in plan.stdout
    assert list(tmp_path.iterdir()) == []

    done = launch(*small)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ''
    directory = tmp_path / 'runs' / 'depth'
    for name in ('sweep.json', 'verdict.json', 'report.html', 'results.csv'):
        assert (directory / name).exists(), name
    results = sorted(directory.glob('cells/*/result.json'))
    assert len(results) == 4
    assert '[4/4]' in done.stdout
    assert 'inconclusive' in done.stdout
    # A run a cell and one for the sweep, and how to upload them.
    assert len(list(directory.glob('wandb/offline-run-*'))) == 5
    assert f'wandb sync {directory}/wandb/offline-run-*' in done.stdout

    # One cell lost: the second launch runs that one alone and comes to the same numbers.
    lost = json.loads(results[0].read_text())
    results[0].unlink()
    stamps = [path.stat().st_mtime_ns for path in results[1:]]
    again = launch(*small, '--config.wandb.mode=disabled')
    assert '1 of 4 cells to run' in again.stdout
    assert [path.stat().st_mtime_ns for path in results[1:]] == stamps
    found = json.loads(results[0].read_text())
    assert found['train_loss'] == lost['train_loss']

    # Nothing left: nothing is trained; and the report can be had alone.
    verdict = (directory / 'verdict.json').read_bytes()
    (directory / 'report.html').unlink()
    third = launch(*small)
    assert third.returncode == 0
    assert 'to run' not in third.stdout
    assert (directory / 'report.html').exists()
    assert len(list(directory.glob('wandb/offline-run-*'))) == 5
    (directory / 'report.html').unlink()
    rebuilt = launch('--sweep=depth', '--report_only', f'--workdir={tmp_path / "runs"}')
    assert rebuilt.returncode == 0
    assert (directory / 'report.html').exists()
    assert (directory / 'verdict.json').read_bytes() == verdict

    other = launch(*small, '--config.train.epochs=3')
    assert other.returncode == 2
    assert 'holds another grid (train.epochs 2, not 3)' in other.stderr


def test_ctrl_c_keeps_what_is_done(small, tmp_path):
    process = subprocess.Popen(
        [sys.executable, str(ROOT / 'launch.py'), *small, '--config.train.epochs=100000'],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {'WANDB_MODE': 'disabled'},
    )
    metrics = tmp_path / 'runs' / 'depth' / 'cells'
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size for path in metrics.glob('*/metrics.jsonl')):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - started < 5
    assert process.returncode == 130
    assert 'stopped: 0 of 4 cells are done and kept' in out
    assert err == ''


def test_without_a_sweep_the_one_network_of_the_configuration(small, tmp_path):
    arguments = [a for a in small if a != '--sweep=depth']
    done = launch(*arguments, '--config.model.family=plain', '--config.wandb.mode=disabled')
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = (tmp_path / 'runs').glob('cells/*/result.json')
    found = json.loads(result.read_text())
    assert (found['family'], found['depth'], found['seed']) == ('plain', 20, 0)
    assert f'test {found["test_error"]:.2f} %' in done.stdout


@pytest.mark.slow
def test_plain_networks_degrade_with_depth_and_residual_ones_do_not(tmp_path):
    done = launch(
        '--sweep=depth',
        f'--workdir={tmp_path}',
        '--config.sweep.depths=(8, 20, 56)',
        '--config.wandb.mode=disabled',
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    families = json.loads((tmp_path / 'depth' / 'verdict.json').read_text())['families']
    assert families['plain']['verdict'] == 'degrades'
    assert families['resnet']['verdict'] == 'does not degrade'
    assert families['plain']['n'] == families['resnet']['n'] == 3
