import io

import pytest
import stages
from planted import finish
from rich.console import Console

from vggres.commands import estimate as module
from vggres.commands import planning
from vggres.sweeps.cost import Cost


@pytest.fixture
def printed(config, tmp_path, monkeypatch):
    """Prints the estimate of a sweep whose networks take 0.1 s an update and compile in 30 s."""
    for name in ('take_cores', 'check_devices'):
        monkeypatch.setattr(module, name, lambda: None)
    monkeypatch.setattr(module, 'default_environment', dict)
    monkeypatch.setattr(module, 'placement', lambda number, workers, gpus: {})

    def estimator(info, target):
        return lambda program: Cost(12.0, 30.0, 0.1, 0.0, 7)

    monkeypatch.setattr(module, '_estimator', estimator)

    def printed(done=0, name='depth'):
        sweep, info = planning.checked_sweep(name, config, tmp_path)
        for cell in sweep.cells[:done]:
            finish(cell)
        console = Console(file=io.StringIO(), width=200)
        module.estimate(sweep, info, 'here', 2, console)
        return console.file.getvalue()

    return printed


def test_what_is_left_is_estimated(printed):
    text = printed(done=3)
    # Two networks of two families; 10 updates of 0.1 s in each of five cells, by two workers.
    assert 'plain of depth 14: 100.00 ms an update, 12 MB, compiled in 30 s' in text
    assert '5 cells to run' in text
    assert '47.5 s on this machine, 2 at a time, 90.0 s of 95.0 s for compilation' in text


def test_nothing_is_left_to_pay_for(printed):
    assert 'all cells are done' in printed(done=8)


def test_what_depends_on_results_is_announced(printed, config, tmp_path, monkeypatch):
    stages.register(monkeypatch)
    config.sweep.depths = (8,)
    text = printed(name='stages')
    assert '2 cells to run' in text
    assert (
        'This is the time of these cells alone. More cells may follow: the results decide' in text
    )
    console = Console(file=io.StringIO(), width=200)
    module.dry_run(*planning.checked_sweep('stages', config, tmp_path), console)
    assert '2 cells, 2 to run' in console.file.getvalue()
    assert 'More cells may follow' in console.file.getvalue()
    module.dry_run(*planning.checked_sweep('depth', config, tmp_path), console)
    assert console.file.getvalue().count('More cells may follow') == 1
