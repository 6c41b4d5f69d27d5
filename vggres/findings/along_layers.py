"""Measures how a quantity changes along the layers of a network, and judges whether it shrinks.

The popular story says that the gradient shrinks geometrically on its way back. Such a gradient is a
straight line when its logarithm is drawn against the layer.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, mode

import numpy as np

from vggres.findings.estimates import Interval, geometric_fit, t_interval
from vggres.networks import spec
from vggres.results import Observation

# These three were fixed before the first sweep was run.
CONFIDENCE = 0.95
# The gradient "shrinks" or "grows" where it changes by this many decades, a factor of ten, over the
# whole network. A gradient that is ten times smaller does what a ten times smaller learning rate
# would do, which is one step of every common schedule.
DECADES = 1.0
# It does so "geometrically" where the line explains at least this part of the variance of
# log10(gradient).
R_SQUARED = 0.8

JUDGEMENTS = ('vanishes', 'shrinks', 'level', 'grows', 'irregular', 'dead', 'inconclusive')


@dataclass(frozen=True)
class Change:
    """How a quantity changes from the last layer of a network to the first.

    Attributes:
        decades: by which it shrinks over the whole network according to the geometric fit, the mean
            over draws of the weights; negative where it grows; None without three usable layers.
        interval: of `decades`: Student's over the draws, or that of the fit for a single draw.
        per_layer: the same as `decades`, for one layer.
        r_squared: the part of the variance that the fit explains, the mean over draws.
        first_to_last: the ratio of the first layer's value to the last one's, the median over
            draws; None where a draw is not finite everywhere or zero in the last layer.
        ends: the values in the first and in the last layer, medians over draws; None where they are
            not finite.
        zeros: the number of layers whose value is zero, which fits leave out; the mean over draws.
        not_finite: the number of layers whose value is not finite, likewise.
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
    n: int


@dataclass(frozen=True)
class Flow:
    """The change of a quantity along the layers in the course of training.

    Attributes:
        before: before the first update, over some draws of the weights.
        during: in the run's own weights after some updates, by epoch.
    """

    before: Change
    during: Mapping[float, Change]


@dataclass(frozen=True)
class Judgements:
    """How a flow is judged (see `judge`) before training and during it.

    Attributes:
        before: before the first update.
        during: the judgement of most observations in training; None where there is none.
    """

    before: str
    during: str | None


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


def change(draws: Sequence[Sequence[float]] | np.ndarray, positions: Sequence[int]) -> Change:
    """Measures how a quantity changes from the last layer to the first.

    Args:
        draws: `[n, layers]`, one row per draw of the weights, the first layer first.
        positions: `[layers]`.
    """
    rows = np.array(draws, float).reshape(-1, len(positions))
    fits = [geometric_fit(positions, row, CONFIDENCE) for row in rows]
    slopes = np.array([fit.slope for fit in fits if fit.slope is not None])
    span = positions[-1] - positions[0]
    interval = t_interval(slopes, CONFIDENCE)
    if len(slopes) == 1:
        interval = next(fit.interval for fit in fits if fit.interval)
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
        n=len(rows),
    )


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
        the smallest float32; 'dead' where it is zero in both; 'shrinks' or 'grows' where the whole
        interval of `decades` is beyond `DECADES` and the fit explains `R_SQUARED`; 'level' where
        the interval is within `DECADES`; 'irregular' where it is beyond, but the fit explains less;
        'inconclusive' otherwise.
    """
    if found.zeros and found.first_to_last == 0:
        return 'vanishes'
    if found.zeros and found.ends == (0, 0):
        return 'dead'
    if found.interval is None or found.r_squared is None:
        return 'inconclusive'
    low, high = found.interval
    if low > -DECADES and high < DECADES:
        return 'level'
    if low < DECADES and high > -DECADES:
        return 'inconclusive'
    if found.r_squared < R_SQUARED:
        return 'irregular'
    return 'shrinks' if low >= DECADES else 'grows'


def judgements(flow: Flow) -> Judgements:
    """Judges a flow before training, and by most of the observations during it."""
    during = [judge(found) for found in flow.during.values()]
    return Judgements(judge(flow.before), mode(during) if during else None)


def shrinkage(changes: Iterable[Change]) -> float | None:
    """The decades by which a quantity shrinks, the median over some observations.

    It is infinite where the quantity vanishes, and None where no observation gives a number.
    """
    decades = [math.inf if judge(each) == 'vanishes' else each.decades for each in changes]
    finite = [each for each in decades if each is not None]
    return median(finite) if finite else None


def padding(network_spec: spec.NetworkSpec, image_shape: Sequence[int]) -> float:
    """The decades that the norm of the gradient loses from the last block to the first by padding.

    Under He's variance each convolution keeps the mean square of a gradient, times the part of its
    taps that meet a pixel rather than the zeros around the image.

    Args:
        network_spec: the network.
        image_shape: `[height, width, channels]`.
    """
    lost = 0.0
    height, width, channels = image_shape
    blocks = [block for stage in network_spec.stages for block in stage.blocks]
    inputs = spec.block_inputs(network_spec, (height, width, channels)).values()
    for block, (height, width, _) in list(zip(blocks, inputs, strict=True))[:-1]:
        for convolution in block.convolutions:
            lost -= sum(math.log10(_met(convolution, size)) for size in (height, width)) / 2
            height, width = (-(-size // convolution.stride) for size in (height, width))
    return lost


def _met(convolution: spec.ConvolutionSpec, size: int) -> float:
    """The part of a convolution's taps, along one side of the image, that meet a pixel."""
    reach = convolution.kernel_size // 2
    centres = range(0, size, convolution.stride)
    taps = [c + tap for c in centres for tap in range(-reach, reach + 1)]
    return sum(0 <= tap < size for tap in taps) / len(taps)
