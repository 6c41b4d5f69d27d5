"""Puts what was found about the features of different images into words, tables and figures."""

from collections.abc import Iterator
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from experiments.collapse.analysis import CollapseVerdict, Features, last
from vggres.figures.lines import Axis, Line, in_panels
from vggres.findings.before_after import (
    BEFORE,
    FAMILIES,
    Difference,
    Group,
    all_draws,
    found_at,
    groups,
)
from vggres.findings.before_after_telling import (
    beside_margin,
    deepest,
    in_words,
    network_columns,
    network_row,
    opening,
    panels,
)
from vggres.findings.random_networks import plain_cosines, preactivation_cosines
from vggres.findings.tables import Table, number
from vggres.sweeps.sweep import Sweep


def words(verdict: CollapseVerdict) -> str:
    """The verdict in words, one finding per line."""
    said = [_sentence(verdict, each) for each in deepest(verdict.differences)]
    return '\n'.join(said) or 'No plain network can be compared with a residual one.'


def in_short(verdict: CollapseVerdict) -> dict[str, str]:
    """How alike features are in the deepest plain networks beside residual ones."""
    return beside_margin(verdict.differences, verdict.margin, 'more alike in plain networks')


def _sentence(verdict: CollapseVerdict, found: Difference) -> str:
    place = found.norm, found.depth, found.moment
    plain, shortcuts = (found_at(verdict.networks, family, place) for family in FAMILIES)
    cosines = [fmean(all_draws(kind, last)) for kind in (plain, shortcuts)]
    ranks = [fmean(each.rank[-1] for each in kind) for kind in (plain, shortcuts)]
    return (
        f'{opening(found)}: in the last block, the mean cosine between different images is '
        f'{cosines[0]:.2f} in plain and {cosines[1]:.2f} in residual networks, a difference of '
        f'{in_words(found, "no spread, and no interval")}; the effective rank of their features is '
        f'{ranks[0]:.1f} and {ranks[1]:.1f}.'
    )


def tables(verdict: CollapseVerdict) -> list[Table]:
    """The verdict in numbers: one row for each kind of network and moment."""
    return [
        Table(
            title='Features of different images in the last block',
            columns=network_columns('cosine', verdict.confidence, 'arc-cosine', 'effective rank'),
            rows=[_row(group) for group in groups(verdict.networks)],
            note='Cosine: the mean over pairs of different images, in the input of the last block. '
            'Arc-cosine: what the recursion for wide layers without norm makes of the cosine in '
            'the input of the first block. Effective rank: the exponential of the entropy of the '
            'normalised eigenvalues of the Gram matrix of the features of up to 32 images. All are '
            'means over n draws of the weights before training, and over n seeds after it.',
        )
    ]


def _row(group: Group[Features]) -> list[str]:
    follows = (group.family, group.norm, group.moment) == ('plain', 'none', BEFORE)
    own = [
        number(fmean(_recursion(each)[-1] for each in group.found), '.3f') if follows else '',
        number(fmean(each.rank[-1] for each in group.found), '.1f'),
    ]
    return network_row(group, last, '.3f', own)


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
    for panel, group in panels(verdict.networks):
        mean = Features(
            layers=group.found[0].layers,
            cosine=tuple(np.mean([each.cosine for each in group.found], axis=0)),
            rank=tuple(np.mean([each.rank for each in group.found], axis=0)),
            last=(),
        )
        yield Line(panel, group.family, mean.layers, mean.cosine), mean
        if (group.norm, group.moment) == ('none', BEFORE):
            is_plain = group.family == 'plain'
            name = 'arc-cosine' if is_plain else 'variances added'
            blocks = preactivation_cosines(mean.cosine[0], len(mean.layers) - 1)
            expected = _recursion(mean) if is_plain else blocks
            yield Line(panel, name, mean.layers, expected, True), mean
