"""The claims on where deep plain networks start, and on what they can hold, with their margins.

The margin of the first and the third is that of all controls, and the limit of the second is that
of all cures. Each stood in code before the runs that it is about were run for the first time. That
each of three starts is a condition of the second claim, in place of the orthogonal one alone, and
that nothing is decided at the edge of the grid, was chosen after a look at tuning runs on the
digits, before any fresh seed.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from statistics import fmean

from experiments.deepen.analysis import KEPT, DeepenVerdict, Held
from experiments.deepen.question import (
    CONTROL,
    DIRAC,
    LOOKS_LINEAR,
    ORTHOGONAL,
    SHALLOW,
    UNTREATED,
)
from vggres.findings import cure_claims
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import (
    SEEDS,
    Barrier,
    Contrast,
    Status,
    Text,
    Word,
    barred,
    below,
    sample,
)
from vggres.findings.controls import CONTROL_MARGIN, Control, frequent
from vggres.findings.cures import CURED, log_ratio, ratio
from vggres.findings.cures_telling import ArmOutcome, ArmsVerdict

_STARTS = {
    DIRAC: Word.DIRAC,
    ORTHOGONAL: Word.DELTA_ORTHOGONAL,
    LOOKS_LINEAR: Word.LOOKS_LINEAR,
}


def _starts(evidence: Evidence) -> list[Contrast]:
    """Whether each start makes the deepest plain network as fast as the residual one."""
    starts: ArmsVerdict = evidence.verdict.starts
    control, contrasts = starts.deepest(CONTROL), []
    for arm, word in _STARTS.items():
        if control and (treated := starts.deepest(arm)):
            contrasts.append(_start(treated, control, starts, word))
    if contrasts:
        return contrasts
    words = {
        'en': 'no start of the deepest plain network, or not the residual network, was run',
        'zh': '没有运行最深普通网络的任何起点，或没有运行残差网络',
    }
    return [barred(Status.NOT_MEASURED, words)]


def _start(treated: ArmOutcome, control: ArmOutcome, starts: ArmsVerdict, word: Word) -> Contrast:
    where, margin = {'start': word}, math.log(CURED)
    if edge := cure_claims.at_edge(treated, control, where):
        return edge
    found = log_ratio(treated.updates, control.updates, starts.budget, starts.every)
    if found is None:
        words = {'en': 'no seed has both networks', 'zh': '没有两种网络都完成的随机种子'}
        return barred(Status.NOT_MEASURED, words, where)
    contrast = below(found, margin, where)
    censored = ratio(treated.updates, control.updates, starts.budget).at_least
    if not censored:
        return cure_claims.unless_often_late(contrast, margin, treated, starts.target)
    # Such runs need more updates than were counted: they can make the claim false, and not true.
    words = _censored_words(censored, found.n)
    contrast = dataclasses.replace(contrast, p_true=1.0, remark=words)
    if found.mean < margin:
        contrast = dataclasses.replace(contrast, barrier=Barrier(Status.BUDGET, words))
    return contrast


def _censored_words(censored: int, n: int) -> Text:
    return {
        'en': f'{censored} of {n} runs did not reach the target, and count with the budget',
        'zh': f'{n} 次训练中有 {censored} 次未达到目标，按预算计数',
    }


def _disease(evidence: Evidence) -> Control:
    """The residual network reaches the error, and the plain one from He's weights is slow."""
    starts: ArmsVerdict = evidence.verdict.starts
    plain, control = starts.deepest(UNTREATED), starts.deepest(CONTROL)
    if not (plain and control):
        words = {
            'en': "the plain network from He's weights and the residual network were not both run",
            'zh': '没有同时运行 He 初始化的普通网络和残差网络',
        }
        return Control(None, words)
    reached, runs = control.reached, len(control.updates)
    slower = ratio(plain.updates, control.updates, starts.budget, starts.every)
    factor, target = slower.factor or 0.0, starts.target
    sign = '≥ ' * bool(slower.at_least)
    return Control(
        reached == runs and factor > CURED,
        {
            'en': f'ResNet-{control.depth} reaches {target} % training error in {reached} of '
            f"{runs} runs, and plain-{plain.depth} from He's weights takes {sign}{factor:.1f} "
            'times the updates',
            'zh': f'{control.depth} 层残差网络的 {runs} 次训练中有 {reached} 次达到 {target}% '
            f'的训练误差，He 初始化的 {plain.depth} 层普通网络所需更新次数为其 '
            f'{sign}{factor:.1f} 倍',
        },
    )


def _at_plain_rate(held: Sequence[Held]) -> Held | None:
    """The deepest of some networks, at the rate of plain networks of its depth."""
    deepest = max((each.depth for each in held), default=None)
    found = [each for each in held if f'{UNTREATED}-{deepest}' in each.rate_of.split(' and ')]
    return found[0] if found else None


def _capacity(evidence: Evidence) -> list[Contrast]:
    """By how many points of training error the deepened network ends above the shallow one."""
    words = {
        'en': f'no deepened plain-{SHALLOW} was trained on at the rate of its new depth',
        'zh': f'没有以新深度的学习率继续训练加深后的 {SHALLOW} 层普通网络',
    }
    return [_lost(_at_plain_rate(evidence.verdict.held), words)]


def _fading(evidence: Evidence) -> list[Contrast]:
    """By how many points the network without shortcuts ends above what it had reached with them.

    That is the lowest error before they were gone, and not the last: a solution that is lost while
    the shortcuts fade is lost, too.
    """
    words = {
        'en': 'no shortcuts have faded away at the rate of plain networks of that depth',
        'zh': '没有在该深度普通网络的学习率下训练捷径逐渐消失的网络',
    }
    return [_lost(_at_plain_rate(evidence.verdict.faded), words)]


def _lost(held: Held | None, missing: Text) -> Contrast:
    """By how many points of training error a network ends above the solution that it was given.

    A mean says little where a few runs lose all and the others nothing: a loss has to be rare, too.
    """
    if not held:
        return barred(Status.NOT_MEASURED, missing)
    more = [b - a for a, b in zip(held.start, held.final, strict=True)]
    found = sample(more)
    assert found
    contrast = below(found, CONTROL_MARGIN)
    what = {
        'en': f'a network ends more than {CONTROL_MARGIN:g} points above its solution',
        'zh': f'网络最终比其解高出 {CONTROL_MARGIN:g} 个百分点以上',
    }
    remark = frequent(sum(each > CONTROL_MARGIN for each in more), len(more), what)
    if remark is None:
        return contrast
    is_low = found.mean < CONTROL_MARGIN
    return dataclasses.replace(contrast, p_true=1.0, remark=remark if is_low else None)


def _solved(evidence: Evidence) -> Control:
    """The shallow network has a solution to lose."""
    held = _at_plain_rate(evidence.verdict.held)
    if not held:
        words = {'en': f'a trained plain-{SHALLOW}', 'zh': f'训练好的 {SHALLOW} 层普通网络'}
        return Control(None, words)
    return Control(
        max(held.start) <= KEPT,
        {
            'en': f'plain-{SHALLOW} ends at {fmean(held.start):.1f} % training error',
            'zh': f'{SHALLOW} 层普通网络的训练误差为 {fmean(held.start):.1f}%',
        },
    )


def _reached(evidence: Evidence) -> Control:
    """The residual network reaches the error, and the fading one has a solution to lose."""
    verdict: DeepenVerdict = evidence.verdict
    held = _at_plain_rate(verdict.faded)
    control = held and verdict.starts.outcome(CONTROL, held.depth)
    if not (held and control):
        words = {
            'en': 'the residual network, with shortcuts that stay and that fade, was not run',
            'zh': '没有运行捷径保留和捷径逐渐消失的残差网络',
        }
        return Control(None, words)
    reached, runs, target = control.reached, len(control.updates), verdict.starts.target
    return Control(
        reached == runs and max(held.start) <= KEPT,
        {
            'en': f'ResNet-{held.depth} reaches {target} % training error in {reached} of {runs} '
            f'runs; while its shortcuts fade it comes down to {fmean(held.start):.1f} % in the '
            f'mean, and to {max(held.start):.1f} % in the worst run',
            'zh': f'{held.depth} 层残差网络的 {runs} 次训练中有 {reached} 次达到 {target}% 的训练'
            f'误差；捷径消失期间最低误差平均为 {fmean(held.start):.1f}%，'
            f'最差一次为 {max(held.start):.1f}%',
        },
    )


def _worst(evidence: Evidence) -> Iterator[Description]:
    """The highest error of deepened networks on the way, at every rate."""
    for held in evidence.verdict.held:
        yield _highest(
            held,
            {
                'en': f'Highest training error of the deepened network at rate {held.rate:g} (%)',
                'zh': f'加深后的网络在学习率 {held.rate:g} 下的最高训练误差（%）',
            },
        )


def _worst_without_shortcuts(evidence: Evidence) -> Iterator[Description]:
    """The highest error of networks whose shortcuts are gone, at every rate."""
    for held in evidence.verdict.faded:
        yield _highest(
            held,
            {
                'en': f'Highest training error after the shortcuts are gone at rate {held.rate:g} '
                '(%)',
                'zh': f'捷径消失后在学习率 {held.rate:g} 下的最高训练误差（%）',
            },
        )


def _highest(held: Held, what: Text) -> Description:
    return Description(
        what=what,
        where={'depth': held.depth},
        value=fmean(held.worst),
        n=len(held.seeds),
        counted=SEEDS,
    )


CLAIMS = (
    Claim(
        key='capacity',
        sentence={
            'en': 'A deep plain network can hold the solution of a shallow one.',
            'zh': '深的普通网络能够保持浅网络的解。',
        },
        source={
            'en': 'He et al. 2015, §1: a solution by construction',
            'zh': 'He 等人 2015 年第 1 节：构造出的解',
        },
        sweep='deepen',
        contrasts=_capacity,
        control=_solved,
        factors=(),
        quantity={
            'en': f'Training error of a plain-{SHALLOW} that was deepened by layers that change '
            'nothing and trained on, minus that of the shallow network, at the rate that is '
            'fastest for plain networks of the new depth',
            'zh': f'{SHALLOW} 层普通网络以不改变函数的层加深、按新深度普通网络的最快学习率'
            '继续训练后，训练误差与浅网络之差',
        },
        unit={'en': 'points', 'zh': '个百分点'},
        criterion={
            'en': f'The claim is true below {CONTROL_MARGIN:g} points, the margin of all controls, '
            'and false above. It is not true as long as a third of the runs may lose more than '
            'that. The rate is not chosen by these runs.',
            'zh': f'小于 {CONTROL_MARGIN:g} 个百分点（所有对照的界限）为真，大于它为假；'
            '只要不能排除三分之一的训练损失更多，就不判为真。学习率不由这些训练选择。',
        },
        counted=SEEDS,
        figure=Picture(
            'error_of_deepened',
            {
                'en': f'Training error of a trained plain-{SHALLOW} that was deepened by layers '
                'that change nothing, while it trains on.',
                'zh': f'训练好的 {SHALLOW} 层普通网络以不改变函数的层加深后，'
                '继续训练时的训练误差。',
            },
        ),
        describe=_worst,
    ),
    Claim(
        key='start',
        sentence={
            'en': 'A deep plain network fails by where it starts: from orthogonal or identity-like '
            'weights it trains as the residual network does.',
            'zh': '深的普通网络败在起点：从正交或近似恒等的权重出发，它能像残差网络一样训练。',
        },
        source={
            'en': 'after Xiao et al. 2018, who trained plain networks of 10,000 layers, and '
            'Balduzzi et al. 2017, §5',
            'zh': '据 Xiao 等人 2018 年（训练了 10,000 层普通网络）及 Balduzzi 等人 2017 年第 5 节',
        },
        sweep='deepen',
        contrasts=_starts,
        control=_disease,
        factors=('start',),
        levels=3,
        quantity={
            'en': 'Logarithm of the updates of the deepest plain network with such weights over '
            'those of the residual network, each at its own fastest constant rate; the mean over '
            'seeds',
            'zh': '以这类权重为起点的最深普通网络与残差网络所需更新次数之比的对数，'
            '各取自身最快的恒定学习率，对种子取平均',
        },
        unit={'en': 'log ratio', 'zh': '（对数比）'},
        criterion={
            'en': f'The claim is true below log {CURED:g} = {math.log(CURED):.2f}, where the plain '
            f'network is less than {CURED:g} times slower, and false above. Runs that the budget '
            'ended can make it false, and not true; nor is it true as long as a third of the runs '
            'may not reach the error. Where the fastest rate of either network lies at the edge of '
            'the grid, nothing is decided.',
            'zh': f'小于 log {CURED:g} = {math.log(CURED):.2f}（普通网络慢不到 {CURED:g} 倍）为真，'
            '大于它为假；被预算终止的训练只能使其为假，'
            '且只要不能排除三分之一的训练达不到该误差，就不判为真。任一网络的最快学习率位于网格边缘时不作判定。',
        },
        counted=SEEDS,
        figure=Picture(
            'updates_by_start',
            {
                'en': 'Updates to 5 % training error of deep networks by where they start, each at '
                'its own fastest constant rate.',
                'zh': '深的网络从不同起点达到 5% 训练误差所需的更新次数，'
                '各取自身最快的恒定学习率。',
            },
        ),
    ),
    Claim(
        key='fading',
        sentence={
            'en': 'A residual network whose shortcuts fade away while it trains becomes a plain '
            'network that keeps its solution.',
            'zh': '捷径在训练中逐渐消失的残差网络会变成保持其解的普通网络。',
        },
        source={
            'en': 'after Monti et al. 2018 (ICANN), who phase shortcuts out',
            'zh': '据 Monti 等人 2018 年（ICANN），其方法逐步去除捷径',
        },
        sweep='deepen',
        contrasts=_fading,
        control=_reached,
        factors=(),
        quantity={
            'en': 'Training error of a residual network whose shortcuts faded to 0 in the first '
            'half of the budget and that trained on as a plain network in the second, minus the '
            'lowest at the end of an epoch before the shortcuts were gone, at the rate that is '
            'fastest for plain networks of its depth',
            'zh': '捷径在前一半更新预算内降为 0、后一半作为普通网络继续训练的残差网络，'
            '其最终训练误差与捷径消失前各轮结束时最低误差之差，取该深度普通网络的最快学习率',
        },
        unit={'en': 'points', 'zh': '个百分点'},
        criterion={
            'en': f'The claim is true below {CONTROL_MARGIN:g} points, the margin of all controls, '
            'and false above. It is not true as long as a third of the runs may lose more than '
            'that. The rate is not chosen by these runs. Nothing is decided where the residual '
            'network misses the error with shortcuts that stay or while they fade.',
            'zh': f'小于 {CONTROL_MARGIN:g} 个百分点（所有对照的界限）为真，大于它为假；'
            '只要不能排除三分之一的训练损失更多，就不判为真。学习率不由这些训练选择。若残差网络在捷径保留时或消失期间未达到该误差，则不作判定。',
        },
        counted=SEEDS,
        figure=Picture(
            'error_of_fading',
            {
                'en': 'Training error of residual networks whose shortcuts fade to 0 while they '
                'train; from the vertical line on they are plain networks.',
                'zh': '捷径在训练中逐渐降为 0 的残差网络的训练误差；竖线之后为普通网络。',
            },
        ),
        describe=_worst_without_shortcuts,
    ),
)
