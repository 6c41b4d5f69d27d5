"""Tells the verdict on the effective rate in words, tables and figures."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.effective_rate.analysis import (
    PAIR,
    Comparison,
    Course,
    EffectiveRateVerdict,
    Observed,
    judged_observations,
    on_main_path,
)
from vggres.figures.layer_course import LayerCourse, along_layers_in_training
from vggres.findings import cures_telling
from vggres.findings.outcomes import CONFIDENCE
from vggres.findings.phrases import counted
from vggres.findings.tables import MISSING, Column, Table, interval, number, scientific
from vggres.results import Observation
from vggres.sweeps import arms
from vggres.sweeps.sweep import Sweep

_LEVEL = f'{100 * CONFIDENCE:g} %'
_LINES = 6  # the most looks at a network that are drawn
_WHAT = {
    'level': 'the effective rate',
    'fall': 'the fall of the effective rate by the growth of the weights',
    'unevenness': 'the unevenness of that fall along the layers',
    'turn_unevenness': 'the unevenness of the angles by which an update turns the kernels',
}
_MOMENTS = {'same': 'after as many updates', 'end': 'at the end of their runs'}
_ROWS = {'effective_rate': 'effective rate', 'turn': 'turn of an update (radians)'}


def words(verdict: EffectiveRateVerdict) -> str:
    """The verdict in words, one finding per line."""
    lines = [
        cures_telling.words(verdict.arms),
        *_compared(verdict.comparisons),
        *_orthogonality(verdict.courses),
    ]
    if verdict.comparisons:
        lines.insert(
            1,
            f'Plain-{verdict.depth} beside ResNet-{verdict.depth}, norms free, each at its own '
            'rate, with means over layers and seeds in decades. This describes and shows no cause:',
        )
    return '\n'.join(lines)


def in_short(verdict: EffectiveRateVerdict) -> dict[str, str]:
    """What it does to hold the norms, by network."""
    return cures_telling.in_short(verdict.arms)


def _compared(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """A line for each quantity, with all its moments."""
    for quantity, what in _WHAT.items():
        own = [each for each in comparisons if each.quantity == quantity]
        if own:
            yield f'{what.capitalize()}: {"; ".join(map(_beside, own))}.'


def _beside(found: Comparison) -> str:
    answer = f'{found.answer} in plain networks'
    if found.answer == 'not decided':
        answer = 'not decidedly different'
    return (
        f'{answer} {_MOMENTS[found.moment]}, {number(found.plain)} against '
        f'{number(found.resnet)} ({_LEVEL} interval of the difference {interval(found.interval)}, '
        f'n = {counted(found.n, "seed")})'
    )


def _orthogonality(courses: Sequence[Course]) -> Iterator[str]:
    looks = [look for course in courses for look in course.looks]
    if looks:
        largest = max(look.cosine for look in looks)
        yield (
            f'The largest cosine between a kernel below a norm and its gradient is {largest:.1e} '
            f'in size, in {counted(len(looks), "look")} at {counted(len(courses), "run")}; without '
            "the rounding of float32 and the ε of batch norm, all of them would be 0 by Euler's "
            'theorem.'
        )


def tables(verdict: EffectiveRateVerdict) -> list[Table]:
    """The verdict in numbers: the arms, the families side by side, and each network's course."""
    return [cures_telling.table(verdict.arms), _comparison_table(verdict), _course_table(verdict)]


def _comparison_table(verdict: EffectiveRateVerdict) -> Table:
    depth = MISSING if verdict.depth is None else str(verdict.depth)
    return Table(
        title=f'Effective rates of plain and residual networks of depth {depth}',
        columns=(
            Column('quantity (decades)', words=True),
            Column('moment', words=True),
            Column('plain'),
            Column('resnet'),
            Column('difference'),
            Column(f'{_LEVEL} CI'),
            Column('answer', words=True),
            Column('n'),
        ),
        rows=[
            [
                _WHAT[each.quantity],
                _MOMENTS[each.moment],
                number(each.plain),
                number(each.resnet),
                number(each.plain - each.resnet),
                interval(each.interval),
                each.answer,
                str(each.n),
            ]
            for each in verdict.comparisons
        ],
        note='Means over seeds, which are counted by n; one number for each is a mean over layers '
        'of a logarithm to base 10, or the distance of the largest from the smallest along the '
        'layers. Only kernels of the main path below a norm are there: of the head, η/‖w‖² is no '
        'rate. The norms are free in both families.',
    )


def _course_table(verdict: EffectiveRateVerdict) -> Table:
    networks: dict[tuple[str, int], list[Course]] = {}
    for course in verdict.courses:
        if course.looks:
            networks.setdefault((course.arm, course.depth), []).append(course)
    return Table(
        title='At the end of the runs',
        columns=(
            Column('arm', words=True),
            Column('depth'),
            Column('updates'),
            Column('effective rate'),
            Column('fall (decades)'),
            Column('unevenness (decades)'),
            Column('turn (radians)'),
            Column('its unevenness (decades)'),
            Column('largest cosine'),
            Column('n'),
        ),
        rows=[_course_row(*network, each) for network, each in networks.items()],
        note='Means over seeds, which are counted by n, of the last look at each run; of the '
        'cosine, the largest of all looks. The effective rate and the turn are geometric means '
        'over the layers.',
    )


def _course_row(arm: str, depth: int, courses: Sequence[Course]) -> list[str]:
    last = [course.looks[-1] for course in courses]

    def mean(name: str) -> float:
        return float(np.mean([getattr(look, name) for look in last]))

    return [
        arm,
        str(depth),
        number(mean('step'), ',.0f'),
        scientific(10 ** mean('level')),
        number(mean('fall')),
        number(mean('unevenness'), '.2f'),
        scientific(10 ** mean('turn')),
        number(mean('turn_unevenness'), '.2f'),
        scientific(max(look.cosine for course in courses for look in course.looks)),
        str(len(courses)),
    ]


def figures(sweep: Sweep, verdict: EffectiveRateVerdict) -> dict[str, tuple[Figure, str]]:
    """The updates of each arm, and the effective rates along the layers of both families."""
    drawn = cures_telling.figures(
        verdict.arms,
        'updates_by_arm',
        'Updates to the training error, with the norms of the kernels below a norm free and held. '
        'Each marker is one run, each network at its own fastest constant rate.',
    )
    if rows := _rows(sweep, verdict.depth):
        drawn['effective_rate_along_layers'] = (
            along_layers_in_training(rows),
            'The effective rate η/‖w‖² of each kernel below a norm, at the full rate, and the '
            'angle by which the next update turns it, at some epochs after the warm-up; norms '
            'free, one seed. Epoch 0 is before the first update. Each network is at its own rate, '
            'and ends when it has reached the training error.',
        )
    return drawn


def _rows(sweep: Sweep, depth: int | None) -> dict[str, dict[str, LayerCourse]]:
    rows: dict[str, dict[str, LayerCourse]] = {}
    observed = judged_observations(sweep)
    for family in PAIR if depth is not None else ():
        own = [each for each in observed if arms.network_of(each[0]) == (family, depth)]
        if own and (looks := _shown(own[0][2])):
            for quantity, title in _ROWS.items():
                panels = rows.setdefault(title, {})
                panels[f'{family}-{depth}'] = _course(own[0], looks, quantity)
    return rows


def _shown(observations: Sequence[Observation]) -> list[Observation]:
    """At most `_LINES` looks, the first and the last among them, closer at the beginning."""
    own = [each for each in observations if each.draw == 0 and 'turn' in each.values]
    if not own:
        return []
    shown = np.geomspace(1, len(own), min(_LINES, len(own))).round().astype(int) - 1
    return [own[i] for i in np.unique(shown)]


def _course(observed: Observed, looks: Sequence[Observation], quantity: str) -> LayerCourse:
    cell, _, _ = observed
    names, places = on_main_path(cell.network_spec, looks[0].values['effective_rate'])
    rate = cell.config.optimizer.learning_rate
    values = {}
    for look in looks:
        if quantity == 'effective_rate':
            norms = np.array([look.values['weight_norm'][name] for name in names], float)
            values[look.epoch] = rate / norms**2
        elif look.step >= round(cell.config.optimizer.warmup_fraction * cell.config.train.steps):
            values[look.epoch] = np.array([look.values['turn'][name] for name in names], float)
    return LayerCourse(places, values)
