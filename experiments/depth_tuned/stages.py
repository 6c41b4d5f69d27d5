"""From the cells that are done to the rates of the networks, and to the cells that come next.

What a sweep was asked for is read off its cells as well as its configuration, so that a directory
that has grown is judged by all that it holds.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ml_collections import ConfigDict

from experiments.depth_tuned import question
from vggres.findings.outcomes import has_failed
from vggres.findings.tuned import Place
from vggres.findings.tuning import FIRST_TUNING_SEED, Choice, Trial, around, choose
from vggres.results import Result
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep

Runs = dict[tuple[Place, float], list[Result]]  # by network, budget and rate; any seed


@dataclass(frozen=True)
class Plan:
    """What a sweep is to do in all its stages.

    Attributes:
        networks: family and depth, in the order of the cells.
        budgets: ascending, in multiples of the configuration's updates.
        rates: the grid, ascending.
        tuning_seeds: those that choose the rates, ascending.
        seeds: the fresh ones, ascending.
    """

    networks: tuple[tuple[str, int], ...]
    budgets: tuple[int, ...]
    rates: tuple[float, ...]
    tuning_seeds: tuple[int, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Search:
    """The search for the rate of a network at a budget.

    Attributes:
        rates: those that it has to try, ascending.
        choice: None until all of them were tried with all tuning seeds.
    """

    rates: tuple[float, ...]
    choice: Choice | None


def plan(sweep: Sweep) -> Plan:
    """What the sweep is to do, and what it has been asked for earlier."""
    config, shared = sweep.config, [(cell.config, _place(cell, sweep)) for cell in sweep.cells]
    seeds = {each.seed for each, _ in shared}
    fresh = {*range(config.seed, config.seed + config.sweep.seeds)}
    return Plan(
        networks=tuple(dict.fromkeys((family, depth) for _, (family, depth, _) in shared)),
        budgets=tuple(sorted({*question.budgets(config), *(at[2] for _, at in shared)})),
        rates=tuple(sorted({each.optimizer.learning_rate for each, _ in shared})),
        tuning_seeds=tuple(sorted(seed for seed in seeds if seed >= FIRST_TUNING_SEED)),
        seeds=tuple(sorted(fresh | {seed for seed in seeds if seed < FIRST_TUNING_SEED})),
    )


def next_cells(sweep: Sweep) -> Iterator[tuple[str, ConfigDict]]:
    """The cells that the finished ones call for and that the sweep does not have yet."""
    planned, searches = plan(sweep), search_all(sweep)
    known = {
        (_place(cell, sweep), cell.config.optimizer.learning_rate, cell.config.seed)
        for cell in sweep.cells
    }
    for place, search in searches.items():
        wanted = [(rate, seed) for rate in search.rates for seed in planned.tuning_seeds]
        if search.choice:
            wanted += [(own_rate(search.choice), seed) for seed in planned.seeds]
        for rate, seed in wanted:
            if (place, rate, seed) not in known:
                yield question.cell(sweep.config, place, rate, seed)


def judged(sweep: Sweep) -> list[Result]:
    """The runs of fresh seeds at each network's rate, by budget, network and seed."""
    planned, found = plan(sweep), fresh_runs(sweep)
    places = sorted(found, key=lambda place: (place[2], planned.networks.index(place[:2])))
    return [run for place in places for run in found[place]]


def fresh_runs(sweep: Sweep) -> dict[Place, list[Result]]:
    """The runs of fresh seeds at each network's rate, where that is known."""
    planned, found = plan(sweep), runs(sweep)
    return {
        place: of_seeds(found.get((place, own_rate(search.choice)), ()), planned.seeds)
        for place, search in search_all(sweep).items()
        if search.choice
    }


def search_all(sweep: Sweep) -> dict[Place, Search]:
    """How far the search for each rate has got, for each network and budget that has begun.

    At a larger budget it begins when that of the budget below has ended.
    """
    planned, found = plan(sweep), runs(sweep)
    searches: dict[Place, Search] = {}
    for family, depth in planned.networks:
        near: Choice | None = None
        for budget in planned.budgets:
            place = family, depth, budget
            tried = {rate: results for (at, rate), results in found.items() if at == place}
            search = searches[place] = _search(tried, planned, near)
            if search.choice is None:
                break
            near = search.choice
    return searches


def _search(tried: Mapping[float, Sequence[Result]], planned: Plan, near: Choice | None) -> Search:
    """The search at one place, begun beside the choice at the budget below."""
    wanted = around(near and near.rate, planned.rates)
    while True:
        trials = [
            Trial(run.family, rate, run.seed, run.validation_loss)
            for rate in sorted(wanted)
            for run in tried.get(rate, ())
            if run.seed in planned.tuning_seeds
        ]
        if len(trials) < len(wanted) * len(planned.tuning_seeds):
            return Search(tuple(sorted(wanted)), None)
        some_run = next(run for results in tried.values() for run in results)
        choice = choose(trials, math.log(some_run.num_classes))
        some = tried[choice.rate] if choice.rate else ()
        # Losses near that of guessing are noise, which may have a minimum anywhere.
        trains = not all(map(has_failed, of_seeds(some, planned.tuning_seeds)))
        more = around(choice.rate if trains else None, planned.rates)
        if more <= wanted:
            return Search(tuple(sorted(wanted)), choice)
        wanted |= more


def own_rate(choice: Choice) -> float:
    """The rate that a network runs at: the middle one of those tried where none is of any use."""
    return choice.rates[len(choice.rates) // 2] if choice.rate is None else choice.rate


def runs(sweep: Sweep) -> Runs:
    """The results of a sweep by network, budget and rate."""
    found: Runs = {}
    for cell in sweep.cells:
        if result := cell.result():
            key = _place(cell, sweep), cell.config.optimizer.learning_rate
            found.setdefault(key, []).append(result)
    return found


def of_seeds(results: Sequence[Result], seeds: Collection[int]) -> list[Result]:
    """The results of some seeds."""
    return [run for run in results if run.seed in seeds]


def _place(cell: Cell, sweep: Sweep) -> Place:
    at = cell.coordinates()
    return at['family'], at['depth'], question.budget_of(cell.config, sweep.config)
