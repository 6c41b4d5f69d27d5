"""Is degradation still there when each network trains at its own best learning rate?

The sweep `depth` compares networks at one rate and one budget, which may suit the shallow ones and
not the deep ones. Here every network has a rate of its own, from a grid, at each of several
budgets. Seeds that serve no other purpose choose it by the validation loss; fresh seeds are then
trained at it and judged. He et al. 2015 (arXiv 1512.03385, §4.1) found that three times as many
updates do not remove degradation on ImageNet, and conjecture "exponentially low convergence rates".

The claim that degradation is more than a badly chosen rate would be refuted by a plain family whose
deepest network, at its own rate, fits as well as the best shallower one. That it is more than slow
training would be refuted by a gap that closes as the budget grows.

The sweep runs in stages, because the rates decide what comes next:

1. every network tries all rates at the smallest budget, with the tuning seeds;
2. at a larger budget it tries the best rate of the budget below and the two beside it, and goes on
   as long as the best one has an untried neighbour. That takes half as many runs as all rates, and
   finds the same rate wherever the loss has one minimum along the grid;
3. at every budget, as soon as its rate is known, it runs with the fresh seeds.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from vggres import checks
from vggres.config import Config
from vggres.errors import UserError
from vggres.findings.tuning import FIRST_TUNING_SEED, check_fresh_seeds, check_rates
from vggres.sweeps.grid import families, grid

TITLE = 'Error against depth, each network at its own learning rate'
CLAIM = (
    'Deeper plain networks fit worse than shallower ones even where each has its own best learning '
    'rate; residual networks do not. More updates do not close the gap.'
)
SOURCE = 'He et al. 2015, Deep Residual Learning for Image Recognition, §4.1 (arXiv 1512.03385)'
VARIES = ('optimizer.learning_rate',)

FAMILIES = ('plain', 'resnet')  # either is a control of the other
# Half a decade apart. The rate of He et al. 2015 is 0.1; on digits plain-56 was seen to fit best at
# 0.003 (660 updates, one seed). The grid reaches beyond both.
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_DEPTHS = (8, 20, 56)
# In multiples of the configuration's updates.
_BUDGETS = {False: (1, 3), True: (1, 3, 10)}  # of the quick sweep and of the thorough one
_TUNING_SEEDS = {False: 1, True: 3}
_SEEDS = {False: 5, True: 8}


def defaults(config: ConfigDict) -> dict[str, object]:
    """The grid of the question, and no evaluation before the last update: the end is judged."""
    longest = budgets(config)[-1] * (config.train.epochs or config.train.steps)
    return {
        'sweep.thorough': config.sweep.thorough,  # named here, so that it may be given
        'sweep.families': FAMILIES,
        'sweep.depths': _DEPTHS,
        'sweep.rates': RATES,
        'sweep.tuning_seeds': _TUNING_SEEDS[config.sweep.thorough],
        'sweep.seeds': _SEEDS[config.sweep.thorough],
        'evaluation.every_epochs': longest,  # an epoch has an update at least
    }


def budgets(config: Config) -> tuple[int, ...]:
    """The budgets, ascending, in multiples of the configuration's updates."""
    return _BUDGETS[config.sweep.thorough]


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """The first stage: every network at every rate of the grid, at the smallest budget.

    Raises:
        UserError: for fewer than two depths, for other families than `FAMILIES`, for a grid of
            rates without an inside, and for fresh seeds that choose rates as well.
    """
    rates = check_rates(config.sweep.rates)
    if sorted(config.sweep.families) != sorted(FAMILIES):
        raise UserError(
            f'--sweep depth_tuned compares both families: leave sweep.families at {FAMILIES}.'
        )
    if len(config.sweep.depths) < 2:
        raise UserError(
            'sweep.depths names two depths or more, as in (8, 20): a gap needs a shallower network.'
        )
    check_fresh_seeds(config.seed, config.sweep.seeds)
    networks = {(name, each.model.depth): None for name, each in grid(config, families(config))}
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + config.sweep.tuning_seeds)
    for family, depth in networks:
        for rate in rates:
            for seed in seeds:
                yield cell(config, (family, depth, budgets(config)[0]), rate, seed)


def cell(
    config: Config, place: tuple[str, int, int], rate: float, seed: int
) -> tuple[str, ConfigDict]:
    """A run of a network: the name of its variant, and its configuration.

    Args:
        config: of the sweep.
        place: family, depth, and budget in multiples of the configuration's updates.
        rate: the learning rate.
        seed: of the run.
    """
    family, depth, budget = place
    length = 'train.epochs' if config.train.epochs else 'train.steps'
    own = ConfigDict(config.to_dict()).lock()
    knobs = {
        'model.family': family,
        'model.depth': depth,
        'optimizer.learning_rate': rate,
        length: budget * (config.train.epochs or config.train.steps),
        'seed': seed,
    }
    own.update_from_flattened_dict(knobs)
    checks.check(own)
    purpose = ', tuning' if seed >= FIRST_TUNING_SEED else ''
    return f'{family}, {budget}×, rate {rate:g}{purpose}', own


def budget_of(config: Config, shared: Config) -> int:
    """The budget of a cell, in multiples of the updates of its sweep's configuration."""
    if shared.train.epochs:
        return config.train.epochs // shared.train.epochs
    return config.train.steps // shared.train.steps
