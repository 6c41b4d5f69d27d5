"""The claim that the learning rate alone explains degradation, with its margin.

It was written after a first look at runs on the digits, so that it is exploratory there.
"""

import dataclasses
from collections.abc import Iterator

from experiments.depth_tuned.analysis import TunedVerdict
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import SEEDS, Barrier, Contrast, Status, Word, barred, below, sample
from vggres.findings.controls import Control, too_shallow
from vggres.findings.tuned import INSUFFICIENT, LOSS_MARGIN, Gap

_WORDS = {'plain': Word.PLAIN, 'resnet': Word.RESNET}


def _explains(evidence: Evidence) -> list[Contrast]:
    """Whether the gap of plain networks vanishes where each has its own rate, at each budget."""
    verdict: TunedVerdict = evidence.verdict
    return [_vanishes(gap, verdict) for gap in verdict.gaps if gap.family == 'plain']


def _vanishes(gap: Gap, verdict: TunedVerdict) -> Contrast:
    """One gap below the margin.

    A deepest network that fails to train more often than the shallower one refutes the claim as
    well; where it failed at all, the claim is not true. An optimum at the edge of the grid may hide
    a better rate: that of the deepest network cannot refute then, nor that of the shallower one
    confirm.
    """
    where = {'budget': gap.budget}
    if shallow := too_shallow(gap.deepest, where):
        return shallow
    found = sample(gap.loss.values)
    if found is None:
        words = {'en': 'no fresh seed is finished', 'zh': '没有完成的新种子'}
        return barred(Status.NOT_MEASURED, words, where)
    contrast = below(found, LOSS_MARGIN, where)
    if gap.status == INSUFFICIENT:
        words = {'en': gap.reason.rstrip('.'), 'zh': '对照网络未能训练'}
        return dataclasses.replace(contrast, barrier=Barrier(Status.BUDGET, words))
    p_true = 1.0 if gap.failed[0] else contrast.p_true
    p_false = min(1.0, 2 * min(contrast.p_false, gap.failure_p or 1.0))
    at_edge = {
        each.depth
        for each in verdict.networks
        if (each.family, each.budget) == ('plain', gap.budget) and each.choice and each.choice.edge
    }
    return dataclasses.replace(
        contrast,
        p_true=1.0 if gap.shallower in at_edge else p_true,
        p_false=1.0 if gap.deepest in at_edge else p_false,
    )


def _control(evidence: Evidence) -> Control:
    """The deepest residual network trains at its own rate, at the largest budget that was run."""
    verdict: TunedVerdict = evidence.verdict
    counted = [each for each in verdict.networks if each.family == 'resnet' and each.outcome.n]
    if not counted:
        return Control(None, {'en': 'no residual network was run', 'zh': '没有运行残差网络'})
    found = max(counted, key=lambda each: (each.budget, each.depth))
    failed, n = found.outcome.failed, found.outcome.n
    return Control(
        2 * failed < n,
        {
            'en': f'ResNet-{found.depth} trains in {n - failed} of {n} runs at {found.budget}×',
            'zh': f'{found.depth} 层残差网络在 {found.budget}× 预算下 {n} 次训练中有 '
            f'{n - failed} 次训练成功',
        },
    )


def _gaps_in_error(evidence: Evidence) -> Iterator[Description]:
    """The same gaps in points of training error, and those of residual networks in loss."""
    verdict: TunedVerdict = evidence.verdict
    for gap in verdict.gaps:
        if gap.error.mean is None or gap.loss.mean is None:
            continue
        where = {'family': _WORDS[gap.family], 'budget': gap.budget}
        n = len(gap.seeds)
        yield Description(
            {
                'en': 'Training error of the deepest network minus that of the best shallower '
                'one, in points',
                'zh': '最深网络比最好的较浅网络多出的训练误差（百分点）',
            },
            where,
            gap.error.mean,
            n,
            SEEDS,
        )
        if gap.family == 'resnet':
            yield Description(
                {
                    'en': 'The gap of residual networks, in decades of loss',
                    'zh': '残差网络的差距（损失的数量级）',
                },
                where,
                gap.loss.mean,
                n,
                SEEDS,
            )


CLAIMS = (
    Claim(
        key='rate_alone',
        sentence={
            'en': 'The learning rate alone explains it.',
            'zh': '问题只在于学习率。',
        },
        source={
            'en': 'an objection to experiments at one learning rate',
            'zh': '对单一学习率实验的质疑',
        },
        sweep='depth_tuned',
        contrasts=_explains,
        control=_control,
        factors=('budget',),
        quantity={
            'en': 'Base-10 logarithm of the training loss of the deepest plain network over that '
            'of the best shallower one, each at its own best learning rate, seed by seed',
            'zh': '最深与最好的较浅普通网络训练损失之比的常用对数，各取自己最好的学习率，'
            '逐个种子计算',
        },
        unit={'en': 'decades of loss', 'zh': '个数量级（损失）'},
        criterion={
            'en': f'The claim is true below {LOSS_MARGIN:g}, a factor of {10**LOSS_MARGIN:.0f}, if '
            'no run of the deepest network failed to train, and false above it, or where that '
            'network fails more often than the shallower one: rates of the grid are half a decade '
            'apart, and a smaller gap may come from the grid.',
            'zh': f'小于 {LOSS_MARGIN:g}（{10**LOSS_MARGIN:.0f} 倍）且最深的网络每次都能训练为真；'
            '大于它，或最深的网络比较浅的网络更常未能训练为假：网格中的学习率相隔半个数量级，'
            '更小的差距可能来自网格。',
        },
        counted=SEEDS,
        figure=Picture(
            'gap_against_budget',
            {
                'en': 'The training loss of the deepest network over that of the best shallower '
                'one, in decades, each at its own learning rate; each marker is one seed.',
                'zh': '最深网络与最好的较浅网络训练损失之比（数量级），各取自己的学习率；'
                '每个点是一个种子。',
            },
        ),
        describe=_gaps_in_error,
    ),
)
