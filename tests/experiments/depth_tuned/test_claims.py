"""Planted gaps decide the claim each way, at each budget."""

import math

import planted
import pytest

from experiments.depth_tuned.analysis import TunedNetwork, TunedVerdict
from experiments.depth_tuned.claims import CLAIMS
from vggres.findings import tuned
from vggres.findings.claims import Evidence, judge
from vggres.findings.tuned import LOSS_MARGIN
from vggres.findings.tuning import Choice

(CLAIM,) = CLAIMS
N = 24  # so many that frequent failures are excluded, and the whole table's level is met


def runs(family, depth, log_loss, failed=0):
    """Fresh runs whose losses deviate by 0.05 decades; the first ones fail to train."""
    results = []
    for seed in range(N):
        noise = 0.05 * (-1) ** (seed if depth == 20 else seed // 2)
        loss, error = (math.log(10), 90.0) if seed < failed else (10 ** (log_loss + noise), 0.5)
        results.append(planted.result(family, depth, seed, train_error=error, train_loss=loss))
    return results


def found(*gaps, failed=0, residual_failed=0, edges=(), deepest=56, tuning_seeds=3, common=1.5):
    """What becomes of the claim with these gaps of plain networks, one per budget."""
    fresh, shallower = {}, {}
    for budget, gap in zip((1, 3), gaps, strict=False):
        fresh['plain', 20, budget] = runs('plain', 20, -2.0)
        fresh['plain', deepest, budget] = runs('plain', deepest, -2.0 + gap, failed)
        fresh['resnet', 20, budget] = runs('resnet', 20, -2.0)
        fresh['resnet', 56, budget] = runs('resnet', 56, -2.0, residual_failed)
        shallower |= {('plain', budget): 20, ('resnet', budget): 20}
    judged = tuned.judge(fresh, shallower, set(edges))
    verdict = TunedVerdict(
        confidence=0.95,
        loss_margin=LOSS_MARGIN,
        error_margin=1.0,
        rates=(0.001, 0.003, 0.01),
        tuning_seeds=tuple(range(1000, 1000 + tuning_seeds)),
        common_rate=0.003,
        updates={},
        guessing=math.log(10),
        networks=tuple(network(*each, edges, common) for each in fresh.items()),
        gaps=tuple(judged),
        interactions=(),
        families={},
    )
    (finding,) = judge([CLAIM], {'depth_tuned': Evidence([], verdict, {})})
    return finding


def network(place, results, edges, common):
    """The network at its own rate, and its loss at the common rate, higher where it is deep."""
    edge = 'lowest' if place in edges else ''
    at_common = 0.1 * 10 ** (common if place[1] != 20 else 0.0)
    choice = Choice(rates=(0.001, 0.003), losses=(0.01, at_common), rate=0.001, edge=edge, n=3)
    return TunedNetwork(*place, choice, 0.001, tuned.outcome(results))


@pytest.mark.parametrize(
    ('gaps', 'status'),
    [
        ((0.0, 0.0), 'holds'),  # each network at its own rate, depth does no harm
        ((-1.0, -1.0), 'holds'),
        ((1.5, 1.5), 'fails'),
        ((1.5, 0.0), 'mixed'),  # more updates were needed, too
        ((LOSS_MARGIN, LOSS_MARGIN), 'inconclusive'),
        ((0.0, LOSS_MARGIN), 'inconclusive'),
    ],
)
def test_gaps_decide(gaps, status):
    finding = found(*gaps)
    assert finding.status == status
    assert [each.contrast.where for each in finding.judged] == [{'budget': 1}, {'budget': 3}]
    assert [each.contrast.value for each in finding.judged] == pytest.approx(gaps, abs=0.1)


def test_a_network_that_fails_more_often_refutes_the_claim():
    """Its runs that train fit so well that the losses alone decide nothing."""
    finding = found(-2.0, failed=N // 2)
    assert finding.status == 'fails'
    (judged,) = finding.judged
    assert judged.contrast.value < LOSS_MARGIN
    assert 'depth 56 failed to train in 12 of 24 runs, more often' in judged.contrast.remark['en']


def test_frequent_failures_have_to_be_excluded_before_it_is_true():
    """Of 24 runs four failures leave P(fail) up to 34 %, and three leave it up to 29 %."""
    four, three = found(-1.0, failed=4).judged[0], found(-1.0, failed=3).judged[0]
    assert (four.contrast.p_true, four.answer, four.needed) == (1.0, None, None)
    assert 'would exclude a third' in four.contrast.remark['en']
    assert three.contrast.p_true < 1


def test_the_luck_of_few_tuning_seeds_refutes_nothing():
    finding = found(1.5, tuning_seeds=1)
    assert finding.status == 'inconclusive'
    assert (
        'chosen on 1 tuning seed, which may have missed' in finding.judged[0].contrast.remark['en']
    )
    assert found(0.0, tuning_seeds=1).status == 'holds'  # a better rate would only help


def test_without_a_gap_at_the_common_rate_there_is_nothing_to_explain():
    finding = found(0.0, 0.0, common=0.1)
    assert finding.status == 'not measured'
    assert 'there is nothing to explain' in finding.judged[0].contrast.barrier.words['en']


def test_a_better_rate_may_lie_beyond_the_edge_of_the_grid():
    assert found(1.5, edges=[('plain', 56, 1)]).status == 'inconclusive'
    assert found(0.0, edges=[('plain', 20, 1)]).status == 'inconclusive'
    # The other way round the edge can only make the finding stronger.
    assert found(0.0, edges=[('plain', 56, 1)]).status == 'holds'
    assert found(1.5, edges=[('plain', 20, 1)]).status == 'fails'


def test_without_residual_networks_that_train_nothing_is_decided():
    finding = found(1.5, residual_failed=15)
    assert (finding.status, finding.control.passed) == ('budget insufficient', False)
    assert finding.control.words['en'] == 'ResNet-56 trains in 9 of 24 runs at 1×'
    assert found().control.passed is None


def test_a_sweep_of_shallow_networks_says_nothing_of_the_claim():
    finding = found(1.5, deepest=44)
    assert finding.status == 'not measured'
    assert '50 layers or more, and these have 44' in finding.judged[0].contrast.barrier.words['en']
