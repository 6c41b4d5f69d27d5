"""Judges how updates to a target grow with depth: exponentially, as a power, or not at all.

He et al. 2015 (arXiv 1512.03385), §4.1, conjecture that deep plain networks "may have exponentially
low convergence rates". Two laws are fitted to log N, the logarithm of the updates that a run needs:
the exponential law, a line in depth, and the power law, a line in log depth. Both have three
parameters. Runs that the budget ended are censored, and a look every few updates says only between
which two of them the target was reached (see `censored`).

The seed is the unit: runs of one seed share the order of the data, so a seed counts with all its
depths or not at all, intervals are those of the jackknife over seeds, and a law is better where the
seeds agree on it. They cannot tell what all seeds share, such as a rate of a coarse grid that suits
one depth better than the next one. Therefore the jackknife over depths may widen an interval, and a
law has to stay the better one without any single depth.

How often `judge` is right was simulated with 100 sweeps a line: five seeds at eight depths from 8
to 50, looks every five updates, normal noise of 10 % in each run. Planted were an exponential law
through 66 updates at depth 20 and 242 at depth 44, the power law through the same two points, 52
updates at every depth, growth from 52 updates by just the factor that flat excludes, and powers
above a floor of 40 updates. In the last lines all runs of a depth shared 20 % of noise, as a coarse
grid of rates may cause, and those of a seed 10 %. `tests/findings/test_growth.py` repeats it with
fewer sweeps.

    planted                         right   other law   flat   falls   inconclusive
    exponential                      57 %           0      0       0           43 %
    power                           100 %           0      0       0              0
    flat                            100 %           –      –       0              0
    at the margin                       –           0    2 %       0           98 %
    40 + 0.002 depth³                   –           0      0       0          100 %
    40 + 0.02 depth²·⁵                  –         5 %      0       0           95 %
    exponential, 17 % censored       44 %           0      0       0           56 %
    power, 17 % censored             98 %           0      0       0            2 %
    exponential, 37 % censored       21 %           0      0       0           78 %
    exponential, noise by depth      13 %         1 %      0       0           86 %
    power, noise by depth            68 %         1 %      0       0           31 %
    flat, noise by depth              5 %           0      –     4 %           91 %
    at the margin, noise by depth       –         7 %    3 %       0           90 %

The other law stands for "exponential" where a power above a floor was planted, and for either law
where the growth is at the margin. That an exponential law is found in about half of the sweeps is
the price of telling it from a power above a floor; more seeds lower it. Of 37 % censored with an
exponential law, 1 % of the sweeps had too many censored runs to be judged.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from vggres.findings.censored import Lines, fit_lines
from vggres.findings.estimates import Interval, t_interval
from vggres.findings.outcomes import CONFIDENCE, MIN_SEEDS

# Flat means: the fitted number of updates changes by less than this factor from the shallowest
# network to the deepest, in either direction. An exponential law through 66 updates at depth 20 and
# 242 at depth 44, as plain networks had at a first look, changes tenfold from depth 8 to 50.
FLAT_FACTOR = 1.5
# The level of each of the two one-sided tests of flatness, by convention.
FLAT_SIGNIFICANCE = 0.05
# More runs than this that never reached the target, and the fit is the model's rather than the
# data's. With 37 % censored the simulated worlds never gave the other law.
MOST_CENSORED = 0.4
# A line through two depths fits perfectly, whatever the law.
MIN_DEPTHS = 3
# Two are held out of the prediction and one at a time of the comparison; three or more remain.
MIN_DEPTHS_FOR_LAW = 5
HELD_OUT = 2
# A power law above a floor looks like an exponential law, and networks have a floor: no run is
# faster than its warm-up. The exponential law has to fit better by this much of log-likelihood, a
# ratio of seven, although the other law has a parameter more.
ABOVE_A_FLOOR = 2.0
# Transformations depthᵖ that are tried: 0 stands for the power law, 1 for the exponential law.
_BENDS = np.arange(-10, 51) / 10
# Power laws above a floor that are tried: exponents, and parts of the shallowest network's updates.
_EXPONENTS = np.arange(1, 17) / 2
_FLOOR_PARTS = (*np.arange(0, 9) / 10, *np.arange(45, 49) / 50, 0.97, 0.98, 0.99)
_MOST_DECADES = 300.0  # what a float can hold

LAWS = ('exponential', 'power')


@dataclass(frozen=True)
class Law:
    """A fitted law; intervals have the level `outcomes.CONFIDENCE`.

    Attributes:
        slope: of log N: per layer for the exponential law, the exponent for the power law.
        interval: of the slope, by the jackknife over seeds or, where it is wider, over depths.
        factor: between the fitted updates of the deepest network and those of the shallowest.
        factor_interval: of that factor.
        sigma: the standard deviation of log N around the law.
        log_likelihood: of all runs.
        intercept: log N at depth 0 (exponential law) or depth 1 (power law).
        predicted: medians of the updates at the depths held out, by the law fitted to the others.
        prediction: the log-probability of the runs held out, by the law fitted to the others.
    """

    slope: float
    interval: Interval
    factor: float
    factor_interval: Interval
    sigma: float
    log_likelihood: float
    intercept: float
    predicted: tuple[float, ...]
    prediction: float


@dataclass(frozen=True)
class Comparison:
    """The exponential law against the power law; positive numbers favour the exponential one.

    Attributes:
        advantage: the difference of the log-likelihoods.
        interval: of the advantage: Student's, over the seeds (Vuong, Econometrica 57, 1989, with
            seeds in the place of observations).
        without_a_depth: the least and the greatest advantage where one depth is left out.
        prediction: the difference of the log-probabilities of the runs held out.
        prediction_counts: whether at least half of the runs held out reached the target. Where
            fewer did, the steeper law is at an advantage, and the prediction decides nothing.
        above_a_floor: the difference of the log-likelihoods of the exponential law and of a power
            law above a floor (`Shape`), which has one parameter more.
    """

    advantage: float
    interval: Interval | None
    without_a_depth: Interval
    prediction: float
    prediction_counts: bool
    above_a_floor: float

    def doubts(self) -> list[str]:
        """What speaks against the better law although the seeds may agree on it.

        'depth': a single depth decides it; 'prediction': the other law predicts the deepest
        networks better; 'floor': a power law above a floor may be what looks exponential.
        """
        sign = math.copysign(1.0, self.advantage)
        found = []
        if min(sign * end for end in self.without_a_depth) <= 0:
            found.append('depth')
        if self.prediction_counts and sign * self.prediction <= 0:
            found.append('prediction')
        if self.advantage > 0 and self.above_a_floor < ABOVE_A_FLOOR:
            found.append('floor')
        return found


DOUBTS = {
    'depth': {'en': 'one depth decides it', 'zh': '哪一规律较好由单个深度决定'},
    'prediction': {
        'en': 'the other law predicts the deepest networks better',
        'zh': '另一规律对最深网络的预测更好',
    },
    'floor': {
        'en': 'a power law above a floor may look like this',
        'zh': '带下限的幂律也可能呈现同样的形状',
    },
}


@dataclass(frozen=True)
class Shape:
    """What the two laws leave open about the shape; descriptive, nothing is judged by it.

    Attributes:
        bend: p of the line in depthᵖ that fits best: 0 for a power law, 1 for an exponential law,
            more for one that is faster than exponential.
        bend_interval: of p, by the jackknife over seeds; None where any of its fits has the least
            or the greatest p that was tried.
        floor: of the power law with a floor that fits best, N = floor + c·depthᵏ, in updates.
        floor_exponent: its k.
        floor_advantage: the log-likelihood of the exponential law minus that of this law, which has
            one parameter more.
    """

    bend: float
    bend_interval: Interval | None
    floor: float
    floor_exponent: float
    floor_advantage: float


@dataclass(frozen=True)
class Growth:
    """How the updates to a target grow with depth in one family.

    Attributes:
        status: 'exponential', 'power', 'flat', 'falls', 'inconclusive', 'budget insufficient' or
            'not measured'.
        reason: a sentence.
        n: the number of seeds that have every depth.
        depths: ascending.
        medians: of the updates over these seeds, by depth; None where most did not get there.
        censored: how many of these seeds did not reach the target, by depth.
        laws: by name; empty where nothing was fitted, as `comparison` is None then.
        comparison: of the two laws; None with fewer depths than `MIN_DEPTHS_FOR_LAW`, too.
    """

    status: str
    reason: str
    n: int
    depths: tuple[int, ...]
    medians: tuple[float | None, ...]
    censored: tuple[int, ...]
    laws: Mapping[str, Law]
    comparison: Comparison | None = None

    @property
    def likelier(self) -> Law:
        """The law with the higher likelihood, where both were fitted."""
        return max(self.laws.values(), key=lambda law: law.log_likelihood)


@dataclass(frozen=True)
class Difference:
    """How much faster log N grows in one family than in another.

    Attributes:
        slope: the difference of the slopes of the exponential law, per layer.
        interval: of the difference, by the jackknife over the seeds that both have or, where it is
            wider, over depths.
        n: the number of those seeds.
    """

    slope: float
    interval: Interval
    n: int


def judge(depths: np.ndarray, low: np.ndarray, high: np.ndarray) -> Growth:
    """Judges one family by its complete seeds.

    The rules apply in this order:

    - `not measured` with fewer than `MIN_DEPTHS` depths or `MIN_SEEDS` seeds;
    - `budget insufficient` if more than `MOST_CENSORED` of the runs did not reach the target, or
      most seeds reached it at fewer than `MIN_DEPTHS` depths;
    - `flat` if, by both laws, two one-sided tests find the change from the shallowest network to
      the deepest within the factor `FLAT_FACTOR`;
    - `falls` if the slope of the law with the higher likelihood is below 0;
    - `exponential` or `power` if the slope of that law is above 0 and it is the better one: the
      interval of its advantage over seeds excludes 0, no single depth left out turns it around, and
      neither does the prediction of the deepest networks, where that counts; the exponential law
      also has to be better than a power law above a floor, by `ABOVE_A_FLOOR`;
    - `inconclusive` otherwise.

    Args:
        depths: `[num_depths]`, ascending.
        low: `[num_seeds, num_depths]`: the updates at the last look without the target.
        high: `[num_seeds, num_depths]`: the updates at the first look with the target; infinity
            where the budget ended before.
    """
    censored = np.isinf(high)
    n = len(high)
    medians = [float(np.median(each)) for each in high.T] if n else [math.inf] * len(depths)
    growth = Growth(
        status='not measured',
        reason='',
        n=n,
        depths=tuple(int(depth) for depth in depths),
        medians=tuple(each if math.isfinite(each) else None for each in medians),
        censored=tuple(int(each) for each in censored.sum(axis=0)),
        laws={},
    )
    if len(depths) < MIN_DEPTHS or n < MIN_SEEDS:
        reason = (
            f'{n} complete {"seed" if n == 1 else "seeds"} at {len(depths)} depths: at least '
            f'{MIN_SEEDS} at {MIN_DEPTHS} depths are needed.'
        )
        return replace(growth, reason=reason)
    reached = sum(each is not None for each in growth.medians)
    if censored.mean() > MOST_CENSORED or reached < MIN_DEPTHS:
        reason = (
            f'{censored.sum()} of {censored.size} runs ({100 * censored.mean():.0f} %) did not '
            f'reach the target within the budget; at most {100 * MOST_CENSORED:g} % may, and most '
            f'seeds have to reach it at {MIN_DEPTHS} depths or more.'
        )
        return replace(growth, status='budget insufficient', reason=reason)
    fits = _fits(depths, low, high)
    laws = {name: _law(fits, name) for name in LAWS}
    growth = replace(growth, laws=laws)
    if len(depths) >= MIN_DEPTHS_FOR_LAW:
        growth = replace(growth, comparison=_comparison(fits))
    status, reason = _decide(growth, _flat(fits))
    return replace(growth, status=status, reason=reason)


def difference(
    depths: np.ndarray, first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]
) -> Difference:
    """The slope in depth of log N in one family minus that in another, paired by seeds.

    Args:
        depths: `[num_depths]`, ascending, of both families.
        first: both bounds, as in `judge`, of at least two seeds.
        second: the same for the other family and the same seeds.
    """
    n, k = first[0].shape
    weights = _left_out(n, k)
    one, other = (fit_lines(depths, *bounds, weights) for bounds in (first, second))
    slopes = one.slope - other.slope
    by_curvature = math.hypot(one.slope_error[0], other.slope_error[0])
    return Difference(float(slopes[0]), _widest(slopes, n, by_curvature, CONFIDENCE), n)


def shape(depths: np.ndarray, low: np.ndarray, high: np.ndarray) -> Shape:
    """Describes what the two laws leave open: is the growth faster still, or a power from a floor?

    Args:
        depths: `[num_depths]`, ascending.
        low: `[num_seeds, num_depths]`, as in `judge`.
        high: the same.
    """
    depths = np.asarray(depths, float)
    weights = _all_and_without_each(len(low))[:, :, None]
    x = np.stack([_bent(depths, p) for p in _BENDS])[:, None, None, :]
    bends = (fit_lines(x, low, high, weights).log_likelihood * weights).sum(axis=(-1, -2))
    best = _BENDS[np.argmax(bends, axis=0)]
    bend, is_inside = float(best[0]), _BENDS[0] < best.min() and best.max() < _BENDS[-1]
    # Seeds may agree on a step of the grid, so the width of the likelihood counts as well.
    likely = _BENDS[bends[:, 0] > bends[:, 0].max() - 0.5]
    error = max(_error(best), float(np.ptp(likely)) / 2, float(_BENDS[1] - _BENDS[0]))
    interval = _interval(bend, error, len(low), CONFIDENCE) if is_inside else None
    exponential = float(fit_lines(depths, low, high).log_likelihood.sum())
    return Shape(bend, interval, *_above_a_floor(depths, low, high, exponential))


def _above_a_floor(
    depths: np.ndarray, low: np.ndarray, high: np.ndarray, exponential: float
) -> tuple[float, float, float]:
    """The floor and the exponent of the best power law with a floor, and its disadvantage.

    For a given exponent and a given part of the floor, only a common factor is left to be fitted: a
    level line through the logarithms of N over the law.
    """
    exponents, parts = (each.ravel() for each in np.meshgrid(_EXPONENTS, _FLOOR_PARTS))
    powers = (depths / depths[0]) ** exponents[:, None]
    law = (parts[:, None] + (1 - parts[:, None]) * powers)[:, None, :]
    levels = fit_lines(np.zeros(len(depths)), low / law, high / law)
    found = levels.log_likelihood.sum(axis=(-1, -2))
    best = int(np.argmax(found))
    floor = parts[best] * math.exp(levels.intercept[best])
    return float(floor), float(exponents[best]), exponential - float(found[best])


def _bent(depths: np.ndarray, p: float) -> np.ndarray:
    """depthᵖ, or log depth for p = 0, from 0 for the shallowest network to 1 for the deepest."""
    x = np.log(depths) if p == 0 else (depths / depths[0]) ** p
    return (x - x[0]) / (x[-1] - x[0])


def _decide(growth: Growth, is_flat: bool) -> tuple[str, str]:
    """The status of a family whose laws were fitted, and the reason."""
    likelier = growth.likelier
    first, last = growth.depths[0], growth.depths[-1]
    low, high = (_number(end) for end in likelier.factor_interval)
    change = (
        f'from depth {first} to {last} the fitted number of updates changes by a factor of '
        f'{_number(likelier.factor)} ({100 * CONFIDENCE:g} % interval {low} to {high}, '
        f'n = {growth.n} seeds)'
    )
    if is_flat:
        return 'flat', _sentence(f'{change}, which is within {FLAT_FACTOR:g} either way.')
    if likelier.interval[1] < 0:
        return 'falls', _sentence(f'{change}.')
    if likelier.interval[0] <= 0:
        reason = f'{change}: neither growth nor a change within {FLAT_FACTOR:g} is established.'
        return 'inconclusive', _sentence(reason)
    found = growth.comparison
    if found is None:
        reason = f'it grows: {change}. {MIN_DEPTHS_FOR_LAW} depths are needed to compare the laws.'
        return 'inconclusive', _sentence(reason)
    better, sign = ('exponential', 1) if found.advantage > 0 else ('power', -1)
    said = f'the {better} law has the higher log-likelihood by {abs(found.advantage):.1f}'
    doubts = [DOUBTS[each]['en'] for each in found.doubts()]
    if found.interval is None:
        doubts.insert(0, 'no spread over seeds is known')
    else:
        nearest, farthest = sorted(sign * end for end in found.interval)
        said += f' ({100 * CONFIDENCE:g} % interval {_signed(nearest)} to {_signed(farthest)})'
        if nearest <= 0:
            doubts.insert(0, 'the seeds do not agree on it')
    if doubts:
        said += f', but {", and ".join(doubts)}'
        better = 'inconclusive'
    return better, _sentence(f'it grows: {change}; {said}.')


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _signed(value: float) -> str:
    return f'{value:.1f}'.replace('-', '−')


def _number(value: float) -> str:
    return f'{value:.2f}' if value < 10 else f'{value:.0f}' if value < 1e4 else f'{value:.0e}'


@dataclass(frozen=True)
class _Fits:
    """Both laws, fitted to all runs, without each seed, without each depth, without the deepest.

    Attributes:
        depths: `[depths]`.
        low: `[seeds, depths]`, as in `judge`.
        high: `[seeds, depths]`.
        weights: `[1 + seeds + depths + 1, seeds, depths]`, 1 for what is fitted.
        lines: `[2, 1 + seeds + depths + 1]`, first the exponential law.
    """

    depths: np.ndarray
    low: np.ndarray
    high: np.ndarray
    weights: np.ndarray
    lines: Lines


def _fits(depths: np.ndarray, low: np.ndarray, high: np.ndarray) -> _Fits:
    n, k = low.shape
    fitted = np.arange(k) < max(k - HELD_OUT, 2)
    weights = np.concatenate([_left_out(n, k), np.broadcast_to(fitted, (1, n, k))])
    x = np.stack([depths, np.log(depths)])[:, None, None, :]
    # Each law has its own scale, so that they are fitted apart.
    both = [fit_lines(each, low, high, weights) for each in x]
    lines = Lines(*(np.stack(pair) for pair in zip(*map(_arrays, both), strict=True)))
    return _Fits(np.asarray(depths, float), low, high, weights, lines)


def _arrays(lines: Lines) -> tuple[np.ndarray, ...]:
    return (
        lines.intercept,
        lines.slope,
        lines.sigma,
        lines.slope_error,
        lines.log_likelihood,
    )


def _all_and_without_each(n: int) -> np.ndarray:
    """Weights of seeds `[1 + n, n]`: all of them, then all but each one."""
    return np.concatenate([np.ones((1, n)), 1 - np.eye(n)])


def _left_out(n: int, k: int) -> np.ndarray:
    """Weights `[1 + n + k, n, k]`: everything, all but each seed, all but each depth."""
    by_seed = _all_and_without_each(n)[:, :, None] * np.ones(k)
    by_depth = _all_and_without_each(k)[1:, None, :] * np.ones((n, 1))
    return np.concatenate([by_seed, by_depth])


def _error(estimates: np.ndarray) -> float:
    """The jackknife's standard error of an estimate from all seeds and from all but each one."""
    without = estimates[1:]
    n = len(without)
    return math.sqrt((n - 1) / n * float(np.square(without - without.mean()).sum()))


def _interval(estimate: float, error: float, n: int, level: float) -> Interval:
    half = float(special.stdtrit(n - 1, 0.5 + level / 2)) * error
    return estimate - half, estimate + half


def _slope_interval(fits: _Fits, law: int, level: float) -> Interval:
    error = float(fits.lines.slope_error[law, 0])
    return _widest(fits.lines.slope[law, :-1], len(fits.low), error, level)


def _widest(slopes: np.ndarray, n: int, by_curvature: float, level: float) -> Interval:
    """The widest of three intervals of a slope, all of them Student's.

    Few seeds may agree by chance, so that the curvature of the likelihood counts as well; and the
    seeds cannot tell what the runs of one depth share, so that the depths count, too.

    Args:
        slopes: `[1 + n + depths]`, from everything, without each seed, without each depth.
        n: the number of seeds.
        by_curvature: the standard error by the likelihood.
        level: of the interval.
    """
    slope, k = float(slopes[0]), len(slopes) - 1 - n
    by_seed, by_depth = _error(slopes[: 1 + n]), _error(slopes[n:])
    return max(
        _interval(slope, max(by_seed, by_curvature), n, level),
        _interval(slope, by_depth, k, level),
        key=lambda ends: ends[1] - ends[0],
    )


def _reach(fits: _Fits, law: int) -> float:
    """How far the law's axis, depth or log depth, extends."""
    ends = fits.depths[[0, -1]] if law == 0 else np.log(fits.depths[[0, -1]])
    return float(ends[1] - ends[0])


def _flat(fits: _Fits) -> bool:
    """Two one-sided tests of the change over all depths, by both laws."""
    level = 1 - 2 * FLAT_SIGNIFICANCE
    ends = [
        _reach(fits, law) * abs(end) for law in (0, 1) for end in _slope_interval(fits, law, level)
    ]
    return max(ends) < math.log(FLAT_FACTOR)


def _law(fits: _Fits, name: str) -> Law:
    law = LAWS.index(name)
    interval = _slope_interval(fits, law, CONFIDENCE)
    reach, lines = _reach(fits, law), fits.lines
    x = fits.depths if law == 0 else np.log(fits.depths)
    predicted = np.exp(lines.intercept[law, -1] + lines.slope[law, -1] * x[-HELD_OUT:])
    return Law(
        slope=float(lines.slope[law, 0]),
        interval=interval,
        factor=_exp(lines.slope[law, 0] * reach),
        factor_interval=(_exp(interval[0] * reach), _exp(interval[1] * reach)),
        sigma=float(lines.sigma[law, 0]),
        log_likelihood=float(lines.log_likelihood[law, 0].sum()),
        intercept=float(lines.intercept[law, 0]),
        predicted=tuple(min(each, 10**_MOST_DECADES) for each in predicted.tolist()),
        prediction=float(lines.log_likelihood[law, -1, :, -HELD_OUT:].sum()),
    )


def _exp(value: float) -> float:
    limit = _MOST_DECADES * math.log(10)
    return math.exp(min(max(value, -limit), limit))


def _comparison(fits: _Fits) -> Comparison:
    n = len(fits.low)
    differences = fits.lines.log_likelihood[0] - fits.lines.log_likelihood[1]
    by_seed = differences[0].sum(axis=-1)
    interval = t_interval(by_seed, CONFIDENCE)
    depths_left_out = slice(1 + n, -1)
    without = (differences * fits.weights)[depths_left_out].sum(axis=(-1, -2))
    exponential = float(fits.lines.log_likelihood[0, 0].sum())
    return Comparison(
        advantage=float(by_seed.sum()),
        interval=interval and (n * interval[0], n * interval[1]),
        without_a_depth=(float(without.min()), float(without.max())),
        prediction=float(differences[-1, :, -HELD_OUT:].sum()),
        prediction_counts=bool(np.isfinite(fits.high[:, -HELD_OUT:]).mean() >= 0.5),
        above_a_floor=_above_a_floor(fits.depths, fits.low, fits.high, exponential)[2],
    )
