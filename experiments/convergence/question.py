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

The sweep runs in stages. The shallowest network of a family tries every rate. Each deeper one tries
the rate of the network below it and the two beside it, and goes on as long as the fastest one has
an untried neighbour, which finds the same rate as the whole grid wherever the updates have one
minimum along it. Where none of them reaches the target, it tries the whole grid. As soon as the
rate of a network is known, its fresh seeds run.

The conjecture would be refuted by plain networks whose number of updates does not grow with depth,
or grows as a power of it. It would be no statement on shortcuts if the number grew in the same way
in residual networks.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from ml_collections import ConfigDict

from vggres.config import Config
from vggres.errors import UserError
from vggres.findings.growth import MIN_DEPTHS
from vggres.findings.tuning import FIRST_TUNING_SEED, check_fresh_seeds, check_rates
from vggres.results import Result, target_name
from vggres.sweeps.cell import Cell
from vggres.sweeps.grid import families, grid

TITLE = 'Updates to a training error against depth'
CLAIM = (
    'The number of updates that a plain network needs to fit the training set grows exponentially '
    'with its depth; that of a residual network does not.'
)
SOURCE = 'He et al. 2015, Deep Residual Learning for Image Recognition, §4.1 (arXiv 1512.03385)'
VARIES = ('optimizer.learning_rate',)

# Half a decade apart. At first looks plain-44 was fastest at 0.003 and plain-50 at 0.001, each the
# lowest rate of the grid at that time.
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
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
        'sweep.rates': RATES,
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
    """The first stage: the shallowest network of each family at each rate.

    Raises:
        UserError: where the configuration does not suit the question.
    """
    rates = _checked(config)
    everything = list(grid(config, families(config)))  # which checks every network
    shallowest = min(each.model.depth for _, each in everything)
    for family in dict.fromkeys(family for family, _ in everything):
        yield from tuning_cells(config, family, shallowest, rates)


def tuning_cells(
    config: Config, family: str, depth: int, rates: Iterable[float]
) -> Iterator[tuple[str, ConfigDict]]:
    """Runs of a network at some rates, each until the first target or half of the budget."""
    own = ConfigDict(config.to_dict())
    own.seed, own.sweep.seeds = FIRST_TUNING_SEED, config.sweep.tuning_seeds
    own.train.until_error = tuple(config.train.until_error)[:1]
    own.train.steps = max(1, round(TUNING_PART * config.train.steps))
    # The warm-up has as many updates as in the whole run.
    fraction = config.optimizer.warmup_fraction * config.train.steps / own.train.steps
    own.optimizer.warmup_fraction = min(1.0, fraction)
    return _runs(own, family, depth, rates, ', tuning')


def fresh_cells(
    config: Config, family: str, depth: int, rate: float
) -> Iterator[tuple[str, ConfigDict]]:
    """The runs of a network that are judged."""
    return _runs(config, family, depth, (rate,), '')


def _runs(
    config: Config, family: str, depth: int, rates: Iterable[float], purpose: str
) -> Iterator[tuple[str, ConfigDict]]:
    own = ConfigDict(config.to_dict())
    own.sweep.depths = (depth,)
    variants = {
        f'{family}, rate {rate:g}{purpose}': {
            'model.family': family,
            'optimizer.learning_rate': rate,
        }
        for rate in rates
    }
    return grid(own, variants)


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
    rates = check_rates(config.sweep.rates)
    if len(config.sweep.depths) < MIN_DEPTHS:
        raise UserError(
            f'this sweep needs {MIN_DEPTHS} depths or more, not {tuple(config.sweep.depths)}: '
            'a line fits any two.'
        )
    check_fresh_seeds(config.seed, config.sweep.seeds)
    _check_targets(config)
    return rates


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
