"""From the tuning runs that are done to the rates of the networks, and to the cells that come next.

What a sweep was asked for is read off its cells as well as its configuration, so that a directory
that has grown is judged by all that it holds.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ml_collections import ConfigDict

from experiments.convergence.question import (
    fresh_cells,
    is_tuning,
    targets,
    tuning_cells,
    updates_to,
)
from vggres.findings.tuning import FIRST_TUNING_SEED, around
from vggres.results import Result
from vggres.sweeps.sweep import Sweep

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


def next_cells(sweep: Sweep) -> Iterator[tuple[str, ConfigDict]]:
    """The tuning runs that searches still want, and the fresh seeds of networks with a rate."""
    for (family, depth), tuned in tuned_rates(sweep).items():
        if tuned.rate is None:
            yield from tuning_cells(sweep.config, family, depth, tuned.wanted)
        else:
            yield from fresh_cells(sweep.config, family, depth, tuned.rate)


def judged(sweep: Sweep) -> list[Result]:
    """The runs of fresh seeds at the rate of each network, by family, depth and seed."""
    tuned = tuned_rates(sweep)
    found = [
        result
        for cell in sweep.cells
        if not is_tuning(cell)
        and (result := cell.result())
        and cell.config.optimizer.learning_rate == tuned[result.family, result.depth].rate
    ]
    families = [family for family, _ in tuned]
    return sorted(found, key=lambda run: (families.index(run.family), run.depth, run.seed))


def tuned_rates(sweep: Sweep) -> dict[tuple[str, int], TunedRate]:
    """The rate of each network, by family and depth, as far as its tuning runs are done.

    The rate at which most tuning seeds reach the first target counts; among several such rates the
    one with the fewest updates; then, and where none reaches it, the one with the lowest training
    loss. A run that diverged did not reach the target.
    """
    rates, found = grid_of(sweep), _tuning_results(sweep)
    n, target = sweep.config.sweep.tuning_seeds, targets(sweep.config)[0]
    tuned: dict[tuple[str, int], TunedRate] = {}
    for family, depths in _networks(sweep).items():
        near, may_begin = None, True
        for depth in depths:
            each = TunedRate(None, (), {}, '', n)
            if may_begin:
                each = _search(
                    found.get((family, depth), {}), rates, around(near, rates), target, n
                )
            tuned[family, depth] = each
            near, may_begin = each.rate, each.rate is not None
    return tuned


def grid_of(sweep: Sweep) -> tuple[float, ...]:
    """The grid of rates, ascending."""
    tried = {cell.config.optimizer.learning_rate for cell in sweep.cells}
    return tuple(sorted(tried | {*map(float, sweep.config.sweep.rates)}))


def _networks(sweep: Sweep) -> dict[str, list[int]]:
    """The depths of each family, ascending."""
    asked = [(name, d) for name in sweep.config.sweep.families for d in sweep.config.sweep.depths]
    models = [cell.config.model for cell in sweep.cells]
    found: dict[str, set[int]] = {}
    for family, depth in [*asked, *((model.family, model.depth) for model in models)]:
        found.setdefault(family, set()).add(depth)
    return {family: sorted(depths) for family, depths in found.items()}


def _tuning_results(sweep: Sweep) -> dict[tuple[str, int], dict[float, list[Result]]]:
    """The finished runs of the tuning seeds that are asked for, by network and rate."""
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + sweep.config.sweep.tuning_seeds)
    found: dict[tuple[str, int], dict[float, list[Result]]] = {}
    for cell in sweep.cells:
        if is_tuning(cell) and cell.config.seed in seeds and (result := cell.result()):
            runs = found.setdefault((result.family, result.depth), {})
            runs.setdefault(cell.config.optimizer.learning_rate, []).append(result)
    return found


def _search(
    tried: Tried, rates: Sequence[float], wanted: Collection[float], target: str, n: int
) -> TunedRate:
    """The search for the rate of one network, begun with the rates that are wanted."""
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
    counts = {rate: [updates_to(run, target) for run in tried[rate]] for rate in ascending}
    means = {f'{rate:g}': None if None in own else fmean(own) for rate, own in counts.items()}
    return TunedRate(best, ascending, means, edges.get(best, ''), n)


def _slowness(runs: Sequence[Result], target: str) -> tuple[int, float, float]:
    """How many runs did not reach a target; the mean of the updates of the others; of the loss."""
    reached = [count for run in runs if (count := updates_to(run, target)) is not None]
    loss = fmean(math.inf if run.train_loss is None else run.train_loss for run in runs)
    return len(runs) - len(reached), fmean(reached or [0]), loss
