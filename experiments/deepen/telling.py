"""The verdict in words, tables and figures."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from experiments.deepen.analysis import KEPT, DeepenVerdict, Held, errors_seen
from experiments.deepen.question import CONTROL, SHALLOW, UNTREATED
from experiments.deepen.stages import deepened, faded
from vggres.figures.error_course import Course, error_courses
from vggres.findings import cures_telling
from vggres.findings.phrases import counted
from vggres.findings.tables import Column, Table
from vggres.networks.grammar import network_spec
from vggres.networks.initialisation import identities
from vggres.sweeps.sweep import Sweep

_WHAT = {
    'nothing to keep': f'has no solution to keep (a run is above {KEPT:g} % before)',
    'keeps': f'keeps the solution (its error stays at or below {KEPT:g} % from then on)',
    'regains': f'regains the solution (its error rises above {KEPT:g} % and comes back)',
    'loses': f'loses the solution (every run ends above {KEPT:g} %)',
    'mixed': f'mixed (some runs end above {KEPT:g} % and others do not)',
}


def words(verdict: DeepenVerdict) -> str:
    """The verdict in words, one finding per line."""
    if not any(each.updates for each in verdict.starts.arms):
        return 'No fresh seed of any network is finished yet.'
    lines = [cures_telling.words(verdict.starts)]
    lines += [_dirac_words(depth) for depth in verdict.starts.depths() if depth > SHALLOW]
    lines += [_held_words(each) for each in verdict.held]
    if not verdict.held:
        lines.append(f'No plain-{SHALLOW} is deepened yet.')
    lines += [_faded_words(each) for each in verdict.faded]
    if not verdict.faded:
        lines.append('No shortcuts have faded away yet.')
    return '\n'.join(lines)


def in_short(verdict: DeepenVerdict) -> dict[str, str]:
    """What other starts do, and whether solutions that were given are kept, by network and rate."""
    told = cures_telling.in_short(verdict.starts)
    for found, what in ((verdict.held, 'deepened'), (verdict.faded, 'faded')):
        for each in found:
            told[f'{UNTREATED}-{each.depth}, {what}, rate {each.rate:g}'] = each.status
    return told


def _dirac_words(depth: int) -> str:
    spec = network_spec('plain', depth)
    count = len(identities(spec))
    return (
        f'Of the {depth - 1} convolutions of a plain-{depth} that starts from Dirac kernels, '
        f'{count} are the identity; {depth - 1 - count} change the number of channels and start '
        "from He's weights."
    )


def _held_words(held: Held) -> str:
    return (
        f'plain-{SHALLOW} deepened to plain-{held.depth}, trained on for {held.updates} updates at '
        f'{held.rate:g}, the fastest rate of {held.rate_of or "neither depth now"}: '
        f'{_WHAT[held.status]}. {_mean_errors(held, "at the start", "at its worst")}'
    )


def _faded_words(held: Held) -> str:
    before, worst = 'at its lowest before the shortcuts are gone', 'at its worst afterwards'
    return (
        f'{CONTROL}-{held.depth} whose shortcuts fade to 0 over {held.fade_steps} updates, trained '
        f'on as {UNTREATED}-{held.depth} for {held.updates} updates, all at {held.rate:g}, the '
        f'fastest rate of {held.rate_of or "neither network now"}: {_WHAT[held.status]}. '
        f'{_mean_errors(held, before, worst)}'
    )


def _mean_errors(held: Held, start: str, worst: str) -> str:
    return (
        f'Training error in the mean of {counted(len(held.seeds), "seed")}: '
        f'{fmean(held.start):.1f} % {start}, {fmean(held.worst):.1f} % {worst}, '
        f'{fmean(held.final):.1f} % in the end.'
    )


def tables(verdict: DeepenVerdict) -> list[Table]:
    """The updates of each start, and the errors of what was deepened or lost its shortcuts."""
    return [cures_telling.table(verdict.starts), _held_table((*verdict.held, *verdict.faded))]


def _held_table(held: Sequence[Held]) -> Table:
    return Table(
        title='Deep plain networks that were given a solution and trained on',
        columns=(
            Column('by', words=True),
            Column('depth'),
            Column('rate'),
            Column('fastest for', words=True),
            Column('start (%)', words=True),
            Column('worst (%)', words=True),
            Column('final (%)', words=True),
            Column('status', words=True),
            Column('n'),
        ),
        rows=[
            [
                'fading shortcuts' if each.fade_steps else f'deepening plain-{SHALLOW}',
                str(each.depth),
                f'{each.rate:g}',
                each.rate_of,
                *(_errors(values) for values in (each.start, each.worst, each.final)),
                each.status,
                str(len(each.seeds)),
            ]
            for each in held
        ],
        note='Training errors by seed. Start: of the shallow network, which computes the same; or '
        'the lowest at the end of an epoch before the shortcuts were gone. Worst: at the end of an '
        'epoch of training on. The rates are those that are fastest for plain or residual networks '
        'from random weights; none was chosen for these runs. n counts seeds.',
    )


def _errors(values: Sequence[float]) -> str:
    return ', '.join(f'{value:.1f}' for value in values)


def figures(sweep: Sweep, verdict: DeepenVerdict) -> dict[str, tuple[Figure, str]]:
    """The updates of each start, and the errors of networks that were given a solution."""
    deep = tuple(each for each in verdict.starts.arms if each.depth > SHALLOW)
    starts = dataclasses.replace(verdict.starts, arms=deep)
    drawn = cures_telling.figures(
        starts,
        'updates_by_start',
        'Updates to 5 % training error of deep networks by where they start, each at its own '
        'fastest constant rate. Each marker is a run; an arrow is a run that the budget ended.',
    )
    if verdict.held:
        drawn['error_of_deepened'] = (
            error_courses(_panels('deepened to depth', _of_deepened(sweep, verdict)), KEPT),
            f'Training error of a trained plain-{SHALLOW} that was deepened by layers that change '
            'nothing, while it trains on: one line a seed, one colour a rate.',
        )
    if verdict.faded:
        gone = verdict.faded[0].fade_steps
        drawn['error_of_fading'] = (
            error_courses(_panels('fading, depth', _of_fading(sweep, verdict)), KEPT, gone),
            'Training error of residual networks whose shortcuts fade to 0 while they train. From '
            f'the vertical line on, after {gone} updates, they are plain networks. One line a '
            'seed, one colour a rate.',
        )
    return drawn


def _panels(title: str, courses: Iterable[tuple[int, Course]]) -> dict[str, list[Course]]:
    """Courses by the title of a panel, which ends with their depth."""
    panels: dict[str, list[Course]] = {}
    for depth, course in courses:
        panels.setdefault(f'{title} {depth}', []).append(course)
    return panels


def _of_deepened(sweep: Sweep, verdict: DeepenVerdict) -> Iterator[tuple[int, Course]]:
    seen, cells = errors_seen(sweep), deepened(sweep)
    for held in verdict.held:
        for cell, start in zip(cells[held.depth, held.rate], held.start, strict=True):
            yield held.depth, Course(f'rate {held.rate:g}', ((0, start), *seen[cell.id]))


def _of_fading(sweep: Sweep, verdict: DeepenVerdict) -> Iterator[tuple[int, Course]]:
    seen, cells = errors_seen(sweep), faded(sweep)
    for held in verdict.faded:
        for cell in cells[held.depth, held.rate]:
            yield held.depth, Course(f'rate {held.rate:g}', seen[cell.id])
