"""What numbers say: excess, interval, trend, geometric fit, rank correlation. No judgement.

Errors are `[num_seeds, num_depths]` in percent, depths ascending, a seed a row: the runs of a row
saw the same data order.
"""

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import special

# Up to this many depths every ordering of a seed's ranks is counted (8! = 40,320), above they
# are drawn.
ENUMERATED_DEPTHS = 8
NUM_DRAWS = 9999

# Means closer than this are equal: one ImageNet image is 8e-5 %, and the order of a sum moves the
# last bits.
ROUND_OFF_DECIMALS = 9


def best_shallower(errors: np.ndarray) -> int:
    """Column of the shallower net with the lowest mean error; of equals, the shallowest.

    Args:
        errors: `[num_seeds, num_depths]`, percent, depths ascending, at least two.
    """
    return int(np.argmin(np.round(errors[:, :-1].mean(axis=0), ROUND_OFF_DECIMALS)))


def excess(errors: np.ndarray) -> np.ndarray:
    """Error of the deepest net minus that of the best shallower one.

    Args:
        errors: `[num_seeds, num_depths]`, percent, depths ascending, at least two.

    Returns:
        `[num_seeds]`, percentage points.
    """
    return errors[:, -1] - errors[:, best_shallower(errors)]


def excess_without_hindsight(errors: np.ndarray) -> np.ndarray:
    """The excess of each seed over the nets that the *other* seeds call best.

    The lowest of several means is low partly by luck, so `excess` is positive on average even where
    all depths are equal. Here the net is chosen on one seed and scored on another, averaged over
    all such pairs: the luck is gone, and the result can only be too small on average. Each choice
    rests on one seed, not on all the others: those choices would be much the same for every seed
    and would carry the luck over (up to 7 % false positives in the simulated nulls, not 2.6 %).

    Args:
        errors: `[num_seeds, num_depths]`, percent, depths ascending, at least two of each.

    Returns:
        `[num_seeds]`, percentage points.
    """
    chosen = errors[:, :-1].argmin(axis=1)
    pairs = errors[:, -1:] - errors[:, chosen]  # [scored seed, choosing seed]
    return pairs.mean(axis=1, where=~np.eye(len(errors), dtype=bool))


def t_interval(sample: np.ndarray, confidence: float) -> list[float] | None:
    """Two-sided Student interval of the mean; None for fewer than two values.

    Without any spread it is the mean twice.

    Args:
        sample: `[num_seeds]`.
        confidence: its level, 0.95 for 95 %.

    Returns:
        The lower and the upper end, in the unit of the sample.
    """
    if len(sample) < 2:
        return None
    quantile = special.stdtrit(len(sample) - 1, 0.5 + confidence / 2)
    half = quantile * sample.std(ddof=1) / math.sqrt(len(sample))
    return [float(sample.mean() - half), float(sample.mean() + half)]


def geometric_fit(
    positions: Sequence[float], values: Sequence[float], confidence: float
) -> dict[str, float | list[float] | None]:
    """Least squares of log10(value) on position: values in geometric progression fit exactly.

    Args:
        positions: `[n]`.
        values: `[n]`; those that are not positive and finite are left out.
        confidence: level of the interval.

    Returns:
        `slope`, decades a position; its `interval` (Student's, for independent deviations);
        `r_squared`, 0 where the values are all equal. Each is None with fewer than three values.
    """
    x, y = (np.asarray(each, float) for each in (positions, values))
    usable = np.isfinite(y) & (y > 0)
    x, y = x[usable], np.log10(y[usable])
    if len(x) < 3:
        return {'slope': None, 'interval': None, 'r_squared': None}
    x, y = x - x.mean(), y - y.mean()
    slope = (x @ y) / (x @ x)
    left, total = np.sum(np.square(y - slope * x)), y @ y
    half = math.sqrt(left / (len(x) - 2) / (x @ x))
    half *= special.stdtrit(len(x) - 2, 0.5 + confidence / 2)
    return {
        'slope': float(slope),
        'interval': [float(slope - half), float(slope + half)],
        'r_squared': float(1 - left / total) if total > 0 else 0.0,
    }


def rank_correlation(
    first: Sequence[float], second: Sequence[float], confidence: float
) -> dict[str, float | int | list[float] | None]:
    """Spearman's rank correlation with the interval of Bonett & Wright (Psychometrika 65, 2000).

    Args:
        first: `[n]`; `second` as well.
        second: equal values share their mean rank.
        confidence: level of the interval.

    Returns:
        `correlation`, `interval` and `n`; the first two None with fewer than four pairs or where
        one side is all equal.
    """
    pairs = np.array([first, second], float)
    found = {'correlation': None, 'interval': None, 'n': pairs.shape[1]}
    if found['n'] < 4 or (pairs == pairs[:, :1]).all(axis=1).any():
        return found
    mine, others = pairs[:, :, None], pairs[:, None, :]
    ranks = (mine > others).sum(axis=2) + (mine >= others).sum(axis=2)  # twice the mean rank - 1
    r = float(np.corrcoef(ranks)[0, 1])
    z = math.atanh(min(max(r, -1 + 1e-12), 1 - 1e-12))
    half = math.sqrt((1 + r**2 / 2) / (found['n'] - 3)) * special.ndtri(0.5 + confidence / 2)
    return found | {
        'correlation': r,
        'interval': [math.tanh(z - half), math.tanh(z + half)],
    }


def trend_p(errors: np.ndarray) -> float | None:
    """One-sided p of an error that increases with depth.

    Three depths or more: Page's L (J. Am. Stat. Assoc. 58, 1963), the sum over seeds and depths of
    position × rank, equal errors sharing their mean rank, against its distribution when each seed's
    own ranks may come in any order. That is exact with ties too; errors that are all equal give 1.
    `scipy.stats.page_trend_test` takes the distribution without ties, which is valid but blunt:
    for four nets at 0 % and a worse deepest one in each of three seeds it says 0.048, not (1/5)³.

    Two depths leave neither a choice nor a trend: the paired t-test stands for it, and is None for
    fewer than two seeds.

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
    """Entry L is the probability that position · ranks = L when every order is equally likely."""
    orders = np.array(list(itertools.permutations(ranks)))
    counts = np.bincount(orders @ np.arange(1, len(ranks) + 1))
    return counts / counts.sum()


def _paired_t_p(differences: np.ndarray) -> float | None:
    """One-sided p of a positive mean; without any spread the sign of the mean settles it."""
    if len(differences) < 2:
        return None
    mean, spread = differences.mean(), differences.std(ddof=1)
    if spread == 0:
        return 0.0 if mean > 0 else 1.0
    return float(special.stdtr(len(differences) - 1, -mean / spread * math.sqrt(len(differences))))
