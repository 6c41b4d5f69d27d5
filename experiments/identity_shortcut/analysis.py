"""Measures the local Jacobians of blocks, and how the gradient falls along them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from experiments.identity_shortcut.jacobians import (
    CLOSE,
    Jacobians,
    same_shape,
    summary,
)
from experiments.identity_shortcut.question import FACTORS, IDENTITY
from vggres.findings import along_layers
from vggres.findings.along_layers import along
from vggres.findings.before_after import looks
from vggres.findings.estimates import Interval, t_interval
from vggres.findings.outcomes import CONFIDENCE, MARGIN
from vggres.networks.spec import NetworkSpec
from vggres.results import Observation, Result
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep

# "Worse" means worse by `outcomes.MARGIN` points of training error.


@dataclass(frozen=True)
class Excess:
    """By how many decades more the gradient falls than with identity shortcuts.

    Attributes:
        mean: over draws; None where there is nothing to compare with.
        interval: of the mean; None with fewer than two draws.
        n: draws.
    """

    mean: float | None
    interval: Interval | None
    n: int


@dataclass(frozen=True)
class ShortcutNetwork:
    """One network of the sweep.

    Attributes:
        cell: the id of its cell.
        variant: its kind of shortcut.
        family: 'resnet'.
        depth: weighted layers.
        seed: of its weights and the order of its data.
        status: 'finished' or 'diverged'.
        train_error: at the end, in percent.
        blocks: their number.
        kept: the names of those that keep the shape of their input, whose Jacobians are summarised.
        fall: the decades by which the norm of the gradient falls from the input of the last block
            to that of the first, by a fit of its logarithm (`along_layers.change`), before the
            first update, for each draw of the weights; None with fewer than three usable blocks.
        beyond: how much more it falls than in the identity network of the same depth and seed.
        shortest: the decades by which the shortest path falls more than with identity shortcuts,
            the one through shortcuts alone: −log10 λ for each block but one. It bounds that path
            and not the gradient. None for shortcuts without a factor or with λ = 0.
        branches: the number of residual branches that the gradient passes through between the last
            block and the first, in the mean over paths, at least (`least_branches`), the mean over
            draws; None as above.
        chain: the root mean square of what all blocks together pull a random vector back to, over
            that of the vector, before the first update; the mean over draws.
        before: its Jacobians before the first update; None where no block keeps its shape, where
            they are not finite, or where an earlier version observed other quantities.
        after: the same after the last one; None for a run that diverged, too.
    """

    cell: str
    variant: str
    family: str
    depth: int
    seed: int
    status: str
    train_error: float
    blocks: int
    kept: tuple[str, ...]
    fall: tuple[float | None, ...]
    beyond: Excess
    shortest: float | None
    branches: float | None
    chain: float | None
    before: Jacobians | None
    after: Jacobians | None


@dataclass(frozen=True)
class ShortcutVerdict:
    """What the sweep says about shortcuts.

    Attributes:
        networks: all that finished and were observed.
        confidence: the level of all intervals.
        close: the threshold `jacobians.CLOSE`.
        margin: in points of training error: what "worse" means.
    """

    networks: tuple[ShortcutNetwork, ...]
    confidence: float = CONFIDENCE
    close: float = CLOSE
    margin: float = MARGIN


def analyse(sweep: Sweep) -> ShortcutVerdict:
    """Measures how the gradient falls along the blocks of each network, and its Jacobians."""
    networks = [_network(*each) for each in sweep.observed()]
    baselines = {(n.depth, n.seed): n.fall for n in networks if n.variant == IDENTITY}
    compared = []
    for network in networks:
        baseline = baselines.get((network.depth, network.seed), ())
        compared.append(replace(network, beyond=beyond(network.fall, baseline)))
    return ShortcutVerdict(tuple(compared))


def _network(cell: Cell, result: Result, observations: Sequence[Observation]) -> ShortcutNetwork:
    names, _ = along(cell.network_spec, 'block')
    kept = same_shape(cell.network_spec)
    before, after = looks(result, observations)
    fall = tuple(_fall(each, cell.network_spec, result.image_shape) for each in before)
    factor = FACTORS.get(result.variant)
    return ShortcutNetwork(
        cell=result.cell,
        variant=result.variant,
        family=result.family,
        depth=result.depth,
        seed=result.seed,
        status=result.status,
        train_error=result.train_error,
        blocks=len(names),
        kept=tuple(kept),
        fall=fall,
        beyond=beyond((), ()),
        shortest=_shortest(result.variant, len(names)),
        branches=finite_mean(
            least_branches(each, factor, len(names) - 1) if factor and each is not None else None
            for each in fall
        ),
        chain=finite_mean(each.values.get('chain_gain', {}).get(names[0]) for each in before),
        before=summary(before, kept),
        after=summary(after, kept),
    )


def _fall(observation: Observation, network_spec: NetworkSpec, image_shape: tuple) -> float | None:
    """The decades by which the norm of the gradient falls from the last block to the first."""
    _, positions = along(network_spec, 'block')
    row = along_layers.norms(observation, network_spec, image_shape)
    return along_layers.change([row], positions).decades


def _shortest(variant: str, blocks: int) -> float | None:
    factor = FACTORS.get(variant)
    return -(blocks - 1) * math.log10(factor) if factor else None


def least_branches(fall: float, factor: float, blocks: int) -> float:
    """How many residual branches the gradient passes through at least, in the mean over its paths.

    A gradient passes each block either through the shortcut, which multiplies its energy, the
    squared norm, by λ², or through the branch, by g². Energies add up where branches are random, so
    that the paths through k of L branches carry C(L, k) λ^2(L − k) g^2k, the terms of
    (λ² + g²)^L. The shortest path, λ^L of the norm, is one of them. The energy of a binomial sum
    sits around k = L g² / (λ² + g²), and λ² + g² is measured. The last ReLU of a block stops a part
    of both: then the shortcut passes less than λ², and there are more branches than this.

    >>> round(least_branches(fall=0.0, factor=0.5, blocks=26), 2)  # a level gradient: 26 · 3/4
    19.5

    Args:
        fall: the decades by which the norm falls over these blocks.
        factor: λ.
        blocks: L.
    """
    measured = 10 ** (-2 * fall / blocks)  # the factor of the energy for each block
    return blocks * max(0.0, 1 - factor**2 / measured)


def beyond(fall: Sequence[float | None], baseline: Sequence[float | None]) -> Excess:
    """How much more the gradient falls than in a baseline, draw by draw.

    The draws are paired, because networks of one seed start from the same weights.
    """
    pairs = zip(fall, baseline, strict=False)
    more = np.array([a - b for a, b in pairs if a is not None and b is not None])
    mean = float(more.mean()) if len(more) else None
    return Excess(mean, t_interval(more, CONFIDENCE), len(more))


def finite_mean(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are finite; None where there are none."""
    finite = [value for value in values if value is not None]
    return fmean(finite) if finite else None
