"""Planted gaps at several budgets: the slope, the status over all of them, the interaction."""

import dataclasses

import numpy as np
import pytest
from planted_gaps import DEEP, SHALLOW, judged, run, shares, world
from scipy import stats

from vggres.findings import budgets, tuned
from vggres.findings.budgets import SHRINKS
from vggres.findings.tuned import (
    DEGRADES,
    DOES_NOT,
    FAILS,
    FLOOR,
    INCONCLUSIVE,
    INSUFFICIENT,
    LOSS_MARGIN,
)

BUDGETS = (1, 3, 10)
NO_GAP = dict.fromkeys(BUDGETS, 0.0)
CONSTANT = dict.fromkeys(BUDGETS, 1.0)
SHRINKING = {budget: 1.2 / budget for budget in BUDGETS}


@pytest.mark.parametrize(
    ('gaps', 'status', 'each'),
    [
        (NO_GAP, DOES_NOT, [DOES_NOT] * 3),
        (CONSTANT, DEGRADES, [DEGRADES] * 3),
        (SHRINKING, SHRINKS, [DEGRADES, None, DOES_NOT]),
    ],
)
def test_a_planted_world_is_recognised(gaps, status, each):
    """At 3× the shrinking gap is 0.4, too near to the margin to be told from it every time."""
    found = [judged(world(gaps, spread=0.08, draw=draw)) for draw in range(25)]
    assert shares(verdict.status for _, verdict in found)[status] >= 0.9
    for budget, expected in zip(gaps, each, strict=True):
        if expected is not None:
            assert shares(by_budget[budget].status for by_budget, _ in found)[expected] >= 0.9
    residual = [judged(world(gaps, spread=0.08, draw=draw), 'resnet')[1] for draw in range(3)]
    assert {verdict.status for verdict in residual} == {DOES_NOT}


def test_the_slope_is_that_of_a_line_through_each_seeds_gaps():
    runs = world({1: 1.2, 3: 0.7, 10: 0.1})
    gaps, verdict = judged(runs)
    slopes = [
        stats.linregress(np.log10(BUDGETS), [gaps[b].loss.values[seed] for b in BUDGETS]).slope
        for seed in range(8)
    ]
    assert verdict.slope.values == pytest.approx(slopes)
    assert verdict.slope.mean == pytest.approx(np.mean(slopes))
    assert verdict.budgets == BUDGETS


def test_the_interaction_is_the_difference_of_gaps_seed_by_seed():
    gaps = tuned.judge(world({3: 0.9}), {('plain', 3): SHALLOW, ('resnet', 3): SHALLOW})
    (found,) = budgets.interactions(gaps, ('plain', 'resnet'))
    plain, resnet = (np.array(gap.loss.values) for gap in gaps)
    assert found.budget == 3
    assert found.loss.values == pytest.approx(plain - resnet)
    assert budgets.interactions(gaps[:1], ('plain', 'resnet')) == []


def test_a_network_that_fails_at_a_budget_and_degrades_at_the_next_is_worse_at_both():
    """The planted gaps, between guessing and a loss that barely moves, do not shrink."""
    runs = world({1: 1.0, 3: 2.4})
    runs['plain', DEEP, 1] = [run('plain', DEEP, seed, 0, failed=True) for seed in range(8)]
    gaps, verdict = judged(runs)
    assert [gaps[budget].status for budget in (1, 3)] == [FAILS, DEGRADES]
    assert verdict.status == DEGRADES


def test_budgets_without_a_control_are_left_out_of_the_slope():
    runs = world(SHRINKING)
    runs['resnet', DEEP, 1] = [run('resnet', DEEP, seed, 0, failed=True) for seed in range(8)]
    _, verdict = judged(runs)
    assert verdict.budgets == (3, 10)
    for budget in (3, 10):
        failed = [run('resnet', DEEP, seed, 0, failed=True) for seed in range(8)]
        runs['resnet', DEEP, budget] = failed
    assert judged(runs)[1].status == INSUFFICIENT
    assert budgets.over_budgets([]).status == INCONCLUSIVE


def test_a_gap_shrinks_by_what_was_measured_and_not_by_what_a_line_foretells():
    """From 1× to 3×: 0.2 decades are 0.4 per tenfold budget, more than the margin."""
    small, large = (world({1: 1.2, 3: 1.2 - fall}, spread=0.02) for fall in (0.2, 0.6))
    assert judged(small)[1].slope.interval[1] < -LOSS_MARGIN
    assert judged(small)[1].status == DEGRADES
    assert judged(large)[1].status == SHRINKS


def test_a_floor_makes_no_slope():
    runs = world({1: 3.0, 3: 0.8, 10: 0.8})
    first = {place: found for place, found in runs.items() if place[2] == 1}
    at_floor = {
        place: [dataclasses.replace(each, train_error=0.0) for each in found]
        for place, found in first.items()
    }
    gaps, verdict = judged(runs | at_floor)
    assert gaps[1].status == FLOOR
    assert verdict.budgets == (3, 10)


def test_a_gap_at_an_edge_of_the_grid_makes_no_slope():
    """At 1× the gap is one of the grid; without it the gap is level, and does not shrink."""
    runs = world({1: 3.0, 3: 0.8, 10: 0.8})
    assert judged(runs)[1].status == SHRINKS
    _, verdict = judged(runs, at_edge={('plain', DEEP, 1)})
    assert verdict.budgets == (3, 10)
    assert verdict.status == INCONCLUSIVE
    assert verdict.slope.mean == pytest.approx(0, abs=0.2)
