"""Measures the local Jacobians of blocks, and how the gradient falls along them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from experiments.identity_shortcut.jacobians import (
    CLOSE,
    CONFIDENCE,
    Jacobians,
    same_shape,
    summary,
)
from experiments.identity_shortcut.question import FACTORS, IDENTITY
from vggres.findings.along_layers import along
from vggres.findings.estimates import Interval, t_interval
from vggres.findings.verdict import MARGIN
from vggres.results import Observation, Result
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep

# "Worse" means worse by `verdict.MARGIN` points of training error.


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
        fall: the decades by which the root mean square of the gradient falls from the input of the
            last block to that of the first, before the first update, for each draw of the weights;
            None where it is zero or not finite.
        beyond: how much more it falls than in the identity network of the same depth and seed.
        expected: what the factor λ of the shortcut alone would add: −log10 λ for each block but
            one; None for shortcuts without a factor or with λ = 0.
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
    expected: float | None
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
    before = [each for each in observations if each.step == 0]
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
        kept=tuple(kept),
        fall=tuple(_fall(each, names) for each in before),
        beyond=beyond((), ()),
        expected=_expected(result.variant, len(names)),
        chain=finite_mean(each.values.get('chain_gain', {}).get(names[0]) for each in before),
        before=summary(before, kept),
        after=summary(after, kept),
    )


def _fall(observation: Observation, names: Sequence[str]) -> float | None:
    """log10 of the gradient in the input of the last block over that of the first."""
    gradients = observation.values['input_gradient']
    first, last = gradients[names[0]], gradients[names[-1]]
    return math.log10(last / first) if last and first else None


def _expected(variant: str, blocks: int) -> float | None:
    factor = FACTORS.get(variant)
    return -(blocks - 1) * math.log10(factor) if factor else None


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
