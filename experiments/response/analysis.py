"""Summarises responses and the parts of branches, before and after training."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from vggres.findings.along_layers import along, values
from vggres.findings.before_after import looks
from vggres.findings.expected_response import branch_parts
from vggres.findings.outcomes import CONFIDENCE, has_failed
from vggres.results import Observation, Result
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep

# The depth at which plain and residual networks are compared: there both train within the budget,
# while plain-56 does not (see `depth`). He et al. compare 20 and 56 (Fig. 7).
COMPARED = 20


@dataclass(frozen=True)
class ResponseNetwork:
    """One network of the sweep.

    Attributes:
        cell: the id of its cell.
        variant: its family, and the options in which it differs from it.
        family: 'plain' or 'resnet'.
        depth: weighted layers.
        seed: of its weights and the order of its data.
        status: 'finished' or 'diverged'.
        failed: whether it failed to train.
        train_error: at the end, in percent.
        layers: the positions of its 3×3 layers, 1 next to the image.
        response: the mean over these layers of the standard deviations after the last update; None
            for a run that diverged.
        by_layer: the standard deviations; empty for a run that diverged.
        start: the mean as above before the first update, over draws of the weights; None where
            values are not finite.
        parts_before: the part of the branch in the energy B + S that meets at the addition of each
            block, before the first update; the mean over draws; empty without shortcuts.
        parts_after: the same after the last update; empty for a run that diverged, too.
        expected: what the closed form gives for `parts_before`; empty where there is none.
        draws: of the weights before the first update.
    """

    cell: str
    variant: str
    family: str
    depth: int
    seed: int
    status: str
    failed: bool
    train_error: float
    layers: tuple[int, ...]
    response: float | None
    by_layer: tuple[float, ...]
    start: float | None
    parts_before: tuple[float, ...]
    parts_after: tuple[float, ...]
    expected: tuple[float, ...]
    draws: int

    @property
    def deviation(self) -> float | None:
        """By how much the parts before training deviate from the closed form, at the most."""
        if not self.expected or not self.parts_before:
            return None
        return float(np.abs(np.subtract(self.parts_before, self.expected)).max())


@dataclass(frozen=True)
class ResponseVerdict:
    """What the sweep says about responses and summands.

    Attributes:
        networks: all that finished and were observed.
        compared: the depth `COMPARED`.
        confidence: the level of all intervals.
    """

    networks: tuple[ResponseNetwork, ...]
    compared: int = COMPARED
    confidence: float = CONFIDENCE


def analyse(sweep: Sweep) -> ResponseVerdict:
    """Summarises each network of a sweep."""
    found = [each for each in sweep.observed() if 'response' in each[2][0].values]
    return ResponseVerdict(tuple(_network(*each) for each in found))


def _network(cell: Cell, result: Result, observations: Sequence[Observation]) -> ResponseNetwork:
    described = cell.network_spec
    names, positions = along(described, 'layer')
    if described.stem:
        names, positions = ['stem', *names], [1, *positions]
    before, after = looks(result, observations)
    at_start = _mean(values(each, 'response', names) for each in before)
    at_end = _mean(values(each, 'response', names) for each in after)
    is_he = cell.config.init.scheme == 'he' and not cell.config.init.weights
    expected = branch_parts(described, result.image_shape) if is_he else None
    return ResponseNetwork(
        cell=result.cell,
        variant=result.variant,
        family=result.family,
        depth=result.depth,
        seed=result.seed,
        status=result.status,
        failed=has_failed(result),
        train_error=result.train_error,
        layers=tuple(positions),
        response=fmean(at_end) if at_end else None,
        by_layer=at_end,
        start=fmean(at_start) if at_start else None,
        parts_before=_mean(_parts(each, along(described, 'block')[0]) for each in before),
        parts_after=_mean(_parts(each, along(described, 'block')[0]) for each in after),
        expected=tuple(expected or ()),
        draws=len(before),
    )


def _parts(observation: Observation, blocks: Sequence[str]) -> np.ndarray:
    """B / (B + S) in each block: `[blocks]`; empty where no block has an addition."""
    if any(name not in observation.values['branch_size'] for name in blocks):
        return np.array([])
    branch, shortcut = (
        np.square(values(observation, quantity, blocks))
        for quantity in ('branch_size', 'shortcut_size')
    )
    return branch / (branch + shortcut)


def _mean(rows: Sequence[np.ndarray] | object) -> tuple[float, ...]:
    """The mean over draws; empty where there are none, or where a value is not finite."""
    found = np.array(list(rows))
    if not found.size or not np.isfinite(found).all():
        return ()
    return tuple(found.mean(axis=0).tolist())


def ratios(
    networks: Sequence[ResponseNetwork], of: tuple[str, int], to: tuple[str, int]
) -> list[float]:
    """The response of one network over that of another, for each seed that has both.

    Args:
        networks: all of them.
        of: variant and depth of the numerator.
        to: variant and depth of the denominator.
    """
    found = {(n.variant, n.depth, n.seed): n.response for n in networks if n.response}
    seeds = sorted({seed for *_, seed in found})
    pairs = [(found.get((*of, seed)), found.get((*to, seed))) for seed in seeds]
    return [first / second for first, second in pairs if first and second]
