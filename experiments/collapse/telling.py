"""Puts what was found about the features of different images into words, tables and figures."""

from collections.abc import Iterator
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from experiments.collapse.analysis import MOMENTS, CollapseVerdict, Difference, Features, at
from experiments.collapse.question import FAMILIES, NORMS
from vggres.figures.lines import Axis, Line, in_panels
from vggres.findings.estimates import t_interval
from vggres.findings.outcomes import CONFIDENCE
from vggres.findings.phrases import counted, interval_in_words
from vggres.findings.random_networks import plain_cosines, preactivation_cosines
from vggres.findings.tables import Column, Table, interval, number
from vggres.sweeps.sweep import Sweep

_UNDER = {'batch': 'With batch norm', 'none': 'Without norm'}
_UNITS = dict(zip(MOMENTS, ('draw', 'seed'), strict=True))  # draws of random weights


def words(verdict: CollapseVerdict) -> str:
    """The verdict in words, one finding per line."""
    deepest = max((each.depth for each in verdict.differences), default=0)
    said = [_sentence(verdict, d) for d in verdict.differences if d.depth == deepest]
    return '\n'.join(said) or 'No plain network can be compared with a residual one.'


def _sentence(verdict: CollapseVerdict, found: Difference) -> str:
    plain, shortcuts = (
        _at(verdict, family, found.norm, found.depth, found.moment) for family in FAMILIES
    )
    cosines = [fmean(value for each in kind for value in each.last) for kind in (plain, shortcuts)]
    ranks = [fmean(each.rank[-1] for each in kind) for kind in (plain, shortcuts)]
    mean = f'{found.mean:.2f}'.replace('-', '−')
    spread = interval_in_words(found.interval) if found.interval else 'no spread, and no interval'
    return (
        f'{_UNDER[found.norm]}, {found.moment}, at depth {found.depth}: in the last block, the '
        f'mean cosine between different images is {cosines[0]:.2f} in plain and {cosines[1]:.2f} '
        f'in residual networks, a difference of {mean} ({spread}; '
        f'{counted(len(found.values), _UNITS[found.moment])}); the effective rank of their '
        f'features is {ranks[0]:.1f} and {ranks[1]:.1f}.'
    )


def _at(
    verdict: CollapseVerdict, family: str, norm: str, depth: int, moment: str
) -> list[Features]:
    """What was found in the networks of one kind at one moment, one for each seed."""
    return [
        found
        for n in verdict.networks
        if (n.family, n.norm, n.depth) == (family, norm, depth) and (found := at(n, moment))
    ]


def tables(verdict: CollapseVerdict) -> list[Table]:
    """The verdict in numbers: one row for each kind of network and moment."""
    return [
        Table(
            title='Features of different images in the last block',
            columns=(
                Column('network', words=True),
                Column('depth'),
                Column('when', words=True),
                Column('cosine'),
                Column(f'{100 * verdict.confidence:g} % CI'),
                Column('arc-cosine'),
                Column('effective rank'),
                Column('training error (%)'),
                Column('n'),
            ),
            rows=list(_rows(verdict)),
            note='Cosine: the mean over pairs of different images, in the input of the last block. '
            'Arc-cosine: what the recursion for wide layers without norm makes of the cosine in '
            'the input of the first block. Effective rank: the exponential of the entropy of the '
            'normalised eigenvalues of the Gram matrix of the features of up to 32 images. All are '
            'means over n draws of the weights before training, and over n seeds after it.',
        )
    ]


def _rows(verdict: CollapseVerdict) -> Iterator[list[str]]:
    for variant, family, norm, depth in dict.fromkeys(
        (n.variant, n.family, n.norm, n.depth) for n in verdict.networks
    ):
        networks = [n for n in verdict.networks if (n.variant, n.depth) == (variant, depth)]
        for moment in MOMENTS:
            if found := _at(verdict, family, norm, depth, moment):
                last = np.array([value for each in found for value in each.last])
                follows = (family, norm, moment) == ('plain', 'none', MOMENTS[0])
                yield [
                    variant,
                    str(depth),
                    moment,
                    number(last.mean(), '.3f'),
                    interval(t_interval(last, CONFIDENCE), '.3f'),
                    number(fmean(_recursion(e)[-1] for e in found), '.3f') if follows else '',
                    number(fmean(each.rank[-1] for each in found), '.1f'),
                    number(fmean(n.train_error for n in networks), '.1f')
                    if moment == MOMENTS[1]
                    else '',
                    str(len(last)),
                ]


def _recursion(found: Features) -> list[float]:
    """The cosine in the input of each block by the recursion, from that of the first block on."""
    first = found.layers[0]
    cosines = plain_cosines(found.cosine[0], found.layers[-1] - first)
    return [cosines[layer - first] for layer in found.layers]


def figures(sweep: Sweep, verdict: CollapseVerdict) -> dict[str, tuple[Figure, str]]:
    """The cosine and the effective rank along the layers of the deepest networks."""
    lines = list(_lines(verdict))
    if not lines:
        return {}
    ranks = [
        Line(line.panel, line.name, each.layers, each.rank)
        for line, each in lines
        if not line.is_expected
    ]
    return {
        'cosine_along_the_layers': (
            in_panels(
                [line for line, _ in lines],
                'Cosine between the features of different images',
                Axis('layer, 1 next to the image'),
                Axis('mean cosine'),
            ),
            'The mean cosine between the features of different images in the input of each block '
            'of the deepest networks; the mean over draws of the weights and seeds. 1: all images '
            'have the same direction. Dashed: the arc-cosine recursion for wide layers without '
            'norm, from the cosine in the input of the first block on; and that of preactivation '
            'blocks, in which the variances of shortcut and branch add up. The blocks here have '
            'another ReLU behind the addition. Both hold for single pixels; images have borders, '
            'and layers some tens of channels.',
        ),
        'rank_along_the_layers': (
            in_panels(
                ranks,
                'Effective rank of the features of different images',
                Axis('layer, 1 next to the image'),
                Axis('effective rank'),
            ),
            'The effective rank of the features of up to 32 images in the input of each block of '
            'the deepest networks: 1 where they are multiples of one vector.',
        ),
    }


def _lines(verdict: CollapseVerdict) -> Iterator[tuple[Line, Features]]:
    depth = max((network.depth for network in verdict.networks), default=0)
    for norm in NORMS:
        for moment in MOMENTS:
            panel = f'{NORMS[norm]}, {moment}, depth {depth}'
            for family in FAMILIES:
                found = _at(verdict, family, norm, depth, moment)
                if not found:
                    continue
                mean = Features(
                    layers=found[0].layers,
                    cosine=tuple(np.mean([each.cosine for each in found], axis=0)),
                    rank=tuple(np.mean([each.rank for each in found], axis=0)),
                    last=(),
                )
                yield Line(panel, family, mean.layers, mean.cosine), mean
                if (norm, moment) == ('none', MOMENTS[0]):
                    is_plain = family == 'plain'
                    name = 'arc-cosine' if is_plain else 'variances added'
                    blocks = preactivation_cosines(mean.cosine[0], len(mean.layers) - 1)
                    expected = _recursion(mean) if is_plain else blocks
                    yield Line(panel, name, mean.layers, expected, True), mean
