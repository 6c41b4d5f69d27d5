import dataclasses
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import wandb
import wandb_server
from planted import result

from vggres.tracking import wandb_run

ROOT = Path(__file__).parents[2]
# Seeds 0 and 1 err by their depth and by ten points more.
RESULTS = [
    result(variant, depth, seed, error=10.0 * seed + depth)
    for variant in ('plain', 'resnet')
    for depth in (8, 20)
    for seed in (0, 1)
]


def mirror(config, directory, name='a-name'):
    label = wandb_run.Label(name, group='depth', job_type='cell', tags=('mine',))
    directory.mkdir(exist_ok=True)
    return wandb_run.Mirror(config, directory, label, directory / f'{name}.marker')


def inspect(directory, *options):
    """What W&B itself reads from the one offline run below a directory."""
    (run,) = Path(directory).glob('wandb/offline-run-*')
    command = [sys.executable, '-m', 'wandb', 'leet', 'inspect', '--json', *options, str(run)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output) if options else [json.loads(line) for line in output.splitlines()]


@pytest.mark.slow
def test_an_offline_run_holds_what_was_logged(config, tmp_path):
    config.wandb.mode = 'offline'
    config.wandb.tags = ('extra',)
    with mirror(config, tmp_path) as run:
        for epoch in (1, 2):
            run.log({'epoch': epoch, 'train/error': 50.0 / epoch}, 5 * epoch)
        run.summarise({'status': 'finished'})
    found = inspect(tmp_path, '--summary')
    assert found['state'] == 'finished'
    assert found['project'] == 'vggres'
    assert found['name'] == 'a-name'
    assert sorted(found['tags']) == ['extra', 'mine']
    assert found['config']['model']['depth'] == 8
    assert found['summary']['train/error'] == 25
    assert found['summary']['epoch'] == 2
    assert found['summary']['status'] == 'finished'
    records = inspect(tmp_path)
    (started,) = [record['run'] for record in records if record['type'] == 'run']
    assert started['run_group'] == 'depth'
    assert started['job_type'] == 'cell'
    axes = [record['metric'] for record in records if record['type'] == 'metric']
    assert {'glob_name': '*', 'step_metric': 'epoch'}.items() <= axes[-1].items()


def test_the_summary_run_holds_error_against_depth_and_the_verdict(config, tmp_path):
    config.wandb.mode = 'offline'
    (tmp_path / 'figure.png').write_bytes(PNG)
    verdict = {'families': {'plain': {'verdict': 'degrades', 'excess_error': 12.0}}}
    wandb_run.mirror_sweep(config, tmp_path, 'depth', RESULTS, verdict, [tmp_path / 'figure.png'])
    found = inspect(tmp_path, '--summary')
    assert found['summary']['verdict'] == verdict
    assert {'error_by_cell', 'figures/figure'} <= set(found['summary'])
    tables = [
        json.loads(path.read_text())
        for path in tmp_path.glob('wandb/offline-run-*/files/**/*.table.json')
    ]
    # Seeds 0 and 1 have errors depth and depth + 10: their mean is depth + 5.
    means = [[8, 13.0, 'plain'], [20, 25.0, 'plain'], [8, 13.0, 'resnet'], [20, 25.0, 'resnet']]
    assert [table['data'] for table in tables].count(means) == 2  # training and validation
    assert max(len(table['data']) for table in tables) == len(RESULTS)
    charts = {}
    for record in inspect(tmp_path):
        charts |= record['config']['update'] if record['type'] == 'config' else {}
    for metric in ('train_error', 'validation_error'):
        panel = charts[f'_wandb.visualize.{metric}_against_depth']['panel_config']
        assert panel['panelDefId'] == 'wandb/line/v0'
        assert panel['fieldSettings'] == {'x': 'depth', 'y': 'error', 'stroke': 'variant'}


def test_disabled_writes_nothing(config, tmp_path):
    with mirror(config, tmp_path) as run:
        run.log({'epoch': 1}, 1)
        run.summarise({'a': 1})
    wandb_run.mirror_sweep(config, tmp_path, 'depth', RESULTS, {}, [])
    assert list(tmp_path.iterdir()) == []


def test_what_fails_midway_ends_the_mirroring_alone(config, tmp_path, monkeypatch):
    calls = []

    def fail(record, step):
        calls.append(record)
        raise ConnectionError('gone')

    config.wandb.mode = 'offline'
    with mirror(config, tmp_path) as broken:
        first = broken.run.id
        monkeypatch.setattr(broken.run, 'log', fail)
        broken.log({'epoch': 1}, 1)
        broken.log({'epoch': 2}, 2)
        broken.summarise({'a': 1})
    assert calls == [{'epoch': 1}]
    assert inspect(tmp_path, '--summary')['exit_code'] == 1
    # The next cell of the same process has a run of its own.
    with mirror(config, tmp_path / 'next') as run:
        assert run.run.id != first
        run.log({'epoch': 3}, 3)
    assert inspect(tmp_path / 'next', '--summary')['summary']['epoch'] == 3


def test_a_run_that_an_exception_ends_has_failed_and_the_next_is_another(config, tmp_path):
    config.wandb.mode = 'offline'
    with pytest.raises(ArithmeticError), mirror(config, tmp_path):
        raise ArithmeticError
    assert inspect(tmp_path, '--summary')['exit_code'] == 1
    with mirror(config, tmp_path):
        pass
    assert len(list(tmp_path.glob('wandb/offline-run-*'))) == 2


def test_a_run_keeps_its_id_and_another_directory_has_another(config, tmp_path):
    config.wandb.mode = 'offline'
    ids, first_steps = [], []
    for directory, name in (('a', 'one'), ('a', 'one'), ('b', 'one'), ('a', 'two')):
        with mirror(config, tmp_path / directory, name) as run:
            ids.append(run.run.id)
            first_steps.append(run.first_step)
        shutil.rmtree(tmp_path / directory / 'wandb')  # as after an upload
    assert ids[0] == ids[1]
    assert len({*ids}) == 3
    # What the second attempt finds in the files, the first fragment held already.
    assert first_steps == [0, math.inf, 0, 0]
    (tmp_path / 'a' / 'wandb_id').unlink()  # another run then, which has nothing yet
    with mirror(config, tmp_path / 'a', 'one') as run:
        assert run.run.id not in ids
        assert run.first_step == 0


def test_a_network_that_an_agent_of_wandb_asks_for_has_the_run_that_it_waits_for(
    config, tmp_path, monkeypatch
):
    monkeypatch.setenv('WANDB_RUN_ID', 'abc')
    single = wandb_run.Label('a-name', group='', job_type='cell', tags=())
    assert wandb_run._run_of_agent(single) == ''
    monkeypatch.setenv('WANDB_SWEEP_ID', 'xyz')
    assert wandb_run._run_of_agent(dataclasses.replace(single, group='depth')) == ''
    config.wandb.mode = 'offline'
    with wandb_run.Mirror(config, tmp_path, single) as run:
        assert run.run.id == 'abc'


def test_processes_that_come_together_agree_on_the_id_of_their_directory(tmp_path):
    code = (
        'import sys; from pathlib import Path; from vggres.tracking import wandb_run\n'
        'print(*[wandb_run._run_id(Path(sys.argv[1]), name) for name in "ab"])'
    )
    wandb_run.draw_id(tmp_path)  # as a launch does before its workers start
    command = [sys.executable, '-c', code, str(tmp_path)]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(4)
    ]
    found = {process.communicate()[0] for process in started}
    assert len(found) == 1
    one, two = found.pop().split()
    assert one != two


@pytest.mark.parametrize('left', [b'', b'half', b'\xff' * 32, b'x' * 32, None])
def test_the_id_of_a_directory_is_drawn_anew_where_its_file_holds_none(tmp_path, left):
    found = []
    for name in 'ab':
        path = tmp_path / name / 'wandb_id'
        path.parent.mkdir()
        path.mkdir() if left is None else path.write_bytes(left)
        found += [wandb_run.draw_id(path.parent), path.read_text(), wandb_run.draw_id(path.parent)]
        assert re.fullmatch('[0-9a-f]{32}', found[-1])
    assert found[0] == found[1] == found[2] != found[3] == found[4] == found[5]


def test_a_run_that_the_server_knows_goes_on_behind_its_last_step(config, tmp_path, monkeypatch):
    asked = []

    class Known:
        def __init__(self):
            self.starting_step = 11 * (len(asked) - 1)

        def define_metric(self, *arguments, **options):
            pass

        def finish(self, exit_code):
            pass

    def init(**options):
        asked.append((options['id'], options['resume']))
        return Known()

    config.wandb.mode = 'online'
    monkeypatch.setattr(wandb, 'init', init)
    for first_step in (0, 11):
        with mirror(config, tmp_path) as run:
            assert run.first_step == first_step
    assert asked[0] == asked[1]
    assert asked[0][1] == 'allow'


def alone():
    """The environment variables of a process that starts a process of W&B of its own."""
    return {name: os.environ[name] for name in os.environ if not name.startswith('WANDB_')}


@pytest.mark.slow
def test_the_fragments_of_an_offline_run_become_one_run_of_the_server(config, tmp_path):
    config.wandb.mode = 'offline'
    ids = []
    for epochs in ((1, 2), (3, 4)):
        with mirror(config, tmp_path) as run:
            ids.append(run.run.id)
            for epoch in epochs:
                run.log({'epoch': epoch, 'train/error': 50.0 / epoch}, 5 * epoch)
    with wandb_server.serving() as (address, runs):
        command = wandb_run.upload_command(tmp_path).replace(
            'wandb ', f'{sys.executable} -m wandb ', 1
        )
        surroundings = alone() | {'WANDB_BASE_URL': address, 'WANDB_API_KEY': wandb_server.KEY}
        subprocess.run(
            command, shell=True, check=True, capture_output=True, env=surroundings, cwd=tmp_path
        )
        (name,) = runs.lines
    assert ids == [name] * 2
    found = [(entry['epoch'], entry['_step'], entry['train/error']) for entry in runs.history(name)]
    assert found == [(1, 5, 50.0), (2, 10, 25.0), (3, 15, 50 / 3), (4, 20, 12.5)]


@pytest.mark.slow
def test_an_online_run_goes_on_as_the_same_run(config, tmp_path):
    """In processes of its own, because a process of W&B keeps the address of its server."""
    code = (
        'import sys; from pathlib import Path; import configs.digits; '
        'from vggres.tracking.wandb_run import Label, Mirror\n'
        'config = configs.digits.get_config(); config.wandb.mode = "online"\n'
        'directory = Path(sys.argv[1]); label = Label("a", "depth", "cell", ())\n'
        'with Mirror(config, directory, label, directory / "marker") as run:\n'
        '    print(run.first_step)\n'
        '    for epoch in sys.argv[2:]:\n'
        '        if 5 * int(epoch) >= run.first_step:\n'
        '            run.log({"epoch": int(epoch)}, 5 * int(epoch))\n'
    )
    with wandb_server.serving() as (address, runs):
        surroundings = alone() | {
            'WANDB_BASE_URL': address,
            'WANDB_API_KEY': wandb_server.KEY,
            'PYTHONPATH': str(ROOT),
        }
        said = []
        for epochs in ('12', '123'):  # the second attempt finds three in its files
            command = [sys.executable, '-c', code, str(tmp_path), *epochs]
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, env=surroundings, cwd=tmp_path
            )
            said.append(float(done.stdout))
        (name,) = runs.lines
    assert said == [0, 11]
    assert [(entry['epoch'], entry['_step']) for entry in runs.history(name)] == [
        (1, 5),
        (2, 10),
        (3, 15),
    ]
    assert runs.states[name] == [0, 0]


def test_online_falls_back_to_offline(config, tmp_path, monkeypatch):
    asked = []

    def init(mode, **kwargs):
        asked.append(mode)
        raise TimeoutError('no network')

    config.wandb.mode, told = 'online', []
    monkeypatch.setattr(wandb, 'init', init)
    label = wandb_run.Label('a-name', group='depth', job_type='cell', tags=())
    run = wandb_run.Mirror(config, tmp_path, label, on_failure=told.append)
    assert asked == ['online', 'offline']
    assert run.run is None
    run.log({'epoch': 1}, 1)
    assert told == ['W&B failed, further runs are logged offline: no network']
    wandb_run.Mirror(
        config, tmp_path, label, on_failure=told.append
    )  # nothing helps, so nothing is tried
    assert (len(asked), len(told)) == (2, 1)


def test_after_a_server_that_took_too_long_runs_are_offline(config, tmp_path, monkeypatch):
    """The end of the first run goes on beside the next one, which asks no server."""
    asked, told, ends = [], [], threading.Event()

    class Slow:
        starting_step = 0

        def define_metric(self, *arguments, **options):
            pass

        def finish(self, exit_code):
            ends.wait(60)

    def init(mode, **options):
        asked.append(mode)
        return Slow()

    monkeypatch.setattr(wandb, 'init', init)
    monkeypatch.setattr(wandb_run, '_PATIENCE', 1)
    config.wandb.mode = 'online'
    label = wandb_run.Label('a-name', group='depth', job_type='cell', tags=())
    for _ in range(2):
        with wandb_run.Mirror(config, tmp_path, label, on_failure=told.append):
            ends.set() if asked[1:] else None
    assert asked == ['online', 'offline']
    assert told == ['W&B failed, further runs are logged offline: no answer within 1 s']


@pytest.mark.parametrize(
    ('login', 'mode'), [(True, 'online'), (False, 'offline'), (OSError('no network'), 'offline')]
)
def test_the_mode_follows_the_credential(monkeypatch, login, mode):
    def answer(**kwargs):
        if isinstance(login, Exception):
            raise login
        return login

    monkeypatch.delenv('WANDB_MODE', raising=False)
    monkeypatch.setattr(wandb, 'login', answer)
    assert wandb_run.resolve_mode('auto') == mode
    assert wandb_run.resolve_mode('disabled') == 'disabled'
    monkeypatch.setenv('WANDB_MODE', 'disabled')
    assert wandb_run.resolve_mode('auto') == 'disabled'


# One grey pixel.
PNG = bytes.fromhex(
    '89504e470d0a1a0a0000000d4948445200000001000000010800000000'
    '3a7e9b550000000a49444154789c6368000000820081774cd2bd0000000049454e44ae426082'
)
