"""Gaps of simulated families are judged as they were planted, and as rarely wrongly as is said."""

import dataclasses
import math

import numpy as np
import planted
import pytest
from planted_gaps import DEEP, SHALLOW, judged, run, shares, with_errors, world
from scipy import stats

from vggres.findings import tuned
from vggres.findings.outcomes import MARGIN, MIN_SEEDS, TOLERATED_FAILURES
from vggres.findings.tuned import (
    DEGRADES,
    DOES_NOT,
    ERROR_GAP,
    FAILS,
    FLOOR,
    INCONCLUSIVE,
    INSUFFICIENT,
    LOSS_MARGIN,
)

WORLDS = 200  # simulated sweeps in a test of a rate of error


def test_the_gap_is_the_paired_difference_with_students_interval():
    """Against scipy's own interval of a paired difference, with seeds that only one network has."""
    runs = world({1: 0.6})
    runs['plain', DEEP, 1] = [*runs['plain', DEEP, 1][::-1], run('plain', DEEP, 99, 0.0)]
    gap = judged(runs)[0][1]
    deep = np.log10([r.train_loss for r in sorted(runs['plain', DEEP, 1], key=lambda r: r.seed)])
    shallow = np.log10([r.train_loss for r in runs['plain', SHALLOW, 1]])
    expected = stats.ttest_rel(deep[:8], shallow).confidence_interval(0.95)
    assert gap.seeds == tuple(range(8))
    assert gap.loss.values == pytest.approx(deep[:8] - shallow)
    assert gap.loss.interval == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize('seeds', [5, 8])
def test_a_gap_of_just_the_margin_is_called_either_way_as_rarely_as_said(seeds):
    """Each of the two one-sided tests is wrong in 2.5 %; three standard errors are allowed."""
    found = shares(
        judged(world({1: LOSS_MARGIN}, seeds, draw=draw, families=['plain']))[0][1].status
        for draw in range(2 * WORLDS)
    )
    allowed = 0.025 + 3 * math.sqrt(0.025 * 0.975 / (2 * WORLDS))
    assert found.get(DEGRADES, 0) <= allowed
    assert found.get(DOES_NOT, 0) <= allowed


@pytest.mark.parametrize('seeds', [3, 5, 8])
def test_a_network_that_often_fails_is_rarely_said_not_to_degrade(seeds):
    """A P(fail) of `TOLERATED_FAILURES` is missed in 5 % of sweeps at most, one of 30 % in 0.7⁸."""
    for fails, said in ((TOLERATED_FAILURES, 0.05), (0.3, 0.7**8)):
        found = shares(
            judged(world({1: 0.0}, seeds, 0.1, fails, draw, ['plain']))[0][1].status
            for draw in range(WORLDS)
        )
        allowed = said + 3 * math.sqrt(said * (1 - said) / WORLDS)
        assert found.get(DOES_NOT, 0) <= (allowed if seeds == 8 else 0)
        assert found.get(DEGRADES, 0) <= 0.05


def test_failures_are_told_from_degradation():
    gap = judged(world({1: 0.0}, fails=1.0))[0][1]
    assert (gap.status, gap.failed) == (FAILS, (8, 0))
    assert gap.failure_p <= 1 / math.comb(16, 8) * 2


def test_no_spread_is_no_certainty():
    for gap in (0.0, 1.0):
        found = judged(world({1: gap}, spread=0.0))[0][1]
        assert (found.status, found.loss.interval) == (INCONCLUSIVE, None)


def test_few_seeds_decide_nothing_and_the_forecast_is_the_minimum():
    found = judged(world({1: 1.0}, seeds=MIN_SEEDS - 1, spread=1e-4))[0][1]
    assert (found.status, found.seeds_needed) == (INCONCLUSIVE, MIN_SEEDS)
    missing = judged(world({1: 0.0}) | {('plain', DEEP, 1): []})[0][1]
    assert (missing.status, missing.loss.mean, missing.seeds) == (INCONCLUSIVE, None, ())


def test_five_seeds_without_a_failure_call_for_eight():
    """0.05^(1/8) > 2/3 and 0.05^(1/7) < 2/3: eight runs without a failure, by hand."""
    found = judged(world({1: -0.1}, seeds=5))[0][1]
    assert (found.status, found.seeds_needed) == (INCONCLUSIVE, 8)
    assert 0.05 ** (1 / 8) > 1 - TOLERATED_FAILURES > 0.05 ** (1 / 7)


@pytest.mark.parametrize(
    ('untrained', 'plain', 'resnet'),
    [
        (('plain', SHALLOW), INSUFFICIENT, INSUFFICIENT),
        (('resnet', DEEP), INSUFFICIENT, FAILS),
        (('resnet', SHALLOW), DEGRADES, INSUFFICIENT),
    ],
)
def test_without_its_controls_nothing_is_said_of_a_family(untrained, plain, resnet):
    runs = world({1: 1.0})
    family, depth = untrained
    runs[family, depth, 1] = [run(family, depth, seed, 0, failed=True) for seed in range(8)]
    assert judged(runs)[0][1].status == plain
    assert judged(runs, 'resnet')[0][1].status == resnet


@pytest.mark.parametrize(
    ('gap', 'depth', 'status'),
    [
        (1.0, DEEP, INCONCLUSIVE),
        (1.0, SHALLOW, DEGRADES),
        (0.0, SHALLOW, INCONCLUSIVE),
        (0.0, DEEP, DOES_NOT),
    ],
)
def test_an_optimum_at_the_edge_of_the_grid_decides_nothing_in_its_favour(gap, depth, status):
    """A better rate beyond the edge could only lower the loss of the network that lies there."""
    found = judged(world({1: gap}), at_edge={('plain', depth, 1)})[0][1]
    assert found.status == status
    assert ('widen sweep.rates' in found.reason) == (status == INCONCLUSIVE)


def test_where_no_run_errs_a_gap_in_the_loss_is_not_degradation():
    """Rates are chosen by the validation loss: without an error, the gap may be theirs."""
    runs = world({1: 1.0, 3: 1.0})
    without = {
        place: [dataclasses.replace(run, train_error=MARGIN) for run in found]
        for place, found in runs.items()
    }
    gaps, verdict = judged(without)
    assert {gap.status for gap in gaps.values()} == {FLOOR} == {verdict.status}
    assert gaps[1].loss.interval[0] > LOSS_MARGIN
    assert {gap.status for gap in judged(runs)[0].values()} == {DEGRADES}


@pytest.mark.parametrize(
    ('gap', 'excess', 'status'),
    [
        (0.1, 15.0, DEGRADES),  # hard to fit: no factor of two in the loss, and far more errors
        (LOSS_MARGIN, 15.0, DEGRADES),
        (-0.2, ERROR_GAP - 1, INCONCLUSIVE),  # the loss says no and the error yes
        (0.1, MARGIN, INCONCLUSIVE),  # the loss says no and the error nothing
        (0.1, 0.5, DOES_NOT),
        (1.0, 0.5, INCONCLUSIVE),  # the loss says yes and the error no
        (1.0, 2.0, DEGRADES),
    ],
)
def test_loss_and_error_are_judged_together(gap, excess, status):
    found = with_errors(world({1: gap}, spread=0.05), 'plain', 10.0, 10.0 + excess)
    assert judged(found)[0][1].status == status


def test_a_deepest_residual_network_that_fits_worse_is_no_control():
    """By 4 points it passes, by 6 it does not: the margin of a control is 5."""
    runs = world({1: 1.0})
    passed = with_errors(runs, 'resnet', 5.0, 9.0)
    assert judged(passed)[0][1].status == DEGRADES
    gap = judged(with_errors(runs, 'resnet', 5.0, 11.0))[0][1]
    assert gap.status == INSUFFICIENT
    assert 'error of resnet-56 is 11.0 %, that of resnet-20 5.0 %' in gap.reason


def test_the_error_has_a_floor_and_a_status_of_its_own():
    def with_errors(errors):
        runs = world({1: 1.0})
        runs['plain', DEEP, 1] = [
            planted.result('plain', DEEP, seed, error, train_loss=0.1)
            for seed, error in enumerate(errors)
        ]
        runs['plain', SHALLOW, 1] = [
            dataclasses.replace(each, train_error=0.0) for each in runs['plain', SHALLOW, 1]
        ]
        return judged(runs)[0][1].error_status

    assert with_errors([0.0] * 8) == FLOOR
    assert with_errors([MARGIN] * 8) == FLOOR
    assert with_errors(np.linspace(4, 6, 8)) == DEGRADES
    assert with_errors([*np.linspace(0, 0.3, 7), 1.2]) == DOES_NOT
    assert with_errors(np.linspace(0, 3, 8)) == INCONCLUSIVE


def test_a_diverged_run_and_one_above_guessing_count_as_guessing():
    guessing = math.log10(math.log(10))
    diverged = planted.result(
        error=90.0, status='diverged', train_loss=None, validation_loss=None, test_loss=None
    )
    assert tuned.capped_log_loss(diverged) == pytest.approx(guessing)
    assert tuned.capped_log_loss(planted.result(train_loss=50.0)) == pytest.approx(guessing)
    found = tuned.outcome([diverged, planted.result(train_loss=0.01), planted.result()])
    assert (found.n, found.failed, found.median_error) == (3, 1, 0.0)
    assert found.median_loss == pytest.approx(0.5)
    low, high = stats.binomtest(1, 3).proportion_ci(0.95, method='exact')
    assert found.failure_interval == pytest.approx((low, high))
    assert tuned.outcome([]).failure_interval is None


def test_the_shallower_network_is_chosen_by_the_training_loss_of_the_tuning_seeds():
    def runs(losses):
        return [planted.result(train_loss=loss) for loss in losses]

    losses = {8: runs([0.1, 0.1]), 20: runs([0.01, 0.2]), 56: runs([1e-6, 1e-6])}
    assert tuned.best_shallower(losses) == 20  # the geometric mean, and never the deepest one
    assert tuned.best_shallower({8: runs([0.1]), 20: [], 56: runs([0.1])}) is None
    assert tuned.best_shallower({8: runs([0.1])}) is None
