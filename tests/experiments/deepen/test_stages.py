"""Which runs follow from which: rates, then the shallow network to its end, then deeper ones."""

import dataclasses

from experiments import deepen
from experiments.deepen.question import SHALLOW
from experiments.deepen.stages import DEEPENED_ARM, FADED_ARM, SOURCE_ARM, tuned_rates
from vggres.config import get
from vggres.sweeps.arms import is_tuning, network_of
from vggres.sweeps.grid import changes


def test_each_network_gets_its_own_rate_and_fresh_seeds(sweep):
    rates = {network: tuned.rate for network, tuned in tuned_rates(sweep).items()}
    assert rates == {
        ('plain', 20): 0.03,
        ('plain', 44): 0.003,
        ('plain, Dirac', 44): 0.01,
        ('plain, delta-orthogonal', 44): 0.01,
        ('plain, looks-linear', 44): 0.003,
        ('resnet', 44): 0.03,
    }
    schemes = {network_of(cell)[0]: cell.config.init.scheme for cell in sweep.cells}
    assert {arm: schemes[arm] for arm, _ in rates} == {
        'plain': 'he',
        'plain, Dirac': 'dirac',
        'plain, delta-orthogonal': 'delta_orthogonal',
        'plain, looks-linear': 'looks_linear',
        'resnet': 'he',
    }
    fresh = [cell for cell in sweep.cells if not is_tuning(cell)]
    assert sum(network_of(cell) in rates for cell in fresh) == 6 * 3


def test_deepened_networks_start_from_the_source_of_their_seed(sweep):
    """At two rates, none of which they chose: that of plain-20 and that of plain-44."""
    sources = {cell.id: cell for cell in sweep.cells if network_of(cell) == (SOURCE_ARM, SHALLOW)}
    deepened = [cell for cell in sweep.cells if network_of(cell)[0] == DEEPENED_ARM]
    assert len(sources) == 3
    assert all(cell.config.checkpoint.save_weights for cell in sources.values())
    assert {cell.config.optimizer.learning_rate for cell in sources.values()} == {0.03}
    assert sorted((cell.config.optimizer.learning_rate, cell.config.seed) for cell in deepened) == [
        (rate, seed) for rate in (0.003, 0.03) for seed in range(3)
    ]
    for cell in deepened:
        assert sources[cell.config.init.deepened_from].config.seed == cell.config.seed
        assert cell.config.model.depth == 44
        assert not cell.config.train.until_error


def test_shortcuts_fade_over_half_the_budget_at_rates_that_are_not_their_own(sweep):
    """At two: that of the residual network and that of plain-44; fresh seeds, nothing else."""
    fading = [cell for cell in sweep.cells if network_of(cell)[0] == FADED_ARM]
    assert sorted((cell.config.optimizer.learning_rate, cell.config.seed) for cell in fading) == [
        (rate, seed) for rate in (0.003, 0.03) for seed in range(3)
    ]
    fresh = next(
        cell
        for cell in sweep.cells
        if network_of(cell) == ('resnet', 44) and not is_tuning(cell) and cell.config.seed == 0
    )
    differing = {
        'model.shortcut.fade_steps': 200,
        'train.until_error': (),
        'evaluation.every_steps': 0,
        'evaluation.every_epochs': 1,
    }
    assert fresh.config.train.steps == 400
    for cell in fading:
        found = {key: get(cell.config, key) for key in changes(cell.config, fresh.config)}
        own = {'seed': cell.config.seed} if cell.config.seed else {}
        if cell.config.optimizer.learning_rate != 0.03:
            own['optimizer.learning_rate'] = 0.003
        assert found == differing | own


def test_equal_rates_are_one_run(own_sweep):
    """Where the plain and the residual network are fastest at the same rate, 0.03."""
    for cell in own_sweep.cells:
        if network_of(cell) == ('plain', 44) and cell.config.optimizer.learning_rate == 0.03:
            cell.finish(dataclasses.replace(cell.result(), steps_to_error={'5': 5}))
    asked = [
        config.seed
        for variant, config in deepen.next_cells(own_sweep)
        if variant.startswith(FADED_ARM)
    ]
    assert asked == [0, 1, 2]
    named = {held.rate: held.rate_of for held in deepen.analyse(own_sweep).faded}
    assert named == {0.03: 'resnet-44 and plain-44', 0.003: ''}


def test_the_same_results_call_for_the_same_cells(sweep):
    known = {cell.id for cell in sweep.cells}
    again = list(deepen.next_cells(sweep))
    assert len(again) >= 6
    ids = {type(sweep.cells[0])(config, sweep.directory, 'deepen').id for _, config in again}
    assert ids <= known
