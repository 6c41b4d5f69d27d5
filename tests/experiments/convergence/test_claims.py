"""Planted laws decide the claim each way."""

import dataclasses
import math

import numpy as np
import pytest

from experiments.convergence.analysis import ConvergenceVerdict, Network
from experiments.convergence.claims import CLAIMS
from vggres.findings.claims import Evidence, judge
from vggres.findings.contrasts import Word
from vggres.findings.fastest import TunedRate
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


def network(family, depth=50, edge='', updates=(50,) * SEEDS, reached=True):
    means = {'0.01': 50.0 if reached else None}
    tuned = TunedRate(rate=0.01, wanted=(), updates=means, edge=edge, n=2)
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


def test_an_exponential_law_is_confirmed_where_a_floor_is_excluded():
    finding = found(certain(growth('exponential')))
    assert finding.status == 'holds'
    (judged,) = finding.judged
    assert judged.contrast.n == SEEDS
    assert judged.contrast.value > 0
    assert judged.contrast.remark is None


@pytest.mark.parametrize('law', ['power', 'flat', 'falls'])
def test_other_laws_refute(law):
    finding = found(growth(law))
    assert finding.status == 'fails'
    (judged,) = finding.judged
    # The number refutes by itself, or the growth does, and then it is said.
    if law == 'power':
        assert judged.contrast.interval[1] < 0
        assert judged.contrast.remark is None
    else:
        assert 'the updates change by a factor of' in judged.contrast.remark['en']


def certain(whole):
    """The same where a power law above a floor fits much worse."""
    return dataclasses.replace(
        whole, comparison=dataclasses.replace(whole.comparison, above_a_floor=9.0)
    )


def test_an_exponential_law_that_hardly_grows_refutes_the_claim():
    """Growth by 1.3, give or take 0.1, is below the factor 1.5 that counts, whatever the law."""
    whole = certain(growth('exponential'))
    laws = {
        name: dataclasses.replace(law, factor=1.3, factor_interval=(1.2, 1.4))
        for name, law in whole.laws.items()
    }
    finding = found(dataclasses.replace(whole, laws=laws))
    assert finding.status == 'fails'
    contrast = finding.judged[0].contrast
    assert contrast.value > 0
    # What decided is said, since the number of the row did not.
    assert contrast.remark['en'].endswith(
        'from depth 8 to 50 the updates change by a factor of 1.30 [1.20 to 1.40]'
    )


def test_growth_at_the_margin_confirms_nothing():
    """Both have to be shown for "true": the law, and that there is growth to speak of."""
    whole = certain(growth('exponential'))
    laws = {
        name: dataclasses.replace(law, factor=1.6, factor_interval=(1.2, 2.1))
        for name, law in whole.laws.items()
    }
    assert found(dataclasses.replace(whole, laws=laws)).status == 'inconclusive'


def test_two_seeds_are_too_few():
    assert found(growth('exponential', seeds=2)).status == 'not measured'


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({'without_a_depth': (-0.1, 9.0)}, 'one depth decides'),
        ({'prediction': -1.0, 'prediction_counts': True}, 'predicts the deepest networks better'),
        (
            {'above_a_floor': 1.9},
            'a power law above a floor may look like this; more seeds or depths',
        ),
    ],
)
def test_what_may_be_otherwise_is_not_decided(change, words):
    whole = certain(growth('exponential'))
    doubtful = dataclasses.replace(
        whole, comparison=dataclasses.replace(whole.comparison, **change)
    )
    finding = found(doubtful)
    assert finding.status == 'inconclusive'
    (judged,) = finding.judged
    assert words in judged.contrast.remark['en']
    assert judged.needed is None  # no number of seeds like these would help


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
    finding = found(certain(growth('exponential')), [TRAINED, at_edge])
    assert finding.status == 'not measured'
    words = finding.judged[0].contrast.barrier.words['en']
    assert 'the fastest rate of plain-44 (0.01) lies at the edge' in words
    # That of another family does not matter.
    other = found(certain(growth('exponential')), [network('resnet', edge='highest')])
    assert other.status == 'holds'


def test_a_network_whose_fastest_rate_is_not_known_measures_nothing():
    """No tuning run of plain-50 reached the target; it runs at the rate of the lowest loss."""
    slow = network('plain', depth=50, reached=False)
    finding = found(certain(growth('exponential')), [TRAINED, slow])
    assert finding.status == 'budget insufficient'
    words = finding.judged[0].contrast.barrier.words['en']
    assert words.startswith('no tuning run of plain-50 (0.01) reached the target')


def test_the_control_is_the_deepest_residual_network():
    lost = (None,) * 5 + (90,) * 3
    finding = found(growth('exponential'), [network('resnet', 8), network('resnet', updates=lost)])
    assert (finding.status, finding.control.passed) == ('budget insufficient', False)
    assert finding.control.words['en'] == 'ResNet-50 reaches 5 % training error in 3 of 8 runs'
    assert found(growth('exponential'), []).control.passed is None
    # A residual network that is less deep is no control, as while the sweep is running.
    unfinished = found(growth('exponential'), [network('plain'), network('resnet', 8)])
    assert (unfinished.status, unfinished.control.passed) == ('not measured', None)


def test_both_families_are_described():
    described = {
        each.where['family']: each.value for each in found(growth('exponential')).descriptions
    }
    # The planted law grows by (242 / 66) ** (42 / 24) = 9.7 from depth 8 to 50.
    assert described[Word.PLAIN] == pytest.approx(9.7, rel=0.15)
    assert described[Word.RESNET] == pytest.approx(1.0, rel=0.15)
