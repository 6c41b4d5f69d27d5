"""Measures how fast the correlation of gradients falls, layer by layer from the head."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vggres.findings import before_after
from vggres.findings.along_layers import finite_values
from vggres.findings.before_after import Difference, Network, differences, looks, pairs
from vggres.findings.outcomes import CONFIDENCE
from vggres.findings.random_networks import feed_forward, residual, residual_with_norm
from vggres.networks.spec import positions
from vggres.results import Observation, Result
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep

# A correlation below this cannot be told from none: it is a mean over 120 pairs of images, and on a
# first look at untrained networks those far from the head scattered by 0.01 to 0.02 around 0.
FLOOR = 0.05
# In halvings a layer: by how much faster the correlation has to fall in plain networks. It is a
# tenth of what the law 2^−L gives for them; over the 54 layers in the blocks of a network of depth
# 56 it is a factor of 40.
SLOPE_MARGIN = 0.1

_RELUS = 2  # in a residual branch of two layers


@dataclass(frozen=True)
class Shattering:
    """What gradients of different inputs have in common, at one moment.

    The first of the values along a network belongs to the gradient in the images; the others to
    those in the inputs of its blocks.

    Attributes:
        layers: L, the weighted layers between each input and the head.
        correlation: the mean cosine between the gradients of different images, the mean over draws.
        rank: the effective rank of the gradients of 16 images, likewise.
        neighbours: the mean cosine between the gradients of two points 1/32 of the way between two
            images apart, likewise.
        autocorrelation: the mean cosine between the gradients in the images of two points, by
            their distance as a part of the way between two images; likewise.
        halvings: of the correlation, for each layer (see `halvings`); one value for each draw.
    """

    layers: tuple[int, ...]
    correlation: tuple[float, ...]
    rank: tuple[float, ...]
    neighbours: tuple[float, ...]
    autocorrelation: dict[str, float]
    halvings: tuple[float, ...]


@dataclass(frozen=True)
class ShatteringNetwork(Network[Shattering]):
    """One network of the sweep.

    Attributes:
        law: the correlation at each of `before.layers` by the law of Balduzzi et al. for networks
            of this kind (see `law`).
    """

    law: tuple[float, ...]


@dataclass(frozen=True)
class SlopeDifference(Difference):
    """How much faster the correlation falls in plain networks than in residual ones.

    Attributes:
        values: halvings a layer.
        law: the mean by the laws of Balduzzi et al.
    """

    law: float


@dataclass(frozen=True)
class ShatteringVerdict:
    """What the sweep says about shattered gradients.

    Attributes:
        networks: all that finished and were observed.
        differences: between the halvings of plain and of residual networks.
        floor: the threshold `FLOOR`.
        margin: `SLOPE_MARGIN`.
        confidence: the level of all intervals.
    """

    networks: tuple[ShatteringNetwork, ...]
    differences: tuple[SlopeDifference, ...]
    floor: float = FLOOR
    margin: float = SLOPE_MARGIN
    confidence: float = CONFIDENCE


def analyse(sweep: Sweep) -> ShatteringVerdict:
    """Summarises the gradients of each network, and compares plain with residual networks."""
    networks = tuple(_network(*each) for each in sweep.observed())
    return ShatteringVerdict(networks, differences(networks, _difference))


def slopes(found: Shattering) -> Sequence[float]:
    """The number that is compared: the halvings a layer, for each draw."""
    return found.halvings


def halvings(layers: Sequence[int], correlation: Sequence[float]) -> float:
    """How often the correlation halves for each layer, from the head on.

    It is the slope of −log2 of the correlation by least squares, on a line that starts from 1 at
    the head, where the gradients of all images are the same. It ends before the first input whose
    correlation is below `FLOOR`. Where that is the very first one, its correlation counts as
    `FLOOR`, so that the slope is a lower bound.

    >>> halvings([6, 4, 2], [0.125, 0.25, 0.5])
    0.5

    Args:
        layers: L, the layers between each input and the head.
        correlation: at each of them.
    """
    nearest_first = sorted(zip(layers, correlation, strict=True))
    first = nearest_first[0]
    used = [(first[0], max(first[1], FLOOR))]
    for place, value in nearest_first[1:]:
        if first[1] < FLOOR or value < FLOOR:
            break
        used.append((place, value))
    slope = sum(place * -math.log2(value) for place, value in used)
    return slope / sum(place**2 for place, _ in used)


def law(family: str, norm: str, layers: Sequence[int]) -> tuple[float, ...]:
    """The correlation of gradients according to Balduzzi et al., for blocks of two layers.

    The stem's ReLU belongs to none of the blocks: it halves the correlation once more.

    Args:
        family: 'plain', for which L counts ReLUs, or 'resnet'.
        norm: 'batch' or 'none'.
        layers: L for the images, and for the input of each block in turn.
    """
    if family == 'plain':
        return tuple(feed_forward(count) for count in layers)
    blocks = len(layers) - 1
    of_blocks = [
        residual_with_norm(first, blocks, _RELUS)
        if norm == 'batch'
        else residual(blocks - first + 1, _RELUS)
        for first in range(1, blocks + 1)
    ]
    return (of_blocks[0] * feed_forward(1), *of_blocks)


def _network(cell: Cell, result: Result, observations: Sequence[Observation]) -> ShatteringNetwork:
    numbers = positions(cell.network_spec)
    names = ['stem', *(name for name in numbers if name.count('/') == 1)]
    layers = tuple(cell.network_spec.depth - numbers[name] for name in names)
    norm = cell.config.model.norm
    before, after = looks(result, observations)
    return ShatteringNetwork(
        variant=result.variant,
        family=result.family,
        norm=norm,
        depth=result.depth,
        seed=result.seed,
        train_error=result.train_error,
        law=law(result.family, norm, layers),
        before=summary(before, names, layers),
        after=summary(after, names, layers),
    )


def summary(
    observations: Sequence[Observation], names: Sequence[str], layers: Sequence[int]
) -> Shattering | None:
    """Summarises the gradients of a network over draws of its weights.

    Args:
        observations: one per draw.
        names: of the stem and the blocks.
        layers: the layers between the input of each of them and the head.

    Returns:
        None where there are no observations, and where a value is not finite.
    """
    quantities = ('gradient_correlation', 'gradient_rank', 'neighbour_correlation')
    found = finite_values(observations, quantities, names)
    if found is None:
        return None
    correlation, rank, neighbours = found.mean(axis=0)
    lags = [each.values['gradient_autocorrelation'] for each in observations]
    return Shattering(
        layers=tuple(layers),
        correlation=tuple(correlation.tolist()),
        rank=tuple(rank.tolist()),
        neighbours=tuple(neighbours.tolist()),
        autocorrelation={
            lag: float(np.mean([each[lag] for each in lags])) for lag in (lags[0] if lags else ())
        },
        halvings=tuple(halvings(layers, each) for each in found[:, 0]),
    )


def _difference(
    networks: Sequence[ShatteringNetwork], norm: str, depth: int, moment: str
) -> SlopeDifference | None:
    place = norm, depth, moment
    found = before_after.difference(networks, place, slopes)
    if found is None:
        return None
    expected = [
        halvings(each.before.layers, each.law)
        for each in pairs(networks, place)[0]  # the laws know no seeds
        if each.before
    ]
    by_laws = expected[0] - expected[1] if len(expected) == 2 else math.nan
    return SlopeDifference(**vars(found), law=by_laws)
