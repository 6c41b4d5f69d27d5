"""Estimates from samples: excess, intervals, failures, trend, geometric fit, rank correlation.

Nothing here judges; thresholds stand with the questions that use them. Errors are
`[num_seeds, num_depths]` in percent with the depths ascending. Each row holds the runs of one seed,
which saw the data in the same order.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

Interval = tuple[float, float]  # the lower and the upper end

# Up to this many depths every ordering of a seed's ranks is counted (8! = 40,320); for more depths
# the orderings are drawn at random.
ENUMERATED_DEPTHS = 8
NUM_DRAWS = 9999
# The probabilities of failure among which `failure_p` looks for the least favourable one.
_PROBABILITIES = np.linspace(0.005, 0.995, 199)
# Forecasts of seeds look no further: those by a spread, and those by failures, which take longer.
MOST_SEEDS = 1000
MOST_FORECAST = 50

# Means that agree to this many decimals count as equal: one ImageNet image is 8e-5 %, while the
# order of summation moves only the last bits.
ROUND_OFF_DECIMALS = 9


@dataclass(frozen=True)
class Fit:
    """A least-squares line through log10 of some values.

    Attributes:
        slope: in decades per position; None with fewer than three usable values, as are the other
            two attributes.
        interval: of the slope: Student's, for independent deviations from the line.
        r_squared: the part of the variance of log10(value) that the line explains; 0 where the
            values are all equal.
    """

    slope: float | None
    interval: Interval | None
    r_squared: float | None


@dataclass(frozen=True)
class Median:
    """The median of values of which some are only known to exceed a limit.

    Attributes:
        value: the median, or a number that it exceeds.
        is_exceeded: whether the median is above `value` rather than equal to it.
    """

    value: float
    is_exceeded: bool


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of some pairs.

    Attributes:
        correlation: from -1 to 1; None with fewer than four pairs or where one side is constant.
        interval: of the correlation; None with it.
        n: the number of pairs.
    """

    correlation: float | None
    interval: Interval | None
    n: int


def best_shallower(errors: np.ndarray) -> int:
    """The column of the shallower network with the lowest mean error.

    Where several are equal, it is that of the shallowest of them.

    Args:
        errors: `[num_seeds, num_depths]`, percent, depths ascending, at least two.
    """
    return int(np.argmin(np.round(errors[:, :-1].mean(axis=0), ROUND_OFF_DECIMALS)))


def excess(errors: np.ndarray) -> np.ndarray:
    """The error of the deepest network minus that of the best shallower one, for each seed.

    Args:
        errors: `[num_seeds, num_depths]`, percent, depths ascending, at least two.

    Returns:
        `[num_seeds]`, percentage points.
    """
    return errors[:, -1] - errors[:, best_shallower(errors)]


def excess_without_hindsight(errors: np.ndarray) -> np.ndarray:
    """The excess of each seed over the shallower networks that the *other* seeds call best.

    The lowest of several means is low partly by luck, so `excess` is positive on average even where
    all depths are equal. Here the shallower network is chosen on one seed and scored on another,
    averaged over all such pairs. This removes the luck, and the result can only be too small on
    average. Each choice rests on one seed rather than on all the others, because choices that share
    most of their seeds would be much alike and would carry the luck over (up to 7 % false positives
    in the simulated null cases instead of 2.6 %).

    Args:
        errors: `[num_seeds, num_depths]`, percent, depths ascending, at least two of each.

    Returns:
        `[num_seeds]`, percentage points.
    """
    chosen = errors[:, :-1].argmin(axis=1)
    pairs = errors[:, -1:] - errors[:, chosen]  # [scored seed, choosing seed]
    return pairs.mean(axis=1, where=~np.eye(len(errors), dtype=bool))


def t_interval(sample: ArrayLike, confidence: float) -> Interval | None:
    """Student's two-sided interval of the mean.

    It is None for fewer than two values, and where all values are equal: a sample without spread
    does not tell how large the spread is, and is no reason for certainty.

    Args:
        sample: `[num_seeds]`.
        confidence: the level of the interval, 0.95 for 95 %.

    Returns:
        The lower and the upper end, in the unit of the sample.
    """
    sample = np.asarray(sample)
    if len(sample) < 2 or not has_spread(sample):
        return None
    return interval_of_mean(sample.mean(), sample.std(ddof=1), len(sample), confidence)


def interval_of_mean(
    mean: float, deviation: float | None, n: int, confidence: float
) -> Interval | None:
    """As `t_interval`, by the mean and the standard deviation of n values."""
    if deviation is None or not round(deviation, ROUND_OFF_DECIMALS):
        return None
    quantile = special.stdtrit(n - 1, 0.5 + confidence / 2)
    half = quantile * deviation / math.sqrt(n)
    return float(mean - half), float(mean + half)


def has_spread(sample: np.ndarray) -> bool:
    """Whether values differ by more than round-off."""
    return bool(np.ptp(np.round(sample, ROUND_OFF_DECIMALS)) > 0)


def seeds_for_interval(sample: np.ndarray, threshold: float, confidence: float) -> int | None:
    """How many seeds would put the interval of the mean on one side of a threshold.

    It is a forecast: it takes the mean and the spread of a sample for those of all seeds.

    Args:
        sample: `[num_seeds]`, at least two.
        threshold: in the unit of the sample.
        confidence: the level of the interval, 0.95 for 95 %.

    Returns:
        None where the spread is zero, or where `MOST_SEEDS` are not enough.
    """
    if not has_spread(sample):
        return None
    distance, spread = abs(sample.mean() - threshold), sample.std(ddof=1)
    n = np.arange(2, MOST_SEEDS + 1)
    enough = special.stdtrit(n - 1, 0.5 + confidence / 2) * spread < distance * np.sqrt(n)
    return int(n[enough.argmax()]) if enough.any() else None


def proportion_interval(count: int, n: int, confidence: float) -> Interval:
    """The two-sided interval of a probability by Clopper and Pearson (Biometrika 26, 1934).

    It is exact: whatever the probability is, it misses it in at most 1 − confidence of all cases.

    Args:
        count: how often it happened, in `n` independent runs.
        n: at least one.
        confidence: the level of the interval, 0.95 for 95 %.
    """
    left_out = (1 - confidence) / 2
    low = float(special.betaincinv(count, n - count + 1, left_out)) if count else 0.0
    return low, proportion_bound(count, n, 1 - left_out)


def proportion_bound(count: int, n: int, confidence: float) -> float:
    """The one-sided upper bound of a probability, exact as `proportion_interval`.

    Without any event it is 1 − (1 − confidence)^(1/n): with 95 %, 0.63 for three runs and 0.31 for
    eight.
    """
    return float(special.betaincinv(count + 1, n - count, confidence)) if count < n else 1.0


def seeds_to_rule_out(count: int, n: int, tolerance: float, confidence: float) -> int:
    """How many runs would bound a probability below a tolerance, if no further event happens.

    Args:
        count: the events so far.
        n: the runs so far.
        tolerance: the probability that the bound has to fall below, above 0.
        confidence: the one-sided level of the bound.
    """
    while proportion_bound(count, n, confidence) >= tolerance:
        n += 1
    return n


def failure_p(failed: np.ndarray) -> float:
    """The one-sided p-value of "the deepest network fails no more often than any shallower one".

    The statistic compares the failures of the deepest network with those of the shallowest, of the
    two shallowest together, and so on up to all shallower ones together, and is the smallest of the
    p-values of Fisher's exact test. Its distribution is computed exactly for networks that all fail
    with the same probability, and the least favourable probability is taken, as in Barnard's test
    (Biometrika 34, 1947). So the choice among the comparisons costs what it should, and the p-value
    is valid: fewer failures of the deepest network, or more of a shallower one, only raise the
    statistic, so that equal probabilities are the worst case of the hypothesis. Failures of one
    seed that go together make it cautious. It can decide with three seeds: where the deepest
    network fails in all three and one shallower network in none, it is 1/64.

    Args:
        failed: `[num_seeds, num_depths]`, whether each run failed; depths ascending, at least two.
    """
    return _failure_p(tuple(failed.sum(axis=0).tolist()), len(failed))


@functools.lru_cache(maxsize=4096)
def _failure_p(counts: tuple[int, ...], n: int) -> float:
    """`failure_p` by the number of failures at each depth, among `n` seeds."""
    pools = np.cumsum(counts[:-1]).tolist()
    observed = min(_fisher_p(counts[-1], n, pool, size * n) for size, pool in enumerate(pools, 1))
    if observed > 1 - 1e-9:
        return 1.0
    binomial = np.array([_binomial(k, n) for k in range(n + 1)])  # [count, probability]
    total = np.zeros(len(_PROBABILITIES))
    for deepest in range(n + 1):
        limits = [_pool_limit(deepest, n, size * n, observed) for size in range(1, len(counts))]
        total += binomial[deepest] * (1 - _stays_above(limits, binomial))
    return float(min(1.0, total.max()))


def _smallest_fisher_p(counts: Sequence[int], n: int) -> float:
    """The statistic of `failure_p`: the deepest network against each pool of shallower ones."""
    pools = itertools.accumulate(counts[:-1])
    return min(_fisher_p(counts[-1], n, pool, size * n) for size, pool in enumerate(pools, 1))


def seeds_for_failures(failed: np.ndarray, significance: float) -> int | None:
    """How many seeds would show that the deepest network fails more often.

    It is a forecast: it takes the proportions of failures that were seen for those of all seeds.
    The p-values of Fisher's test stand for that of `failure_p`, which is rarely above the smallest
    of them.

    Args:
        failed: `[num_seeds, num_depths]`, as in `failure_p`.
        significance: the one-sided level.

    Returns:
        None where `MOST_FORECAST` are not enough.
    """
    n, failures = len(failed), failed.sum(axis=0)
    for more in range(n + 1, MOST_FORECAST + 1):
        counts = np.round(failures * more / n).astype(int).tolist()
        if _smallest_fisher_p(counts, more) <= significance:
            return more
    return None


def _binomial(count: int, n: int) -> np.ndarray:
    """The probability of a count among `n` runs, for each of `_PROBABILITIES`."""
    p = _PROBABILITIES
    return math.comb(n, count) * p**count * (1 - p) ** (n - count)


def _fisher_p(count: int, n: int, other: int, others: int) -> float:
    """Fisher's one-sided p-value: `count` of `n` runs failed, and `other` of `others`."""
    failures = count + other
    ways = sum(
        math.comb(n, k) * math.comb(others, failures - k)
        for k in range(count, min(n, failures) + 1)
    )
    return ways / math.comb(n + others, failures)


@functools.lru_cache(maxsize=4096)
def _pool_limit(count: int, n: int, others: int, observed: float) -> int:
    """The most failures of a pool of runs that are as extreme as observed; -1 for none."""
    limit = -1
    while limit < others and _fisher_p(count, n, limit + 1, others) <= observed * (1 + 1e-9):
        limit += 1
    return limit


def _stays_above(limits: Sequence[int], binomial: np.ndarray) -> np.ndarray:
    """The probability that the failures of each pool of shallower networks exceed its limit."""
    n = len(binomial) - 1
    sums = np.ones((1, binomial.shape[1]))  # [failures so far, probability]
    for limit in limits:
        longer = np.zeros((len(sums) + n, binomial.shape[1]))
        for count, probability in enumerate(binomial):
            longer[count : count + len(sums)] += sums * probability
        longer[: limit + 1] = 0
        sums = longer
    return sums.sum(axis=0)


def censored_median(values: Sequence[float], is_reached: Sequence[bool]) -> Median:
    """The median of values of which some are lower limits.

    Args:
        values: `[n]`, at least one; a limit where `is_reached` is False.
        is_reached: `[n]`, whether each value is known.
    """
    pairs = sorted(zip(values, is_reached, strict=True), key=lambda each: (not each[1], each[0]))
    middle = pairs[(len(pairs) - 1) // 2 : len(pairs) // 2 + 1]
    value = sum(value for value, _ in middle) / len(middle)
    return Median(float(value), not all(reached for _, reached in middle))


def geometric_fit(positions: ArrayLike, values: ArrayLike, confidence: float) -> Fit:
    """Fits log10(value) by a line in the position; a geometric progression is fitted exactly.

    Args:
        positions: `[n]`.
        values: `[n]`; those that are not positive and finite are left out.
        confidence: the level of the interval, 0.95 for 95 %.
    """
    x, y = (np.asarray(each, float) for each in (positions, values))
    usable = np.isfinite(y) & (y > 0)
    x, y = x[usable], np.log10(y[usable])
    if len(x) < 3:
        return Fit(slope=None, interval=None, r_squared=None)
    x, y = x - x.mean(), y - y.mean()
    slope = (x @ y) / (x @ x)
    left, total = np.sum(np.square(y - slope * x)), y @ y
    half = math.sqrt(left / (len(x) - 2) / (x @ x))
    half *= special.stdtrit(len(x) - 2, 0.5 + confidence / 2)
    return Fit(
        slope=float(slope),
        interval=(float(slope - half), float(slope + half)),
        r_squared=float(1 - left / total) if total > 0 else 0.0,
    )


def rank_correlation(
    first: Sequence[float], second: Sequence[float], confidence: float
) -> RankCorrelation:
    """Spearman's rank correlation with the interval of Bonett & Wright (Psychometrika 65, 2000).

    Args:
        first: `[n]`; equal values share their mean rank.
        second: `[n]`, likewise.
        confidence: the level of the interval, 0.95 for 95 %.
    """
    pairs = np.array([first, second], float)
    n = pairs.shape[1]
    if n < 4 or (pairs == pairs[:, :1]).all(axis=1).any():
        return RankCorrelation(correlation=None, interval=None, n=n)
    mine, others = pairs[:, :, None], pairs[:, None, :]
    ranks = (mine > others).sum(axis=2) + (mine >= others).sum(axis=2)  # twice the mean rank - 1
    r = float(np.corrcoef(ranks)[0, 1])
    z = math.atanh(min(max(r, -1 + 1e-12), 1 - 1e-12))
    half = math.sqrt((1 + r**2 / 2) / (n - 3)) * special.ndtri(0.5 + confidence / 2)
    return RankCorrelation(r, (math.tanh(z - half), math.tanh(z + half)), n)


def exchangeability_p(errors: np.ndarray) -> float:
    """The one-sided p-value of "the depth does not matter", against errors that grow with depth.

    This is Page's test (J. Am. Stat. Assoc. 58, 1963). Its statistic L is the sum over seeds and
    depths of position × rank, where equal errors share their mean rank. L is compared with its
    distribution when the ranks of each seed may come in any order. A small p says that not all
    depths are alike. It does not say that the error grows over all of them: one network that is
    worse than four equal ones gives (1/5)³ with three seeds.

    The p-value is exact with ties as well; errors that are all equal give 1.
    `scipy.stats.page_trend_test` uses the distribution without ties, which is valid but blunt: in
    the case above it gives 0.048.

    Args:
        errors: `[num_seeds, num_depths]`, percent, depths ascending, at least two of them.
    """
    num_depths = errors.shape[1]
    # Twice the mean rank: an integer, so that equal sums compare equal.
    mine, others = errors[:, :, None], errors[:, None, :]
    ranks = 1 + (mine > others).sum(axis=2) + (mine >= others).sum(axis=2)
    position = np.arange(1, num_depths + 1)
    page_l = (ranks @ position).sum()
    if num_depths > ENUMERATED_DEPTHS:
        draws = np.random.default_rng(0).permuted(np.tile(ranks, (NUM_DRAWS, 1, 1)), axis=2)
        num_as_large = ((draws @ position).sum(axis=1) >= page_l).sum()
        return float((1 + num_as_large) / (1 + NUM_DRAWS))
    null = functools.reduce(np.convolve, [_row_null(tuple(sorted(row))) for row in ranks.tolist()])
    return min(1.0, float(null[page_l:].sum()))


@functools.lru_cache(maxsize=256)
def _row_null(ranks: tuple[int, ...]) -> np.ndarray:
    """The distribution of position · ranks when every order of the ranks is equally likely.

    Returns:
        Entry L is the probability that the sum is L.
    """
    orders = np.array(list(itertools.permutations(ranks)))
    counts = np.bincount(orders @ np.arange(1, len(ranks) + 1))
    return counts / counts.sum()
