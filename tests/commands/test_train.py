import contextlib
import io
import json
import os
from pathlib import Path

import pytest
import stages
from fake_slurm import FakeSlurm
from planted import finish
from rich.console import Console
from small_color import repaint

import vggres
from vggres.commands import conclude, planning, train
from vggres.errors import UserError
from vggres.executors import local
from vggres.executors.options import LocalOptions, SlurmOptions
from vggres.executors.orders import Event
from vggres.sweeps.failure import write_failure
from vggres.tracking import run_ids

ONE_WORKER = LocalOptions(1)


@pytest.fixture
def ran(monkeypatch):
    """The cells that were given to the executor, which finishes all but the last of them."""
    given = []

    def run(cells, costs, num_workers, log_dir, on_event):
        given.extend(cells)
        on_event(Event('ready', '', {'hardware': 'a fake device', 'platform': 'fake'}))
        *good, bad = cells
        for cell in good:
            finish(cell, error=1.0)
            on_event(Event('started', cell.id, {}))
            values = {'status': 'finished', 'train_error': 1.0, 'validation_error': 2.0}
            on_event(Event('finished', cell.id, values))
        on_event(Event('started', bad.id, {}))
        on_event(Event('failed', bad.id, {'message': 'out of luck', 'log': 'worker0.log'}))

    monkeypatch.setattr(local, 'run', run)
    return given


def launched(config, workdir, name='depth', options=ONE_WORKER):
    sweep, info = planning.checked_sweep(name, config, workdir, given={'train.epochs'})
    console = Console(file=io.StringIO(), width=200)
    failed = train.run(sweep, info, options, console)
    return failed, console.file.getvalue()


def test_what_is_left_runs_and_the_rest_is_kept(config, tmp_path, ran):
    config.sweep.depths, config.sweep.seeds = (8,), 2
    failed, text = launched(config, tmp_path)
    assert len(ran) == 4
    assert [failure.message for failure in failed] == ['out of luck']
    assert '4 of 4 cells to run, 1 at a time, on a fake device\n' in text
    assert '1 cell failed; the same command tries again.' in text
    assert 'finished: 3 of 4 cells' in text
    assert (tmp_path / 'depth' / 'report.html').exists()

    ran.clear()
    config.sweep.seeds = 1
    failed, text = launched(config, tmp_path)
    assert ran == []
    assert failed == []
    assert 'holds 2 cells of earlier launches as well: they are kept' in text


def test_the_index_is_alive_while_cells_run_and_at_rest_afterwards(config, tmp_path, monkeypatch):
    path, seen = tmp_path / 'index.html', []
    config.sweep.depths, config.sweep.seeds = (8,), 1

    def run(cells, costs, num_workers, log_dir, on_event):
        assert not path.exists()  # or it would stay where no worker can start
        on_event(Event('ready', '', {'hardware': 'a fake device', 'platform': 'fake'}))
        seen.append(path.read_text())
        for cell in cells:
            finish(cell, error=1.0)

    monkeypatch.setattr(local, 'run', run)
    _, text = launched(config, tmp_path)
    assert f'how far they are: {path}\n' in text
    assert '2 cells: 2 waiting' in seen[0]
    assert 'http-equiv="refresh"' in seen[0]
    after = path.read_text()
    assert '2 cells: 2 done' in after
    assert 'depth/report.html' in after
    assert 'http-equiv="refresh"' not in after


def test_the_index_of_a_launch_that_was_stopped_is_at_rest(config, tmp_path, monkeypatch):
    def run(cells, costs, num_workers, log_dir, on_event):
        on_event(Event('ready', '', {'hardware': 'a fake device', 'platform': 'fake'}))
        finish(cells[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(local, 'run', run)
    with pytest.raises(KeyboardInterrupt):
        launched(config, tmp_path)
    text = (tmp_path / 'index.html').read_text()
    assert '8 cells: 1 done, 7 waiting' in text
    assert 'http-equiv="refresh"' not in text


def test_a_sweep_runs_where_no_index_can_be_written(config, tmp_path, ran):
    (tmp_path / 'index.html').mkdir()
    config.sweep.depths, config.sweep.seeds = (8,), 1
    launched(config, tmp_path)
    assert (tmp_path / 'depth' / 'report.html').exists()


def test_what_goes_on_from_a_checkpoint_is_said(config, tmp_path, ran):
    config.sweep.depths, config.sweep.seeds = (8,), 1
    sweep, _ = planning.checked_sweep('depth', config, tmp_path, given={'train.epochs'})
    for cell, said in zip(sweep.cells, ('1 cell goes on from', '2 cells go on from'), strict=True):
        for each in sweep.cells:  # what ran before
            (each.directory / 'result.json').unlink(missing_ok=True)
        (cell.directory / 'checkpoints').mkdir(parents=True)
        (cell.directory / 'checkpoints' / 'step-5.ckpt').write_text('')
        _, text = launched(config, tmp_path)
        assert f'{said} a checkpoint.\n' in text


def test_damage_is_named_and_run_again(config, tmp_path, ran):
    config.sweep.depths, config.sweep.seeds = (8,), 1
    launched(config, tmp_path)
    done = ran[0]
    (done.directory / 'result.json').write_text('[]')
    ran.clear()
    _, text = launched(config, tmp_path)
    assert len(ran) == 2
    assert f'{done.directory}/result.json is damaged' in text
    assert 'counts as not done' in text


def test_all_cells_get_one_resolved_mode(config, tmp_path, ran, monkeypatch):
    config.wandb.mode = 'auto'
    monkeypatch.setenv('WANDB_MODE', 'disabled')
    config.sweep.depths, config.sweep.seeds = (8,), 1
    launched(config, tmp_path)
    assert {cell.config.wandb.mode for cell in ran} == {'disabled'}


def test_an_id_that_only_wandb_needs_fails_no_launch(config, tmp_path, ran, monkeypatch):
    def fail(directory):
        raise PermissionError(directory)

    monkeypatch.setattr(run_ids, 'draw_id', fail)
    config.wandb.mode, config.sweep.depths, config.sweep.seeds = 'offline', (8,), 1
    _, text = launched(config, tmp_path)
    assert 'finished: 1 of 2 cells' in text


def test_one_network_ends_with_its_errors(config, tmp_path, monkeypatch):
    def run(cells, costs, num_workers, log_dir, on_event):
        finish(cells[0], error=1.0)

    monkeypatch.setattr(local, 'run', run)
    failed, text = launched(config, tmp_path, '')
    assert failed == []
    assert 'error train 1.00 %, validation 1.00 %, test 1.00 %' in text


def test_results_go_to_a_folder_named_like_the_configuration():
    assert train.results_directory('configs/cifar10.py') == Path('runs/cifar10')


@pytest.mark.parametrize('depths', [(8,), (14,), (8, 14)])
def test_images_that_changed_since_a_sweep_was_begun(mine, tmp_path, ran, depths):
    config, path = mine
    launched(config, tmp_path)  # one of two cells fails, the other one records no images
    before = path.read_bytes()
    ran.clear()
    repaint(path)
    config.sweep.depths = depths
    with pytest.raises(UserError, match=r'mine has changed since .*split .*--workdir') as caught:
        launched(config, tmp_path)
    assert str(path.parents[1]) in str(caught.value)
    assert ran == []
    path.write_bytes(before)
    launched(config, tmp_path)
    assert ran


@pytest.mark.slow
def test_training_again_in_one_process_takes_the_images_of_now(mine):
    config, path = mine
    config.train.batch_size = 8
    first, _ = vggres.train(config, progress=False)
    again, _ = vggres.train(config, progress=False)
    assert again == first
    for each in path.parents[1].rglob('*.png'):
        repaint(each)
    changed, _ = vggres.train(config, progress=False)
    assert changed.train_loss != first.train_loss


@pytest.mark.parametrize('grown', [False, True])
def test_a_launch_whose_workers_cannot_start_leaves_nothing(
    config, tmp_path, ran, monkeypatch, grown
):
    config.sweep.depths, config.sweep.seeds = (8,), 1
    if grown:
        launched(config, tmp_path)
        config.sweep.depths = (8, 14)

    def refuse(*_):
        raise UserError('a worker cannot start')

    monkeypatch.setattr(local, 'run', refuse)
    before = {path: path.read_bytes() for path in tmp_path.rglob('sweep.json')}
    assert bool(before) == grown
    with pytest.raises(UserError, match='a worker cannot start'):
        launched(config, tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob('sweep.json')} == before
    assert (tmp_path / 'depth').exists() == grown


def test_who_is_refused_the_lock_leaves_what_another_launch_has_begun(
    config, tmp_path, ran, monkeypatch
):
    """The other one made the directory while this one was about to."""
    directory = tmp_path / 'depth'

    @contextlib.contextmanager
    def taken(path):
        (path / 'cells' / 'of another').mkdir(parents=True)
        (path / 'sweep.json').write_text('its own')
        raise UserError(f'another launch is running in {path}.')
        yield

    monkeypatch.setattr(train, 'locked', taken)
    with pytest.raises(UserError, match='another launch'):
        launched(config, tmp_path)
    assert (directory / 'sweep.json').read_text() == 'its own'
    assert (directory / 'cells' / 'of another').is_dir()


# Sweeps in stages


@pytest.fixture
def stage_run(config, monkeypatch):
    """The cells given to the executor, call by call; a function in `act` changes what happens."""
    stages.register(monkeypatch)
    config.sweep.depths = (8,)
    given, act = [], {}

    def run(cells, costs, num_workers, log_dir, on_event):
        given.append(list(cells))
        on_event(Event('ready', '', {'hardware': 'a fake device', 'platform': 'fake'}))
        if len(given) in act:
            act.pop(len(given))(cells, on_event)
            return
        for cell in cells:
            finish(cell, validation_loss=stages.loss_of(cell))

    monkeypatch.setattr(local, 'run', run)
    return given, act


def variants(cells):
    return [cell.coordinates()['variant'] for cell in cells]


def test_a_launch_runs_stage_after_stage(config, tmp_path, stage_run):
    given, _ = stage_run
    failed, text = launched(config, tmp_path, 'stages')
    assert failed == []
    assert [variants(cells) for cells in given] == [
        ['plain, rate 0.1', 'plain, rate 0.01'],
        ['plain, rate 0.01, fresh'] * 2,
        ['plain, rate 0.01, twice as long'] * 2,
    ]
    assert 'By these results, 2 cells more will run.' in text
    assert '2 of 6 cells to run' in text
    assert 'More cells may follow' not in text
    stored = json.loads((tmp_path / 'stages' / 'sweep.json').read_text())
    assert [launch['cells'] for launch in stored['launches']] == [2, 2, 2]
    assert len(stored['grid']) == 6
    verdict = json.loads((tmp_path / 'stages' / 'verdict.json').read_text())
    assert sum(verdict['runs'].values()) == 6
    assert {cell.config.wandb.mode for cells in given for cell in cells} == {'disabled'}

    given.clear()
    failed, text = launched(config, tmp_path, 'stages')
    assert (failed, given) == ([], [])
    assert '6 runs.' in text
    assert json.loads((tmp_path / 'stages' / 'sweep.json').read_text()) == stored


def test_a_stage_that_is_not_whole_decides_nothing(config, tmp_path, stage_run):
    given, act = stage_run

    def one_fails(cells, on_event):
        finish(cells[0], validation_loss=stages.loss_of(cells[0]))
        on_event(Event('started', cells[1].id, {}))
        on_event(Event('failed', cells[1].id, {'message': 'out of luck', 'log': 'worker0.log'}))

    act[2] = one_fails
    failed, text = launched(config, tmp_path, 'stages')
    assert len(failed) == 1
    assert len(given) == 2
    assert '1 of the 4 cells that are known so far have none yet' in text
    assert '3 runs.' in text
    given.clear()
    failed, text = launched(config, tmp_path, 'stages')
    assert failed == []
    assert [len(cells) for cells in given] == [1, 2]
    assert '6 runs.' in text


@pytest.mark.parametrize('stage', [1, 2, 3])
def test_a_launch_that_is_killed_in_any_stage_goes_on(config, tmp_path, stage_run, stage):
    given, act = stage_run

    def kill(cells, on_event):
        finish(cells[0], validation_loss=stages.loss_of(cells[0]))
        raise KeyboardInterrupt

    act[stage] = kill
    with pytest.raises(KeyboardInterrupt):
        launched(config, tmp_path, 'stages')
    done = {cell.id for cells in given for cell in cells if cell.result()}
    assert len(done) == 2 * stage - 1
    given.clear()
    _, text = launched(config, tmp_path, 'stages')
    assert '6 runs.' in text
    ran = [cell.id for cells in given for cell in cells]
    assert len(ran) == 6 - len(done)
    assert not done & {*ran}


def test_what_is_refused_in_a_later_stage_leaves_the_stages_before(config, tmp_path, stage_run):
    given, act = stage_run

    def refuse(cells, on_event):
        raise UserError('a worker cannot start')

    act[2] = refuse
    with pytest.raises(UserError, match='a worker cannot start'):
        launched(config, tmp_path, 'stages')
    assert all(cell.result() for cell in given[0])
    assert launched(config, tmp_path, 'stages')[0] == []


def test_seeds_may_be_added_to_stages(config, tmp_path, stage_run):
    given, _ = stage_run
    launched(config, tmp_path, 'stages')
    given.clear()
    config.sweep.seeds = 3
    _, text = launched(config, tmp_path, 'stages')
    assert [[cell.config.seed for cell in cells] for cells in given] == [[102], [102]]
    assert '8 runs.' in text


def test_a_report_decides_nothing(config, tmp_path, stage_run, monkeypatch):
    _, act = stage_run

    def kill(cells, on_event):
        raise KeyboardInterrupt

    act[2] = kill
    with pytest.raises(KeyboardInterrupt):
        launched(config, tmp_path, 'stages')
    before = (tmp_path / 'stages' / 'sweep.json').read_bytes()

    def refuse(sweep):
        raise AssertionError

    stages.register(monkeypatch, next_cells=refuse, cells=refuse)
    console = Console(file=io.StringIO(), width=200)
    (tmp_path / 'index.html').unlink()
    conclude.report_again(tmp_path / 'stages', console)
    assert (tmp_path / 'index.html').exists()
    assert '2 runs.' in console.file.getvalue()
    assert (tmp_path / 'stages' / 'sweep.json').read_bytes() == before


@pytest.mark.parametrize('grown', [False, True])
def test_cells_that_are_done_stay_where_a_later_worker_cannot_start(
    config, tmp_path, ran, monkeypatch, grown
):
    config.sweep.depths, config.sweep.seeds = (8,), 1
    if grown:
        launched(config, tmp_path)
        config.sweep.depths = (8, 14)

    def run(cells, costs, num_workers, log_dir, on_event):
        for cell in cells:
            finish(cell, error=1.0)
        raise UserError('a worker cannot start: it finds no device any more')

    monkeypatch.setattr(local, 'run', run)
    with pytest.raises(UserError, match='finds no device any more'):
        launched(config, tmp_path)
    loaded = vggres.load_sweep(tmp_path / 'depth')
    assert len(loaded.results) == (4 if grown else 2)


# Slurm


@pytest.fixture
def fake(tmp_path, monkeypatch):
    found = FakeSlurm(tmp_path / 'fake')
    monkeypatch.setenv('PATH', f'{found.programs}:{os.environ["PATH"]}')
    return found


def submitted(config, workdir, name='depth'):
    return launched(config, workdir, name, SlurmOptions(parallel=2))


def test_slurm_gets_what_is_missing_and_nobody_waits(config, tmp_path, fake):
    sweep, _ = planning.checked_sweep('depth', config, tmp_path, given={'train.epochs'})
    finish(sweep.cells[0])
    failed, text = submitted(config, tmp_path)
    assert failed == []
    assert '7 of 8 cells submitted to Slurm as job 101' in text
    assert '--status' in text
    assert '8 cells: 1 done, 7 waiting' in (tmp_path / 'index.html').read_text()
    (call,) = fake.calls('sbatch')
    assert '--array=0-6%2' in call
    assert (tmp_path / 'depth' / 'sweep.json').exists()
    assert not (tmp_path / 'depth' / 'report.html').exists()


def test_what_waits_or_runs_is_not_submitted_twice(config, tmp_path, fake):
    submitted(config, tmp_path)
    sweep, _ = planning.checked_sweep('depth', config, tmp_path, given={'train.epochs'})
    (stored,) = (tmp_path / 'depth').glob('slurm/1/job.json')
    (order,) = json.loads(stored.read_text())['jobs'].values()
    tasks = ''.join(f'101 {number} PENDING N/A vggres-depth\n' for number in range(5))
    fake.says('squeue', tasks)
    free = [cell for cell in sweep.cells if cell.id in order[5:]]
    free[0].directory.mkdir(parents=True)
    (free[0].directory / 'lease-1.json').write_text('{"attempt": 1, "host": "here"}')
    write_failure(free[1].directory, 'no', 'log')  # is tried again
    _, text = submitted(config, tmp_path)
    assert '6 cells already queued or running' in text
    assert '2 of 8 cells submitted to Slurm as job 102' in text
    fake.says('squeue', tasks + ''.join(f'102 {n} RUNNING N/A vggres-depth\n' for n in range(2)))
    _, text = submitted(config, tmp_path)
    assert '8 cells already queued or running' in text
    assert len(fake.calls('sbatch')) == 2


def test_the_same_command_reports_when_all_is_done(config, tmp_path, fake):
    config.sweep.depths = (8,)
    submitted(config, tmp_path)
    sweep, _ = planning.checked_sweep('depth', config, tmp_path, given={'train.epochs'})
    for cell in sweep.cells:
        finish(cell, error=1.0)
    failed, text = submitted(config, tmp_path)
    assert failed == []
    assert 'report: ' in text
    assert (tmp_path / 'depth' / 'report.html').exists()
    assert len(fake.calls('sbatch')) == 1


def test_the_cells_of_later_stages_are_submitted_by_later_launches(
    config, tmp_path, fake, monkeypatch
):
    stages.register(monkeypatch)
    config.sweep.depths = (8,)
    _, text = submitted(config, tmp_path, 'stages')
    assert '2 of 2 cells submitted' in text
    assert 'More cells may follow' in text
    assert 'The same command submits them.' in text
    sweep, _ = planning.checked_sweep('stages', config, tmp_path, given={'train.epochs'})
    for cell in sweep.cells:
        finish(cell, validation_loss=stages.loss_of(cell))
    _, text = submitted(config, tmp_path, 'stages')
    assert '2 of 4 cells submitted to Slurm as job 102' in text


def test_a_cluster_that_refuses_leaves_no_sweep(config, tmp_path, fake):
    fake.refuses('sbatch', 'sbatch: error: invalid account\n')
    with pytest.raises(UserError, match='sbatch refuses: invalid account'):
        submitted(config, tmp_path)
    assert not (tmp_path / 'depth').exists()
