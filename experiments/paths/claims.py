"""The claim about the length of the paths that the gradient takes.

Its two thresholds stand in `analysis`, and the text here quotes them. The unit is the network: a
draw of random weights before training, and a run after it. Lengths are no sample of anything.
"""

import dataclasses
from collections.abc import Iterator
from itertools import product
from statistics import fmean

from experiments.paths.analysis import MOST, SHORT, PathLengths, PathsVerdict, binomial, up_to
from experiments.paths.question import IDENTITY, PREACTIVATION
from vggres.findings.before_after import MOMENTS
from vggres.findings.before_after_claims import MOMENT_WORDS
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import NETWORKS, Barrier, Contrast, Status, Word, above, sample
from vggres.findings.controls import Control, too_shallow

_BLOCKS = {Word.POSTACTIVATION: IDENTITY, Word.PREACTIVATION: PREACTIVATION}


def _short_paths(evidence: Evidence) -> list[Contrast]:
    """The share of short paths in the deepest networks, for both kinds of blocks and moments."""
    contrasts = []
    for (block, variant), (when, word) in product(_BLOCKS.items(), MOMENT_WORDS.items()):
        found = _deepest(evidence, variant, when)
        if found is None:
            continue
        where = {'activation': block, 'when': word}
        measured = sample(found.short)
        assert measured is not None  # there are lengths only where there is a network
        prediction = up_to(binomial(found.blocks), SHORT)
        contrast = above(measured, MOST, where, prediction)
        if found.failed:
            runs = len(found.short)
            words = {
                'en': f'{found.failed} of {runs} runs failed to train',
                'zh': f'{runs} 次训练中有 {found.failed} 次失败',
            }
            contrast = dataclasses.replace(contrast, barrier=Barrier(Status.BUDGET, words))
        contrasts.append(too_shallow(found.depth, where) or contrast)
    return contrasts


def _deepest(evidence: Evidence, variant: str, when: str) -> PathLengths | None:
    verdict: PathsVerdict = evidence.verdict
    found = [each for each in verdict.lengths if (each.variant, each.when) == (variant, when)]
    return max(found, key=lambda each: each.depth, default=None)


def _control(evidence: Evidence) -> Control:
    """What is said before training needs no control; what is said after it is checked by itself."""
    verdict: PathsVerdict = evidence.verdict
    errors = [
        verdict.errors[each.variant][each.depth]
        for variant, when in product(_BLOCKS.values(), MOMENTS)
        if (each := _deepest(evidence, variant, when))
    ]
    if not errors:
        return Control(None, {'en': 'networks with identity shortcuts', 'zh': '采用恒等捷径的网络'})
    return Control(
        True,
        {
            'en': 'none is needed before training; after it, the training error is '
            f'at most {max(errors):.1f} %',
            'zh': f'训练前不需要；训练后的训练误差不超过 {max(errors):.1f}%',
        },
        is_needed=False,
    )


def _lengths(evidence: Evidence) -> Iterator[Description]:
    """The mean length as a part of the blocks, and the share of short paths at smaller depths."""
    for (block, variant), (when, word) in product(_BLOCKS.items(), MOMENT_WORDS.items()):
        verdict: PathsVerdict = evidence.verdict
        deepest = _deepest(evidence, variant, when)
        for each in verdict.lengths:
            if (each.variant, each.when) != (variant, when):
                continue
            where = {'activation': block, 'when': word, 'depth': each.depth}
            yield Description(
                what={
                    'en': 'mean length of the paths as a part of the blocks (the mean over all '
                    'paths is 0.5)',
                    'zh': '路径平均长度占块数的比例（所有路径的平均为 0.5）',
                },
                where=where,
                value=fmean(each.length) / each.blocks,
                n=len(each.length),
                counted=NETWORKS,
            )
            if each is not deepest:  # where it is the primary contrast
                yield Description(
                    what={'en': 'share of short paths', 'zh': '短路径所占的份额'},
                    where=where,
                    value=fmean(each.short),
                    n=len(each.short),
                    counted=NETWORKS,
                )


CLAIMS = (
    Claim(
        key='short_paths',
        sentence={
            'en': 'Most of the gradient in a deep residual network comes from short paths.',
            'zh': '深层残差网络中，大部分梯度来自短路径。',
        },
        source={
            'en': 'Veit et al. 2016 (arXiv 1605.06431), §4.3',
            'zh': 'Veit 等，2016（arXiv 1605.06431），第 4.3 节',
        },
        sweep='paths',
        contrasts=_short_paths,
        control=_control,
        factors=('activation', 'when'),
        levels=4,
        quantity={
            'en': 'the share of the gradient in the input of the first block that went through the '
            'residual branches of at most a third of the blocks, in the deepest network: its inner '
            'product with the whole gradient, relative to the squared norm of the latter; the '
            'prediction is the part of all paths that is so short',
            'zh': '最深网络第一块输入处的梯度中，只经过至多三分之一残差分支的部分所占的份额：'
            '该部分与总梯度的内积除以总梯度范数的平方；预测值为如此短的路径在所有路径中所占的比例',
        },
        unit={'en': '(share)', 'zh': '（份额）'},
        criterion={
            'en': f'The claim is true above {MOST:g}, which is what most means, and false below '
            f'it. A path is short where it goes through at most {SHORT:.2g} of the blocks: in the '
            'paper, the effective paths take up to 17 of 54. Networks are draws of the weights '
            'before training, and runs after it.',
            'zh': f'份额大于 {MOST:g}（即“大部分”）为真，小于它为假。经过至多 {SHORT:.2g} 的块的'
            '路径为短路径：论文中的有效路径至多经过 54 块中的 17 块。'
            '训练前按随机权重的抽样计数，训练后按训练次数计数。',
        },
        counted=NETWORKS,
        figure=Picture(
            'share_by_length',
            {
                'en': 'Share of the gradient by the number of residual branches that it went '
                'through, beside the number of paths and what random branches would give.',
                'zh': '梯度按其经过的残差分支数的分布，以及路径数目的分布和随机分支的预测。',
            },
        ),
        describe=_lengths,
    ),
)
