"""The claim that the learning rate alone explains degradation, with its margin.

It was written after a first look at runs on the digits, so that it is exploratory there.
"""

import dataclasses
from collections.abc import Iterator

from experiments.depth_tuned.analysis import Fit, TunedVerdict
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import (
    FAMILIES,
    LEVEL,
    SEEDS,
    Barrier,
    Contrast,
    Status,
    Text,
    barred,
    below,
    sample,
)
from vggres.findings.controls import (
    Control,
    failure_probability,
    frequent_failures,
    too_shallow,
)
from vggres.findings.outcomes import MARGIN, SIGNIFICANCE
from vggres.findings.tuned import DOES_NOT, ERROR_GAP, FLOOR, INSUFFICIENT, LOSS_MARGIN, Gap

# One run decides little among rates at which a deep network may fail or not, so that with fewer
# tuning seeds a gap is not held against the rates that were chosen.
MIN_TUNING_SEEDS = 3

# A status of the gap under which nothing is decided, and the reason in Chinese.
_BARRIERS = {
    INSUFFICIENT: (Status.BUDGET, '对照未通过'),
    FLOOR: (
        Status.FLOOR,
        f'每次训练的误差都不超过 {MARGIN:g}%，此时损失的差距反映的是学习率而不是深度',
    ),
}

_VETO = {
    'en': 'the loss is above its margin, but the training error shows no gap',
    'zh': '损失大于阈值，但训练误差没有差距',
}


def _explains(evidence: Evidence) -> list[Contrast]:
    """Whether the gap of plain networks vanishes where each has its own rate, at each budget."""
    verdict: TunedVerdict = evidence.verdict
    gaps = [gap for gap in verdict.gaps if gap.family == 'plain']
    contrasts = [_vanishes(gap, verdict) for gap in gaps]
    barrier = _nothing_to_explain(gaps[0], verdict) if gaps else None
    if barrier is None:
        return contrasts
    return [
        each
        if each.barrier and each.barrier.status is Status.NOT_MEASURED
        else dataclasses.replace(each, barrier=barrier)
        for each in contrasts
    ]


def _nothing_to_explain(gap: Gap, verdict: TunedVerdict) -> Barrier | None:
    """A barrier where plain networks have no gap at the common rate, by their tuning runs.

    The deepest one is compared with the shallower one that fits best at that rate.
    """
    rate = verdict.common_rate
    at_rate = {
        network.depth: fit
        for network in verdict.networks
        if (network.family, network.budget) == ('plain', gap.budget)
        for fit in network.fits
        if fit.rate == rate
    }
    shallower = [depth for depth in at_rate if depth < gap.deepest]
    if gap.deepest not in at_rate or not shallower:
        words = {
            'en': f'the common rate, {rate:g}, is not in the grid at the smallest budget, so '
            'that it is not known whether there is a gap to explain',
            'zh': f'共同的学习率 {rate:g} 不在最小预算的网格中，因此不知是否有差距需要解释',
        }
        return Barrier(Status.NOT_MEASURED, words)
    best = min(shallower, key=lambda depth: at_rate[depth].log_loss)
    if _is_gap(at_rate[gap.deepest], at_rate[best], MARGIN):
        return None
    words = {
        'en': f'at the common rate, {rate:g}, the gap between plain-{gap.deepest} and '
        f'plain-{best} is below the margins on the tuning seeds: there is nothing to explain',
        'zh': f'在共同的学习率 {rate:g} 下，{gap.deepest} 层与 {best} 层普通网络在调参种子上的'
        '差距小于阈值，没有什么需要解释',
    }
    return Barrier(Status.NOT_MEASURED, words)


def _is_gap(deep: Fit, shallow: Fit, error_margin: float) -> bool:
    """Whether one network fits worse than another by more than a margin, in loss or in error."""
    return (
        deep.log_loss - shallow.log_loss > LOSS_MARGIN or deep.error - shallow.error > error_margin
    )


def _vanishes(gap: Gap, verdict: TunedVerdict) -> Contrast:
    """One gap below the margins.

    It is true where the loss and the error are below their margins and frequent failures of the
    deepest network are excluded: all have to be so. One of three refutes it, so that the p-value is
    three times the smallest: a loss above its margin, an error far above its own, or a deepest
    network that fails more often.
    """
    where = {'budget': gap.budget}
    if shallow := too_shallow(gap.deepest, where):
        return shallow
    loss, error = sample(gap.loss.values), sample(gap.error.values)
    if loss is None or error is None:
        words = {'en': 'no fresh seed is finished', 'zh': '没有完成的新种子'}
        return barred(Status.NOT_MEASURED, words, where)
    by_loss = below(loss, LOSS_MARGIN, where)
    if gap.status in _BARRIERS:
        words = {'en': gap.reason.rstrip('.'), 'zh': _BARRIERS[gap.status][1]}
        return dataclasses.replace(by_loss, barrier=Barrier(_BARRIERS[gap.status][0], words))
    small_error, large_error = below(error, MARGIN), below(error, ERROR_GAP)
    more_failures = 1.0 if gap.failure_p is None else gap.failure_p
    failed, failing = gap.failed[0], more_failures <= SIGNIFICANCE
    frequent = frequent_failures(failed, len(gap.seeds), gap.deepest)
    # A gap in the loss alone tells of rates where the error shows none.
    of_loss = 1.0 if gap.error_status == DOES_NOT else by_loss.p_false
    contrast = dataclasses.replace(
        by_loss,
        p_true=1.0 if frequent or failing else max(by_loss.p_true, small_error.p_true),
        p_false=min(1.0, 3 * min(of_loss, large_error.p_false, more_failures)),
    )
    is_refuted = contrast.p_false < min(contrast.p_true, LEVEL)
    is_worse = error.mean >= MARGIN and loss.mean < LOSS_MARGIN
    by_error = _error_words(gap, error.mean) if is_worse else None
    if is_refuted or contrast.p_true < LEVEL:
        if doubt := _doubt(gap, verdict, is_refuted):
            return dataclasses.replace(contrast, p_true=1.0, p_false=1.0, remark=doubt)
        return dataclasses.replace(contrast, remark=_failure_words(gap) if failing else by_error)
    if gap.error_status == DOES_NOT and by_loss.p_false < LEVEL:
        return dataclasses.replace(contrast, remark=_VETO)
    if loss.mean >= LOSS_MARGIN:
        return contrast
    return dataclasses.replace(contrast, remark=frequent or by_error)


def _failure_words(gap: Gap) -> Text:
    (failed, _), n, p = gap.failed, len(gap.seeds), gap.failure_p
    probability = failure_probability(failed, n)
    return {
        'en': f'depth {gap.deepest} failed to train in {failed} of {n} runs '
        f'({probability["en"]}), more often than depth {gap.shallower} (exact test: p = {p:.2g}, '
        'not adjusted)',
        'zh': f'深度 {gap.deepest} 的 {n} 次训练中有 {failed} 次失败（{probability["zh"]}），'
        f'多于深度 {gap.shallower}（精确检验 p = {p:.2g}，未校正）',
    }


def _error_words(gap: Gap, error: float) -> Text:
    return {
        'en': f'the loss is below its margin, but the training error of depth {gap.deepest} is '
        f'{error:.1f} points above that of depth {gap.shallower}',
        'zh': f'损失小于阈值，但深度 {gap.deepest} 的训练误差比深度 {gap.shallower} 高 '
        f'{error:.1f} 个百分点',
    }


def _doubt(gap: Gap, verdict: TunedVerdict, is_refuted: bool) -> Text | None:
    """What speaks against the rates that a gap was measured at; None for nothing.

    An optimum at the edge of the grid may hide a better rate: that of the deepest network cannot
    refute then, nor that of the shallower one confirm. Few tuning seeds cannot refute either. Rates
    are chosen by the validation loss, and another rate may fit better: where it closes the gap, or
    opens it, on the tuning seeds, the choice of the rate decided and not the depth. On these seeds
    the own rates have to say what the fresh ones say; else it is not the rate that matters.
    """
    at_edge = gap.at_edge[0] if is_refuted else gap.at_edge[1]
    depth = gap.deepest if is_refuted else gap.shallower
    if at_edge:
        return {
            'en': f'the best rate of plain-{depth} lies at the edge of the grid',
            'zh': f'{depth} 层普通网络的最佳学习率位于网格边缘',
        }
    tuning_seeds = len(verdict.tuning_seeds)
    if is_refuted and tuning_seeds < MIN_TUNING_SEEDS:
        return {
            'en': f'the rates were chosen on {tuning_seeds} tuning '
            f'{"seed" if tuning_seeds == 1 else "seeds"}, which may have missed the best one: it '
            f'takes {MIN_TUNING_SEEDS} to refute (--config.sweep.tuning_seeds={MIN_TUNING_SEEDS})',
            'zh': f'学习率只由 {tuning_seeds} 个调参种子选出，可能错过最好的；要否定需要 '
            f'{MIN_TUNING_SEEDS} 个（--config.sweep.tuning_seeds={MIN_TUNING_SEEDS}）',
        }
    deep, shallow = _fits(gap.deepest, gap, verdict), _fits(gap.shallower, gap, verdict)
    if deep is None or shallow is None:
        return None
    pairs = [(fit, shallow[0]) for fit in deep] if is_refuted else [(deep[0], s) for s in shallow]
    answers = [_is_gap(*pair, ERROR_GAP if is_refuted else MARGIN) for pair in pairs]
    if answers[0] != is_refuted or all(answer == is_refuted for answer in answers):
        return None
    deciding = pairs[answers.index(not is_refuted)]
    rate = (deciding[0] if is_refuted else deciding[1]).rate
    return {
        'en': f'at a rate of {rate:g} instead of its own, which was chosen by the validation loss, '
        f'plain-{depth} fits so well on the tuning seeds that the gap is '
        f'{"below" if is_refuted else "above"} the margins',
        'zh': f'{depth} 层普通网络若不用按验证损失选出的学习率，而用 {rate:g}，'
        f'在调参种子上拟合得更好，差距{"小" if is_refuted else "大"}于阈值',
    }


def _fits(depth: int, gap: Gap, verdict: TunedVerdict) -> list[Fit] | None:
    """How a plain network fits on the tuning seeds: at its own rate, then at all others."""
    place = ('plain', depth, gap.budget)
    network = next((n for n in verdict.networks if (n.family, n.depth, n.budget) == place), None)
    if network is None or network.rate not in [fit.rate for fit in network.fits]:
        return None
    return sorted(network.fits, key=lambda fit: fit.rate != network.rate)


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
            f'the gap of the training error is below {MARGIN:g} point as well and frequent '
            'failures of the deepest network are excluded. It is false above it, unless the error '
            f'shows no gap, or where the gap of the error is above {ERROR_GAP:g} points, or where '
            'that network fails more often than the shallower one: rates of the grid are half a '
            'decade apart, and a smaller gap may come from the grid. Rates are chosen by the '
            'validation loss; where another one would close the gap on the tuning seeds, or open '
            'it, nothing is decided. It is judged where plain networks have a gap at the common '
            f'rate; it takes {MIN_TUNING_SEEDS} tuning seeds to refute it. At a budget at which '
            'the network fails at every rate, this refutes the rate as the only cause, and not the '
            'budget.',
            'zh': f'小于 {LOSS_MARGIN:g}（{10**LOSS_MARGIN:.0f} 倍），且训练误差的差距小于 '
            f'{MARGIN:g} 个百分点，并排除最深的网络经常失败，为真；大于它（误差没有差距时除外），'
            f'或误差的差距大于 {ERROR_GAP:g} 个百分点，或最深的网络比较浅的网络更常未能训练，为假：'
            '网格中的学习率相隔半个数量级，更小的差距可能来自网格。学习率按验证损失选出；'
            '若另一学习率会在调参种子上消除或造成差距，则不作判定。'
            '只在共同的学习率下确有差距时判断；'
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
