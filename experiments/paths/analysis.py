"""Gathers the parts of the gradient by length, and what closed forms say of them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.paths.question import PREACTIVATION, VARIANTS
from vggres.findings.before_after import AFTER, BEFORE, MOMENTS, looks
from vggres.findings.outcomes import CONFIDENCE, has_failed
from vggres.networks.spec import NetworkSpec
from vggres.results import Observation, Result
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep

# Both numbers were fixed before the first sweep was run, from the paper and from the word.
# "Short": through at most this part of the blocks. In the paper's network of 54 blocks, almost all
# of the gradient comes from paths through at most 17 of them.
SHORT = 1 / 3
# "Most": more than this share of the gradient.
MOST = 0.5

_QUANTITIES = ('path_norm', 'path_share', 'path_single')


@dataclass(frozen=True)
class PathLengths:
    """The gradient of the networks of one kind and depth by the length of its paths.

    Attributes:
        variant: the kind of shortcut.
        depth: weighted layers.
        when: one of `before_after.MOMENTS`.
        blocks: n, so that lengths go from 0 to n.
        share: of the gradient at each length, the mean over networks; the shares add up to 1.
        norm: of the gradient at each length relative to that of the whole, likewise.
        single: the norm of a single path of each length, likewise.
        short: for each network, the share of paths through at most `SHORT` of the blocks. Networks
            are draws of the weights before training, and runs after it.
        half: the same for at most half of the blocks.
        length: for each network, the mean length: the sum of length times share.
        failed: how many of the runs failed to train; 0 before training.
        expected: the share at each length of random branches (see `expected`).
    """

    variant: str
    depth: int
    when: str
    blocks: int
    share: tuple[float, ...]
    norm: tuple[float, ...]
    single: tuple[float, ...]
    short: tuple[float, ...]
    half: tuple[float, ...]
    length: tuple[float, ...]
    failed: int
    expected: tuple[float, ...]


@dataclass(frozen=True)
class PathsVerdict:
    """What the sweep says about paths.

    Attributes:
        lengths: of each kind of shortcut, depth and moment that was observed.
        errors: the highest training error in percent by variant and depth.
        short: the threshold `SHORT`.
        most: the threshold `MOST`.
        confidence: the level of all intervals.
    """

    lengths: tuple[PathLengths, ...]
    errors: dict[str, dict[int, float]]
    short: float = SHORT
    most: float = MOST
    confidence: float = CONFIDENCE


def analyse(sweep: Sweep) -> PathsVerdict:
    """Gathers the gradient by length for each kind of shortcut, depth and moment."""
    observed = sweep.observed()
    errors: dict[str, dict[int, float]] = {}
    for result in sweep.results():
        row = errors.setdefault(result.variant, {})
        row[result.depth] = max(result.train_error, row.get(result.depth, 0.0))
    found = []
    for variant, depth in dict.fromkeys((each.variant, each.depth) for _, each, _ in observed):
        own = [each for each in observed if (each[1].variant, each[1].depth) == (variant, depth)]
        found += [lengths for when in MOMENTS if (lengths := _lengths(own, when))]
    return PathsVerdict(tuple(found), errors)


def _lengths(
    observed: Sequence[tuple[Cell, Result, Sequence[Observation]]], when: str
) -> PathLengths | None:
    """The gradient by length of networks of one kind and depth; None where none was observed."""
    (cell, result, _), failed, rows = observed[0], 0, []
    for _, each, observations in observed:
        before, after = looks(each, observations)
        failed += when == AFTER and has_failed(each)
        own = before if when == BEFORE else after
        rows += [row for look in own if (row := _values(look)) is not None]
    if not rows:
        return None
    norm, share, single = np.mean(rows, axis=0)
    shares = np.array([row[1] for row in rows])
    blocks = shares.shape[1] - 1
    return PathLengths(
        variant=result.variant,
        depth=result.depth,
        when=when,
        blocks=blocks,
        share=tuple(share.tolist()),
        norm=tuple(norm.tolist()),
        single=tuple(single.tolist()),
        short=tuple(up_to(row, SHORT) for row in shares),
        half=tuple(up_to(row, 1 / 2) for row in shares),
        length=tuple(float(row @ np.arange(blocks + 1)) for row in shares),
        failed=failed,
        expected=tuple(expected(cell.network_spec).tolist()),
    )


def _values(observation: Observation) -> np.ndarray | None:
    """The three quantities by length, [3, blocks + 1]; None where they are not there or finite."""
    if any(quantity not in observation.values for quantity in _QUANTITIES):
        return None
    rows = [list(observation.values[quantity].values()) for quantity in _QUANTITIES]
    found = np.array(rows, float)  # None becomes NaN
    return found if np.isfinite(found).all() else None


def up_to(shares: Sequence[float] | np.ndarray, part: float) -> float:
    """The share of paths through at most a part of the blocks.

    >>> up_to([0.1, 0.2, 0.3, 0.4], 1 / 3)  # of three blocks: lengths 0 and 1
    0.3

    Args:
        shares: by length, from 0 to the number of blocks.
        part: of the blocks, 0 to 1.
    """
    longest = math.floor(part * (len(shares) - 1) + 1e-9)  # 27/3 is 9
    return round(float(np.sum(shares[: longest + 1])), 12)


def binomial(blocks: int) -> np.ndarray:
    """The part of all paths that has each length, [blocks + 1]: C(n, k) / 2ⁿ."""
    return trials([0.5] * blocks)


def expected(network_spec: NetworkSpec) -> np.ndarray:
    """The share at each length where branches are random and batch norm scales them.

    A block multiplies the energy of the gradient, its squared norm, by λ² through the shortcut and
    by 1/v through the branch, because batch norm divides by the variance v of the block's input
    (De & Smith 2020, arXiv 2002.10444, §2, for λ = 1). The branch adds a variance of 1 to λ²v, so
    that its part of the energy is 1/(λ²v + 1): for λ = 1 in block ℓ of a stage, 1/(ℓ + 1). Energies
    of random paths add up. The variance is counted from the start of a stage, whose new channels
    begin at zero; what the ReLU and its mean do is left out.

    Args:
        network_spec: a residual network.

    Returns:
        [blocks + 1].
    """
    probabilities = []
    for stage in network_spec.stages:
        variance = 1.0
        for block in stage.blocks:
            scale = block.shortcut.scale if block.shortcut else 0.0
            variance = scale**2 * variance + 1
            probabilities.append(1 / variance)
    return trials(probabilities)


def trials(probabilities: Iterable[float]) -> np.ndarray:
    """How many of some independent trials succeed: the probability of each number from 0 on.

    >>> trials([0.5, 0.5]).tolist()
    [0.25, 0.5, 0.25]
    """
    found = np.ones(1)
    for p in probabilities:
        found = np.convolve(found, [1 - p, p])
    return found


def is_unscaled(variant: str) -> bool:
    """Whether a variant has shortcuts as the paper has them, without a factor."""
    return variant == PREACTIVATION or not VARIANTS.get(variant)
