"""The verdict in words, tables and figures."""

import dataclasses
from collections.abc import Iterator, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from experiments.deepen.analysis import KEPT, DeepenVerdict, Held
from experiments.deepen.question import SHALLOW
from experiments.deepen.stages import deepened
from vggres.figures.error_course import Course, error_courses
from vggres.findings import cures_telling
from vggres.findings.phrases import counted
from vggres.findings.tables import Column, Table
from vggres.networks.grammar import network_spec
from vggres.networks.initialisation import identities
from vggres.sweeps.sweep import Sweep

_WHAT = {
    'keeps': f'its error stays at or below {KEPT:g} % all the time',
    'regains': f'its error rises above {KEPT:g} % for a while and comes back',
    'loses': f'every run ends above {KEPT:g} %',
    'mixed': f'some runs end above {KEPT:g} % and others do not',
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
    return '\n'.join(lines)


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
        f'{held.status} the solution ({_WHAT[held.status]}). Training error in the mean of '
        f'{counted(len(held.seeds), "seed")}: {fmean(held.start):.1f} % at the start, '
        f'{fmean(held.worst):.1f} % at its worst, {fmean(held.final):.1f} % in the end.'
    )


def tables(verdict: DeepenVerdict) -> list[Table]:
    """The updates of each start, and the errors of what was deepened."""
    return [cures_telling.table(verdict.starts), _held_table(verdict.held)]


def _held_table(held: Sequence[Held]) -> Table:
    return Table(
        title=f'plain-{SHALLOW}, deepened and trained on',
        columns=(
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
                str(each.depth),
                f'{each.rate:g}',
                each.rate_of,
                *(_errors(values) for values in (each.start, each.worst, each.final)),
                each.status,
                str(len(each.seeds)),
            ]
            for each in held
        ],
        note='Training errors by seed. Start: of the shallow network, which computes the same. '
        'Worst: at the end of an epoch of training on. The rates are those that are fastest for '
        'plain networks from random weights; none was chosen for the deepened ones. n counts '
        'seeds.',
    )


def _errors(values: Sequence[float]) -> str:
    return ', '.join(f'{value:.1f}' for value in values)


def figures(sweep: Sweep, verdict: DeepenVerdict) -> dict[str, tuple[Figure, str]]:
    """The updates of each start, and the error of deepened networks while they train on."""
    deep = tuple(each for each in verdict.starts.arms if each.depth > SHALLOW)
    starts = dataclasses.replace(verdict.starts, arms=deep)
    drawn = cures_telling.figures(
        starts,
        'updates_by_start',
        'Updates to 5 % training error of deep networks by where they start, each at its own '
        'fastest constant rate. Each marker is a run; an arrow is a run that the budget ended.',
    )
    panels: dict[str, list[Course]] = {}
    for held in verdict.held:
        panels.setdefault(f'deepened to depth {held.depth}', []).extend(_courses(sweep, held))
    if panels:
        drawn['error_of_deepened'] = (
            error_courses(panels, KEPT),
            f'Training error of a trained plain-{SHALLOW} that was deepened by layers that change '
            'nothing, while it trains on: one line a seed, one colour a rate.',
        )
    return drawn


def _courses(sweep: Sweep, held: Held) -> Iterator[Course]:
    curves = {curve.cell: curve for curve in sweep.curves()}
    cells = deepened(sweep)[held.depth, held.rate]
    for cell, start in zip(cells, held.start, strict=True):
        seen = [(record.step, record.train_error) for record in curves[cell.id].records]
        points = [(step, error) for step, error in seen if error is not None]
        yield Course(f'rate {held.rate:g}', ((0, start), *points))
