"""Do plain networks become exponentially slow with depth?

He et al. 2015 (arXiv 1512.03385), §4.1: the difficulty of deep plain networks is unlikely to come
from vanishing gradients, since batch norm keeps forward and backward signals healthy, and "we
conjecture that the deep plain nets may have exponentially low convergence rates". They left it to
the future, and it is a statement on speed: on how many updates it takes to fit the training set.

Here each network trains at a constant learning rate, after a short warm-up, until its training
error is at a target, and the number of updates is counted. A rate that suits one depth may be slow
at another, so each network has its own: the one of a grid that reaches the first target with the
fewest updates, on tuning seeds that serve nothing else. Fresh seeds are counted at that rate alone.
A run that the budget ends is censored: it would have needed more updates than that.

The conjecture would be refuted by plain networks whose number of updates does not grow with depth,
or grows as a power of it. It would be no statement on shortcuts if the number grew in the same way
in residual networks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from ml_collections import ConfigDict

from vggres.config import Config
from vggres.errors import UserError
from vggres.findings.growth import MIN_DEPTHS
from vggres.results import Result, target_name
from vggres.sweeps.cell import Cell
from vggres.sweeps.grid import families, grid
from vggres.sweeps.sweep import Sweep

TITLE = 'Updates to a training error against depth'
CLAIM = (
    'The number of updates that a plain network needs to fit the training set grows exponentially '
    'with its depth; that of a residual network does not.'
)
SOURCE = 'He et al. 2015, Deep Residual Learning for Image Recognition, §4.1 (arXiv 1512.03385)'
VARIES = ('optimizer.learning_rate',)

# Seeds from here on choose learning rates; what is judged are seeds below.
FIRST_TUNING_SEED = 1000
# An optimum inside a grid has a neighbour on either side.
MIN_RATES = 3
# Tuning runs end after this part of the budget. What a deep network does not reach by then is
# decided by its training loss, and slow rates of fast networks are not followed to the end.
TUNING_PART = 0.5
_BUDGET = 1000  # updates, so that the whole sweep takes less than 20 minutes on two cores
_WARMUP_UPDATES = 10  # 1 % of the budget
_MANY_EPOCHS = 1_000_000  # evaluations at ends of epochs would only take time


def defaults(config: ConfigDict) -> dict[str, object]:
    """Eight depths, five seeds, a constant rate after a short warm-up, a look every 5 updates."""
    return {
        'sweep.families': ('plain', 'resnet'),
        'sweep.depths': (8, 14, 20, 26, 32, 38, 44, 50),
        'sweep.seeds': 5,
        'train.epochs': 0,
        'train.steps': _BUDGET,
        'train.until_error': (5.0, 1.0),
        'optimizer.decay_at': (),
        'optimizer.warmup': 'linear',
        'optimizer.warmup_fraction': _WARMUP_UPDATES / _BUDGET,
        'evaluation.every_steps': 5,
        'evaluation.every_epochs': _MANY_EPOCHS,
        'checkpoint.save_weights': False,
    }


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """The tuning runs: each network at each rate, until the first target or half of the budget.

    Raises:
        UserError: where the configuration does not suit the question.
    """
    rates = _checked(config)
    tuning = ConfigDict(config.to_dict())
    tuning.seed, tuning.sweep.seeds = FIRST_TUNING_SEED, config.sweep.tuning_seeds
    tuning.train.until_error = tuple(config.train.until_error)[:1]
    tuning.train.steps = max(1, round(TUNING_PART * config.train.steps))
    # The warm-up has as many updates as in the whole run.
    fraction = config.optimizer.warmup_fraction * config.train.steps / tuning.train.steps
    tuning.optimizer.warmup_fraction = min(1.0, fraction)
    variants = {
        f'{family}, rate {rate:g}, tuning': knobs | {'optimizer.learning_rate': rate}
        for family, knobs in families(config).items()
        for rate in rates
    }
    return grid(tuning, variants)


def next_cells(sweep: Sweep) -> Iterator[tuple[str, ConfigDict]]:
    """The runs that are judged: fresh seeds of each network whose tuning runs are all done."""
    for (family, depth), tuned in tuned_rates(sweep).items():
        if tuned.rate is not None:
            own = ConfigDict(sweep.config.to_dict())
            own.sweep.depths = (depth,)
            own.optimizer.learning_rate = tuned.rate
            yield from grid(own, {f'{family}, rate {tuned.rate:g}': {'model.family': family}})


@dataclass(frozen=True)
class TunedRate:
    """The learning rate of a network.

    Attributes:
        rate: the one of the grid that is fastest; None while tuning runs are missing.
        updates: to the first target at each rate, by its text: the mean over tuning seeds; None
            where not all of them reached it.
        edge: 'lowest' or 'highest' where the fastest rate is the first or the last of the grid, so
            that a faster one may lie beyond; '' otherwise.
        n: the number of tuning seeds.
    """

    rate: float | None
    updates: dict[str, float | None]
    edge: str
    n: int


def tuned_rates(sweep: Sweep) -> dict[tuple[str, int], TunedRate]:
    """The rate of each network, by family and depth, as far as its tuning runs are done.

    The rate at which most tuning seeds reach the first target counts; among several such rates the
    one with the fewest updates; where none reaches it, the one with the lowest training loss. Of
    equal rates the lowest is taken. A run that diverged did not reach the target.
    """
    runs: dict[tuple[str, int], dict[float, list[tuple[Cell, Result | None]]]] = {}
    for cell in sweep.cells:
        if is_tuning(cell):
            network = runs.setdefault((cell.config.model.family, cell.config.model.depth), {})
            rate = cell.config.optimizer.learning_rate
            network.setdefault(rate, []).append((cell, cell.result()))
    return {network: _fastest(by_rate) for network, by_rate in runs.items()}


def _fastest(by_rate: dict[float, list[tuple[Cell, Result | None]]]) -> TunedRate:
    rates = sorted(by_rate)
    n = len(by_rate[rates[0]])
    results = {rate: [result for _, result in by_rate[rate] if result] for rate in rates}
    if any(len(results[rate]) < len(by_rate[rate]) for rate in rates):
        return TunedRate(None, {}, '', n)
    (target,) = targets(by_rate[rates[0]][0][0].config)
    updates = {rate: [updates_to(run, target) for run in results[rate]] for rate in rates}

    def slowness(rate: float) -> tuple[int, float]:
        reached = [each for each in updates[rate] if each is not None]
        if reached:
            return n - len(reached), fmean(reached)
        losses = [run.train_loss for run in results[rate]]
        return n, fmean(float('inf') if loss is None else loss for loss in losses)

    best = min(rates, key=slowness)
    edges = {rates[0]: 'lowest', rates[-1]: 'highest'}
    means = {
        f'{rate:g}': None if None in found else fmean(found) for rate, found in updates.items()
    }
    return TunedRate(best, means, edges.get(best, ''), n)


def is_tuning(cell: Cell) -> bool:
    """Whether a run serves to choose a learning rate, and nothing else."""
    return cell.config.seed >= FIRST_TUNING_SEED


def targets(config: Config) -> tuple[str, ...]:
    """The names of the training errors to reach, the highest first."""
    return tuple(map(target_name, config.train.until_error))


def updates_to(run: Result, target: str) -> int | None:
    """The updates of a run until a training error; None where it did not get there."""
    return (run.steps_to_error or {}).get(target)


def _checked(config: ConfigDict) -> tuple[float, ...]:
    """The rates of the grid, ascending, of a configuration that suits the question."""
    given = tuple(config.sweep.rates)
    rates = {rate for rate in given if isinstance(rate, int | float) and rate > 0}
    if len(rates) < max(len(given), MIN_RATES):
        raise UserError(
            f'sweep.rates names {MIN_RATES} or more positive learning rates, each once, as in '
            f'(0.01, 0.03, 0.1), not {given}: with fewer, every optimum lies at an edge.'
        )
    if len(config.sweep.depths) < MIN_DEPTHS:
        raise UserError(
            f'this sweep needs {MIN_DEPTHS} depths or more, not {tuple(config.sweep.depths)}: '
            'a line fits any two.'
        )
    last = config.seed + config.sweep.seeds - 1
    if last >= FIRST_TUNING_SEED:
        raise UserError(
            f'seeds {config.seed} to {last} overlap with those that choose the learning rate, '
            f'which start at {FIRST_TUNING_SEED}: choose a lower seed.'
        )
    _check_targets(config)
    return tuple(sorted(map(float, rates)))


def _check_targets(config: ConfigDict) -> None:
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
