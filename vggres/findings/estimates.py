"""Estimates from samples: excess, interval, trend, geometric fit and rank correlation.

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


def t_interval(sample: np.ndarray, confidence: float) -> Interval | None:
    """Student's two-sided interval of the mean; None for fewer than two values.

    Where the values do not vary at all, both ends are the mean.

    Args:
        sample: `[num_seeds]`.
        confidence: the level of the interval, 0.95 for 95 %.

    Returns:
        The lower and the upper end, in the unit of the sample.
    """
    if len(sample) < 2:
        return None
    quantile = special.stdtrit(len(sample) - 1, 0.5 + confidence / 2)
    half = quantile * sample.std(ddof=1) / math.sqrt(len(sample))
    return float(sample.mean() - half), float(sample.mean() + half)


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


def trend_p(errors: np.ndarray) -> float | None:
    """The one-sided p-value of the hypothesis that the error increases with depth.

    For three depths or more this is Page's test (J. Am. Stat. Assoc. 58, 1963). Its statistic L is
    the sum over seeds and depths of position × rank, where equal errors share their mean rank. L is
    compared with its distribution when the ranks of each seed may come in any order, which is exact
    with ties as well; errors that are all equal give 1. `scipy.stats.page_trend_test` uses the
    distribution without ties, which is valid but blunt: for four networks at 0 % and a deepest one
    that is worse in each of three seeds it gives 0.048 instead of (1/5)³.

    Two depths have no trend. The paired t-test takes its place there; it is None for fewer than two
    seeds.

    Args:
        errors: `[num_seeds, num_depths]`, percent, depths ascending, at least two of them.
    """
    num_depths = errors.shape[1]
    if num_depths == 2:
        return _paired_t_p(errors[:, 1] - errors[:, 0])
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


def _paired_t_p(differences: np.ndarray) -> float | None:
    """The one-sided p-value of a positive mean; without any spread the sign of the mean decides."""
    if len(differences) < 2:
        return None
    mean, spread = differences.mean(), differences.std(ddof=1)
    if spread == 0:
        return 0.0 if mean > 0 else 1.0
    return float(special.stdtr(len(differences) - 1, -mean / spread * math.sqrt(len(differences))))
