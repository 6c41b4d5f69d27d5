"""Which learning rate should the default protocol have? Chosen by a rule, on seeds of its own.

A comparison of families depends on the learning rate that they share. The rule that chooses it has
to treat both alike and must not see which verdict comes out. Here every family is trained at
several depths and rates, on seeds on which no network is judged, and the rate is chosen at which
the geometric mean of the validation loss over all these networks is lowest (see
`vggres.findings.tuning.choose`). The budget is given: it is the number of epochs that lets
`--sweep depth` finish within five minutes on two cores. Whether the shallowest networks train
within it is reported as a control.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments import all_results, no_more_cells
from vggres.figures.rates import LossLine, loss_against_rate
from vggres.findings.outcomes import has_failed
from vggres.findings.tables import MISSING, Column, Table
from vggres.findings.tuning import (
    FIRST_TUNING_SEED,
    Choice,
    Trial,
    check_rates,
    check_tuning_seed,
    choose,
)
from vggres.results import Result
from vggres.sweeps.grid import families, grid
from vggres.sweeps.sweep import Sweep

TITLE = 'The learning rate of the default protocol'
CLAIM = (
    'One learning rate serves all networks of a comparison. It is chosen by the validation loss of '
    'both families, at several depths, on seeds on which no network is judged.'
)
SOURCE = 'the rule of this suite'
VARIES = ('optimizer.learning_rate',)
CLAIMS = ()


@dataclass(frozen=True)
class NetworkRates:
    """The runs of a network at all rates.

    Attributes:
        family: 'vgg', 'plain' or 'resnet'.
        depth: weighted layers.
        choice: its own best rate.
        failed: the number of runs that failed to train at each rate.
    """

    family: str
    depth: int
    choice: Choice
    failed: tuple[int, ...]


@dataclass(frozen=True)
class RateVerdict:
    """The learning rate for all networks.

    Attributes:
        choice: the rate, and the scores of all rates.
        networks: what each network would choose.
        default: the learning rate of the configuration.
        updates: the budget of each run.
        seeds: the tuning seeds, ascending.
        guessing: the cross-entropy of guessing.
    """

    choice: Choice
    networks: tuple[NetworkRates, ...]
    default: float
    updates: int
    seeds: tuple[int, ...]
    guessing: float


def defaults(config: ConfigDict) -> dict[str, object]:
    """Tuning seeds, and depths from shallow to deep."""
    return {'seed': FIRST_TUNING_SEED, 'sweep.seeds': 1, 'sweep.depths': (8, 20, 56)}


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Each family at each learning rate and depth, once per tuning seed.

    Raises:
        UserError: for seeds that other sweeps use, and for a grid without an inside.
    """
    check_tuning_seed(config.seed)
    variants = {
        f'{family}, rate {rate:g}': knobs | {'optimizer.learning_rate': rate}
        for family, knobs in families(config).items()
        for rate in check_rates(config.sweep.rates)
    }
    return grid(config, variants)


next_cells = no_more_cells
judged = all_results


def analyse(sweep: Sweep) -> RateVerdict:
    """Chooses the rate of all networks, and that of each."""
    runs = [
        (cell.config.optimizer.learning_rate, result)
        for cell in sweep.cells
        if (result := cell.result())
    ]
    results = [result for _, result in runs]
    guessing = math.log(results[0].num_classes)
    trials = [Trial(_name(run), rate, run.seed, run.validation_loss) for rate, run in runs]
    networks = sorted({(run.family, run.depth) for run in results})
    return RateVerdict(
        choice=choose(trials, guessing),
        networks=tuple(
            _network(
                [(rate, run) for rate, run in runs if (run.family, run.depth) == network], guessing
            )
            for network in networks
        ),
        default=sweep.config.optimizer.learning_rate,
        updates=results[0].steps,
        seeds=tuple(sorted({run.seed for run in results})),
        guessing=guessing,
    )


def _network(runs: list[tuple[float, Result]], guessing: float) -> NetworkRates:
    """What the runs of one network at all rates come to."""
    _, first = runs[0]
    trials = [Trial(_name(run), rate, run.seed, run.validation_loss) for rate, run in runs]
    choice = choose(trials, guessing)
    failed = tuple(
        sum(has_failed(run) for each, run in runs if each == rate) for rate in choice.rates
    )
    return NetworkRates(first.family, first.depth, choice, failed)


def _name(run: Result) -> str:
    return f'{run.family}-{run.depth}'


def words(verdict: RateVerdict) -> str:
    """The verdict in words, one finding per line."""
    choice, seeds = verdict.choice, verdict.seeds
    numbers = ', '.join(map(str, seeds))
    lines = [
        'The rule: the learning rate with the lowest geometric mean of the validation loss over '
        'all networks of all families; a run that fails counts as guessing.'
    ]
    if choice.rate is None:
        why = 'no rate is better than guessing' if choice.n else 'no network has every rate yet'
        return '\n'.join([*lines, f'It chooses nothing: {why}.'])
    agreement = 'is the same' if choice.rate == verdict.default else 'differs'
    lines.append(
        f'It chooses {choice.rate:g} (validation loss {_loss(min(choice.losses))}, n = {choice.n} '
        f'runs at each rate); the rate of the configuration, {verdict.default:g}, {agreement}.'
    )
    if choice.edge:
        beyond = {'lowest': 'lower', 'highest': 'higher'}[choice.edge]
        lines.append(
            f'It is the {choice.edge} rate of the grid, so a better one may lie beyond: add a '
            f'{beyond} one to sweep.rates.'
        )
    else:
        lines.append(
            f'It lies inside the grid, which reaches from {choice.rates[0]:g} to '
            f'{choice.rates[-1]:g}.'
        )
    lines += [_control(verdict)]
    lines.append(
        f'All of this is at a budget of {verdict.updates:,} updates, on tuning '
        f'{"seed" if len(seeds) == 1 else "seeds"} {numbers}, which no other sweep uses.'
    )
    return '\n'.join(lines)


def in_short(verdict: RateVerdict) -> dict[str, str]:
    """The rate that the rule chooses."""
    rate = verdict.choice.rate
    return {'learning rate': 'none' if rate is None else f'{rate:g}'}


def _control(verdict: RateVerdict) -> str:
    """Which networks train at the chosen rate, the shallowest of each family above all."""
    place = verdict.choice.rates.index(verdict.choice.rate)
    failing = [each for each in verdict.networks if each.failed[place]]
    shallowest = {each.family: each.depth for each in reversed(verdict.networks)}
    names = ', '.join(f'{each.family}-{each.depth}' for each in failing)
    if not failing:
        return 'At this rate no run of any network fails to train.'
    if any(shallowest[each.family] == each.depth for each in failing):
        return f'The budget is insufficient: even shallow networks fail to train ({names}).'
    return (
        f'At this rate runs of {names} fail to train; those of the shallowest networks do not, so '
        'the budget suffices for the control.'
    )


def tables(verdict: RateVerdict) -> list[Table]:
    """The validation loss of each network at each rate."""
    choice = verdict.choice
    heads = [Column(f'{rate:g}') for rate in choice.rates]
    rows = [
        [
            each.family,
            str(each.depth),
            *map(_cell, each.choice.losses, each.failed),
            *[MISSING] * (len(heads) - len(each.choice.losses)),
            _chosen(each.choice),
            str(each.choice.n),
        ]
        for each in verdict.networks
    ]
    overall = [*map(_loss, choice.losses), *[MISSING] * (len(heads) - len(choice.losses))]
    rows.append(['all', '', *overall, _chosen(choice), str(choice.n)])
    columns = [Column('network', words=True), Column('depth'), *heads, Column('best'), Column('n')]
    return [
        Table(
            title='Validation loss by learning rate',
            columns=columns,
            rows=rows,
            note='Geometric means of the validation loss of the final weights; n counts runs at '
            f'each rate. Guessing has {_loss(verdict.guessing)}, and no run counts with more. '
            'In brackets: runs that failed to train. An asterisk marks a best rate that is the '
            'lowest or the highest of the grid.',
        )
    ]


def _cell(loss: float, failed: int) -> str:
    return _loss(loss) + (f' ({failed})' if failed else '')


def _chosen(choice: Choice) -> str:
    return MISSING if choice.rate is None else f'{choice.rate:g}{"*" if choice.edge else ""}'


def _loss(value: float) -> str:
    return f'{value:.3g}'


def figures(sweep: Sweep, verdict: RateVerdict) -> dict[str, tuple[Figure, str]]:
    """The validation loss against the learning rate."""
    lines = [
        LossLine(each.family, each.depth, each.choice.rates, each.choice.losses)
        for each in verdict.networks
        if each.choice.losses
    ]
    if not lines:
        return {}
    return {
        'validation_loss_against_rate': (
            loss_against_rate(lines, verdict.choice.rate, verdict.guessing),
            'Validation loss of the final weights against the learning rate, as a geometric mean '
            'over tuning seeds. A run that fails counts with the loss of guessing.',
        )
    }
