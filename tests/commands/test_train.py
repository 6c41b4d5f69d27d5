import io
from pathlib import Path

import pytest
from planted import finish
from rich.console import Console

from vggres.commands import planning, train
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
