"""Planted laws are told apart, as often as the docstring of `growth` says."""

import collections
import dataclasses
import json
import math

import numpy as np
import pytest

from vggres.findings.growth import FLAT_FACTOR, MOST_CENSORED, difference, judge, shape

DEPTHS = np.arange(8, 51, 6)
BUDGET = 1000
PLANTED = {
    'exponential': lambda depth: 66 * (242 / 66) ** ((depth - 20) / 24),
    'power': lambda depth: 66 * (depth / 20) ** (math.log(242 / 66) / math.log(44 / 20)),
    'flat': lambda depth: 52.0 + 0 * depth,
}


def world(rng, law, budget=BUDGET, seeds=5, by_depth=0.0, by_seed=0.0):
    """Bounds of runs that need the updates of a law, with noise of 10 %, and looks every 5.

    Args:
        rng: the source of noise.
        law: depths → updates.
        budget: updates after which a run is censored.
        seeds: their number.
        by_depth: noise that all runs of a depth share, as a part.
        by_seed: noise that all runs of a seed share, as a part.
    """
    noise = 0.1 * rng.normal(size=(seeds, len(DEPTHS)))
    noise += by_depth * rng.normal(size=(1, len(DEPTHS))) + by_seed * rng.normal(size=(seeds, 1))
    high = 5 * np.ceil(law(DEPTHS) * np.exp(noise) / 5)
    low = high - 5
    return np.where(high > budget, budget, low), np.where(high > budget, np.inf, high)


def statuses(law, replicates, seed=0, **noise):
    rng = np.random.default_rng(seed)
    return collections.Counter(
        judge(DEPTHS, *world(rng, law, **noise)).status for _ in range(replicates)
    )


# Of 25 sweeps, at least so many are right, by the table of `growth`: the binomial 0.1 % quantile.
LEAST_RIGHT = {
    ('exponential', BUDGET): 7,
    ('power', BUDGET): 25,
    ('flat', BUDGET): 25,
    ('exponential', 250): 4,
    ('power', 250): 22,
    ('flat', 250): 25,
}


@pytest.mark.parametrize(
    ('planted', 'budget'),
    [pytest.param(*case, marks=[pytest.mark.slow] * (case[1] == BUDGET)) for case in LEAST_RIGHT],
)
def test_a_planted_law_is_found(planted, budget):
    """As often as the docstring says, and none has the other law."""
    found = statuses(PLANTED[planted], 25, budget=budget)
    assert found[planted] >= LEAST_RIGHT[planted, budget]
    assert found.keys() <= {planted, 'inconclusive'}


@pytest.mark.parametrize(
    'law', [lambda depth: 40 + 0.002 * depth**3.0, lambda depth: 40 + 0.02 * depth**2.5]
)
def test_a_power_above_a_floor_is_not_called_exponential(law):
    """Warm-up is a floor: without a test against it, all of these would be exponential."""
    found = statuses(law, 25)
    assert found['exponential'] <= 5  # 5 % by the table: more has a probability of 0.1 %
    assert found.keys() <= {'exponential', 'inconclusive'}


@pytest.mark.slow
@pytest.mark.parametrize('planted', ['exponential', 'power'])
def test_luck_that_all_seeds_share_seldom_gives_the_other_law(planted):
    """20 % by depth, as a coarse grid of rates may give: about 1 % have the other law."""
    found = statuses(PLANTED[planted], 40, by_depth=0.2, by_seed=0.1)
    other = {'exponential': 'power', 'power': 'exponential'}[planted]
    assert found[other] <= 3
    assert found['falls'] + found['flat'] == 0


@pytest.mark.slow
def test_a_change_by_the_margin_is_seldom_called_flat():
    """Two one-sided tests at 5 %, at the edge of what they test."""
    edge = math.log(FLAT_FACTOR) / (DEPTHS[-1] - DEPTHS[0])
    found = statuses(lambda depth: 52 * np.exp(edge * (depth - 8)), 40)
    assert found['flat'] <= 4
    assert found['exponential'] + found['inconclusive'] + found['flat'] >= 38


def test_numbers_that_fall_are_said_to():
    assert statuses(lambda depth: 400 / depth, 5) == {'falls': 5}


@pytest.mark.slow
def test_the_factor_and_its_interval_contain_what_was_planted():
    """95 % intervals of both laws over the whole range, in 20 simulated sweeps each."""
    rng = np.random.default_rng(1)
    for name in ('exponential', 'power'):
        law, covered = PLANTED[name], 0
        truth = law(50) / law(8)
        for _ in range(20):
            found = judge(DEPTHS, *world(rng, law, by_seed=0.1)).laws[name]
            low, high = found.factor_interval
            covered += low < truth < high
            assert found.factor == pytest.approx(truth, rel=0.4)
        assert covered >= 16  # binomial: 99.7 % of such counts


@pytest.mark.slow
def test_noise_that_the_runs_of_a_depth_share_widens_the_interval():
    """Seeds that agree would be certain of a slope that the luck of eight depths made."""
    rng = np.random.default_rng(10)
    error = math.sqrt((0.2**2 + 0.1**2 / 5) / np.square(DEPTHS - DEPTHS.mean()).sum())
    covered, halves = 0, []
    for _ in range(20):
        found = judge(DEPTHS, *world(rng, PLANTED['flat'], by_depth=0.2)).laws['exponential']
        low, high = found.interval
        covered += low < 0 < high
        halves.append((high - low) / 2)
    assert covered >= 16  # binomial: 99.7 % of such counts
    assert 1.9 * error < np.median(halves) < 3 * error  # Student's quantile is 2.4


def test_too_many_censored_runs_are_no_finding():
    rng = np.random.default_rng(2)
    low, high = world(rng, PLANTED['exponential'], budget=80)
    found = judge(DEPTHS, low, high)
    assert found.status == 'budget insufficient'
    share = np.isinf(high).mean()
    assert share > MOST_CENSORED
    assert f'{np.isinf(high).sum()} of 40 runs ({100 * share:.0f} %)' in found.reason
    assert found.medians[-1] is None
    assert found.censored == tuple(np.isinf(high).sum(axis=0))
    assert found.laws == {}


def test_few_seeds_or_depths_are_not_measured():
    low, high = world(np.random.default_rng(3), PLANTED['flat'])
    for few in (judge(DEPTHS, low[:2], high[:2]), judge(DEPTHS[:2], low[:, :2], high[:, :2])):
        assert few.status == 'not measured'
    nothing = judge(DEPTHS, low[:0], high[:0])
    assert (nothing.status, nothing.n, nothing.medians) == ('not measured', 0, (None,) * 8)


def test_four_depths_do_not_tell_the_laws_apart():
    low, high = world(np.random.default_rng(4), PLANTED['exponential'])
    found = judge(DEPTHS[4:], low[:, 4:], high[:, 4:])
    assert found.status == 'inconclusive'
    assert found.comparison is None
    assert 'It grows' in found.reason
    assert '5 depths are needed' in found.reason


def test_one_depth_alone_does_not_decide():
    """A power law, but the deepest network takes six times as long: without it, a power law."""
    rng = np.random.default_rng(5)

    def law(depth):
        return PLANTED['power'](depth) * np.where(depth == 50, 6, 1)

    found = judge(DEPTHS, *world(rng, law, budget=10_000))
    assert found.comparison.advantage > 0
    assert found.comparison.without_a_depth[0] < 0
    assert found.status == 'inconclusive'
    assert 'one depth decides it' in found.reason


def test_the_deepest_are_predicted_from_the_others():
    """Without noise, the right law predicts them, to the last look."""
    for name in ('exponential', 'power'):
        exact = np.tile(PLANTED[name](DEPTHS), (5, 1))
        found = judge(DEPTHS, exact * 0.999, exact)
        assert found.laws[name].predicted == pytest.approx(exact[0, -2:], rel=0.01)
        sign = 1 if name == 'exponential' else -1
        assert sign * found.comparison.prediction > 10
        assert found.comparison.prediction_counts
    censored = np.where(exact > 200, np.inf, exact)
    found = judge(DEPTHS, np.where(exact > 200, 200, exact * 0.999), censored)
    assert not found.comparison.prediction_counts


def test_equal_counts_are_flat_without_certainty():
    found = judge(DEPTHS, np.full((5, 8), 50.0), np.full((5, 8), 55.0))
    assert found.status == 'flat'
    low, high = found.laws['exponential'].interval
    assert low < -1e-4
    assert high > 1e-4


def test_growth_can_be_stored_as_it_is():
    """Also where all seeds agree, so that nothing has a spread: no number is infinite."""
    noisy = world(np.random.default_rng(6), PLANTED['exponential'])
    exact = np.tile(5 * np.ceil(PLANTED['exponential'](DEPTHS) / 5), (5, 1))
    for bounds in (noisy, (exact - 5, exact)):
        found = judge(DEPTHS, *bounds)
        stored = json.loads(json.dumps(dataclasses.asdict(found), allow_nan=False))
        assert stored['laws']['power']['factor'] == found.laws['power'].factor
    assert found.comparison.interval is None
    assert (found.status, 'no spread over seeds is known' in found.reason) == ('inconclusive', True)


def test_a_difference_of_slopes_is_paired_by_seeds():
    """The slope of each seed varies by 0.01 a layer, in both families alike."""
    rng = np.random.default_rng(7)
    truth, covered, widths = math.log(242 / 66) / 24, 0, []
    for _ in range(40):
        tilt = np.exp(0.01 * rng.normal(size=(5, 1)) * (DEPTHS - 29))
        pair = []
        for name in ('exponential', 'flat'):
            n = PLANTED[name](DEPTHS) * tilt * np.exp(0.05 * rng.normal(size=(5, 8)))
            pair.append((n * 0.99, n))
        found = difference(DEPTHS, *pair)
        assert found.n == 5
        covered += found.interval[0] < truth < found.interval[1]
        widths.append(np.diff(found.interval)[0])
    assert covered >= 35
    # A slope alone has a standard error of 0.01/√5; that of the difference does without it.
    assert np.median(widths) < 2 * 2.776 * 0.01 / math.sqrt(5)


def test_the_bend_tells_what_is_faster_than_exponential():
    rng = np.random.default_rng(8)
    found = shape(DEPTHS, *world(rng, lambda depth: 40 * np.exp((depth / 26) ** 2), budget=9999))
    assert found.bend == pytest.approx(2, abs=0.4)
    assert found.bend_interval[0] > 1
    found = shape(DEPTHS, *world(rng, PLANTED['exponential']))
    assert found.bend_interval[0] < 1 < found.bend_interval[1]
    assert shape(DEPTHS, *world(rng, PLANTED['flat'])).bend_interval is None


@pytest.mark.slow
def test_a_power_above_a_floor_is_found_behind_an_exponential():
    rng = np.random.default_rng(9)
    found = shape(DEPTHS, *world(rng, lambda depth: 40 + 0.002 * depth**3, seeds=20))
    assert found.floor_advantage < -10
    assert found.floor == pytest.approx(40, rel=0.1)
    assert found.floor_exponent == pytest.approx(3, abs=0.6)
    assert shape(DEPTHS, *world(rng, PLANTED['exponential'], seeds=20)).floor_advantage > 1
