"""Planted gaps decide the claim each way, at each budget."""

import math
from statistics import fmean

import planted
import pytest

from experiments.depth_tuned.analysis import Fit, TunedNetwork, TunedVerdict
from experiments.depth_tuned.claims import CLAIMS
from vggres.findings import tuned
from vggres.findings.claims import Evidence, judge
from vggres.findings.contrasts import LEVEL
from vggres.findings.tuned import LOSS_MARGIN
from vggres.findings.tuning import Choice

(CLAIM,) = CLAIMS
N = 24  # so many that frequent failures are excluded, and the whole table's level is met


def runs(family, depth, log_loss, failed=0, error=2.0, spread=0.05):
    """Fresh runs whose losses deviate by `spread` decades; the first ones fail to train."""
    results, of_trained = [], error
    for seed in range(N):
        noise = spread * (-1) ** (seed if depth == 20 else seed // 2)
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
    tuning=None,
    base=-2.0,
    spread=0.05,
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
        tuning: of some networks, by depth, log10 of the training loss and the error at other rates
            than the own one, or at that one, 0.001, on the tuning seeds: {56: {0.01: (-1.0, 9.0)}}.
        base: log10 of the loss of plain-20.
        spread: of the losses of plain networks, in decades.
    """
    fresh, shallower = {}, {}
    for budget, gap in zip((1, 3), gaps, strict=False):
        low, high = errors or (2.0, 2.0 + 4 * max(0.0, gap))
        fresh['plain', 20, budget] = runs('plain', 20, base, 0, low, spread)
        fresh['plain', deepest, budget] = runs('plain', deepest, base + gap, failed, high, spread)
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
        networks=tuple(network(*each, edges, common, tuning or {}) for each in fresh.items()),
        gaps=tuple(judged),
        interactions=(),
        families={},
    )
    (finding,) = judge([CLAIM], {'depth_tuned': Evidence([], verdict, {})})
    return finding


def network(place, results, edges, common, tuning):
    """The network at its own rate, and its fit at the common rate, worse where it is deep."""
    edge = 'lowest' if place in edges else ''
    choice = Choice(rates=(0.001, 0.003), losses=(0.01, 0.02), rate=0.001, edge=edge, n=3)
    log_losses = [math.log10(run.train_loss) for run in results]
    at_common = common if place[1] != 20 else 0.0
    fits = {
        0.001: (fmean(log_losses), fmean(run.train_error for run in results)),
        0.003: (-1.0 + at_common, 2.0 + 10 * at_common),
    } | (tuning.get(place[1], {}) if place[0] == 'plain' else {})
    listed = tuple(Fit(rate, *fit) for rate, fit in sorted(fits.items()))
    return TunedNetwork(*place, choice, 0.001, listed, tuned.outcome(results))


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
    said = judged.contrast.remark['en']
    assert (
        'depth 56 failed to train in 12 of 24 runs (probability of failure: 95 % interval' in said
    )


@pytest.mark.parametrize('spread', [0.01, 0.3])
def test_failures_refute_whatever_the_losses_of_the_others_do(spread):
    """All runs of plain-56 fail and none of plain-20, at a gap in loss below the margin."""
    planted = {'failed': N, 'base': math.log10(1.2), 'errors': (40.0, 90.0), 'spread': spread}
    finding = found(0.0, **planted)
    assert finding.judged[0].contrast.value < LOSS_MARGIN
    assert finding.status == 'fails'
    assert found(0.0, **planted, edges=[('plain', 56, 1)]).status == 'inconclusive'
    assert found(0.0, **planted, tuning_seeds=1).status == 'inconclusive'


def test_a_large_gap_of_the_error_refutes_where_losses_are_high():
    """A factor of 1.7 in the loss and 15 points more error, as on data that are hard to fit."""
    finding = found(0.23, errors=(27.0, 42.0), base=math.log10(0.75))
    assert finding.status == 'fails'
    assert finding.judged[0].contrast.value < LOSS_MARGIN
    assert '15.0 points above' in finding.judged[0].contrast.remark['en']
    # Three points are neither: they may come from the grid of rates.
    between = found(0.1, errors=(27.0, 30.0), base=math.log10(0.75))
    assert between.status == 'inconclusive'
    assert '3.0 points above' in between.judged[0].contrast.remark['en']


def test_a_gap_of_the_loss_without_errors_tells_of_rates():
    assert found(1.5, errors=(0.1, 0.2)).status == 'floor'
    # Where the error has a gap, a loss that is hardly above its margin is not vetoed, but unsure.
    unsure = found(LOSS_MARGIN + 0.1, errors=(2.0, 5.0), spread=0.17).judged[0].contrast
    assert LEVEL < unsure.p_false < 3 * LEVEL
    assert unsure.remark is None
    above_floor = found(1.5, errors=(2.0, 2.1))
    assert above_floor.status == 'inconclusive'
    assert 'the training error shows no gap' in above_floor.judged[0].contrast.remark['en']


def test_another_rate_that_closes_the_gap_leaves_the_claim_open():
    """Rates are chosen by the validation loss, and fit is the training loss."""
    finding = found(1.5, tuning={56: {0.01: (-1.9, 2.5)}})
    assert finding.status == 'inconclusive'
    assert 'at a rate of 0.01 instead of its own' in finding.judged[0].contrast.remark['en']
    for still_apart in ((-1.0, 2.5), (-1.9, 9.0)):  # in the loss, or in the error
        assert found(1.5, tuning={56: {0.01: still_apart}}).status == 'fails'
    # The rate with the lowest loss does not close it, but another one does.
    assert found(1.5, tuning={56: {0.01: (-1.9, 2.5), 0.03: (-2.0, 9.0)}}).status == 'inconclusive'
    finding = found(0.0, tuning={20: {0.01: (-3.0, 1.0)}})
    assert finding.status == 'inconclusive'
    assert 'plain-20 fits so well' in finding.judged[0].contrast.remark['en']
    assert found(0.0, tuning={20: {0.01: (-2.1, 1.5)}}).status == 'holds'


def test_tuning_seeds_that_differ_from_the_fresh_ones_at_the_own_rate_raise_no_doubt():
    """Fresh seeds decide; tuning seeds are asked about other rates alone."""
    assert found(1.5, tuning={56: {0.001: (-1.9, 2.5)}}).status == 'fails'
    assert found(0.0, tuning={20: {0.001: (-3.0, 0.1)}}).status == 'holds'


def test_frequent_failures_have_to_be_excluded_before_it_is_true():
    """Of 24 runs four failures leave P(fail) up to 34 %, and three leave it up to 29 %.

    Losses and errors of failed runs count as well, so that three failures leave the claim open.
    """
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


def test_without_a_gap_to_explain_a_failed_control_matters_no_more():
    finding = found(0.0, 0.0, common=0.05, residual_error=30.0)
    assert finding.status == 'not measured'


def test_without_residual_networks_that_train_nothing_is_decided():
    finding = found(1.5, residual_failed=15)
    assert (finding.status, finding.control.passed) == ('budget insufficient', False)
    assert finding.control.words['en'] == 'ResNet-56 trains in 9 of 24 runs at 1×'
    assert found().control.passed is None


def test_residual_networks_that_suffer_alike_make_the_budget_insufficient():
    """The deepest residual network has to fit no worse than a shallow one."""
    assert found(1.5, errors=(10.0, 30.0), residual_error=30.0).status == 'budget insufficient'
    assert found(1.5, errors=(10.0, 30.0), residual_error=6.0).status == 'fails'
    # Runs of the control that fail are counted; they are no fit that could be compared.
    assert found(1.5, errors=(10.0, 30.0), residual_failed=3).status == 'fails'


def test_a_sweep_of_shallow_networks_says_nothing_of_the_claim():
    finding = found(1.5, deepest=44)
    assert finding.status == 'not measured'
    assert '50 layers or more, and these have 44' in finding.judged[0].contrast.barrier.words['en']
