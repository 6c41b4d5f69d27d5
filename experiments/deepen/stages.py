"""From rates to a trained shallow network, and from there to deeper ones that start from it."""

import dataclasses
from collections.abc import Iterator, Mapping

from ml_collections import ConfigDict

from experiments.deepen.question import SHALLOW, UNTREATED, compared, untreated, with_shallow
from vggres.findings.cures import Network
from vggres.findings.fastest import TunedRate
from vggres.results import Result
from vggres.sweeps import arms
from vggres.sweeps.cell import Cell
from vggres.sweeps.grid import grid
from vggres.sweeps.sweep import Sweep

SOURCE_ARM, DEEPENED_ARM = 'plain, to be deepened', 'plain, deepened'
HELD_FOR = 200  # updates that a deepened network is trained on for
# Runs that go on whatever their error is.
_TO_THE_END = {'model.family': 'plain', 'train.until_error': (), 'evaluation.every_steps': 0}


def next_cells(sweep: Sweep) -> Iterator[tuple[str, ConfigDict]]:
    """Tuning runs and fresh seeds of all arms; then plain-20 to its end; then what is deepened."""
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


def sources(sweep: Sweep) -> dict[int, tuple[Cell, Result]]:
    """The shallow networks that are trained to the end, by seed."""
    found = {}
    for cell in sweep.cells:
        if arms.network_of(cell)[0] == SOURCE_ARM and (result := cell.result()):
            found[cell.config.seed] = cell, result
    return found


def deepened(sweep: Sweep) -> dict[tuple[int, float], list[Cell]]:
    """The deepened networks that are trained on, by depth and rate."""
    found: dict[tuple[int, float], list[Cell]] = {}
    for cell in sweep.cells:
        if arms.network_of(cell)[0] == DEEPENED_ARM and cell.result():
            at = cell.config.model.depth, cell.config.optimizer.learning_rate
            found.setdefault(at, []).append(cell)
    return {at: sorted(cells, key=lambda cell: cell.config.seed) for at, cells in found.items()}


def tuned_rates(sweep: Sweep) -> Mapping[Network, TunedRate]:
    """The rate of each network, by arm and depth, as far as its tuning runs are done."""
    others = arms.tuned_rates(sweep, compared())
    return arms.tuned_rates(_with_shallow(sweep), untreated()) | others


def runs(sweep: Sweep) -> dict[Network, list[Result]]:
    """The counted runs of each network at its rate, by arm and depth."""
    others = arms.judged(sweep, compared())
    return arms.judged(_with_shallow(sweep), untreated()) | others


def judged(sweep: Sweep) -> list[Result]:
    """The runs of fresh seeds at the rate of each network, then those of the deepened ones."""
    counted = [run for found in runs(sweep).values() for run in found]
    trained = [result for _, result in sources(sweep).values()]
    held = [cell.result() for cells in deepened(sweep).values() for cell in cells]
    return [*counted, *trained, *(result for result in held if result)]


def _with_shallow(sweep: Sweep) -> Sweep:
    return dataclasses.replace(sweep, config=with_shallow(sweep.config))
