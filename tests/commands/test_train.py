import io
from pathlib import Path

import pytest
from planted import finish
from rich.console import Console
from small_color import repaint

import vggres
from vggres.commands import planning, train
from vggres.errors import UserError
from vggres.executors import local
from vggres.executors.local import Event


@pytest.fixture
def ran(monkeypatch):
    """The cells that were given to the executor, which finishes all but the last of them."""
    given = []

    def run(cells, costs, num_workers, log_dir, on_event):
        given.extend(cells)
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


def launched(config, workdir, name='depth'):
    sweep, info = planning.checked_sweep(name, config, workdir, given={'train.epochs'})
    console = Console(file=io.StringIO(), width=200)
    failed = train.run(sweep, info, 1, console)
    return failed, console.file.getvalue()


def test_what_is_left_runs_and_the_rest_is_kept(config, tmp_path, ran):
    config.sweep.depths, config.sweep.seeds = (8,), 2
    failed, text = launched(config, tmp_path)
    assert len(ran) == 4
    assert [failure.message for failure in failed] == ['out of luck']
    assert '4 of 4 cells to run, 1 at a time' in text
    assert '1 cell failed; the same command tries again.' in text
    assert 'finished: 3 of 4 cells' in text
    assert (tmp_path / 'depth' / 'report.html').exists()

    ran.clear()
    config.sweep.seeds = 1
    failed, text = launched(config, tmp_path)
    assert ran == []
    assert failed == []
    assert 'holds 2 cells of earlier launches as well: they are kept' in text


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
