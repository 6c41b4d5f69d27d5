"""Tells the verdict on surfaces and curvature in words, tables and figures."""

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from experiments.landscape.analysis import (
    CurvatureNetwork,
    LandscapeVerdict,
    doublings,
    last_surface,
    wider,
)
from experiments.landscape.claims import SHARPER
from experiments.landscape.question import FAMILIES
from vggres.figures.lines import Axis, Line, in_panels
from vggres.figures.surfaces import contours
from vggres.findings.estimates import t_interval
from vggres.findings.phrases import beside
from vggres.findings.tables import Column, Table, number
from vggres.sweeps.sweep import Sweep

_EDGE = 'edge of stability'


def words(verdict: LandscapeVerdict) -> str:
    """The verdict in words: how wide and how sharp surfaces are by family and depth."""
    if not verdict.networks and not verdict.curvatures:
        return 'No surface of a finished network was observed.'
    lines = [*_width_lines(verdict), *_curvature_lines(verdict)]
    lines.append(
        'All of this is at one rate and one budget; n counts seeds, and no margin says what is '
        'wide.'
    )
    return '\n'.join(lines)


def in_short(verdict: LandscapeVerdict) -> dict[str, str]:
    """Whether solutions of the deepest plain networks are sharper than those of residual ones."""
    deepest = max((network.depth for network in verdict.curvatures), default=0)
    compared = [network for network in verdict.curvatures if network.depth == deepest]
    if not (found := doublings(compared, deepest)):
        return {}
    said = beside(found, SHARPER, 'sharper', 'not sharper')
    if any(network.failed for network in compared):
        said = 'budget insufficient'
    return {f'plain beside residual, depth {deepest}': said}


def _width_lines(verdict: LandscapeVerdict) -> Iterator[str]:
    for depth in sorted({network.depth for network in verdict.networks}):
        parts = []
        for family in FAMILIES:
            own = [n for n in verdict.networks if (n.family, n.depth) == (family, depth)]
            if own:
                failed = sum(n.failed for n in own)
                parts.append(
                    f'{fmean(n.wide for n in own):.0f} % of the plane around {family} networks, '
                    f'whose training error is {fmean(n.train_error for n in own):.1f} %'
                    + (f' ({failed} of {len(own)} failed to train)' if failed else '')
                )
        said = f'Depth {depth}: the loss is below that of guessing on {", and on ".join(parts)}.'
        if more := wider(verdict.networks, depth):
            ends = t_interval(np.array(more), verdict.confidence)
            within = f', 95 % interval {ends[0]:.0f} to {ends[1]:.0f}' if ends else ''
            said += f' Shortcuts add {fmean(more):+.0f} points{within} (n = {len(more)}).'
        yield said


def _curvature_lines(verdict: LandscapeVerdict) -> Iterator[str]:
    looks = [look for network in verdict.curvatures for look in network.looks]
    if not looks:
        return
    yield (
        'λ is the largest eigenvalue of the Hessian of the training loss, in training mode and '
        'without weight decay.'
    )
    for depth in sorted({network.depth for network in verdict.curvatures}):
        parts = [part for family in FAMILIES if (part := _ends(verdict, family, depth))]
        if not parts:
            continue
        said = f'Depth {depth}: after training, λ is {", and ".join(parts)}.'
        if found := doublings(verdict.curvatures, depth):
            ends = t_interval(np.array(found), verdict.confidence)
            within = f', 95 % interval {ends[0]:+.2f} to {ends[1]:+.2f}' if ends else ''
            said += (
                f' Plain over residual, these are {fmean(found):+.2f} doublings{within} '
                f'(n = {len(found)}); sharper means more than {SHARPER:g}.'
            )
        yield said
    sharpest = max(look.rate * look.largest for look in looks)
    positive = [look for look in looks if look.largest > 0]
    residual = max((look.residual / look.largest for look in positive), default=math.nan)
    yield (
        f'Along training, η·λ is at most {sharpest:.2f}, and {verdict.edge:.2f} is the edge of '
        f"stability. Lanczos' residual is at most {100 * residual:.1f} % of λ."
    )


def _ends(verdict: LandscapeVerdict, family: str, depth: int) -> str:
    """λ after training, in words; '' where there is none."""
    own = [n for n in verdict.curvatures if (n.family, n.depth) == (family, depth) and n.end]
    if not own:
        return ''
    middle = math.exp(fmean(math.log(n.end) for n in own if n.end))
    failed = sum(n.failed for n in own)
    return f'{middle:.3g} around {family} networks' + (
        f' ({failed} of {len(own)} failed to train)' if failed else ''
    )


def tables(verdict: LandscapeVerdict) -> list[Table]:
    """The verdict in numbers: one row per network."""
    widths = Table(
        title='Loss surfaces',
        columns=(
            Column('network', words=True),
            Column('depth'),
            Column('seed'),
            Column('training error (%)'),
            Column('loss in the middle'),
            Column('below guessing (% of the plane)'),
            Column('other minima'),
        ),
        rows=[
            [
                n.family,
                str(n.depth),
                str(n.seed),
                number(n.train_error, '.2f'),
                number(n.centre, '.4f'),
                number(n.wide, '.1f'),
                str(n.minima),
            ]
            for n in verdict.networks
        ],
        note='The plane reaches one norm of each filter to each side, along two random '
        'directions (Li et al. 2018). Other minima: points inside of the grid that are lower '
        'than their eight neighbours, the trained network left out.',
    )
    curvatures = Table(
        title='Curvature',
        columns=(
            Column('network', words=True),
            Column('depth'),
            Column('seed'),
            Column('training error (%)'),
            Column('training loss'),
            Column('λ before training'),
            Column('largest λ during training'),
            Column('largest η·λ'),
            Column('λ after training'),
            Column('λ‖w‖² after training'),
        ),
        rows=[_row(network) for network in verdict.curvatures],
        note='λ: the largest eigenvalue of the Hessian of the mean training loss of up to two '
        'batches, in training mode and without weight decay. η: the learning rate of the update '
        'that comes next. Above η·λ = '
        f'{verdict.edge:.2f}, gradient descent with this momentum and all images at once diverges '
        'on a quadratic (Cohen et al. 2021). The curvature of the cross-entropy is lower where '
        'the loss is. λ‖w‖² stays the same where all weights are scaled by a factor that batch '
        'norm undoes.',
    )
    return [widths, curvatures]


def _row(network: CurvatureNetwork) -> list[str]:
    before = [look.largest for look in network.looks if look.step == 0]
    products = [look.rate * look.largest for look in network.looks]
    return [
        network.family,
        str(network.depth),
        str(network.seed),
        number(network.train_error, '.2f'),
        number(network.train_loss, '.3g'),
        number(before[0] if before else None, '.3g'),
        number(network.peak, '.3g'),
        number(max(products, default=None), '.2f'),
        number(network.end, '.3g'),
        number(network.relative, '.3g'),
    ]


def figures(sweep: Sweep, verdict: LandscapeVerdict) -> dict[str, tuple[Figure, str]]:
    """The surfaces of the first seed: families in rows, depths in columns; η·λ along training."""
    return _surfaces(sweep) | _sharpness(verdict)


def _surfaces(sweep: Sweep) -> dict[str, tuple[Figure, str]]:
    observed = [each for each in sweep.observed() if each[1].status == 'finished']
    first = min((result.seed for _, result, _ in observed), default=0)
    drawn, classes = [], 0
    for _, result, observations in observed:
        title = f'{result.family}-{result.depth}'
        found = last_surface(observations, title) if result.seed == first else None
        if found:
            drawn.append(found)
            classes = result.num_classes
    if not drawn:
        return {}
    columns = len({result.depth for _, result, _ in observed})
    return {
        'surfaces': (
            contours(drawn, columns, math.log(classes)),
            'Training loss on a plane through the final weights (+) of the first seed, along two '
            'random directions whose filters have the norms of those of the weights, in evaluation '
            'mode. The white line is the loss of guessing.',
        )
    }


def _sharpness(verdict: LandscapeVerdict) -> dict[str, tuple[Figure, str]]:
    lines = list(_lines(verdict.curvatures, verdict.edge))
    if not lines:
        return {}
    figure = in_panels(
        lines,
        'Curvature along training, as a learning rate meets it',
        Axis('updates done'),
        Axis('η·λ', is_log=True),
    )
    return {
        'sharpness': (
            figure,
            'Learning rate η times the largest eigenvalue λ of the Hessian of the training loss, '
            'one line a network. It falls where the rate is lowered, and a λ that is not positive '
            'leaves a gap. Above the edge of stability, 2 (1 + β) = '
            f'{verdict.edge:.2f} with momentum β, gradient descent with all images at once '
            'diverges on a quadratic (Cohen et al. 2021). A network may start above it; later on, '
            'the noise of small batches keeps it below. Weight decay is left out of the loss.',
        )
    }


def _lines(networks: Sequence[CurvatureNetwork], edge: float) -> Iterator[Line]:
    """η·λ of each network, and the edge in each panel."""
    lasts: dict[str, int] = {}
    for network in sorted(networks, key=lambda each: each.depth):
        steps = [look.step for look in network.looks]
        products = [look.rate * look.largest for look in network.looks]
        if any(each > 0 for each in products):
            panel = f'depth {network.depth}'
            yield Line(panel, network.family, steps, products)
            lasts[panel] = max(steps[-1], lasts.get(panel, 0))
    for panel, last in lasts.items():
        yield Line(panel, _EDGE, [0, last], [edge, edge], is_expected=True)
