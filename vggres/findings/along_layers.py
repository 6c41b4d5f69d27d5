"""Measures how a quantity changes along the layers of a network, and judges whether it shrinks.

The popular story says that the gradient shrinks geometrically on its way back. Such a gradient is a
straight line when its logarithm is drawn against the layer. Whether it shrinks and whether the line
is straight are two questions with an answer each (`judge` and `shape`).

The unit is the draw of the weights, or the seed of a run. The layers of one network are no sample:
what one layer adds to the gradient, all layers before it carry along, so that a random walk looks
like a trend. One network therefore has numbers, but neither an interval nor a judgement.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from vggres.findings.estimates import Interval, geometric_fit, t_interval
from vggres.findings.outcomes import CONFIDENCE
from vggres.networks import spec
from vggres.results import Observation

# DECADES and R_SQUARED were fixed before the first sweep was run. UNEVENNESS came after
# it, from the meaning of the word and not from a measurement, because R² alone passes curves.
# The gradient "shrinks" or "grows" where it changes by this many decades, a factor of ten, over the
# whole network. A gradient that is ten times smaller does what a ten times smaller learning rate
# would do, which is one step of every common schedule.
DECADES = 1.0
# It does so "geometrically" where no part's slope deviates from that of the whole by more than this
# part of it: then the steepest part is at most (1 + 1/3) / (1 - 1/3) = 2 times as steep as the
# flattest. A square, a square root and the borders of shrinking images go beyond.
UNEVENNESS = 1 / 3
# And the line has to explain at least this part of the variance of log10(gradient), since a single
# jump halfway bends neither end. Alone this shows little: a square has 0.94, a square root 0.95.
R_SQUARED = 0.8
# Runs in training are judged over their seeds from this many on: fewer have an interval that holds
# for nothing but their numbers.
LEAST_SEEDS = 3

JUDGEMENTS = ('vanishes', 'shrinks', 'level', 'grows', 'dead', 'inconclusive')
SHAPES = ('geometric', 'uneven', 'undecided')


@dataclass(frozen=True)
class LocalSlope:
    """The slope of one part of a network, beside that of the whole.

    Attributes:
        part: the shape of the blocks' inputs in this part; or 'last end', where the slope is that
            of a parabola through all layers, and the deviation at the first end the opposite one.
        slope: the decades by which the quantity shrinks for each layer, the mean over draws.
        deviation: from the slope of the whole, relative to that, the mean over draws.
        interval: of the deviation, Student's over the draws, at a level that holds for all parts of
            a network together (Bonferroni); None for a single draw.
    """

    part: str
    slope: float
    deviation: float
    interval: Interval | None


@dataclass(frozen=True)
class Change:
    """How a quantity changes from the last layer of a network to the first.

    Attributes:
        decades: by which it shrinks over the whole network according to the geometric fit, the mean
            over draws of the weights; negative where it grows; None without three usable layers.
        interval: of `decades`, Student's over the draws; None for a single draw.
        per_layer: the same as `decades`, for one layer.
        r_squared: the part of the variance that the fit explains, the mean over draws.
        first_to_last: the ratio of the first layer's value to the last one's, the median over
            draws; None where a draw is not finite everywhere or zero in the last layer.
        ends: the values in the first and in the last layer, medians over draws; None where they are
            not finite.
        zeros: the number of layers whose value is zero, which fits leave out; the mean over draws.
        not_finite: the number of layers whose value is not finite, likewise.
        local: the slopes of parts; empty where too few layers are usable in some draw.
        n: the number of draws.
    """

    decades: float | None
    interval: Interval | None
    per_layer: float | None
    r_squared: float | None
    first_to_last: float | None
    ends: tuple[float | None, float | None]
    zeros: float
    not_finite: float
    local: tuple[LocalSlope, ...]
    n: int


@dataclass(frozen=True)
class Flow:
    """The change of a quantity along the layers in the course of training.

    Attributes:
        before: before the first update, over some draws of the weights.
        during: in the run's own weights after some updates, by epoch. These looks at one run are
            no draws; each describes that moment.
    """

    before: Change
    during: Mapping[float, Change]


def along(network_spec: spec.NetworkSpec, of: str) -> tuple[list[str], list[int]]:
    """The blocks between the stem and the head, or the layers with weights in those blocks.

    Args:
        network_spec: the network.
        of: 'block' or 'layer'.

    Returns:
        Their names, and their positions among the weighted layers, 1 next to the image.
    """
    found = spec.positions(network_spec)
    slashes = {'block': 1, 'layer': 2}[of]
    names = [name for name in found if name.count('/') == slashes]
    return names, [found[name] for name in names]


def values(observation: Observation, quantity: str, names: Sequence[str]) -> np.ndarray:
    """The values of a quantity in some layers: `[layers]`, NaN for those that were not finite."""
    found = observation.values[quantity]
    return np.array([found[name] for name in names], float)  # None becomes NaN


def finite_values(
    observations: Sequence[Observation], quantities: Sequence[str], names: Sequence[str]
) -> np.ndarray | None:
    """The values of some quantities in some layers, where all of them are finite.

    Returns:
        `[observations, quantities, layers]`; None where there are no observations, where one lacks
        a quantity because its sweep did not ask for it, and where a value was not finite.
    """
    if any(quantity not in each.values for each in observations for quantity in quantities):
        return None
    rows = [[values(each, quantity, names) for quantity in quantities] for each in observations]
    found = np.array(rows)
    return found if found.size and np.isfinite(found).all() else None


def norms(
    observation: Observation, network_spec: spec.NetworkSpec, image_shape: tuple[int, int, int]
) -> np.ndarray:
    """The Euclidean norm of the gradient in the input of each block: `[blocks]`.

    Probes record its root mean square. The norm is what layers of different resolution pass on to
    each other: the same gradient, spread over four times the pixels, has half the root mean square.
    """
    names, _ = along(network_spec, 'block')
    inputs = spec.block_inputs(network_spec, image_shape)
    scales = np.array([math.sqrt(math.prod(inputs[name])) for name in names])
    return values(observation, 'input_gradient', names) * scales


def resolutions(network_spec: spec.NetworkSpec, image_shape: tuple[int, int, int]) -> list[str]:
    """The shape of each block's input in words, as 'height×width×channels': `[blocks]`."""
    inputs = spec.block_inputs(network_spec, image_shape)
    return ['×'.join(map(str, shape)) for shape in inputs.values()]


def change(
    draws: Sequence[Sequence[float]] | np.ndarray,
    positions: Sequence[int],
    parts: Sequence[str] = (),
) -> Change:
    """Measures how a quantity changes from the last layer to the first.

    Args:
        draws: `[n, layers]`, one row per draw of the weights, the first layer first.
        positions: `[layers]`.
        parts: `[layers]`, the part of the network that each layer belongs to; none by default.
    """
    rows = np.array(draws, float).reshape(-1, len(positions))
    fits = [geometric_fit(positions, row, CONFIDENCE) for row in rows]
    slopes = np.array([fit.slope for fit in fits if fit.slope is not None])
    span = positions[-1] - positions[0]
    interval = t_interval(slopes, CONFIDENCE)
    explained = [fit.r_squared for fit in fits if fit.r_squared is not None]
    ratios = [float(row[0] / row[-1]) for row in rows if np.isfinite(row).all() and row[-1] > 0]
    return Change(
        decades=float(slopes.mean() * span) if len(slopes) else None,
        interval=(interval[0] * span, interval[1] * span) if interval else None,
        per_layer=float(slopes.mean()) if len(slopes) else None,
        r_squared=fmean(explained) if explained else None,
        first_to_last=median(ratios) if ratios else None,
        ends=_ends(rows),
        zeros=_count(rows == 0),
        not_finite=_count(~np.isfinite(rows)),
        local=_local_slopes(rows, positions, parts),
        n=len(rows),
    )


def level(row: np.ndarray) -> float | None:
    """The height of a whole profile: the mean of log10 over its layers.

    Values that are zero or not finite are left out; it is None where all are.
    """
    usable = row[np.isfinite(row) & (row > 0)]
    return float(np.log10(usable).mean()) if len(usable) else None


def _local_slopes(
    rows: np.ndarray, positions: Sequence[int], parts: Sequence[str]
) -> tuple[LocalSlope, ...]:
    """The slopes at the ends of a parabola and in each part with at least three usable layers."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        whole = geometric_fit(positions, row, CONFIDENCE).slope
        if not whole:
            return ()
        slopes = {'last end': _last_slope(positions, row)}
        for part in dict.fromkeys(parts):
            inside = [i for i, each in enumerate(parts) if each == part]
            fit = geometric_fit([positions[i] for i in inside], row[inside], CONFIDENCE)
            slopes |= {part: fit.slope} if fit.slope is not None else {}
        for part, slope in slopes.items():
            found.setdefault(part, []).append((slope, slope / whole - 1))
    complete = {part: each for part, each in found.items() if len(each) == len(rows)}
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(complete))
    slopes = []
    for part, each in complete.items():
        slope, deviation = np.array(each).T
        interval = t_interval(deviation, confidence)
        slopes.append(LocalSlope(part, float(slope.mean()), float(deviation.mean()), interval))
    return tuple(slopes)


def _last_slope(positions: Sequence[int], row: np.ndarray) -> float:
    """The slope in the last layer of the least-squares parabola through log10(value)."""
    usable = np.isfinite(row) & (row > 0)
    x = np.array(positions, float) - (positions[0] + positions[-1]) / 2
    square, linear, _ = np.polyfit(x[usable], np.log10(row[usable]), 2)
    return float(linear + 2 * square * x[-1])


def _ends(rows: np.ndarray) -> tuple[float | None, float | None]:
    """The medians over draws in the first and in the last layer; None where not finite."""
    if not len(rows):
        return None, None
    first, last = (float(np.median(rows[:, layer])) for layer in (0, -1))
    return first if math.isfinite(first) else None, last if math.isfinite(last) else None


def _count(marked: np.ndarray) -> float:
    """The mean over draws of the number of marked layers."""
    return float(marked.sum(axis=1).mean()) if len(marked) else 0.0


def judge(found: Change) -> str:
    """Judges whether the gradient shrinks or grows from the last block to the first.

    Returns:
        'vanishes' where it is zero in the first block and not in the last, because it fell below
        the smallest float32 although probes scale the gradient up; 'dead' where it is
        zero in both; 'shrinks' or 'grows' where the whole interval of `decades` over draws is
        beyond `DECADES`; 'level' where the interval is within; 'inconclusive' otherwise, which
        includes a single draw.
    """
    if found.zeros and found.first_to_last == 0:
        return 'vanishes'
    if found.zeros and found.ends == (0, 0):
        return 'dead'
    if found.interval is None:
        return 'inconclusive'
    low, high = found.interval
    if low > -DECADES and high < DECADES:
        return 'level'
    if low < DECADES and high > -DECADES:
        return 'inconclusive'
    return 'shrinks' if low >= DECADES else 'grows'


def shape(found: Change) -> str:
    """Judges whether a quantity changes geometrically, by the same factor in every layer.

    Returns:
        'uneven' where the slope of some part deviates by more than `UNEVENNESS`, with its whole
        interval, or where the line explains less than `R_SQUARED`; 'geometric' where the whole
        intervals of all parts are within `UNEVENNESS`; 'undecided' otherwise, which includes a
        single draw.
    """
    intervals = [each.interval for each in found.local if each.interval]
    if not intervals or found.r_squared is None:
        return 'undecided'
    if any(low > UNEVENNESS or high < -UNEVENNESS for low, high in intervals):
        return 'uneven'
    if found.r_squared < R_SQUARED:
        return 'uneven'
    within = all(low >= -UNEVENNESS and high <= UNEVENNESS for low, high in intervals)
    return 'geometric' if within else 'undecided'


def typical(observations: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """The median over several looks at one run, layer by layer: one row for that run.

    Args:
        observations: `[looks, layers]`.
    """
    return np.median(np.array(observations, float), axis=0)


def shrinkage(changes: Iterable[Change]) -> float | None:
    """The decades by which a quantity shrinks, the median over some observations.

    It is infinite where the quantity vanishes, and None where no observation gives a number.
    """
    decades = [math.inf if judge(each) == 'vanishes' else each.decades for each in changes]
    finite = [each for each in decades if each is not None]
    return median(finite) if finite else None


def finite_width(draws: Sequence[Sequence[float]] | np.ndarray, positions: Sequence[int]) -> float:
    """The decades that a gradient shrinks more than its mean energy, because layers are narrow.

    A prediction of the mean energy is not one of the mean logarithm, which is lower. The energy of
    a narrow and deep network is a product of many random factors, hence nearly log-normal (Hanin &
    Nica 2019, arXiv 1812.05994, for dense ReLU networks), and the mean of the logarithm of such a
    number is that of its mean minus half of its variance. For convolutions we know no closed form
    of this variance. It is taken from the draws themselves, so that the result is an estimate with
    n draws, and no prediction: with five of them it is off by a factor of two easily.

    Args:
        draws: `[n, layers]`, norms, n at least 2.
        positions: `[layers]`.

    Returns:
        By the same fit as `change`; NaN where a value is zero or not finite.
    """
    with np.errstate(divide='ignore', invalid='ignore'):
        logs = np.log10(np.array(draws, float))
        # Relative to the last layer. The energy is the square of the norm, so that half of the
        # variance of its natural logarithm, in decades of the norm, is log(10) times this one.
        lost = math.log(10) * (logs - logs[:, -1:]).var(axis=0, ddof=1)
    if not np.isfinite(lost).all():
        return math.nan
    slope = np.polyfit(positions, -lost, 1)[0]
    return float(slope * (positions[-1] - positions[0]))
