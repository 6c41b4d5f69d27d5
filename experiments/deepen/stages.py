"""From rates to networks that are given a solution: from a shallow one, or by fading shortcuts."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from ml_collections import ConfigDict

from experiments.deepen.question import (
    CONTROL,
    SHALLOW,
    UNTREATED,
    compared,
    untreated,
    with_shallow,
)
from vggres.findings.cures import Network
from vggres.findings.fastest import TunedRate
from vggres.results import Result
from vggres.sweeps import arms
from vggres.sweeps.cell import Cell
from vggres.sweeps.grid import grid
from vggres.sweeps.sweep import Sweep

AtRates = Mapping[tuple[int, float], Sequence[Cell]]  # by depth and rate; the cells by seed
SOURCE_ARM, DEEPENED_ARM = 'plain, to be deepened', 'plain, deepened'
FADED_ARM = 'resnet, fading'
HELD_FOR = 200  # updates that a deepened network is trained on for
# The part of the budget in which shortcuts fade. The budget is what slow plain networks need; a
# residual network whose shortcuts stay reaches its target in a tenth of it, so that it may find a
# solution before they are gone. The plain network that is left has as many updates to lose it.
FADING_PART = 0.5
# Runs that go on whatever their error is.
_TO_THE_END = {'model.family': 'plain', 'train.until_error': (), 'evaluation.every_steps': 0}


def next_cells(sweep: Sweep) -> Iterator[tuple[str, ConfigDict]]:
    """Tuning runs and fresh seeds of all arms; plain-20 to its end; what is deepened or fades."""
    yield from arms.next_cells(sweep, compared())
    yield from arms.next_cells(_with_shallow(sweep), untreated())
    tuned = tuned_rates(sweep)
    rate = tuned[UNTREATED, SHALLOW].rate
    if rate is not None:
        yield from _sources(sweep, rate)
        for depth in sweep.config.sweep.depths:
            for each in dict.fromkeys((rate, tuned[UNTREATED, depth].rate)):
                if each is not None:
                    yield from _deepened(sweep, depth, each)
    for depth in sweep.config.sweep.depths:
        for each in dict.fromkeys(tuned[arm, depth].rate for arm in (CONTROL, UNTREATED)):
            if each is not None:
                yield from _fading(sweep, depth, each)


def _sources(sweep: Sweep, rate: float) -> Iterator[tuple[str, ConfigDict]]:
    config = ConfigDict(sweep.config.to_dict())
    config.sweep.depths = (SHALLOW,)
    knobs = {'optimizer.learning_rate': rate, 'checkpoint.save_weights': True}
    return grid(config, {f'{SOURCE_ARM}, rate {rate:g}': _TO_THE_END | knobs})


def _deepened(sweep: Sweep, depth: int, rate: float) -> Iterator[tuple[str, ConfigDict]]:
    """The runs from each source that is trained, for as many updates at any budget."""
    config = ConfigDict(sweep.config.to_dict())
    config.sweep.depths, config.sweep.seeds = (depth,), 1
    for seed, (cell, result) in sources(sweep).items():
        if result.status != 'finished' or seed not in range(
            sweep.config.seed, sweep.config.seed + sweep.config.sweep.seeds
        ):
            continue
        config.seed = seed
        knobs = {
            'init.deepened_from': cell.id,
            'optimizer.learning_rate': rate,
            'optimizer.warmup_fraction': arms.WARMUP_UPDATES / HELD_FOR,
            'train.steps': HELD_FOR,
            'evaluation.every_epochs': 1,
        }
        yield from grid(config, {f'{DEEPENED_ARM}, rate {rate:g}': _TO_THE_END | knobs})


def _fading(sweep: Sweep, depth: int, rate: float) -> Iterator[tuple[str, ConfigDict]]:
    """The runs of a residual network that becomes a plain one, for the whole budget."""
    config = ConfigDict(sweep.config.to_dict())
    config.sweep.depths = (depth,)
    knobs = {
        'model.family': CONTROL,
        'model.shortcut.fade_steps': round(FADING_PART * config.train.steps),
        'optimizer.learning_rate': rate,
        'evaluation.every_epochs': 1,
    }
    return grid(config, {f'{FADED_ARM}, rate {rate:g}': _TO_THE_END | knobs})


def sources(sweep: Sweep) -> dict[int, tuple[Cell, Result]]:
    """The shallow networks that are trained to the end, by seed."""
    found = {}
    for cell in sweep.cells:
        if arms.network_of(cell)[0] == SOURCE_ARM and (result := cell.result()):
            found[cell.config.seed] = cell, result
    return found


def deepened(sweep: Sweep) -> AtRates:
    """The deepened networks that are trained on, by depth and rate."""
    return _at_rates(sweep, DEEPENED_ARM)


def faded(sweep: Sweep) -> AtRates:
    """The residual networks whose shortcuts faded away, by depth and rate."""
    return _at_rates(sweep, FADED_ARM)


def _at_rates(sweep: Sweep, arm: str) -> AtRates:
    found: dict[tuple[int, float], list[Cell]] = {}
    for cell in sweep.cells:
        if arms.network_of(cell)[0] == arm and cell.result():
            at = cell.config.model.depth, cell.config.optimizer.learning_rate
            found.setdefault(at, []).append(cell)
    return {
        at: sorted(cells, key=lambda cell: cell.config.seed) for at, cells in sorted(found.items())
    }


def tuned_rates(sweep: Sweep) -> Mapping[Network, TunedRate]:
    """The rate of each network, by arm and depth, as far as its tuning runs are done."""
    others = arms.tuned_rates(sweep, compared())
    return arms.tuned_rates(_with_shallow(sweep), untreated()) | others


def runs(sweep: Sweep) -> dict[Network, list[Result]]:
    """The counted runs of each network at its rate, by arm and depth."""
    others = arms.judged(sweep, compared())
    return arms.judged(_with_shallow(sweep), untreated()) | others


def judged(sweep: Sweep) -> list[Result]:
    """The runs of fresh seeds at the rate of each network, then what was deepened or faded."""
    counted = [run for found in runs(sweep).values() for run in found]
    trained = [result for _, result in sources(sweep).values()]
    given = [*deepened(sweep).values(), *faded(sweep).values()]
    held = [cell.result() for cells in given for cell in cells]
    return [*counted, *trained, *(result for result in held if result)]


def _with_shallow(sweep: Sweep) -> Sweep:
    return dataclasses.replace(sweep, config=with_shallow(sweep.config))
