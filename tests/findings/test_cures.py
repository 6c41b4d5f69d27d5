"""Interventions with known effects, and how often noise alone is given a status."""

import math

import numpy as np
import pytest

from vggres.findings.cures import CLEAR, CURED, judge, log_ratio, ratio

BUDGET = 1000


def network(factor, spread=0.02, n=5, rng=0, budget=BUDGET, common=100):
    """Updates around `common · factor`, by seed; None beyond the budget."""
    noise = np.random.default_rng(rng).normal(0, spread, n)
    counts = common * factor * np.exp(noise)
    return {seed: round(each) if each <= budget else None for seed, each in enumerate(counts)}


CONTROL, SICK = network(1, rng=1), network(6, rng=2)


@pytest.mark.parametrize(
    ('factor', 'status'),
    [
        (1.0, 'cures'),
        (1.7, 'cures'),
        (3.0, 'helps'),
        (6.0, 'no effect'),
        (9.0, 'harms'),
        (20.0, 'harms'),  # censored in every run: at least 1000 / 600
    ],
)
def test_a_planted_effect_is_found(factor, status):
    found = judge(('arm', 56), network(factor, rng=3), SICK, CONTROL, BUDGET)
    assert (found.status, found.arm, found.depth) == (status, 'arm', 56)


def test_an_interval_that_contains_a_limit_decides_nothing():
    wide = {0: 150, 1: 250, 2: 170, 3: 320, 4: 160}
    assert judge(('arm', 56), wide, network(2.4, 0.3), CONTROL, BUDGET).status == 'inconclusive'


def test_without_a_disease_there_is_nothing_to_cure():
    found = judge(('arm', 20), network(0.3), network(1.2), CONTROL, BUDGET)
    assert found.status == 'nothing to cure'


def test_what_a_treatment_does_to_the_control_itself():
    assert judge(('arm', 56), network(1.1), CONTROL, CONTROL, BUDGET).status == 'nothing to cure'
    assert judge(('arm', 56), network(3), CONTROL, CONTROL, BUDGET).status == 'harms'


def test_without_a_control_that_trains_nothing_is_said():
    broken = network(50, rng=1)
    assert set(broken.values()) == {None}
    found = judge(('arm', 56), network(1), SICK, broken, BUDGET)
    assert found.status == 'budget insufficient'


def test_two_networks_that_both_end_at_the_budget_are_not_called_alike():
    gone = {seed: None for seed in range(5)}
    found = judge(('arm', 56), gone, gone, CONTROL, BUDGET)
    assert found.status == 'budget insufficient'


def test_a_censored_run_cannot_make_a_cure_or_a_help():
    """One run of five does not arrive: with the budget in its place, all else is fast."""
    arm = network(1, rng=3) | {4: None}
    short = 190  # the budget is less than twice the control's updates
    found = judge(('arm', 56), arm, SICK, CONTROL, short)
    assert found.to_control.interval[1] < CURED
    assert found.status not in ('cures', 'helps')


def test_equal_values_are_no_certainty_and_two_seeds_are_too_few():
    same = {seed: 100 for seed in range(5)}
    found = judge(('arm', 56), same, {seed: 600 for seed in range(5)}, same, BUDGET)
    assert (found.to_control.interval, found.status) == (None, 'inconclusive')
    two = {0: 100, 1: 101}
    assert judge(('arm', 56), two, SICK, CONTROL, BUDGET).status == 'inconclusive'


def test_a_ratio_by_hand():
    """Seeds 1 and 2 have both; ln 2 and ln 8 have the mean ln 4 and the deviation 3·ln 2 / √2."""
    found = ratio({0: 5, 1: 20, 2: 80}, {1: 10, 2: 10, 3: 7}, BUDGET)
    assert (found.factor, found.n) == (pytest.approx(4), 2)
    half = 12.706204736 * (2 * math.log(2) / math.sqrt(2)) / math.sqrt(2)
    assert found.interval == pytest.approx((4 * math.exp(-half), 4 * math.exp(half)))
    assert (found.at_least, found.at_most) == (0, 0)
    censored = ratio({0: None, 1: 100}, {0: 500, 1: None}, BUDGET)
    assert (censored.at_least, censored.at_most) == (1, 1)
    assert censored.factor == pytest.approx(math.sqrt(2 * 0.1))


def test_how_often_an_arm_that_does_nothing_is_said_to_help_or_harm():
    """At the limits themselves an interval of 95 % errs in 2.5 %; without an effect in less."""
    rng, wrong, at_limit = np.random.default_rng(0), 0, 0
    for _ in range(1000):
        sick, arm, edge = (
            dict(enumerate(300 * factor * np.exp(rng.normal(0, 0.1, 5))))
            for factor in (1, 1, 1 / CLEAR)
        )
        control = dict(enumerate(50 * np.exp(rng.normal(0, 0.1, 5))))
        wrong += judge(('arm', 56), arm, sick, control, BUDGET).status in ('helps', 'harms')
        at_limit += judge(('arm', 56), edge, sick, control, BUDGET).status == 'helps'
    assert wrong <= 10
    assert 10 <= at_limit <= 40  # 25 expected; the standard deviation is 5


def test_a_look_every_few_updates_limits_what_is_known():
    """By hand: 77.5/37.5 and so on, with the variance of a number that is uniform within 5."""
    above, below = {0: 80, 1: 85, 2: 75}, {0: 40, 1: 45, 2: 40}
    logs = [math.log(77.5 / 37.5), math.log(82.5 / 42.5), math.log(72.5 / 37.5)]
    unresolved = np.mean([(5 / a) ** 2 + (5 / b) ** 2 for a, b in ((80, 40), (85, 45), (75, 40))])
    found = log_ratio(above, below, BUDGET, every=5)
    assert found.mean == pytest.approx(np.mean(logs))
    assert found.deviation == pytest.approx(math.sqrt(np.var(logs, ddof=1) + unresolved / 12))
    # Equal counts have no spread, and are not certain.
    equal = ratio({0: 40, 1: 40, 2: 40}, {0: 20, 1: 20, 2: 20}, BUDGET, every=5)
    half = 4.303 * math.sqrt(((5 / 40) ** 2 + (5 / 20) ** 2) / 12 / 3)  # Student's, 2 degrees
    assert equal.factor == pytest.approx(37.5 / 17.5)
    assert equal.interval == pytest.approx(
        [37.5 / 17.5 * math.exp(sign * half) for sign in (-1, 1)], rel=1e-3
    )
    assert ratio({0: 40, 1: 40}, {0: 20, 1: 20}, BUDGET).interval is None
