"""The claims on where deep plain networks start, and on what they can hold, with their margins.

The margin of the first is that of all controls, and the limit of the second is that of all cures.
Both stood in code before this sweep was run for the first time. That each of three starts is a
condition of the second claim, in place of the orthogonal one alone, and that nothing is decided at
the edge of the grid, was chosen after a look at tuning runs on the digits, before any fresh seed.
"""

import dataclasses
import math
from collections.abc import Iterator
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
from vggres.findings.controls import CONTROL_MARGIN, Control
from vggres.findings.cures import CURED, log_ratios, ratio
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
            contrasts.append(_start(treated, control, starts.budget, word))
    if contrasts:
        return contrasts
    words = {
        'en': 'no start of the deepest plain network, or not the residual network, was run',
        'zh': '没有运行最深普通网络的任何起点，或没有运行残差网络',
    }
    return [barred(Status.NOT_MEASURED, words)]


def _start(treated: ArmOutcome, control: ArmOutcome, budget: int, word: Word) -> Contrast:
    where = {'start': word}
    if edge := cure_claims.at_edge(treated, control, where):
        return edge
    found = sample(log_ratios(treated.updates, control.updates, budget))
    if found is None:
        words = {'en': 'no seed has both networks', 'zh': '没有两种网络都完成的随机种子'}
        return barred(Status.NOT_MEASURED, words, where)
    contrast = below(found, math.log(CURED), where)
    censored = ratio(treated.updates, control.updates, budget).at_least
    if not censored:
        return contrast
    # Such runs need more updates than were counted: they can make the claim false, and not true.
    words = _censored_words(censored, found.n)
    contrast = dataclasses.replace(contrast, p_true=1.0, remark=words)
    if found.mean < math.log(CURED):
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
    slower = ratio(plain.updates, control.updates, starts.budget)
    factor, target = slower.factor or 0.0, starts.target
    sign = '≥ ' * bool(slower.at_least)
    return Control(
        2 * reached > runs and factor > CURED,
        {
            'en': f'ResNet-{control.depth} reaches {target} % training error in {reached} of '
            f"{runs} runs, and plain-{plain.depth} from He's weights takes {sign}{factor:.1f} "
            'times the updates',
            'zh': f'{control.depth} 层残差网络的 {runs} 次训练中有 {reached} 次达到 {target}% '
            f'的训练误差，He 初始化的 {plain.depth} 层普通网络所需更新次数为其 '
            f'{sign}{factor:.1f} 倍',
        },
    )


def _at_deep_rate(verdict: DeepenVerdict) -> Held | None:
    """The deepest network that was deepened, at the rate of plain networks of its depth."""
    deepest = max((held.depth for held in verdict.held), default=None)
    found = [held for held in verdict.held if f'plain-{deepest}' in held.rate_of.split(' and ')]
    return found[0] if found else None


def _capacity(evidence: Evidence) -> list[Contrast]:
    """By how many points of training error the deepened network ends above the shallow one."""
    held = _at_deep_rate(evidence.verdict)
    found = held and sample([b - a for a, b in zip(held.start, held.final, strict=True)])
    if not found:
        words = {
            'en': f'no deepened plain-{SHALLOW} was trained on at the rate of its new depth',
            'zh': f'没有以新深度的学习率继续训练加深后的 {SHALLOW} 层普通网络',
        }
        return [barred(Status.NOT_MEASURED, words)]
    return [below(found, CONTROL_MARGIN)]


def _solved(evidence: Evidence) -> Control:
    """The shallow network has a solution to lose."""
    held = _at_deep_rate(evidence.verdict)
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


def _worst(evidence: Evidence) -> Iterator[Description]:
    """The highest error on the way, at every rate."""
    verdict: DeepenVerdict = evidence.verdict
    for held in verdict.held:
        yield Description(
            what={
                'en': f'Highest training error of the deepened network at rate {held.rate:g} (%)',
                'zh': f'加深后的网络在学习率 {held.rate:g} 下的最高训练误差（%）',
            },
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
            'and false above. The rate is not chosen by these runs.',
            'zh': f'小于 {CONTROL_MARGIN:g} 个百分点（所有对照的界限）为真，大于它为假；'
            '学习率不由这些训练选择。',
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
            'ended can make it false, and not true. Where the fastest rate of either network lies '
            'at the edge of the grid, nothing is decided.',
            'zh': f'小于 log {CURED:g} = {math.log(CURED):.2f}（普通网络慢不到 {CURED:g} 倍）为真，'
            '大于它为假；被预算终止的训练只能使其为假。任一网络的最快学习率位于网格边缘时不作判定。',
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
)
