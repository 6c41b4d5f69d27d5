"""Chooses the learning rate at which a network reaches a training error with the fewest updates."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from vggres.findings.tuning import around
from vggres.results import Result

# Tuning runs end after this part of the budget. What a deep network does not reach by then is
# decided by its training loss, and slow rates of fast networks are not followed to the end.
TUNING_PART = 0.5

Tried = Mapping[float, Sequence[Result]]  # the finished tuning runs of a network, by rate


@dataclass(frozen=True)
class TunedRate:
    """The learning rate of a network.

    Attributes:
        rate: the fastest one; None while tuning runs are missing.
        wanted: the rates that the search has to try, as far as is known, ascending.
        updates: to the first target at each of them, by its text: the mean over tuning seeds; None
            where not all of them reached it. Empty while tuning runs are missing.
        edge: 'lowest' or 'highest' where the fastest rate is the first or the last of the grid, so
            that a faster one may lie beyond; '' otherwise.
        n: the number of tuning seeds.
    """

    rate: float | None
    wanted: tuple[float, ...]
    updates: dict[str, float | None]
    edge: str
    n: int


def updates_to(run: Result, target: str) -> int | None:
    """The updates of a run until a training error; None where it did not get there.

    Args:
        run: one that stops at training errors.
        target: the error by its name, as in '5'.
    """
    return (run.steps_to_error or {}).get(target)


def search(
    tried: Tried, rates: Sequence[float], wanted: Collection[float], target: str, n: int
) -> TunedRate:
    """Goes on with the search for the rate of one network, as far as its runs are done.

    The rate at which most tuning seeds reach the target counts; among several such rates the one
    with the fewest updates; then, and where none reaches it, the one with the lowest training loss.
    A run that diverged did not reach the target.

    Args:
        tried: the finished runs.
        rates: the grid, ascending.
        wanted: the rates that the search begins with.
        target: the training error to reach, by its name.
        n: the number of tuning seeds.
    """
    while True:
        ascending = tuple(sorted(wanted))
        if any(len(tried.get(rate, ())) < n for rate in ascending):
            return TunedRate(None, ascending, {}, '', n)
        best = min(ascending, key=lambda rate: _slowness(tried[rate], target))
        reached = any(updates_to(run, target) is not None for run in tried[best])
        # Losses near that of guessing are noise, which may have a minimum anywhere.
        more = {*wanted, *(around(best, rates) if reached else rates)}
        if len(more) == len(ascending):
            break
        wanted = more
    edges = {rates[0]: 'lowest', rates[-1]: 'highest'}
    means = {f'{rate:g}': _mean_updates(tried[rate], target) for rate in ascending}
    return TunedRate(best, ascending, means, edges.get(best, ''), n)


def _mean_updates(runs: Sequence[Result], target: str) -> float | None:
    reached = [count for run in runs if (count := updates_to(run, target)) is not None]
    return fmean(reached) if len(reached) == len(runs) else None


def _slowness(runs: Sequence[Result], target: str) -> tuple[int, float, float]:
    """How many runs did not reach a target; the mean of the updates of the others; of the loss."""
    reached = [count for run in runs if (count := updates_to(run, target)) is not None]
    loss = fmean(math.inf if run.train_loss is None else run.train_loss for run in runs)
    return len(runs) - len(reached), fmean(reached or [0]), loss
