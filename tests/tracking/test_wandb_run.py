import math
import os
import shutil
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
import wandb
import wandb_files
import wandb_server

from vggres.tracking import fragments, run_ids, wandb_run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def with_credential(monkeypatch):
    """A credential that W&B takes, without a server."""
    monkeypatch.setattr(wandb, 'login', lambda **options: True)


def mirror(config, directory, name='a-name'):
    decisive = {'model': {'depth': 8}, 'variant': 'plain'}
    label = partial(wandb_run.Label, name, 'depth', 'cell', ('mine',), 'python launch.py', decisive)
    directory.mkdir(exist_ok=True)
    return wandb_run.Mirror(config, directory, label, directory / f'{name}.marker')


@pytest.mark.slow
def test_an_offline_run_holds_what_was_logged(config, tmp_path):
    config.wandb.mode = 'offline'
    config.wandb.tags = ('extra',)
    with mirror(config, tmp_path) as run:
        for epoch in (1, 2):
            run.log({'epoch': epoch, 'train/error': 50.0 / epoch}, 5 * epoch)
        run.summarise({'status': 'finished'})
    found = wandb_files.inspect(tmp_path, '--summary')
    assert found['state'] == 'finished'
    assert found['project'] == 'vggres'
    assert found['name'] == 'a-name'
    assert sorted(found['tags']) == ['extra', 'mine']
    assert found['config']['model']['depth'] == 8
    assert found['config']['variant'] == 'plain'
    assert found['summary']['train/error'] == 25
    assert found['summary']['epoch'] == 2
    assert found['summary']['status'] == 'finished'
    records = wandb_files.inspect(tmp_path)
    (started,) = [record['run'] for record in records if record['type'] == 'run']
    assert started['run_group'] == 'depth'
    assert started['job_type'] == 'cell'
    assert started['notes'] == 'python launch.py'
    axes = [record['metric'] for record in records if record['type'] == 'metric']
    assert {'glob_name': '*', 'step_metric': 'epoch'}.items() <= axes[-1].items()


def test_disabled_writes_nothing(config, tmp_path):
    with mirror(config, tmp_path) as run:
        run.log({'epoch': 1}, 1)
        run.summarise({'a': 1})
    assert list(tmp_path.iterdir()) == []


def test_what_fails_midway_ends_the_mirroring_alone(config, tmp_path, monkeypatch):
    calls = []

    def fail(record, step, commit):
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
    assert wandb_files.inspect(tmp_path, '--summary')['exit_code'] == 1
    # The next cell of the same process has a run of its own.
    with mirror(config, tmp_path / 'next') as run:
        assert run.run.id != first
        run.log({'epoch': 3}, 3)
    assert wandb_files.inspect(tmp_path / 'next', '--summary')['summary']['epoch'] == 3


def test_a_run_that_an_exception_ends_has_failed_and_the_next_is_another(config, tmp_path):
    config.wandb.mode = 'offline'
    with pytest.raises(ArithmeticError), mirror(config, tmp_path):
        raise ArithmeticError
    assert wandb_files.inspect(tmp_path, '--summary')['exit_code'] == 1
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
    assert run_ids.run_of_agent(single.group) == ''
    monkeypatch.setenv('WANDB_SWEEP_ID', 'xyz')
    assert run_ids.run_of_agent('depth') == ''
    config.wandb.mode = 'offline'
    with wandb_run.Mirror(config, tmp_path, lambda: single) as run:
        assert run.run.id == 'abc'


@pytest.mark.usefixtures('with_credential')
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
    # What a process that was killed at once leaves: nothing is uploaded beside it.
    empty = tmp_path / 'wandb' / 'offline-run-20261128_1-b' / 'run-b.wandb'
    empty.parent.mkdir()
    empty.write_bytes(next(tmp_path.glob('wandb/offline-run-*/*.wandb')).read_bytes()[:7])
    os.utime(empty, (0, 0))
    with wandb_server.serving() as (address, runs):
        command = fragments.upload_command(tmp_path).replace(
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
        'directory = Path(sys.argv[1]); label = lambda: Label("a", "depth", "cell", ())\n'
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


@pytest.mark.usefixtures('with_credential')
def test_online_falls_back_to_offline(config, tmp_path, monkeypatch):
    asked = []

    def init(mode, **kwargs):
        asked.append(mode)
        raise TimeoutError('no network')

    config.wandb.mode, told = 'online', []
    monkeypatch.setattr(wandb, 'init', init)
    label = partial(wandb_run.Label, 'a-name', group='depth', job_type='cell', tags=())
    run = wandb_run.Mirror(config, tmp_path, label, on_failure=told.append)
    assert asked == ['online', 'offline']
    assert run.run is None
    run.log({'epoch': 1}, 1)
    assert told == ['W&B failed, further runs are logged offline: no network']
    wandb_run.Mirror(
        config, tmp_path, label, on_failure=told.append
    )  # nothing helps, so nothing is tried
    assert (len(asked), len(told)) == (2, 1)


@pytest.mark.usefixtures('with_credential')
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
    label = partial(wandb_run.Label, 'a-name', group='depth', job_type='cell', tags=())
    for _ in range(2):
        with wandb_run.Mirror(config, tmp_path, label, on_failure=told.append):
            ends.set() if asked[1:] else None
    assert asked == ['online', 'offline']
    assert told == ['W&B failed, further runs are logged offline: no answer within 1 s']


def test_a_run_online_never_asks_for_a_key_on_the_terminal(config, tmp_path, monkeypatch):
    asked, told = [], []

    def init(mode, **options):
        asked.append(mode)
        raise OSError('no room')

    monkeypatch.delenv('WANDB_MODE', raising=False)
    monkeypatch.setattr(wandb, 'login', lambda prompt=True: prompt)  # nothing is stored
    monkeypatch.setattr(wandb, 'init', init)
    config.wandb.mode = 'online'
    label = partial(wandb_run.Label, 'a-name', group='depth', job_type='cell', tags=())
    wandb_run.Mirror(config, tmp_path, label, on_failure=told.append)
    assert asked == ['offline']
    assert told == [
        'W&B failed, further runs are logged offline: there is no credential; `wandb login` stores '
        'one'
    ]


def test_a_start_that_hangs_is_given_up_and_the_next_is_offline(config, tmp_path, monkeypatch):
    asked, told, ends = [], [], threading.Event()

    def login(**options):
        asked.append('login')
        return ends.wait(60)

    def init(mode, **options):
        asked.append(mode)
        ends.wait(60)

    monkeypatch.setattr(wandb, 'login', login)
    monkeypatch.setattr(wandb, 'init', init)
    monkeypatch.setattr(wandb_run, '_INIT_TIMEOUT', 0.1)
    monkeypatch.setattr(wandb_run, '_GRACE', 0.1)
    config.wandb.mode = 'online'
    label = partial(wandb_run.Label, 'a-name', group='depth', job_type='cell', tags=())
    began = time.monotonic()
    run = wandb_run.Mirror(config, tmp_path, label, on_failure=told.append)
    assert time.monotonic() - began < 10
    assert run.run is None
    assert asked == ['login', 'offline']
    assert told == ['W&B failed, further runs are logged offline: no answer within 0 s']
    ends.set()


def test_a_label_that_cannot_be_made_costs_no_training(config, tmp_path):
    def label():
        raise PermissionError('wandb_id')

    config.wandb.mode, told = 'offline', []
    with wandb_run.Mirror(config, tmp_path, label, on_failure=told.append) as run:
        assert run.run is None
    assert told == ['W&B failed, going on: wandb_id']


def test_a_file_that_is_gone_is_not_kept_and_nothing_is_raised(config, tmp_path):
    config.wandb.mode = 'offline'
    with mirror(config, tmp_path) as run:
        run.keep([tmp_path / 'gone'], 'a-name', 'weights', 'latest')
    assert run.run is None


@pytest.mark.usefixtures('with_credential')
def test_a_run_is_cut_off_until_one_online_has_ended_well(config, tmp_path, monkeypatch):
    class Known:
        starting_step = 0

        def define_metric(self, *arguments, **options):
            pass

        def finish(self, exit_code):
            pass

    config.wandb.mode, marker = 'online', tmp_path / 'a-name.marker'
    monkeypatch.setattr(wandb, 'init', lambda **options: Known())
    with mirror(config, tmp_path):
        pass
    assert not run_ids.is_cut_off(marker)
    run_ids.mark(marker, marker.read_text().split()[0], is_whole=False)
    with pytest.raises(ArithmeticError), mirror(config, tmp_path):
        raise ArithmeticError(run_ids.is_cut_off(marker))
    assert run_ids.is_cut_off(marker)
    with mirror(config, tmp_path) as run, run.guard():
        raise OSError('the server is gone')
    assert run_ids.is_cut_off(marker)
    wandb_run.Mirror._is_cut_off = False  # as in a new process
    config.wandb.mode = 'offline'
    with mirror(config, tmp_path) as run:
        assert run.run is None  # a log beside the server's part would fit to nothing
    assert run_ids.is_cut_off(marker)
    config.wandb.mode = 'online'
    with mirror(config, tmp_path):
        pass
    assert not run_ids.is_cut_off(marker)


def test_what_a_process_that_was_killed_at_once_never_logged_is_logged_again(config, tmp_path):
    config.wandb.mode = 'offline'
    with mirror(config, tmp_path) as run:
        found = run.run.id
    (log,) = tmp_path.glob('wandb/offline-run-*/*.wandb')
    header = log.read_bytes()[:7]
    shutil.rmtree(tmp_path / 'wandb')
    empty = tmp_path / 'wandb' / f'offline-run-20261128_1-{found}' / f'run-{found}.wandb'
    empty.parent.mkdir(parents=True)
    empty.write_bytes(header)
    with mirror(config, tmp_path) as run:
        assert run.first_step == 0


def test_the_last_record_of_a_step_is_on_the_disk_at_once_and_steps_are_one_row(config, tmp_path):
    config.wandb.mode = 'offline'
    with mirror(config, tmp_path) as run:
        run.log({'epoch': 1}, 5, is_last=True)
        run.log({'epoch': 2}, 10)
        run.log({'activation': 0.5}, 10, is_last=True)
        deadline = time.monotonic() + 20
        rows = []
        while len(rows) < 2 and time.monotonic() < deadline:
            time.sleep(0.5)
            found = wandb_files.inspect(tmp_path)
            rows = [each['history']['item'] for each in found if each['type'] == 'history']
        assert [row['_step'] for row in rows] == [5, 10]
        assert (rows[1]['epoch'], rows[1]['activation']) == (2, 0.5)


def test_artifacts_have_patience_each_and_none_keeps_the_process_alive(monkeypatch):
    asked, ends = [], threading.Event()

    class Slow:
        def use_artifact(self, artifact):
            asked.append((artifact, threading.current_thread().daemon))
            if artifact == 'gone':
                raise ValueError
            ends.wait(60 if artifact == 'silent' else 0.4)

    monkeypatch.setattr(wandb_run, '_PATIENCE', 1.0)
    monkeypatch.setattr(wandb_run, '_AT_A_TIME', 2)
    wandb_run._use(Slow(), ['gone', *'abcdefg'])  # 1.6 s together
    assert dict(asked) == dict.fromkeys(['gone', *'abcdefg'], True)
    with pytest.raises(wandb_run.HangsError):
        wandb_run._use(Slow(), ['h', 'silent', 'i'])
    assert 'i' not in dict(asked)
    ends.set()


@pytest.mark.usefixtures('with_credential')
def test_a_run_that_does_not_fall_back_leaves_the_telling_to_others(config, tmp_path, monkeypatch):
    def init(**options):
        raise OSError('no network')

    config.wandb.mode, told = 'online', []
    monkeypatch.setattr(wandb, 'init', init)
    label = partial(wandb_run.Label, 'a-name', group='depth', job_type='cell', tags=())
    run = wandb_run.Mirror(config, tmp_path, label, on_failure=told.append, falls_back=False)
    assert (run.run, told) == (None, [])
