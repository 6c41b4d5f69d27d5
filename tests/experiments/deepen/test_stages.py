"""Which runs follow from which: rates, then the shallow network to its end, then deeper ones."""

from experiments import deepen
from experiments.deepen.question import SHALLOW
from experiments.deepen.stages import DEEPENED_ARM, SOURCE_ARM, tuned_rates
from vggres.sweeps.arms import is_tuning, network_of


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


def test_the_same_results_call_for_the_same_cells(sweep):
    known = {cell.id for cell in sweep.cells}
    again = list(deepen.next_cells(sweep))
    assert len(again) >= 6
    ids = {type(sweep.cells[0])(config, sweep.directory, 'deepen').id for _, config in again}
    assert ids <= known
