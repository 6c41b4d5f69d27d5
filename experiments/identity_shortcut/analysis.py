"""Measures the local Jacobians of blocks, and how the gradient falls along them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from experiments.identity_shortcut.question import FACTORS, IDENTITY
from vggres.findings import along_layers
from vggres.findings.along_layers import along
from vggres.findings.estimates import Interval, t_interval
from vggres.findings.verdict import MARGIN
from vggres.networks import spec
from vggres.networks.spec import NetworkSpec
from vggres.results import Observation, Result
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep

# These were fixed before the first sweep was run. "Worse" means worse by `verdict.MARGIN` points of
# training error.
CONFIDENCE = 0.95
# "Close to the identity": ‖J − I‖ is at most this part of ‖I‖, so that the identity is the larger
# part.
CLOSE = 0.5

_SINGULAR = ('largest', 'smallest', 'mean_squared')
_SIZE = 64  # pixels; which blocks keep their shape does not depend on it


@dataclass(frozen=True)
class Distance:
    """How far Jacobians are from a map, relative to the identity, in Frobenius norm.

    Attributes:
        mean: the geometric mean over blocks of the means over draws of the weights.
        interval: of the mean over blocks, by their logarithms; None with fewer than two blocks or a
            distance of zero.
        close: the part of the blocks that are at most `CLOSE` away.
    """

    mean: float
    interval: Interval | None
    close: float


@dataclass(frozen=True)
class Jacobians:
    """The local Jacobians of a network's blocks that keep their shape, at one moment.

    Singular values are geometric means over blocks of the means over draws.

    Attributes:
        distance_from_identity: of the Jacobian.
        distance_from_relu: from what the block's last ReLU alone makes of the identity.
        largest: singular value.
        smallest: singular value, an upper bound.
        mean_squared: singular value.
        n: blocks.
    """

    distance_from_identity: Distance
    distance_from_relu: Distance
    largest: float
    smallest: float
    mean_squared: float
    n: int


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
        before: its Jacobians before the first update; None where they are not finite.
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
        close: the threshold `CLOSE`.
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
    before = [each for each in observations if each.step == 0]
    fall = tuple(_fall(each, cell.network_spec, result.image_shape) for each in before)
    factor = FACTORS.get(result.variant)
    after = observations[-1:] if result.status == 'finished' else []
    return ShortcutNetwork(
        cell=result.cell,
        variant=result.variant,
        family=result.family,
        depth=result.depth,
        seed=result.seed,
        status=result.status,
        train_error=result.train_error,
        blocks=len(names),
        fall=fall,
        beyond=beyond((), ()),
        shortest=_shortest(result.variant, len(names)),
        branches=finite_mean(
            least_branches(each, factor, len(names) - 1) if factor and each is not None else None
            for each in fall
        ),
        chain=finite_mean(each.values['chain'][names[0]] for each in before),
        before=summary(before, kept),
        after=summary(after, kept),
    )


def same_shape(network_spec: NetworkSpec) -> list[str]:
    """The names of the blocks whose output has the shape of their input."""
    blocks = [block for stage in network_spec.stages for block in stage.blocks]
    inputs = spec.block_inputs(network_spec, (_SIZE, _SIZE, 1))
    return [
        name
        for block, (name, (_, _, channels)) in zip(blocks, inputs.items(), strict=True)
        if block.stride == 1 and block.channels == channels
    ]


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


def summary(observations: Sequence[Observation], names: Sequence[str]) -> Jacobians | None:
    """Summarises the Jacobians of some blocks over draws of the weights.

    Args:
        observations: one per draw.
        names: of the blocks.

    Returns:
        None where there are no observations or no blocks, or where any value is not finite.
    """

    def by_block(quantity: str) -> np.ndarray:
        rows = [[each.values[quantity][name] for name in names] for each in observations]
        return np.array(rows, float).mean(axis=0)  # None becomes NaN

    if not observations or not names:
        return None
    from_identity, from_relu = by_block('distance_from_identity'), by_block('distance_from_relu')
    singular = [by_block(f'{which}_singular_value') for which in _SINGULAR]
    if not np.isfinite([from_identity, from_relu, *singular]).all():
        return None
    largest, smallest, mean_squared = map(_geometric_mean, singular)
    return Jacobians(
        distance_from_identity=_distance(from_identity),
        distance_from_relu=_distance(from_relu),
        largest=largest,
        smallest=smallest,
        mean_squared=mean_squared,
        n=len(names),
    )


def _distance(by_block: np.ndarray) -> Distance:
    return Distance(
        mean=_geometric_mean(by_block),
        interval=_log_interval(by_block),
        close=float((by_block <= CLOSE).mean()),
    )


def _geometric_mean(values: np.ndarray) -> float:
    with np.errstate(divide='ignore'):
        return float(np.exp(np.log(values).mean()))


def _log_interval(values: np.ndarray) -> Interval | None:
    """The interval of a geometric mean; None with a zero among the values or fewer than two."""
    if not values.all():
        return None
    interval = t_interval(np.log(values), CONFIDENCE)
    return (math.exp(interval[0]), math.exp(interval[1])) if interval else None
