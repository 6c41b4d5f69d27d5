"""How a quantity changes along a network's layers: by how many decades, and whether it shrinks.

The popular story has the gradient shrink geometrically on its way back: a line in its logarithm
against the layer.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, median, mode

import numpy as np

from vggres.findings.estimates import geometric_fit, t_interval
from vggres.networks import spec

# Fixed before the first sweep was run.
CONFIDENCE = 0.95
# "Shrinks" or "grows": by a factor of ten at least over the whole network. A gradient that is ten
# times smaller is what a ten times smaller learning rate would do, one step of every schedule.
DECADES = 1.0
# "Geometrically": the line explains this part of the variance of log10(gradient) at least.
R_SQUARED = 0.8

BLOCK_QUANTITIES = ('activation', 'input_gradient')
JUDGEMENTS = ('vanishes', 'shrinks', 'level', 'grows', 'irregular', 'dead', 'inconclusive')


def along(described: spec.NetworkSpec, quantity: str) -> tuple[list[str], list[int]]:
    """Names and positions of the blocks, or of the layers with weights, between stem and head."""
    found = spec.positions(described)
    slashes = 1 if quantity in BLOCK_QUANTITIES else 2
    names = [name for name in found if name.count('/') == slashes]
    return names, [found[name] for name in names]


def values(row: Mapping, quantity: str, names: Sequence[str]) -> np.ndarray:
    """Those of some layers in an observation; NaN for what was not finite."""
    return np.array([row[quantity][name] for name in names], float)  # None becomes NaN


def change(draws: Sequence[Sequence[float]], positions: Sequence[int]) -> dict:
    """How a quantity changes from the last layer to the first.

    Args:
        draws: `[n, layers]`, a draw of the weights each, the first layer first.
        positions: `[layers]`.

    Returns:
        `decades`, by which it shrinks from the last layer to the first according to the geometric
        fit, negative where it grows: the mean over draws; its `interval`, Student's over draws, or
        the fit's own where there is one draw; `per_layer`, the same for one layer; `r_squared`,
        the mean; `first_to_last`, the median ratio of the two ends, None where one of them is not
        finite or the last is zero; `ends`, the medians themselves; `zeros`, the mean number of
        layers with a value of zero, which fits leave out, and `not_finite`; `n`, the number of
        draws.
    """
    draws = np.array(draws, float).reshape(-1, len(positions))
    fits = [geometric_fit(positions, values, CONFIDENCE) for values in draws]
    slopes = np.array([fit['slope'] for fit in fits if fit['slope'] is not None])
    span = positions[-1] - positions[0]
    interval = t_interval(slopes, CONFIDENCE)
    if len(slopes) == 1:
        interval = next(fit['interval'] for fit in fits if fit['interval'])
    ratios = [float(row[0] / row[-1]) for row in draws if np.isfinite(row).all() and row[-1] > 0]
    return {
        'decades': float(slopes.mean() * span) if len(slopes) else None,
        'interval': [end * span for end in interval] if interval else None,
        'per_layer': float(slopes.mean()) if len(slopes) else None,
        'r_squared': fmean(f['r_squared'] for f in fits if f['slope'] is not None)
        if len(slopes)
        else None,
        'first_to_last': median(ratios) if ratios else None,
        'ends': _ends(draws),
        'zeros': float((draws == 0).sum(axis=1).mean()) if len(draws) else 0.0,
        'not_finite': float((~np.isfinite(draws)).sum(axis=1).mean()) if len(draws) else 0.0,
        'n': len(draws),
    }


def _ends(draws: np.ndarray) -> list[float | None]:
    """Medians over draws of the first and the last layer, None where one is not finite."""
    medians = np.median(draws[:, [0, -1]], axis=0) if len(draws) else [np.nan, np.nan]
    return [float(end) if np.isfinite(end) else None for end in medians]


def judge(found: Mapping) -> str:
    """Whether the gradient shrinks or grows from the last block to the first.

    'vanishes' where it is zero in the first block and not in the last, being below the smallest
    float32, and 'dead' where zero in both; 'shrinks' or 'grows' where the whole interval of
    `decades` is beyond `DECADES` and the fit explains `R_SQUARED`; 'level' where it is within;
    'irregular' where it is beyond, but not geometrically; 'inconclusive' otherwise.
    """
    if found['zeros'] and found['first_to_last'] == 0:
        return 'vanishes'
    if found['zeros'] and found['ends'] == [0, 0]:
        return 'dead'
    if found['interval'] is None:
        return 'inconclusive'
    low, high = found['interval']
    if low > -DECADES and high < DECADES:
        return 'level'
    if low < DECADES and high > -DECADES:
        return 'inconclusive'
    if found['r_squared'] < R_SQUARED:
        return 'irregular'
    return 'shrinks' if low >= DECADES else 'grows'


def judgements(flows: Mapping) -> dict[str, str | None]:
    """Before training, and during it that of most observations."""
    during = [judge(found) for found in flows['during'].values()]
    return {'before': judge(flows['before']), 'during': mode(during) if during else None}


def shrinkage(flows: Mapping, when: str) -> float | None:
    """Decades, of training the median; infinite where the quantity vanishes."""
    found = [flows['before']] if when == 'before' else list(flows['during'].values())
    decades = [math.inf if judge(each) == 'vanishes' else each['decades'] for each in found]
    decades = [each for each in decades if each is not None]
    return median(decades) if decades else None


def padding(described: spec.NetworkSpec, image_shape: Sequence[int]) -> float:
    """Decades that the norm of the gradient loses, last block to first, by padding alone.

    Under He's variance each convolution keeps the mean square of a gradient times the part of its
    taps that meet a pixel.
    """
    lost = 0.0
    blocks = [block for stage in described.stages for block in stage.blocks]
    inputs = spec.block_inputs(described, tuple(image_shape)).values()
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
