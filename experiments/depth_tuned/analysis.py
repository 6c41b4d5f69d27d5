"""Turns the finished runs into the rates of the networks, the gaps, and a verdict."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from experiments.depth_tuned.question import FAMILIES
from experiments.depth_tuned.stages import (
    Search,
    fresh_runs,
    of_seeds,
    own_rate,
    plan,
    runs,
    search_all,
)
from vggres.findings import budgets, tuned
from vggres.findings.budgets import FamilyVerdict, Interaction
from vggres.findings.outcomes import CONFIDENCE, MARGIN
from vggres.findings.tuned import (
    LOSS_MARGIN,
    Gap,
    Outcome,
    Place,
)
from vggres.findings.tuning import Choice
from vggres.results import Result
from vggres.sweeps.sweep import Sweep


@dataclass(frozen=True)
class Fit:
    """How well the tuning runs of a network fit at a rate: their means.

    Attributes:
        rate: the learning rate.
        log_loss: log10 of the training loss; a run that failed counts with no more than guessing's.
        error: the training error in percent.
    """

    rate: float
    log_loss: float
    error: float


@dataclass(frozen=True)
class TunedNetwork:
    """A network at a budget.

    Attributes:
        family: 'plain' or 'resnet'.
        depth: weighted layers.
        budget: in multiples of the smallest one.
        choice: of its rate; None while rates are still being tried.
        rate: that it runs at; None without a choice.
        fits: at every rate that was tried with all tuning seeds, ascending.
        outcome: of the fresh seeds.
    """

    family: str
    depth: int
    budget: int
    choice: Choice | None
    rate: float | None
    fits: tuple[Fit, ...]
    outcome: Outcome


@dataclass(frozen=True)
class TunedVerdict:
    """What the sweep finds.

    Attributes:
        confidence: the level of all intervals.
        loss_margin: in decades: see `tuned.LOSS_MARGIN`.
        error_margin: in percentage points.
        rates: the grid.
        tuning_seeds: those that chose the rates.
        common_rate: that of the configuration, which `depth` gives to all networks.
        updates: those of each budget, by its multiple as text; budgets without a run are left out.
        guessing: the cross-entropy of guessing; None without results.
        networks: each network at each budget.
        gaps: of each family at each budget at which all rates are known.
        interactions: the gap of plain networks minus that of residual ones.
        families: the verdict on each family over all budgets.
    """

    confidence: float
    loss_margin: float
    error_margin: float
    rates: tuple[float, ...]
    tuning_seeds: tuple[int, ...]
    common_rate: float
    updates: Mapping[str, int]
    guessing: float | None
    networks: tuple[TunedNetwork, ...]
    gaps: tuple[Gap, ...]
    interactions: tuple[Interaction, ...]
    families: Mapping[str, FamilyVerdict]


def analyse(sweep: Sweep) -> TunedVerdict:
    """Judges the fresh runs of each network at its own rate."""
    planned, found, searches = plan(sweep), runs(sweep), search_all(sweep)
    tuning: dict[Place, list[Result]] = {}
    fresh = {place: [] for place in searches} | fresh_runs(sweep)
    fits: dict[Place, list[Fit]] = {}
    for place, search in searches.items():
        own = found.get((place, own_rate(search.choice)), []) if search.choice else []
        tuning[place] = of_seeds(own, planned.tuning_seeds)
        tried = {rate: found.get((place, rate), []) for rate in search.rates}
        fits[place] = [
            _fit(rate, tuned_on)
            for rate, each in tried.items()
            if len(tuned_on := of_seeds(each, planned.tuning_seeds)) == len(planned.tuning_seeds)
        ]
    shallower = _best_shallower(tuning)
    at_edge = {place for place, search in searches.items() if search.choice and search.choice.edge}
    gaps = tuned.judge(fresh, shallower, at_edge)
    results = [run for each in found.values() for run in each]
    steps = {place[2]: each[0].steps for (place, _), each in sorted(found.items()) if each}
    families = dict.fromkeys(family for family, _ in planned.networks)
    return TunedVerdict(
        confidence=CONFIDENCE,
        loss_margin=LOSS_MARGIN,
        error_margin=MARGIN,
        rates=planned.rates,
        tuning_seeds=planned.tuning_seeds,
        common_rate=float(sweep.config.optimizer.learning_rate),
        updates={str(budget): steps[budget] for budget in sorted(steps)},
        guessing=math.log(results[0].num_classes) if results else None,
        networks=tuple(
            _network(place, search, fits[place], fresh[place]) for place, search in searches.items()
        ),
        gaps=tuple(gaps),
        interactions=tuple(budgets.interactions(gaps, FAMILIES)),
        families={
            family: budgets.over_budgets([gap for gap in gaps if gap.family == family])
            for family in families
        },
    )


def _best_shallower(tuning: Mapping[Place, list[Result]]) -> dict[tuple[str, int], int]:
    """The best shallower depth by family and budget, where every depth has its rate."""
    found = {}
    depths = {family: {d for name, d, _ in tuning if name == family} for family, _, _ in tuning}
    for family, budget in dict.fromkeys((family, budget) for family, _, budget in tuning):
        own = {depth: tuning.get((family, depth, budget), []) for depth in depths[family]}
        best = tuned.best_shallower(own)
        if best is not None:
            found[family, budget] = best
    return found


def _fit(rate: float, runs: list[Result]) -> Fit:
    log_loss = fmean(map(tuned.capped_log_loss, runs))
    return Fit(rate, log_loss, fmean(run.train_error for run in runs))


def _network(place: Place, search: Search, fits: list[Fit], fresh: list[Result]) -> TunedNetwork:
    choice = search.choice
    rate = own_rate(choice) if choice else None
    return TunedNetwork(*place, choice, rate, tuple(fits), tuned.outcome(fresh))
