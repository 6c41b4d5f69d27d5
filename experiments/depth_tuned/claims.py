"""The claim that the learning rate alone explains degradation, with its margin.

It was written after a first look at runs on the digits, so that it is exploratory there.
"""

import dataclasses
import math
from collections.abc import Iterator

from experiments.depth_tuned.analysis import TunedVerdict
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import (
    FAMILIES,
    SEEDS,
    Barrier,
    Contrast,
    Status,
    Text,
    barred,
    below,
    sample,
)
from vggres.findings.controls import Control, frequent_failures, too_shallow
from vggres.findings.tuned import INSUFFICIENT, LOSS_MARGIN, Gap

# One run decides little among rates at which a deep network may fail or not, so that with fewer
# tuning seeds a gap is not held against the rates that were chosen.
MIN_TUNING_SEEDS = 3


def _explains(evidence: Evidence) -> list[Contrast]:
    """Whether the gap of plain networks vanishes where each has its own rate, at each budget."""
    verdict: TunedVerdict = evidence.verdict
    gaps = [gap for gap in verdict.gaps if gap.family == 'plain']
    if gaps and (barrier := _nothing_to_explain(gaps[0], verdict)):
        return [dataclasses.replace(barrier, where={'budget': gap.budget}) for gap in gaps]
    return [_vanishes(gap, verdict) for gap in gaps]


def _nothing_to_explain(gap: Gap, verdict: TunedVerdict) -> Contrast | None:
    """A barrier where plain networks have no gap at the common rate, by their tuning runs."""
    rate, losses = verdict.common_rate, []
    for depth in (gap.deepest, gap.shallower):
        place = ('plain', depth, gap.budget)
        (network,) = (n for n in verdict.networks if (n.family, n.depth, n.budget) == place)
        choice = network.choice
        tried = dict(zip(choice.rates, choice.losses, strict=False)) if choice else {}
        if rate not in tried:
            words = {
                'en': f'the common rate, {rate:g}, is not in the grid at the smallest budget, so '
                'that it is not known whether there is a gap to explain',
                'zh': f'共同的学习率 {rate:g} 不在最小预算的网格中，因此不知是否有差距需要解释',
            }
            return barred(Status.NOT_MEASURED, words)
        losses.append(tried[rate])
    if math.log10(losses[0] / losses[1]) > LOSS_MARGIN:
        return None
    words = {
        'en': f'at the common rate, {rate:g}, plain-{gap.deepest} is no worse than '
        f'plain-{gap.shallower} on the tuning seeds: there is nothing to explain',
        'zh': f'在共同的学习率 {rate:g} 下，{gap.deepest} 层普通网络在调参种子上不比 '
        f'{gap.shallower} 层差，没有什么需要解释',
    }
    return barred(Status.NOT_MEASURED, words)


def _vanishes(gap: Gap, verdict: TunedVerdict) -> Contrast:
    """One gap below the margin.

    A deepest network that fails to train more often than the shallower one refutes the claim as
    well, and the claim is true only where frequent failures are excluded. An optimum at the edge of
    the grid may hide a better rate: that of the deepest network cannot refute then, nor that of the
    shallower one confirm. Few tuning seeds cannot refute either.
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
    if found.mean < LOSS_MARGIN:
        contrast = _with_failures(contrast, gap)
    remark = _doubt(gap, len(verdict.tuning_seeds), found.mean > LOSS_MARGIN)
    if remark is None:
        return contrast
    return dataclasses.replace(contrast, p_true=1.0, p_false=1.0, remark=remark)


def _with_failures(contrast: Contrast, gap: Gap) -> Contrast:
    """A gap below the margin, where the deepest network may fail nonetheless."""
    (failed, _), n, p = gap.failed, len(gap.seeds), gap.failure_p
    if p is not None and p < contrast.p_true:
        words = {
            'en': f'depth {gap.deepest} failed to train in {failed} of {n} runs, more often than '
            f'depth {gap.shallower} (exact test: p = {p:.2g}, not adjusted)',
            'zh': f'深度 {gap.deepest} 的 {n} 次训练中有 {failed} 次失败，多于深度 '
            f'{gap.shallower}（精确检验 p = {p:.2g}，未校正）',
        }
        return dataclasses.replace(contrast, p_true=1.0, p_false=min(1.0, 2 * p), remark=words)
    remark = frequent_failures(failed, n, gap.deepest)
    return dataclasses.replace(contrast, p_true=1.0, remark=remark) if remark else contrast


def _doubt(gap: Gap, tuning_seeds: int, is_above: bool) -> Text | None:
    """What speaks against the rates that a gap was measured at; None for nothing."""
    at_edge = gap.at_edge[0] if is_above else gap.at_edge[1]
    depth = gap.deepest if is_above else gap.shallower
    if at_edge:
        return {
            'en': f'the best rate of plain-{depth} lies at the edge of the grid',
            'zh': f'{depth} 层普通网络的最佳学习率位于网格边缘',
        }
    if is_above and tuning_seeds < MIN_TUNING_SEEDS:
        return {
            'en': f'the rates were chosen on {tuning_seeds} tuning '
            f'{"seed" if tuning_seeds == 1 else "seeds"}, which may have missed the best one: it '
            f'takes {MIN_TUNING_SEEDS} to refute (--config.sweep.tuning_seeds={MIN_TUNING_SEEDS})',
            'zh': f'学习率只由 {tuning_seeds} 个调参种子选出，可能错过最好的；要否定需要 '
            f'{MIN_TUNING_SEEDS} 个（--config.sweep.tuning_seeds={MIN_TUNING_SEEDS}）',
        }
    return None


def _control(evidence: Evidence) -> Control:
    """The deepest residual network, as deep as the plain one, trains at the largest budget."""
    verdict: TunedVerdict = evidence.verdict
    plain = [each for each in verdict.networks if each.family == 'plain' and each.outcome.n]
    counted = {
        (each.budget, each.depth): each
        for each in verdict.networks
        if each.family == 'resnet' and each.outcome.n
    }
    place = max(((each.budget, each.depth) for each in plain), default=None)
    found = counted.get(place)
    if found is None:
        words = {
            'en': 'no residual network as deep as the deepest plain one was run at that budget',
            'zh': '没有在同一预算下运行与最深普通网络同样深的残差网络',
        }
        return Control(None, words)
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
        where = {'family': FAMILIES[gap.family], 'budget': gap.budget}
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
            'en': 'The learning rate alone explains why deep plain networks fit worse.',
            'zh': '深层普通网络拟合较差，只是学习率的问题。',
        },
        source={
            'en': 'an objection to experiments at one learning rate',
            'zh': '对单一学习率实验的质疑',
        },
        sweep='depth_tuned',
        contrasts=_explains,
        control=_control,
        factors=('budget',),
        levels=3,
        quantity={
            'en': 'Base-10 logarithm of the training loss of the deepest plain network over that '
            'of the best shallower one, each at its own best learning rate, seed by seed',
            'zh': '最深与最好的较浅普通网络训练损失之比的常用对数，各取自己最好的学习率，'
            '逐个种子计算',
        },
        unit={'en': 'decades of loss', 'zh': '个数量级（损失）'},
        criterion={
            'en': f'The claim is true below {LOSS_MARGIN:g}, a factor of {10**LOSS_MARGIN:.0f}, if '
            'frequent failures of the deepest network are excluded, and false above it, or where '
            'that network fails more often than the shallower one: rates of the grid are half a '
            'decade apart, and a smaller gap may come from the grid. It is judged where plain '
            'networks have a gap at the common rate; it takes '
            f'{MIN_TUNING_SEEDS} tuning seeds to refute it. At a budget at which the network fails '
            'at every rate, this refutes the rate as the only cause, and not the budget.',
            'zh': f'小于 {LOSS_MARGIN:g}（{10**LOSS_MARGIN:.0f} 倍）且排除最深的网络经常失败为真；'
            '大于它，或最深的网络比较浅的网络更常未能训练为假：网格中的学习率相隔半个数量级，'
            '更小的差距可能来自网格。只在共同的学习率下确有差距时判断；'
            f'否定它需要 {MIN_TUNING_SEEDS} 个调参种子。若某一预算下所有学习率都失败，'
            '所否定的是“只因学习率”，而不是预算的作用。',
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
