"""Planted laws decide the claim each way."""

import dataclasses
import math

import numpy as np
import pytest

from experiments.convergence.analysis import ConvergenceVerdict, Network
from experiments.convergence.claims import CLAIMS
from experiments.convergence.stages import TunedRate
from vggres.findings.claims import Evidence, judge
from vggres.findings.contrasts import Word
from vggres.findings.growth import judge as judge_growth

(CLAIM,) = CLAIMS
DEPTHS = np.array([8, 14, 20, 26, 32, 38, 44, 50])
EVERY, BUDGET, SEEDS = 5, 1000, 8
# Both laws pass through 66 updates at depth 20 and 242 at depth 44.
LAWS = {
    'exponential': 66 * (242 / 66) ** ((DEPTHS - 20) / 24),
    'power': 66 * (DEPTHS / 20) ** (math.log(242 / 66) / math.log(44 / 20)),
    'flat': np.full(len(DEPTHS), 52.0),
    'falls': 200.0 * (8 / DEPTHS),
}


def growth(law, scale=1.0, seeds=SEEDS):
    """The verdict on planted counts with noise of 10 %, as looks and a budget make them."""
    noise = np.random.default_rng(1).normal(size=(seeds, len(DEPTHS)))
    counts = scale * LAWS[law] * np.exp(0.1 * noise)
    high = np.where(counts <= BUDGET, EVERY * np.ceil(counts / EVERY), np.inf)
    return judge_growth(DEPTHS, np.where(np.isinf(high), BUDGET, high - EVERY), high)


def network(family, depth=50, edge='', updates=(50,) * SEEDS):
    tuned = TunedRate(rate=0.01, wanted=(), updates={}, edge=edge, n=2)
    return Network(family, depth, tuned, tuple(range(SEEDS)), {'5': updates}, 0)


TRAINED = network('resnet')


def found(plain, networks=(TRAINED,)):
    verdict = ConvergenceVerdict(
        networks=tuple(networks),
        targets=('5', '1'),
        budget=BUDGET,
        resolution=EVERY,
        rates=(0.003, 0.01, 0.03),
        growth={'plain': {'5': plain}, 'resnet': {'5': growth('flat')}},
        shapes={},
        differences={},
    )
    (finding,) = judge([CLAIM], {'convergence': Evidence([], verdict, {})})
    return finding


@pytest.mark.parametrize(
    ('law', 'status'),
    [('exponential', 'holds'), ('power', 'fails'), ('flat', 'fails'), ('falls', 'fails')],
)
def test_each_law_decides(law, status):
    finding = found(growth(law))
    assert finding.status == status
    (judged,) = finding.judged
    assert judged.contrast.n == SEEDS
    if law in ('exponential', 'power'):
        assert (judged.contrast.value > 0) == (law == 'exponential')


def test_an_exponential_law_that_hardly_grows_refutes_the_claim():
    """Growth by 1.3, give or take 0.1, is below the factor 1.5 that counts, whatever the law."""
    whole = growth('exponential')
    laws = {
        name: dataclasses.replace(law, factor=1.3, factor_interval=(1.2, 1.4))
        for name, law in whole.laws.items()
    }
    finding = found(dataclasses.replace(whole, laws=laws))
    assert finding.judged[0].contrast.value > 0
    assert finding.judged[0].contrast.p_true > 0.5
    assert finding.status == 'fails'


def test_two_seeds_are_too_few():
    assert found(growth('exponential', seeds=2)).status == 'not measured'


def test_what_a_single_depth_decides_is_not_decided():
    whole = growth('exponential')
    turned = dataclasses.replace(
        whole, comparison=dataclasses.replace(whole.comparison, without_a_depth=(-0.1, 9.0))
    )
    contradicted = dataclasses.replace(
        whole,
        comparison=dataclasses.replace(whole.comparison, prediction=-1.0, prediction_counts=True),
    )
    for doubtful in (turned, contradicted):
        assert found(doubtful).status == 'inconclusive'


def test_a_power_law_that_one_depth_decides_does_not_refute():
    whole = growth('power')
    assert whole.comparison.advantage < 0
    turned = dataclasses.replace(
        whole, comparison=dataclasses.replace(whole.comparison, without_a_depth=(-9.0, 0.1))
    )
    assert found(turned).status == 'inconclusive'


def test_a_sweep_of_shallow_networks_says_nothing_of_the_claim():
    shallow = dataclasses.replace(growth('exponential'), depths=(8, 12, 16, 20, 24, 28, 32, 44))
    finding = found(shallow)
    assert finding.status == 'not measured'
    assert '50 layers or more, and these have 44' in finding.judged[0].contrast.barrier.words['en']


def test_runs_that_the_budget_ended_are_a_budget_and_not_a_law():
    finding = found(growth('exponential', scale=8.0))
    assert finding.status == 'budget insufficient'
    assert 'did not reach the target' in finding.judged[0].contrast.barrier.words['en']


def test_a_rate_at_the_edge_of_the_grid_measures_nothing():
    at_edge = network('plain', depth=44, edge='lowest')
    finding = found(growth('exponential'), [TRAINED, at_edge])
    assert finding.status == 'not measured'
    words = finding.judged[0].contrast.barrier.words['en']
    assert 'the fastest rate of plain-44 (0.01) lies at the edge' in words
    # That of another family does not matter.
    assert found(growth('exponential'), [network('resnet', edge='highest')]).status == 'holds'


def test_the_control_is_the_deepest_residual_network():
    lost = (None,) * 5 + (90,) * 3
    finding = found(growth('exponential'), [network('resnet', 8), network('resnet', updates=lost)])
    assert (finding.status, finding.control.passed) == ('budget insufficient', False)
    assert finding.control.words['en'] == 'ResNet-50 reaches 5 % training error in 3 of 8 runs'
    assert found(growth('exponential'), []).control.passed is None


def test_both_families_are_described():
    described = {
        each.where['family']: each.value for each in found(growth('exponential')).descriptions
    }
    # The planted law grows by (242 / 66) ** (42 / 24) = 9.7 from depth 8 to 50.
    assert described[Word.PLAIN] == pytest.approx(9.7, rel=0.15)
    assert described[Word.RESNET] == pytest.approx(1.0, rel=0.15)
