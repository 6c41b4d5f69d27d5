"""Summarises the local Jacobians of a network: how far its blocks together are from a map."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vggres.findings.estimates import Interval, t_interval
from vggres.findings.outcomes import CONFIDENCE
from vggres.networks import spec
from vggres.networks.spec import NetworkSpec
from vggres.results import Observation

# "Close to the identity": √Σd² over the blocks is at most this, where d = ‖J − I‖ / ‖I‖. Depth
# counts: if the deviations of the blocks do not line up, the product of all Jacobians differs from
# the identity by √(Π(1 + d²) − 1), which is about √Σd², so that the identity is the larger part of
# what the blocks do together. A first sweep was judged by the same number for each block; the
# criterion came after its data, and is exploratory on digits.
CLOSE = 0.5

_QUANTITIES = (
    'identity_distance',
    'relu_distance',
    'spectral_norm',
    'mean_square_gain',
    'image_coupling',
)
_SIZE = 64  # pixels; which blocks keep their shape does not depend on it


@dataclass(frozen=True)
class Distance:
    """How far the Jacobians of a network's blocks are from a map, in Frobenius norm.

    The blocks are an ordered profile of one network and no sample of anything.

    Attributes:
        by_block: the distance d of each block relative to the norm of the map, from the first block
            to the last: the root mean square over draws of the weights.
        total: Σd² over the blocks, the mean over draws.
        root: √Σd² over the blocks, the mean over draws.
        interval: of `root`; None for fewer than two draws.
        roots: √Σd² for each draw.
    """

    by_block: tuple[float, ...]
    total: float
    root: float
    interval: Interval | None
    roots: tuple[float, ...]


@dataclass(frozen=True)
class Jacobians:
    """The local Jacobians of a network's blocks that keep their shape, at one moment.

    Attributes:
        blocks: the names of the blocks.
        from_identity: the distance from the identity.
        from_relu: the distance from the Jacobian of the block's last ReLU.
        spectral_norm: the largest of the blocks' lower bounds, the mean over draws.
        gain: the mean squared singular value, the geometric mean over blocks and draws: the product
            over all blocks is its power.
        coupling: the largest Jacobian between images of a training batch, relative to that of
            single images, the mean over draws.
        draws: the number of draws of the weights.
    """

    blocks: tuple[str, ...]
    from_identity: Distance
    from_relu: Distance
    spectral_norm: float
    gain: float
    coupling: float
    draws: int


def same_shape(network_spec: NetworkSpec) -> list[str]:
    """The names of the blocks whose output has the shape of their input."""
    blocks = [block for stage in network_spec.stages for block in stage.blocks]
    inputs = spec.block_inputs(network_spec, (_SIZE, _SIZE, 1))
    return [
        name
        for block, (name, (_, _, channels)) in zip(blocks, inputs.items(), strict=True)
        if block.stride == 1 and block.channels == channels
    ]


def summary(observations: Sequence[Observation], names: Sequence[str]) -> Jacobians | None:
    """Summarises the Jacobians of some blocks over draws of the weights.

    Args:
        observations: one per draw.
        names: of the blocks, from the first to the last.

    Returns:
        None where there are no observations or no blocks, where an earlier version left other
        quantities, or where a value is not finite.
    """
    if not observations or not names:
        return None
    if any(name not in each.values for each in observations for name in _QUANTITIES):
        return None
    found = np.array(  # [quantities, draws, blocks]; None becomes NaN
        [
            [[each.values[quantity].get(name) for name in names] for each in observations]
            for quantity in _QUANTITIES
        ],
        float,
    )
    if not np.isfinite(found).all():
        return None
    from_identity, from_relu, spectral, gain, coupling = found
    return Jacobians(
        blocks=tuple(names),
        from_identity=_distance(from_identity),
        from_relu=_distance(from_relu),
        spectral_norm=float(spectral.max(axis=1).mean()),
        gain=_geometric_mean(gain),
        coupling=float(coupling.max(axis=1).mean()),
        draws=len(observations),
    )


def _distance(draws: np.ndarray) -> Distance:
    """Summarises distances `[draws, blocks]`."""
    squares = np.square(draws)
    roots = np.sqrt(squares.sum(axis=1))
    return Distance(
        by_block=tuple(np.sqrt(squares.mean(axis=0)).tolist()),
        total=float(squares.sum(axis=1).mean()),
        root=float(roots.mean()),
        interval=t_interval(roots, CONFIDENCE),
        roots=tuple(roots.tolist()),
    )


def _geometric_mean(values: np.ndarray) -> float:
    """Zero where one of the values is."""
    return math.exp(np.log(values).mean()) if values.all() else 0.0
