"""The stages of a sweep that counts updates to a training error, each arm at its own fastest rate.

An arm is what is compared at each depth: a family, or a network or a training that an intervention
has changed, given by the knobs that make it. The shallowest network of an arm tries every rate of
the grid, on tuning seeds alone. Each deeper one tries the rate of the network below it and the two
beside it, and goes on as long as the fastest one has an untried neighbour. As soon as the rate of a
network is known, its fresh seeds run, and these alone are judged.

What a sweep was asked for is read off its cells as well as its configuration, so that a directory
that has grown is judged by all that it holds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from ml_collections import ConfigDict

from vggres.config import Config
from vggres.errors import UserError
from vggres.findings import cures_telling
from vggres.findings.cures import Network
from vggres.findings.cures_telling import ArmsVerdict
from vggres.findings.fastest import TUNING_PART, TunedRate, search, updates_to
from vggres.findings.tuning import FIRST_TUNING_SEED, around, check_fresh_seeds, check_rates
from vggres.results import Result, target_name
from vggres.sweeps.cell import Cell
from vggres.sweeps.grid import grid
from vggres.sweeps.sweep import Sweep

Arms = Mapping[str, Mapping[str, object]]  # the dotted knobs that make each arm, by its name
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)  # half a decade apart
BUDGET = 400  # updates; on the digits plain-44 with batch norm needs some 270, ResNet-44 some 40
WARMUP_UPDATES = 10
_MANY_EPOCHS = 1_000_000  # evaluations at ends of epochs would only take time
_RATE = ', rate '  # between the name of an arm and its rate, in the name of a variant


def defaults(config: Config) -> dict[str, object]:
    """The defaults of a sweep of minutes: on the digits, plain-20 trains well and plain-44 is slow.

    Args:
        config: that of the sweep, as an experiment's `defaults` takes it.
    """
    return protocol(BUDGET) | {
        'sweep.depths': (20, 44),
        'sweep.rates': RATES,
        'sweep.seeds': 3,
    }


def protocol(budget: int) -> dict[str, object]:
    """The knobs of runs whose updates are counted: a constant rate after a short warm-up.

    Training stops at an error of 5 %, for which there is a look every 5 updates.

    Args:
        budget: the updates after which a run ends in any case.
    """
    return {
        'train.epochs': 0,
        'train.steps': budget,
        'train.until_error': (5.0,),
        'optimizer.decay_at': (),
        'optimizer.warmup': 'linear',
        'optimizer.warmup_fraction': WARMUP_UPDATES / budget,
        'evaluation.every_steps': 5,
        'evaluation.every_epochs': _MANY_EPOCHS,
        'checkpoint.save_weights': False,
    }


def varied(arms: Arms) -> tuple[str, ...]:
    """The dotted knobs, besides family and depth, in which runs of some arms differ."""
    knobs = {knob for each in arms.values() for knob in each}
    return 'optimizer.learning_rate', *sorted(knobs - {'model.family'})


def first_cells(config: ConfigDict, arms: Arms) -> Iterator[tuple[str, ConfigDict]]:
    """The first stage: the shallowest network of each arm at each rate.

    Raises:
        UserError: where a cell makes no sense, the grid has too few rates, the fresh seeds overlap
            with those that choose the rates, or no updates to an error would be counted.
    """
    rates = check_rates(config.sweep.rates)
    check_fresh_seeds(config.seed, config.sweep.seeds)
    _check_protocol(config)
    list(grid(config, arms))  # checks every network before the first one trains
    for arm, knobs in arms.items():
        yield from tuning_cells(config, (arm, min(config.sweep.depths)), knobs, rates)


def _check_protocol(config: ConfigDict) -> None:
    if config.train.epochs:
        raise UserError('this sweep has a budget in updates: leave train.epochs at 0.')
    if tuple(config.optimizer.decay_at):
        raise UserError('this sweep trains at a constant rate: leave optimizer.decay_at at ().')
    errors = tuple(config.train.until_error)
    are_numbers = errors and all(isinstance(error, int | float) for error in errors)
    if not are_numbers or any(low >= high for high, low in pairwise(errors)):
        raise UserError(
            'train.until_error names the training errors to reach, each below the one before, as '
            f'in (5.0, 1.0), not {errors}.'
        )
    every, part = config.evaluation.every_steps, TUNING_PART * config.train.steps
    if not 0 < every <= part:
        raise UserError(
            f'evaluation.every_steps has to be between 1 and {part:g} updates, the budget of '
            f'tuning runs, not {every}: without a look no target is ever reached.'
        )


def next_cells(sweep: Sweep, arms: Arms) -> Iterator[tuple[str, ConfigDict]]:
    """The tuning runs that searches still want, and the fresh seeds of networks with a rate."""
    for network, tuned in tuned_rates(sweep, arms).items():
        knobs = arms[network[0]]
        if tuned.rate is None:
            yield from tuning_cells(sweep.config, network, knobs, tuned.wanted)
        else:
            yield from fresh_cells(sweep.config, network, knobs, tuned.rate)


def tuning_cells(
    config: Config, network: Network, knobs: Mapping[str, object], rates: Iterable[float]
) -> Iterator[tuple[str, ConfigDict]]:
    """Runs of a network at some rates, each until the first target or a part of the budget."""
    own = ConfigDict(config.to_dict())
    own.update_from_flattened_dict(dict(knobs))
    # The warm-up has as many updates as in the whole run.
    warmup = own.optimizer.warmup_fraction * own.train.steps
    own.seed, own.sweep.seeds = FIRST_TUNING_SEED, config.sweep.tuning_seeds
    own.train.until_error = tuple(own.train.until_error)[:1]
    own.train.steps = max(1, round(TUNING_PART * own.train.steps))
    own.optimizer.warmup_fraction = min(1.0, warmup / own.train.steps)
    return _runs(own, network, {}, rates, ', tuning')


def fresh_cells(
    config: Config, network: Network, knobs: Mapping[str, object], rate: float
) -> Iterator[tuple[str, ConfigDict]]:
    """The runs of a network that are judged."""
    return _runs(config, network, knobs, (rate,), '')


def _runs(
    config: Config,
    network: Network,
    knobs: Mapping[str, object],
    rates: Iterable[float],
    purpose: str,
) -> Iterator[tuple[str, ConfigDict]]:
    arm, depth = network
    own = ConfigDict(config.to_dict())
    own.sweep.depths = (depth,)
    variants = {
        f'{arm}{_RATE}{rate:g}{purpose}': dict(knobs) | {'optimizer.learning_rate': rate}
        for rate in rates
    }
    return grid(own, variants)


def is_tuning(cell: Cell) -> bool:
    """Whether a run serves to choose a learning rate, and nothing else."""
    return cell.config.seed >= FIRST_TUNING_SEED


def network_of(cell: Cell) -> Network:
    """The arm and the depth that a cell belongs to."""
    return cell.variant.partition(_RATE)[0], cell.config.model.depth


def targets(config: Config) -> tuple[str, ...]:
    """The names of the training errors to reach, the highest first."""
    return tuple(map(target_name, config.train.until_error))


def judged(sweep: Sweep, arms: Arms) -> dict[Network, list[Result]]:
    """The runs of fresh seeds at the rate of each network, by seed, in the order of the arms."""
    tuned = tuned_rates(sweep, arms)
    found: dict[Network, list[Result]] = {network: [] for network in tuned}
    for cell in sweep.cells:
        network = network_of(cell)
        if is_tuning(cell) or network not in tuned or not (result := cell.result()):
            continue
        if cell.config.optimizer.learning_rate == tuned[network].rate:
            found[network].append(result)
    return {
        network: sorted(runs, key=lambda run: run.seed) for network, runs in found.items() if runs
    }


def judged_runs(sweep: Sweep, arms: Arms) -> list[Result]:
    """The runs of `judged`, one after the other: by arm, depth and seed."""
    return [run for runs in judged(sweep, arms).values() for run in runs]


def verdict(sweep: Sweep, arms: Arms, treated: Mapping[str, tuple[str, str]]) -> ArmsVerdict:
    """Judges the treated arms by the runs of fresh seeds that are there.

    Args:
        sweep: its cells are those of `first_cells` and `next_cells`.
        arms: all arms, in the order in which they are told.
        treated: of each treated arm, the names of the untreated arm and of the control.
    """
    return verdict_of(sweep.config, judged(sweep, arms), tuned_rates(sweep, arms), treated)


def verdict_of(
    config: Config,
    runs: Mapping[Network, Sequence[Result]],
    tuned: Mapping[Network, TunedRate],
    treated: Mapping[str, tuple[str, str]],
) -> ArmsVerdict:
    """Judges treated networks by some runs, as `verdict` does by those of a sweep.

    Args:
        config: that of the sweep, which has the training error to reach and the budget.
        runs: those that are judged, by arm and depth.
        tuned: the rate of each network, by arm and depth, in the order in which they are told.
        treated: of each treated arm, the names of the untreated arm and of the control.
    """
    target = targets(config)[0]
    updates = {
        network: {run.seed: updates_to(run, target) for run in found}
        for network, found in runs.items()
    }
    every = config.evaluation.every_steps
    return cures_telling.verdict(updates, tuned, treated, target, config.train.steps, every)


def tuned_rates(sweep: Sweep, arms: Arms) -> dict[Network, TunedRate]:
    """The rate of each network, by arm and depth, as far as its tuning runs are done.

    See `fastest.search` for the rule.
    """
    rates, found = grid_of(sweep), _tuning_results(sweep)
    n, target = sweep.config.sweep.tuning_seeds, targets(sweep.config)[0]
    tuned: dict[Network, TunedRate] = {}
    for arm, depths in _networks(sweep, arms).items():
        near, may_begin = None, True
        for depth in depths:
            each = TunedRate(None, (), {}, '', n)
            if may_begin:
                tried = found.get((arm, depth), {})
                each = search(tried, rates, around(near, rates), target, n)
            tuned[arm, depth] = each
            near, may_begin = each.rate, each.rate is not None
    return tuned


def grid_of(sweep: Sweep) -> tuple[float, ...]:
    """The grid of rates, ascending."""
    tried = {cell.config.optimizer.learning_rate for cell in sweep.cells}
    return tuple(sorted(tried | {*map(float, sweep.config.sweep.rates)}))


def _networks(sweep: Sweep, arms: Arms) -> dict[str, list[int]]:
    """The depths of each arm, ascending."""
    asked = [(arm, depth) for arm in arms for depth in sweep.config.sweep.depths]
    found: dict[str, set[int]] = {arm: set() for arm in arms}
    for arm, depth in [*asked, *map(network_of, sweep.cells)]:
        if arm in found:
            found[arm].add(depth)
    return {arm: sorted(depths) for arm, depths in found.items()}


def _tuning_results(sweep: Sweep) -> dict[Network, dict[float, list[Result]]]:
    """The finished runs of the tuning seeds that are asked for, by network and rate."""
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + sweep.config.sweep.tuning_seeds)
    found: dict[Network, dict[float, list[Result]]] = {}
    for cell in sweep.cells:
        if is_tuning(cell) and cell.config.seed in seeds and (result := cell.result()):
            runs = found.setdefault(network_of(cell), {})
            runs.setdefault(cell.config.optimizer.learning_rate, []).append(result)
    return found
