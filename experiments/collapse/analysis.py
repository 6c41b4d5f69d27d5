"""Measures how alike the features of different images are along the blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

from vggres.findings import before_after
from vggres.findings.along_layers import along, finite_values
from vggres.findings.before_after import Difference, Network, differences, looks
from vggres.findings.outcomes import CONFIDENCE
from vggres.results import Observation, Result
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep

# By how much larger the cosine between images has to be in plain networks. Draws of the weights of
# one network differ by about 0.02.
COSINE_MARGIN = 0.1


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


CollapseNetwork = Network[Features]


@dataclass(frozen=True)
class CollapseVerdict:
    """What the sweep says about collapsed features.

    Attributes:
        networks: all that finished and were observed.
        differences: between the cosines in the input of the last block of plain and of residual
            networks.
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
    return CollapseVerdict(networks, differences(networks, difference))


def last(found: Features) -> Sequence[float]:
    """The number that is compared: the cosine in the input of the last block, for each draw."""
    return found.last


def difference(
    networks: Sequence[CollapseNetwork], norm: str, depth: int, moment: str
) -> Difference | None:
    """Compares plain and residual networks that start from the same weights; None without any."""
    return before_after.difference(networks, (norm, depth, moment), last)


def _network(cell: Cell, result: Result, observations: Sequence[Observation]) -> CollapseNetwork:
    names, layers = along(cell.network_spec, 'block')
    before, after = looks(result, observations)
    return CollapseNetwork(
        variant=result.variant,
        family=result.family,
        norm=cell.config.model.norm,
        depth=result.depth,
        seed=result.seed,
        train_error=result.train_error,
        before=summary(before, names, layers),
        after=summary(after, names, layers),
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
    found = finite_values(observations, ('feature_cosine', 'feature_rank'), names)
    if found is None:
        return None
    cosine, rank = found.mean(axis=0)
    return Features(
        layers=tuple(layers),
        cosine=tuple(cosine.tolist()),
        rank=tuple(rank.tolist()),
        last=tuple(found[:, 0, -1].tolist()),
    )
