"""Tells the verdict in words, tables and figures."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from experiments.depth_tuned.analysis import TunedNetwork, TunedVerdict
from vggres.figures.budget import GapAt, gap_against_budget
from vggres.figures.rates import LossLine, loss_against_rate
from vggres.findings.budgets import Interaction
from vggres.findings.phrases import counted
from vggres.findings.tables import MISSING, Column, Table, interval, number, p_value, scientific
from vggres.findings.tuned import INSUFFICIENT, Estimate, Gap
from vggres.sweeps.sweep import Sweep


def words(verdict: TunedVerdict) -> str:
    """The verdict in words: how rates were chosen, each family, each budget, the interaction."""
    lines = [
        'Every network trains at its own learning rate: the one with the lowest validation loss '
        f'among {_rates(verdict)}, chosen at each budget on '
        f'{counted(len(verdict.tuning_seeds), "tuning seed")}. Other seeds are judged; their '
        'intervals hold for these rates, and not for the luck of the choice. A gap is the training '
        'loss of the deepest network over that of the best shallower one, in decades.'
    ]
    lines += _edge_words(verdict)
    for family, judged in verdict.families.items():
        lines.append(f'{family}: {judged.status}. {judged.reason}{_slope_words(judged.slope)}')
        lines += [_gap_words(gap) for gap in verdict.gaps if gap.family == family]
    lines += [_interaction_words(each) for each in verdict.interactions if each.loss.interval]
    if len(verdict.updates) < 2:
        lines.append('Only one budget has been run: whether a gap shrinks is not known.')
    return '\n'.join(lines)


def _rates(verdict: TunedVerdict) -> str:
    return ', '.join(f'{rate:g}' for rate in verdict.rates)


def _edge_words(verdict: TunedVerdict) -> Iterator[str]:
    edges = [each for each in verdict.networks if each.choice and each.choice.edge]
    useless = [each for each in verdict.networks if each.choice and each.choice.rate is None]
    if edges:
        names = ', '.join(f'{_name(each)} ({each.rate:g})' for each in edges)
        yield (
            f'The best rate of {names} lies at the edge of the grid, and a better one may lie '
            'beyond it: widen sweep.rates.'
        )
    if useless:
        yield f'No rate of the grid trains {", ".join(map(_name, useless))} beyond guessing.'


def _name(network: TunedNetwork) -> str:
    return f'{network.family}-{network.depth} at {network.budget}×'


def _slope_words(slope: Estimate) -> str:
    if slope.mean is None:
        return ''
    return f' The slope of the gap is {_mean(slope)} per tenfold budget.'


def _mean(found: Estimate) -> str:
    """A mean in decades with its interval and n."""
    ends = f'95 % interval {interval(found.interval)}' if found.interval else 'no interval'
    return f'{number(found.mean)} decades ({ends}, n = {len(found.values)})'


def _gap_words(gap: Gap) -> str:
    said = f'{gap.family} at {gap.budget}×: {gap.status}.'
    if gap.loss.mean is not None and gap.status != INSUFFICIENT:
        said += (
            f' From depth {gap.shallower} to depth {gap.deepest} the training loss changes by '
            f'{_mean(gap.loss)}, the training error by {number(gap.error.mean)} points.'
        )
    return f'{said} {gap.reason}'


def _interaction_words(found: Interaction) -> str:
    first, second = found.families
    return (
        f'At {found.budget}×, the gap of {first} networks minus that of {second} networks is '
        f'{_mean(found.loss)} and {number(found.error.mean)} points of training error.'
    )


def in_short(verdict: TunedVerdict) -> dict[str, str]:
    """The status of each family over all budgets."""
    return {family: judged.status for family, judged in verdict.families.items()}


def tables(verdict: TunedVerdict) -> list[Table]:
    """The verdict in numbers: networks, gaps with their interaction, slopes, tuning losses."""
    return [
        _gap_table(verdict),
        _slope_table(verdict),
        _network_table(verdict),
        *(_rate_table(verdict, int(budget)) for budget in verdict.updates),
    ]


def _gap_table(verdict: TunedVerdict) -> Table:
    level = f'{100 * verdict.confidence:g} % CI'
    return Table(
        title='The gap between the deepest network and the best shallower one',
        columns=(
            Column('networks', words=True),
            Column('budget'),
            Column('status', words=True),
            Column('depths'),
            Column('decades of loss'),
            Column(level),
            Column('error (pp)'),
            Column(level),
            Column('by error', words=True),
            Column('failed'),
            Column('failure p'),
            Column('n'),
            Column('n to decide'),
        ),
        rows=[
            *(_gap_row(gap) for gap in verdict.gaps),
            *(_interaction_row(each) for each in verdict.interactions),
        ],
        note='Each network at its own learning rate. Decades of loss: log10 of the training loss '
        'of the deepest network minus that of the shallower one, of the same seed; failed runs '
        f'count with no more than the loss of guessing. The margin is {verdict.loss_margin:g} '
        f'decades, that of the error {verdict.error_margin:g} point (pp: percentage points). By '
        'error: what the error alone would say; it is at its floor where no run errs by more than '
        'its margin. Failed: runs of the deepest and of the shallower network; the p-value is that '
        'of an exact test. n counts seeds. The last rows are the gap of one family minus that of '
        'the other.',
    )


def _gap_row(gap: Gap) -> list[str]:
    return [
        gap.family,
        f'{gap.budget}×',
        gap.status,
        f'{gap.deepest} against {gap.shallower}',
        number(gap.loss.mean),
        interval(gap.loss.interval),
        number(gap.error.mean),
        interval(gap.error.interval),
        gap.error_status,
        f'{gap.failed[0]}, {gap.failed[1]}',
        p_value(gap.failure_p),
        str(len(gap.seeds)),
        str(gap.seeds_needed or MISSING),
    ]


def _interaction_row(found: Interaction) -> list[str]:
    return [
        ' − '.join(found.families),
        f'{found.budget}×',
        'difference of gaps',
        '',
        number(found.loss.mean),
        interval(found.loss.interval),
        number(found.error.mean),
        interval(found.error.interval),
        *('', '', ''),
        str(len(found.loss.values)),
        '',
    ]


def _slope_table(verdict: TunedVerdict) -> Table:
    return Table(
        title='The gap against the budget',
        columns=(
            Column('family', words=True),
            Column('status', words=True),
            Column('budgets'),
            Column('decades per tenfold budget'),
            Column(f'{100 * verdict.confidence:g} % CI'),
            Column('n'),
        ),
        rows=[
            [
                family,
                judged.status,
                ', '.join(f'{budget}×' for budget in judged.budgets) or MISSING,
                number(judged.slope.mean),
                interval(judged.slope.interval),
                str(len(judged.slope.values)),
            ]
            for family, judged in verdict.families.items()
        ],
        note='The slope of the gap in decades of training loss against log10 of the budget, over '
        'the budgets at which the positive controls are passed, the error is not at its floor and '
        'no rate lies at an edge of the grid. n counts seeds.',
    )


def _network_table(verdict: TunedVerdict) -> Table:
    return Table(
        title='The networks at their own learning rates',
        columns=(
            Column('family', words=True),
            Column('depth'),
            Column('budget'),
            Column('updates'),
            Column('rate'),
            Column('at the edge', words=True),
            Column('training loss'),
            Column('training error (%)'),
            Column('failed'),
            Column(f'P(fail), {100 * verdict.confidence:g} % CI'),
            Column('n'),
        ),
        rows=[_network_row(each, verdict) for each in verdict.networks],
        note='Medians over the fresh seeds, which n counts. P(fail) is the probability that a run '
        'fails to train, with the interval of Clopper and Pearson.',
    )


def _network_row(network: TunedNetwork, verdict: TunedVerdict) -> list[str]:
    found = network.outcome
    updates = verdict.updates.get(str(network.budget))
    return [
        network.family,
        str(network.depth),
        f'{network.budget}×',
        MISSING if updates is None else f'{updates:,}',
        MISSING if network.rate is None else f'{network.rate:g}',
        (network.choice.edge or 'no') if network.choice else MISSING,
        scientific(found.median_loss),
        number(found.median_error, '.2f'),
        str(found.failed),
        interval(found.failure_interval, '.2f'),
        str(found.n),
    ]


def _rate_table(verdict: TunedVerdict, budget: int) -> Table:
    return Table(
        title=f'Validation loss by learning rate at {budget}×',
        columns=(
            Column('family', words=True),
            Column('depth'),
            *(Column(f'{rate:g}') for rate in verdict.rates),
            Column('best'),
            Column('n'),
        ),
        rows=[
            [each.family, str(each.depth), *_losses(each, verdict), *_best(each)]
            for each in verdict.networks
            if each.budget == budget
        ],
        note='Geometric means over the tuning seeds, which n counts; a run that failed counts with '
        'no more than the loss of guessing. Rates that the search did not need are left out.',
    )


def _losses(network: TunedNetwork, verdict: TunedVerdict) -> list[str]:
    choice = network.choice
    known = dict(zip(choice.rates, choice.losses, strict=True)) if choice else {}
    return [number(known.get(rate), '.3g') for rate in verdict.rates]


def _best(network: TunedNetwork) -> tuple[str, str]:
    choice = network.choice
    if choice is None:
        return MISSING, '0'
    return (MISSING if choice.rate is None else f'{choice.rate:g}'), str(choice.n)


def figures(sweep: Sweep, verdict: TunedVerdict) -> dict[str, tuple[Figure, str]]:
    """The gap against the budget, and at each budget the validation loss against the rate."""
    drawn: dict[str, tuple[Figure, str]] = {}
    gaps = [
        GapAt(gap.family, verdict.updates[str(gap.budget)], gap.loss.values)
        for gap in verdict.gaps
        if gap.loss.values
    ]
    if gaps:
        drawn['gap_against_budget'] = (
            gap_against_budget(gaps, verdict.loss_margin),
            'The training loss of the deepest network over that of the best shallower one, in '
            'decades, each at its own learning rate. Each marker is one seed; each line is the '
            'mean over seeds.',
        )
    for budget in verdict.updates:
        lines = [
            LossLine(each.family, each.depth, each.choice.rates, each.choice.losses)
            for each in verdict.networks
            if str(each.budget) == budget and each.choice
        ]
        if lines and verdict.guessing:
            drawn[f'loss_against_rate_{budget}x'] = (
                loss_against_rate(lines, None, verdict.guessing),
                f'Validation loss of the tuning seeds against the learning rate at {budget}× the '
                'budget, as a geometric mean over seeds. The lowest point of a line is the rate '
                'that the network runs at.',
            )
    return drawn
