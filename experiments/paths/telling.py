"""Tells the verdict on paths in words, a table and figures."""

from collections.abc import Iterator, Sequence
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure

from experiments.paths.analysis import (
    SHORT,
    PathLengths,
    PathsVerdict,
    binomial,
    is_unscaled,
    up_to,
)
from vggres.figures.lengths import LengthLine, by_length
from vggres.findings.before_after import AFTER
from vggres.findings.estimates import t_interval
from vggres.findings.outcomes import CONFIDENCE
from vggres.findings.phrases import beside
from vggres.findings.tables import Column, Table, interval, number
from vggres.sweeps.sweep import Sweep

_BINOMIAL = 'all paths alike (binomial)'
_EXPECTED = 'random branches, scaled by batch norm'


def words(verdict: PathsVerdict) -> str:
    """The verdict in words: the share of short paths, and what scaled shortcuts do to it."""
    if not verdict.lengths:
        return 'The gradient of no finished network was taken apart.'
    deepest = max(each.depth for each in verdict.lengths)
    lines = [_share_words(each) for each in verdict.lengths if is_unscaled(each.variant)]
    lines += _scale_words([each for each in verdict.lengths if each.depth == deepest])
    lines.append(
        'The network is looked at as it is evaluated, with the statistics of batch norm fixed; all '
        'of this holds for one learning rate and the few epochs of this protocol.'
    )
    return '\n'.join(lines)


def in_short(verdict: PathsVerdict) -> dict[str, str]:
    """Whether short paths carry most of the gradient of the deepest networks, by kind."""
    deepest = max((each.depth for each in verdict.lengths), default=0)
    return {
        f'{each.variant}, {each.when}': 'budget insufficient'
        if each.failed
        else beside(each.short, verdict.most, 'mostly short paths', 'not mostly short paths')
        for each in verdict.lengths
        if is_unscaled(each.variant) and each.depth == deepest
    }


def _share_words(found: PathLengths) -> str:
    all_paths = up_to(binomial(found.blocks), SHORT)
    said = (
        f'{found.variant}, depth {found.depth}, {found.when}: paths through at most a third of the '
        f'{found.blocks} blocks carry {100 * fmean(found.short):.0f} % of the gradient'
        f'{_range(found.short)}, and are {100 * all_paths:.1f} % of all paths; those through at '
        f'most half carry {100 * fmean(found.half):.0f} %. The mean length is '
        f'{fmean(found.length):.1f}, and {found.blocks / 2:g} over all paths (n = '
        f'{len(found.short)}).'
    )
    if found.failed:
        said += f' {found.failed} of these runs failed to train.'
    return said


def _range(shares: Sequence[float]) -> str:
    ends = t_interval(shares, CONFIDENCE)
    return f' (95 % CI {100 * ends[0]:.0f} to {100 * ends[1]:.0f} %)' if ends else ''


def _scale_words(deep: Sequence[PathLengths]) -> Iterator[str]:
    scaled = [each for each in deep if not is_unscaled(each.variant)]
    if scaled:
        said = '; '.join(
            f'{each.variant}, {each.when}, {fmean(each.length):.1f} (random branches: '
            f'{_mean(each.expected):.1f})'
            for each in scaled
        )
        yield (
            f'A shortcut scaled by λ gives a path through k of n branches the factor λ^(n − k). At '
            f'depth {scaled[0].depth} the mean length is then: {said}.'
        )


def _mean(shares: Sequence[float]) -> float:
    return float(np.arange(len(shares)) @ np.array(shares))


def tables(verdict: PathsVerdict) -> list[Table]:
    """The verdict in numbers: one row per kind of shortcut, depth and moment."""
    return [
        Table(
            title='The gradient by the length of its paths',
            columns=(
                Column('shortcut', words=True),
                Column('depth'),
                Column('when', words=True),
                Column('blocks'),
                Column('share of short paths'),
                Column(f'{100 * verdict.confidence:g} % CI'),
                Column('of all paths'),
                Column('random branches'),
                Column('share up to half'),
                Column('mean length'),
                Column('of all paths'),
                Column('random branches'),
                Column('failed'),
                Column('n'),
            ),
            rows=[_row(each) for each in verdict.lengths],
            note='The gradient in the input of the first block is a sum over all paths, each of '
            'which goes through the shortcut or through the residual branch of every block. Its '
            'length is the number of branches, and it is short where it goes through at most '
            f'{verdict.short:.2g} of the blocks. The share of some paths is the inner product of '
            'their sum with the whole gradient, relative to the squared norm of the latter; shares '
            'add up to 1, and paths that work against the others have a negative one. Of all '
            'paths: the binomial distribution, by which every path counts the same. Random '
            'branches: what follows if branches are random and batch norm divides each of them by '
            'the scale of its input (De & Smith 2020). n counts draws of the weights before '
            'training, and runs after it.',
        )
    ]


def _row(found: PathLengths) -> list[str]:
    all_paths = binomial(found.blocks)
    return [
        found.variant,
        str(found.depth),
        found.when,
        str(found.blocks),
        number(fmean(found.short), '.3f'),
        interval(t_interval(found.short, CONFIDENCE), '.3f'),
        number(up_to(all_paths, SHORT), '.3f'),
        number(up_to(found.expected, SHORT), '.3f'),
        number(fmean(found.half), '.3f'),
        number(fmean(found.length), '.1f'),
        number(_mean(all_paths), '.1f'),
        number(_mean(found.expected), '.1f'),
        str(found.failed) if found.when == AFTER else '',
        str(len(found.short)),
    ]


def figures(sweep: Sweep, verdict: PathsVerdict) -> dict[str, tuple[Figure, str]]:
    """The share of the gradient by length, and the norm of a single path, in the deepest networks.

    Args:
        sweep: is not drawn from; all that the figures show stands in the verdict.
        verdict: what `analyse` found.
    """
    if not verdict.lengths:
        return {}
    deepest = max(each.depth for each in verdict.lengths)
    deep = [each for each in verdict.lengths if each.depth == deepest]
    shares, singles = [], []
    for each in deep:
        shares.append(LengthLine(each.variant, each.when, np.array(each.share)))
        singles.append(LengthLine(each.variant, f'{each.when}: one path', np.array(each.single)))
        name = f'{each.when}: all of a length'
        singles.append(LengthLine(each.variant, name, np.array(each.norm)))
    for each in {each.variant: each for each in deep}.values():
        of_paths = binomial(each.blocks)
        shares.append(LengthLine(each.variant, _BINOMIAL, of_paths, is_expected=True))
        random = np.array(each.expected)
        shares.append(LengthLine(each.variant, _EXPECTED, random, is_expected=True))
    return {
        'share_by_length': (
            by_length(
                shares,
                'share of the gradient',
            ),
            f'At depth {deepest}: the share of the gradient in the input of the first block that '
            'went through so many '
            'residual branches; the mean over networks. Dotted: the part of all paths that has '
            'this length. Dashed: what random branches would give, which batch norm divides by '
            'the scale of their input (De & Smith 2020).',
        ),
        'norm_by_length': (
            by_length(
                singles,
                'relative to the whole gradient',
                log=True,
            ),
            f'At depth {deepest}: the norm of the gradient along a single random path of each '
            'length, and that of the sum over all paths of this length, both relative to the norm '
            'of the whole gradient; the mean over networks.',
        ),
    }
