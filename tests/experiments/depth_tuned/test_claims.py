"""Planted gaps decide the claim each way, at each budget."""

import math
from statistics import fmean

import planted
import pytest

from experiments.depth_tuned.analysis import Fit, TunedNetwork, TunedVerdict
from experiments.depth_tuned.claims import CLAIMS
from vggres.findings import tuned
from vggres.findings.claims import Evidence, judge
from vggres.findings.tuned import LOSS_MARGIN
from vggres.findings.tuning import Choice

(CLAIM,) = CLAIMS
N = 24  # so many that frequent failures are excluded, and the whole table's level is met


def runs(family, depth, log_loss, failed=0, error=2.0):
    """Fresh runs whose losses deviate by 0.05 decades; the first ones fail to train."""
    results, of_trained = [], error
    for seed in range(N):
        noise = 0.05 * (-1) ** (seed if depth == 20 else seed // 2)
        loss, error = (10 ** (log_loss + noise), of_trained + noise)
        if seed < failed:
            loss, error = math.log(10), 90.0
        results.append(planted.result(family, depth, seed, train_error=error, train_loss=loss))
    return results


def found(
    *gaps,
    failed=0,
    residual_failed=0,
    edges=(),
    deepest=56,
    tuning_seeds=3,
    common=1.5,
    errors=None,
    residual_error=2.0,
    other=None,
    base=-2.0,
):
    """What becomes of the claim with these gaps of plain networks, one per budget.

    Args:
        gaps: in decades of loss.
        failed: runs of plain-56.
        residual_failed: runs of ResNet-56.
        edges: the networks whose rate is at an edge of the grid.
        deepest: instead of 56.
        tuning_seeds: how many there are.
        common: the gap at the common rate, in decades of loss.
        errors: of plain-20 and plain-56, in percent; else 2 and, with a gap, more.
        residual_error: of ResNet-56, in percent.
        other: a network and the log10 of its training loss at a third rate, on the tuning seeds.
        base: log10 of the loss of plain-20.
    """
    fresh, shallower = {}, {}
    for budget, gap in zip((1, 3), gaps, strict=False):
        low, high = errors or (2.0, 2.0 + 4 * max(0.0, gap))
        fresh['plain', 20, budget] = runs('plain', 20, base, error=low)
        fresh['plain', deepest, budget] = runs('plain', deepest, base + gap, failed, high)
        fresh['resnet', 20, budget] = runs('resnet', 20, -2.0)
        fresh['resnet', 56, budget] = runs('resnet', 56, -2.0, residual_failed, residual_error)
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
        networks=tuple(network(*each, edges, common, other) for each in fresh.items()),
        gaps=tuple(judged),
        interactions=(),
        families={},
    )
    (finding,) = judge([CLAIM], {'depth_tuned': Evidence([], verdict, {})})
    return finding


def network(place, results, edges, common, other):
    """The network at its own rate, and its fit at the common rate, worse where it is deep."""
    edge = 'lowest' if place in edges else ''
    choice = Choice(rates=(0.001, 0.003), losses=(0.01, 0.02), rate=0.001, edge=edge, n=3)
    log_losses = [math.log10(run.train_loss) for run in results]
    fits = [
        Fit(0.001, fmean(log_losses), fmean(run.train_error for run in results)),
        Fit(0.003, -1.0 + (common if place[1] != 20 else 0.0), 2.0),
    ]
    if other and place[:2] == other[0]:
        fits.append(Fit(0.01, other[1], 2.0))
    return TunedNetwork(*place, choice, 0.001, tuple(fits), tuned.outcome(results))


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


@pytest.mark.parametrize('spread', [0.01, 0.3])
def test_failures_refute_whatever_the_losses_of_the_others_do(spread):
    """All runs of plain-56 fail and none of plain-20, at a gap in loss below the margin."""
    gap = math.log10(math.log(10)) - math.log10(1.2) - spread / 10
    finding = found(gap, failed=N, base=math.log10(1.2), errors=(40.0, 90.0))
    assert gap < LOSS_MARGIN
    assert finding.status == 'fails'
    edges = [('plain', 56, 1)]
    assert found(gap, failed=N, base=math.log10(1.2), edges=edges).status == 'inconclusive'
    assert found(gap, failed=N, base=math.log10(1.2), tuning_seeds=1).status == 'inconclusive'


def test_a_large_gap_of_the_error_refutes_where_losses_are_high():
    """A factor of 1.7 in the loss and 15 points more error, as on data that are hard to fit."""
    finding = found(0.23, errors=(27.0, 42.0), base=math.log10(0.75))
    assert finding.status == 'fails'
    assert finding.judged[0].contrast.value < LOSS_MARGIN
    # Three points are neither: they may come from the grid of rates.
    between = found(0.1, errors=(27.0, 30.0), base=math.log10(0.75))
    assert between.status == 'inconclusive'
    assert '3.0 points above' in between.judged[0].contrast.remark['en']


def test_a_gap_of_the_loss_without_errors_tells_of_rates():
    assert found(1.5, errors=(0.1, 0.2)).status == 'floor'


def test_another_rate_that_closes_the_gap_leaves_the_claim_open():
    """Rates are chosen by the validation loss, and fit is the training loss."""
    finding = found(1.5, other=(('plain', 56), -1.9))
    assert finding.status == 'inconclusive'
    assert 'fits better at a rate of 0.01' in finding.judged[0].contrast.remark['en']
    assert found(1.5, other=(('plain', 56), -1.0)).status == 'fails'  # still a decade apart
    finding = found(0.0, other=(('plain', 20), -3.0))
    assert finding.status == 'inconclusive'
    assert 'plain-20 fits better' in finding.judged[0].contrast.remark['en']
    assert found(0.0, other=(('plain', 20), -2.1)).status == 'holds'


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
    assert [each.contrast.value for each in finding.judged] == pytest.approx([0, 0], abs=0.1)


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


def test_residual_networks_that_suffer_alike_make_the_budget_insufficient():
    """The deepest residual network has to fit no worse than a shallow one."""
    assert found(1.5, errors=(10.0, 30.0), residual_error=30.0).status == 'budget insufficient'
    assert found(1.5, errors=(10.0, 30.0), residual_error=6.0).status == 'fails'


def test_a_sweep_of_shallow_networks_says_nothing_of_the_claim():
    finding = found(1.5, deepest=44)
    assert finding.status == 'not measured'
    assert '50 layers or more, and these have 44' in finding.judged[0].contrast.barrier.words['en']
