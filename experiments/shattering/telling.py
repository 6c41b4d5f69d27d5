"""Puts what was found about shattered gradients into words, tables and figures."""

from collections.abc import Callable, Iterator
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from experiments.shattering.analysis import (
    FLOOR,
    Shattering,
    ShatteringVerdict,
    SlopeDifference,
    law,
    slopes,
)
from vggres.figures.lines import Axis, Line, in_panels
from vggres.findings.before_after import (
    BEFORE,
    FAMILIES,
    MOMENTS,
    NORMS,
    Group,
    all_draws,
    found_at,
    groups,
)
from vggres.findings.before_after_telling import (
    UNDER,
    beside_margin,
    deepest,
    in_words,
    network_columns,
    network_row,
    opening,
    panels,
)
from vggres.findings.random_networks import feed_forward
from vggres.findings.tables import Column, Table, interval, number
from vggres.sweeps.sweep import Sweep

_LOWEST = 0.003  # of the axis of correlations; what is below it is noise


def words(verdict: ShatteringVerdict) -> str:
    """The verdict in words, one finding per line."""
    said = [_slope_words(verdict, each) for each in deepest(verdict.differences)]
    said += [_neighbour_words(verdict, norm) for norm in _norms(verdict)]
    return '\n'.join(said) or 'No network was observed before or after training.'


def in_short(verdict: ShatteringVerdict) -> dict[str, str]:
    """How the correlation of gradients falls in the deepest plain networks beside residual ones."""
    return beside_margin(verdict.differences, verdict.margin, 'falls faster in plain networks')


def _norms(verdict: ShatteringVerdict) -> list[str]:
    return [norm for norm in NORMS if any(n.norm == norm and n.before for n in verdict.networks)]


def _slope_words(verdict: ShatteringVerdict, found: SlopeDifference) -> str:
    place = found.norm, found.depth, found.moment
    plain, shortcuts = (
        fmean(all_draws(found_at(verdict.networks, family, place), slopes)) for family in FAMILIES
    )
    by_laws = f'{found.law:.2f} by the laws of Balduzzi et al.'
    return (
        f'{opening(found)}: the correlation between the gradients of different images halves '
        f'{plain:.2f} times a layer in plain and {shortcuts:.2f} times in residual networks, from '
        f'the head on; the difference is {in_words(found, "no spread, no interval", by_laws)}.'
    )


def _neighbour_words(verdict: ShatteringVerdict, norm: str) -> str:
    """What gradients in the images of neighbouring points have in common, by depth."""
    parts = []
    for family in FAMILIES:
        means = _by_depth(verdict, family, norm, BEFORE, lambda each: each.neighbours[0])
        if means:
            listed = ', '.join(f'{value:.2f} at {depth}' for depth, value in means.items())
            parts.append(f'{family} {listed}'.replace('-', '−'))
    return (
        f'{UNDER[norm]}, before training: the correlation between the gradients in two inputs '
        f'that are 1/32 of the way from one image to another apart is, by depth, '
        f'{"; ".join(parts)} (0 for white noise, 1 for equal gradients).'
    )


def _by_depth(
    verdict: ShatteringVerdict,
    family: str,
    norm: str,
    moment: str,
    value: Callable[[Shattering], float],
) -> dict[int, float]:
    """The mean over seeds of a value, by depth."""
    depths = sorted({network.depth for network in verdict.networks})
    found = {depth: found_at(verdict.networks, family, (norm, depth, moment)) for depth in depths}
    return {depth: fmean(map(value, each)) for depth, each in found.items() if each}


def tables(verdict: ShatteringVerdict) -> list[Table]:
    """The verdict in numbers: one row for each kind of network and moment, and the differences."""
    return [_network_table(verdict), _difference_table(verdict)]


def _network_table(verdict: ShatteringVerdict) -> Table:
    return Table(
        title='Gradients of different inputs',
        columns=network_columns(
            'halvings a layer',
            verdict.confidence,
            'different images',
            'effective rank',
            'neighbours',
        ),
        rows=[_network_row(group) for group in groups(verdict.networks)],
        note='Halvings a layer: how often the correlation between the gradients of different '
        'images halves for each layer, counted from the head, by least squares down to a '
        f'correlation of {verdict.floor:g}; where it is below that at the first block already, '
        'the number is a lower bound. The next three are about the gradient in the images: the '
        'cosine between different images, the effective rank of the gradients of up to 16 images '
        '(the exponential of the entropy of the normalised eigenvalues of their Gram matrix), and '
        'the cosine between points 1/32 of the way between two images apart. All are means over '
        'n draws of the weights before training, and over n seeds after it.',
    )


def _network_row(group: Group[Shattering]) -> list[str]:
    own = [
        number(fmean(each.correlation[0] for each in group.found), '.3f'),
        number(fmean(each.rank[0] for each in group.found), '.1f'),
        number(fmean(each.neighbours[0] for each in group.found), '.3f'),
    ]
    return network_row(group, slopes, '.2f', own)


def _difference_table(verdict: ShatteringVerdict) -> Table:
    return Table(
        title='How much faster the correlation falls in plain networks',
        columns=(
            Column('norm', words=True),
            Column('depth'),
            Column('when', words=True),
            Column('more halvings a layer'),
            Column(f'{100 * verdict.confidence:g} % CI'),
            Column('by the laws'),
            Column('n'),
        ),
        rows=[
            [
                NORMS[found.norm],
                str(found.depth),
                found.moment,
                number(found.mean),
                interval(found.interval),
                number(found.law),
                str(len(found.values)),
            ]
            for found in verdict.differences
        ],
        note='Plain minus residual, draw by draw of the weights that both start from. By the '
        'laws: the same number for the laws of Balduzzi et al. 2017, carried over to blocks of '
        'two layers (see `vggres.findings.random_networks`).',
    )


def figures(sweep: Sweep, verdict: ShatteringVerdict) -> dict[str, tuple[Figure, str]]:
    """The correlation from the head on, that of neighbours against depth, and along a line."""
    if not _norms(verdict):
        return {}
    return {
        'correlation_from_the_head': (
            in_panels(
                list(_lines_from_head(verdict)),
                'Correlation between the gradients of different images',
                Axis('layers up to the head, L'),
                Axis('correlation', is_log=True, lowest=_LOWEST),
            ),
            'The mean cosine between the gradients of different images in the input of each block '
            'of the deepest networks, by the weighted layers L between it and the head; the mean '
            'over seeds. The gradient is that of one linear function of the logits, which is the '
            'same for all images. Dashed: the laws of Balduzzi et al. 2017. L counts ReLUs in '
            '2^−L. Of residual blocks there are L/2, for each of which the paper has one ReLU, '
            '(3/4)^(L/2) and about 1/√(L/2); with the two ReLUs that branches have here, the same '
            'calculation gives the third line. 1/√(L/2) belongs to a whole network of L/2 blocks, '
            'and the third line to the blocks up to the head. It does not know the ReLU behind the '
            'addition. '
            f'Correlations below {FLOOR:g} are noise.',
        ),
        'neighbours_against_depth': (
            in_panels(
                list(_lines_by_depth(verdict)),
                'Correlation between the gradients of neighbouring inputs',
                Axis('depth'),
                Axis('correlation'),
            ),
            'The mean cosine between the gradients in two inputs that are 1/32 of the way from one '
            'image to another apart, against the depth of the network; the mean over seeds. White '
            'noise has 0. The networks after training are those that the errors in the table '
            'belong to, whether they trained or not.',
        ),
        'autocorrelation': (
            in_panels(
                list(_lines_of_lags(verdict)),
                'Autocorrelation of the gradient along lines between images, before training',
                Axis('distance (part of the line)', is_log=True),
                Axis('correlation'),
            ),
            'The mean cosine between the gradients in two points of a straight line between two '
            'images, by their distance, in the shallowest and the deepest networks; the mean over '
            'seeds. Dashed: brown noise, a random walk that starts at one end of the line, and '
            'white noise.',
        ),
    }


def _lines_from_head(verdict: ShatteringVerdict) -> Iterator[Line]:
    for panel, group in panels(verdict.networks, _norms(verdict)):
        means = np.mean([each.correlation for each in group.found], axis=0)
        yield Line(panel, group.family, group.found[0].layers, means)
        if group.moment == BEFORE:
            yield from _laws(panel, group)


def _laws(panel: str, group: Group[Shattering]) -> Iterator[Line]:
    """The laws that belong to a kind of network."""
    layers = np.array(group.found[0].layers)
    if group.family == 'plain':
        yield Line(panel, '2^−L', layers, [feed_forward(int(each)) for each in layers], True)
        return
    blocks = layers[1:] / 2
    if group.norm == 'none':
        yield Line(panel, '(3/4)^(L/2)', layers[1:], 0.75**blocks, True)
    else:
        yield Line(panel, '1/√(L/2)', layers[1:], blocks**-0.5, True)
    of_blocks = law(group.family, group.norm, group.found[0].layers)
    yield Line(panel, 'two ReLUs a branch', layers, of_blocks, True)


def _lines_by_depth(verdict: ShatteringVerdict) -> Iterator[Line]:
    for norm in _norms(verdict):
        for moment in MOMENTS:
            for family in FAMILIES:
                means = _by_depth(verdict, family, norm, moment, lambda each: each.neighbours[0])
                panel = f'{NORMS[norm]}, {moment}'
                yield Line(panel, family, list(means), list(means.values()))


def _lines_of_lags(verdict: ShatteringVerdict) -> Iterator[Line]:
    depths = sorted({network.depth for network in verdict.networks})
    for norm in _norms(verdict):
        for depth in dict.fromkeys((depths[0], depths[-1])):
            panel = f'{NORMS[norm]}, depth {depth}'
            lags: list[float] = []
            for family in FAMILIES:
                if found := found_at(verdict.networks, family, (norm, depth, BEFORE)):
                    lags = [float(lag) for lag in found[0].autocorrelation]
                    each = [list(one.autocorrelation.values()) for one in found]
                    yield Line(panel, family, lags, np.mean(each, axis=0))
            yield Line(panel, 'brown noise', lags, [brown(lag) for lag in lags], True)
            yield Line(panel, 'white noise', lags, [0.0] * len(lags), True)


def brown(lag: float, steps: int = 32) -> float:
    """The autocorrelation of a random walk of so many steps that starts with its first step.

    The correlation of the walk after s steps with that after t > s is √(s/t); the mean is taken
    over all pairs of points at this distance.

    Args:
        lag: the distance of the points as a part of the walk.
        steps: of the walk, as in the probe.
    """
    apart = round(lag * steps)
    starts = np.arange(1, steps + 2 - apart)
    return float(np.sqrt(starts / (starts + apart)).mean())
