"""Tells the verdict on convergence in words, tables and figures."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.convergence.analysis import ConvergenceVerdict, Network
from vggres.figures.updates import LawLine, Reached, rate_against_depth, updates_against_depth
from vggres.findings.fastest import TUNING_PART
from vggres.findings.growth import FLAT_FACTOR, HELD_OUT, LAWS, Growth, Law, Shape
from vggres.findings.outcomes import CONFIDENCE
from vggres.findings.phrases import counted
from vggres.findings.tables import MISSING, Column, Table, interval, number
from vggres.sweeps.sweep import Sweep

_LEVEL = f'{100 * CONFIDENCE:g} %'
# What a status says of the conjecture, of plain networks at one target.
_CONJECTURE = {
    'exponential': 'as the conjecture says',
    'power': 'which is slower than the conjecture says',
    'flat': 'against the conjecture',
    'falls': 'against the conjecture',
}


def words(verdict: ConvergenceVerdict) -> str:
    """The verdict in words, one finding per line."""
    if not any(network.seeds for network in verdict.networks):
        return 'No fresh seed of any network is finished yet.'
    rates = ', '.join(f'{rate:g}' for rate in verdict.rates)
    tuning = max(network.tuned.n for network in verdict.networks)
    lines = [
        f'Each network trains at its own fastest constant rate of {rates}, chosen by the updates '
        f'to {verdict.targets[0]} % training error on {counted(tuning, "tuning seed")}; fresh '
        f'seeds are counted. Runs end after {verdict.budget:,} updates, and the error is looked at '
        f'every {verdict.resolution} and at the end of each epoch, so that a count is known to '
        f'within {verdict.resolution}.'
    ]
    for target in verdict.targets:
        for family in verdict.growth:
            lines += _growth_words(verdict, family, target)
            if shape := verdict.shapes.get(family, {}).get(target):
                lines += _shape_words(shape)
        lines += _control_words(verdict, target)
        lines += _difference_words(verdict, target)
    lines += _tuning_words(verdict.networks)
    lines.append(
        'All of this holds for this data set, batch size and warm-up. The laws describe the depths '
        'that were measured, and say nothing beyond them.'
    )
    return '\n'.join(lines)


def in_short(verdict: ConvergenceVerdict) -> dict[str, str]:
    """How the updates grow with depth, by family and target."""
    return {
        f'{family} to {target} %': found[target].status
        for family, found in verdict.growth.items()
        for target in verdict.targets
    }


def _growth_words(verdict: ConvergenceVerdict, family: str, target: str) -> Iterator[str]:
    growth = verdict.growth[family][target]
    said = [growth.status]
    at_edge = [each for each in verdict.networks if each.family == family and each.tuned.edge]
    if at_edge and growth.laws:
        said.append(
            f'provisionally, for the rate of {_names(at_edge)} lies at the edge of the grid'
        )
    elif family == 'plain' and growth.status in _CONJECTURE:
        said.append(_CONJECTURE[growth.status])
    reason = f'{growth.reason}{_censored(growth)}'
    yield f'{family}, {target} % training error: {", ".join(said)}. {reason}'
    if growth.comparison and growth.status in (*LAWS, 'inconclusive'):
        yield _prediction_words(growth)


def _censored(growth: Growth) -> str:
    lost = {
        depth: count for depth, count in zip(growth.depths, growth.censored, strict=True) if count
    }
    if not lost:
        return ' All runs reached it.' if growth.n else ''
    said = ', '.join(f'{count} of {growth.n} at depth {depth}' for depth, count in lost.items())
    return f' Not within the budget: {said}.'


def _prediction_words(growth: Growth) -> str:
    fitted, held_out = growth.depths[:-HELD_OUT], growth.depths[-HELD_OUT:]
    laws = ', and '.join(
        f'{" and ".join(map(_updates, growth.laws[name].predicted))} by the {name} law'
        for name in LAWS
    )
    measured = ' and '.join(map(_median, growth.medians[-HELD_OUT:]))
    found = growth.comparison
    better = LAWS[0] if found.prediction > 0 else LAWS[1]
    verdict = (
        f'The {better} law predicts better, by {abs(found.prediction):.1f} of log-probability.'
        if found.prediction_counts
        else 'Too few of these runs reached the target to compare the predictions.'
    )
    return (
        f'Fitted to depths {fitted[0]} to {fitted[-1]} alone, the predicted medians at depths '
        f'{" and ".join(map(str, held_out))} are {laws}; {measured} were counted. {verdict}'
    )


def _updates(value: float) -> str:
    return f'{value:,.0f}' if value < 1e6 else f'{value:.0e}'


def _median(value: float | None) -> str:
    return 'beyond the budget' if value is None else _updates(value)


def _shape_words(shape: Shape) -> Iterator[str]:
    if shape.bend_interval:
        low, high = shape.bend_interval
        said = 'faster than exponential' if low > 1 else 'slower than exponential' * (high < 1)
        yield (
            f'The line in depthᵖ that fits best has p = {number(shape.bend, ".1f")} ({_LEVEL} '
            f'interval {interval(shape.bend_interval, ".1f")}), where 1 is the exponential and 0 '
            f'the power law{f": {said}" * bool(said)}.'
        )
    sign = 'better' if shape.floor_advantage < 0 else 'worse'
    yield (
        f'A power law above a floor of {_updates(shape.floor)} updates, with the exponent '
        f'{shape.floor_exponent:g}, has one parameter more and fits {sign} than the exponential '
        f'law, by {abs(shape.floor_advantage):.1f} of log-likelihood.'
    )


def _control_words(verdict: ConvergenceVerdict, target: str) -> Iterator[str]:
    """Whether residual networks train at all: without that, nothing is said about shortcuts."""
    found = verdict.growth.get('resnet', {}).get(target)
    if found and found.n:
        reached = found.n - found.censored[-1]
        follows = '' if 2 * reached > found.n else ', so that nothing follows for shortcuts'
        yield (
            f'The control, resnet-{found.depths[-1]}, reaches {target} % in {reached} of {found.n} '
            f'runs{follows}.'
        )


def _difference_words(verdict: ConvergenceVerdict, target: str) -> Iterator[str]:
    if found := verdict.differences.get(target):
        factor, low, high = (math.exp(each) for each in (found.slope, *found.interval))
        yield (
            f'To {target} %, each further layer multiplies the updates of plain networks by '
            f'{factor:.3f} relative to residual ones ({_LEVEL} interval {low:.3f} to {high:.3f}, '
            f'n = {found.n} seeds).'
        )


def _tuning_words(networks: Sequence[Network]) -> Iterator[str]:
    """What the choice of rates leaves open."""
    missing = [network for network in networks if network.tuned.rate is None]
    if missing:
        yield f'Tuning is not finished, so that nothing was counted: {_names(missing)}.'
    never = [
        network
        for network in networks
        if network.tuned.rate is not None and not any(network.tuned.updates.values())
    ]
    if never:
        yield (
            f'At no rate did all tuning seeds reach the first target within '
            f'{100 * TUNING_PART:g} % of the budget, so that the rate rests on fewer of them or on '
            f'the training loss: {_names(never)}.'
        )
    for edge, beyond in {'lowest': 'lower', 'highest': 'higher'}.items():
        if found := [network for network in networks if network.tuned.edge == edge]:
            yield (
                f'The {edge} rate of the grid is the fastest, so that a {beyond} one may be faster '
                f'still (add it to sweep.rates): {_names(found)}.'
            )
    if diverged := sum(network.diverged for network in networks):
        yield f'{counted(diverged, "run")} diverged, and count as runs that the budget ended.'


def _names(networks: Sequence[Network]) -> str:
    return ', '.join(
        f'{network.family}-{network.depth}'
        + (f' ({network.tuned.rate:g})' if network.tuned.rate is not None else '')
        for network in networks
    )


def tables(verdict: ConvergenceVerdict) -> list[Table]:
    """The verdict in numbers: the laws, the counts of every network, and the tuning runs."""
    return [_law_table(verdict), _network_table(verdict), _tuning_table(verdict)]


def _law_table(verdict: ConvergenceVerdict) -> Table:
    rows = [
        row
        for family, found in verdict.growth.items()
        for target in verdict.targets
        for row in _law_rows(family, target, found[target])
    ]
    return Table(
        title='Growth of the updates with depth',
        columns=(
            Column('family', words=True),
            Column('target (%)'),
            Column('status', words=True),
            Column('law', words=True),
            Column('slope'),
            Column(f'{_LEVEL} CI'),
            Column('factor'),
            Column(f'{_LEVEL} CI'),
            Column('log-likelihood'),
            Column('log-probability of the deepest'),
            Column('predicted', words=True),
            Column('measured', words=True),
            Column('n'),
        ),
        rows=rows,
        note='The exponential law is a line of log(updates) in depth, and its slope is per layer; '
        'the power law is a line in log(depth), and its slope is the exponent. Factor: between the '
        'fitted updates of the deepest and the shallowest network; below '
        f'{FLAT_FACTOR:g} either way counts as flat. The deepest {HELD_OUT} depths are predicted '
        'from the others; predicted and measured are their medians. n counts seeds.',
    )


def _law_rows(family: str, target: str, growth: Growth) -> Iterator[list[str]]:
    start = [family, target, growth.status]
    if not growth.laws:
        yield [*start, *[MISSING] * 9, str(growth.n)]
    for name, law in growth.laws.items():
        compared = growth.comparison is not None
        yield [
            *start,
            name,
            number(law.slope, '+.3f'),
            interval(law.interval, '+.3f'),
            number(law.factor, '.2f'),
            interval(law.factor_interval, '.2f'),
            number(law.log_likelihood, '.1f'),
            number(law.prediction if compared else None, '.1f'),
            ', '.join(map(_updates, law.predicted)) if compared else MISSING,
            ', '.join(map(_median, growth.medians[-HELD_OUT:])) if compared else MISSING,
            str(growth.n),
        ]


def _network_table(verdict: ConvergenceVerdict) -> Table:
    targets = [Column(f'updates to {target} %', words=True) for target in verdict.targets]
    return Table(
        title='Updates of every network',
        columns=(
            Column('family', words=True),
            Column('depth'),
            Column('rate'),
            *targets,
            Column('n'),
        ),
        rows=[
            [
                network.family,
                str(network.depth),
                _rate(network),
                *(_counts(network.updates[target]) for target in verdict.targets),
                str(len(network.seeds)),
            ]
            for network in verdict.networks
        ],
        note='The median, then the updates of each fresh seed, at the first look with that '
        f'training error; there is a look every {verdict.resolution} updates and at the end of '
        f'each epoch. > {verdict.budget:,}: not within the budget. An asterisk marks a rate at the '
        'edge of the grid. n counts seeds.',
    )


def _rate(network: Network) -> str:
    rate = network.tuned.rate
    return MISSING if rate is None else f'{rate:g}{"*" if network.tuned.edge else ""}'


def _counts(updates: Sequence[int | None]) -> str:
    if not updates:
        return MISSING
    median = float(np.median([math.inf if each is None else each for each in updates]))
    runs = ', '.join('>' if each is None else f'{each:,}' for each in updates)
    return f'{_updates(median) if math.isfinite(median) else ">"} ({runs})'


def _tuning_table(verdict: ConvergenceVerdict) -> Table:
    rates = [f'{rate:g}' for rate in verdict.rates]
    return Table(
        title=f'Tuning: updates to {verdict.targets[0]} % at each rate',
        columns=(
            Column('family', words=True),
            Column('depth'),
            *(Column(rate) for rate in rates),
            Column('fastest'),
            Column('n'),
        ),
        rows=[
            [
                network.family,
                str(network.depth),
                *(_tuning_count(network, rate) for rate in rates),
                _rate(network),
                str(network.tuned.n),
            ]
            for network in verdict.networks
        ],
        note=f'Means over tuning seeds, which are counted by n. >: not all of them reached it '
        f'within {100 * TUNING_PART:g} % of the budget. {MISSING}: the search did not need this '
        'rate. Where no rate does, the rate with most seeds that did, or the lowest training loss, '
        'is taken. An asterisk marks the edge of the grid.',
    )


def _tuning_count(network: Network, rate: str) -> str:
    updates = network.tuned.updates
    if rate in updates and updates[rate] is None:
        return '>'
    return number(updates.get(rate), ',.0f')


def figures(sweep: Sweep, verdict: ConvergenceVerdict) -> dict[str, tuple[Figure, str]]:
    """The updates to each target against depth, and the rate of each network."""
    drawn = {}
    runs = {_panel(target): list(_reached(verdict, target)) for target in verdict.targets}
    if any(runs.values()):
        laws = {_panel(target): _laws(verdict, target) for target in verdict.targets}
        drawn['updates_against_depth'] = (
            updates_against_depth(runs, laws),
            'Updates to a training error against depth, each network at its own fastest constant '
            'rate. Each marker is one run, each line joins the medians of a family. An arrow is a '
            'run that the budget ended. The thin lines are both laws, fitted to all runs of the '
            'plain family: an exponential law is straight here.',
        )
    rates: dict[str, dict[int, float]] = {}
    for network in verdict.networks:
        if network.tuned.rate is not None:
            rates.setdefault(network.family, {})[network.depth] = network.tuned.rate
    if rates:
        drawn['rate_against_depth'] = (
            rate_against_depth(rates, verdict.rates),
            'The constant learning rate of each network: the one of the grid that reaches '
            f'{verdict.targets[0]} % training error with the fewest updates on tuning seeds.',
        )
    return drawn


def _panel(target: str) -> str:
    return f'Updates to {target} % training error'


def _reached(verdict: ConvergenceVerdict, target: str) -> Iterator[Reached]:
    for network in verdict.networks:
        for seed, found in zip(network.seeds, network.updates[target], strict=True):
            updates = verdict.budget if found is None else found
            yield Reached(network.family, network.depth, seed, updates, found is None)


def _laws(verdict: ConvergenceVerdict, target: str) -> list[LawLine]:
    found = verdict.growth.get('plain', {}).get(target)
    if found is None:
        return []
    depths = np.linspace(found.depths[0], found.depths[-1], 50)
    return [
        LawLine('plain', f'{name} law', depths.tolist(), _fitted(name, law, depths).tolist())
        for name, law in found.laws.items()
    ]


def _fitted(name: str, law: Law, depths: np.ndarray) -> np.ndarray:
    """The updates by a law."""
    x = depths if name == 'exponential' else np.log(depths)
    return np.exp(law.intercept + law.slope * x)
