"""Measures how alike the features of different images are along the blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vggres.findings.along_layers import along, values
from vggres.findings.estimates import Interval, t_interval
from vggres.findings.outcomes import CONFIDENCE
from vggres.results import Observation, Result
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep

# By how much larger the cosine between images has to be in plain networks. Draws of the weights of
# one network differ by about 0.02.
COSINE_MARGIN = 0.1

MOMENTS = ('before training', 'after training')


@dataclass(frozen=True)
class Features:
    """How alike the features of different images are, at one moment.

    Attributes:
        layers: the number of the first layer of each block, 1 next to the image.
        cosine: the mean cosine between the features of different images in the input of each
            block, the mean over draws.
        rank: the effective rank of the features of up to 32 images, likewise.
        last: the cosine in the input of the last block; one value for each draw.
    """

    layers: tuple[int, ...]
    cosine: tuple[float, ...]
    rank: tuple[float, ...]
    last: tuple[float, ...]


@dataclass(frozen=True)
class CollapseNetwork:
    """One network of the sweep.

    Attributes:
        variant: family and norm.
        family: 'plain' or 'resnet'.
        norm: 'batch' or 'none'.
        depth: weighted layers.
        seed: of its weights and the order of its data.
        train_error: at the end, in percent.
        before: the first update; None where a value is not finite.
        after: the same after the last update; None for a run that diverged, too.
    """

    variant: str
    family: str
    norm: str
    depth: int
    seed: int
    train_error: float
    before: Features | None
    after: Features | None


@dataclass(frozen=True)
class Difference:
    """By how much more alike features are in plain networks than in residual ones.

    Attributes:
        norm: 'batch' or 'none'.
        depth: weighted layers.
        moment: 'before training' or 'after training'.
        values: the cosine in the input of the last block, plain minus residual, one for each draw
            of the weights that both start from; after training, one for each seed.
        mean: of the values.
        interval: Student's, of the mean; None where there is no spread.
    """

    norm: str
    depth: int
    moment: str
    values: tuple[float, ...]
    mean: float
    interval: Interval | None


@dataclass(frozen=True)
class CollapseVerdict:
    """What the sweep says about collapsed features.

    Attributes:
        networks: all that finished and were observed.
        differences: between plain and residual networks.
        margin: `COSINE_MARGIN`.
        confidence: the level of all intervals.
    """

    networks: tuple[CollapseNetwork, ...]
    differences: tuple[Difference, ...]
    margin: float = COSINE_MARGIN
    confidence: float = CONFIDENCE


def analyse(sweep: Sweep) -> CollapseVerdict:
    """Summarises the features of each network, and compares plain with residual networks."""
    networks = tuple(_network(*each) for each in sweep.observed())
    places = dict.fromkeys((n.norm, n.depth, moment) for n in networks for moment in MOMENTS)
    found = (difference(networks, *place) for place in places)
    return CollapseVerdict(networks, tuple(each for each in found if each is not None))


def at(network: CollapseNetwork, moment: str) -> Features | None:
    """What was found in a network at one of `MOMENTS`."""
    return network.before if moment == MOMENTS[0] else network.after


def _network(cell: Cell, result: Result, observations: Sequence[Observation]) -> CollapseNetwork:
    names, layers = along(cell.network_spec, 'block')
    before = [each for each in observations if each.step == 0]
    is_whole = result.status == 'finished' and observations[-1].step > 0
    return CollapseNetwork(
        variant=result.variant,
        family=result.family,
        norm=cell.config.model.norm,
        depth=result.depth,
        seed=result.seed,
        train_error=result.train_error,
        before=summary(before, names, layers),
        after=summary(observations[-1:] if is_whole else [], names, layers),
    )


def summary(
    observations: Sequence[Observation], names: Sequence[str], layers: Sequence[int]
) -> Features | None:
    """Summarises the features of a network over draws of its weights.

    Args:
        observations: one per draw.
        names: of the blocks.
        layers: the number of the first layer of each of them.

    Returns:
        None where there are no observations, and where a value is not finite.
    """
    quantities = ('feature_cosine', 'feature_rank')
    if any(q not in each.values for each in observations for q in quantities):
        return None  # these were observed without the probe
    found = np.array([[values(each, q, names) for q in quantities] for each in observations])
    if not found.size or not np.isfinite(found).all():
        return None
    cosine, rank = found.mean(axis=0)
    return Features(
        layers=tuple(layers),
        cosine=tuple(cosine.tolist()),
        rank=tuple(rank.tolist()),
        last=tuple(found[:, 0, -1].tolist()),
    )


def difference(
    networks: Sequence[CollapseNetwork], norm: str, depth: int, moment: str
) -> Difference | None:
    """Compares plain and residual networks that start from the same weights; None without any."""
    last: dict[str, dict[int, tuple[float, ...]]] = {'plain': {}, 'resnet': {}}
    for network in networks:
        found = at(network, moment)
        if (network.norm, network.depth) == (norm, depth) and found:
            last[network.family][network.seed] = found.last
    more = [
        plain - shortcuts
        for seed in sorted(last['plain'].keys() & last['resnet'].keys())
        for plain, shortcuts in zip(last['plain'][seed], last['resnet'][seed], strict=False)
    ]
    if not more:
        return None
    interval = t_interval(np.array(more), CONFIDENCE)
    return Difference(norm, depth, moment, tuple(more), float(np.mean(more)), interval)
