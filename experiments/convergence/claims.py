"""The claim that plain networks are exponentially slow in depth, with its margins.

It was written after a first look at runs on the digits, so that it is exploratory there.
"""

import dataclasses
import math
from collections.abc import Iterator

from experiments.convergence.analysis import ConvergenceVerdict, Network
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import (
    FAMILIES,
    SEEDS,
    Contrast,
    Status,
    Text,
    above,
    barred,
    sample_of_interval,
)
from vggres.findings.controls import Control, too_shallow
from vggres.findings.growth import DOUBTS, FLAT_FACTOR, Growth


def _slow(evidence: Evidence) -> list[Contrast]:
    """Whether an exponential law describes the updates of plain networks better than a power law.

    It is true only where the updates grow as well, and false where they do not, whatever the laws:
    "true" takes both tests, and "false" the better one of the two, times two. What a single depth
    decides, what the deepest networks contradict, and what a power law above a floor may have made
    is not decided (see `growth.judge`).
    """
    verdict: ConvergenceVerdict = evidence.verdict
    growth = verdict.growth.get('plain', {}).get(verdict.targets[0])
    if barrier := _barrier(verdict, growth):
        return [barrier]
    found, n = growth.comparison, growth.n
    ends = found.interval and (found.interval[0] / n, found.interval[1] / n)
    advantage = above(sample_of_interval(found.advantage / n, ends, n), 0.0)
    factor = _log_factor(growth)
    if factor.p_false < advantage.p_false:
        hardly = dataclasses.replace(advantage, p_true=1.0, p_false=min(1.0, 2 * factor.p_false))
        return [dataclasses.replace(hardly, remark=_factor_words(growth))]
    contrast = dataclasses.replace(
        advantage,
        p_true=max(advantage.p_true, factor.p_true),
        p_false=min(1.0, 2 * advantage.p_false),
    )
    doubts = [DOUBTS[each] for each in found.doubts()]
    if not doubts:
        return [contrast]
    words = {
        'en': ', and '.join(each['en'] for each in doubts) + '; more seeds or depths may tell',
        'zh': '，'.join(each['zh'] for each in doubts) + '：需要更多种子或深度才能区分',
    }
    return [dataclasses.replace(contrast, p_true=1.0, p_false=1.0, remark=words)]


def _factor_words(growth: Growth) -> Text:
    law = growth.likelier
    low, high = law.factor_interval
    ends = f'{law.factor:.2f} [{low:.2f}', f'{high:.2f}]'
    return {
        'en': f'by the growth itself: from depth {growth.depths[0]} to {growth.depths[-1]} the '
        f'updates change by a factor of {ends[0]} to {ends[1]}',
        'zh': f'由增长本身判定：从深度 {growth.depths[0]} 到 {growth.depths[-1]}，更新次数变为 '
        f'{ends[0]} 至 {ends[1]} 倍',
    }


def _barrier(verdict: ConvergenceVerdict, growth: Growth | None) -> Contrast | None:
    if growth and growth.status == 'budget insufficient':
        ended, runs = sum(growth.censored), growth.n * len(growth.depths)
        words = {
            'en': f'{ended} of {runs} runs of plain networks did not reach the target',
            'zh': f'普通网络的 {runs} 次训练中有 {ended} 次未达到目标',
        }
        return barred(Status.BUDGET, words)
    if growth is None or growth.comparison is None:
        words = {
            'en': 'too few depths or seeds of plain networks were counted',
            'zh': '计数的普通网络深度或随机种子太少',
        }
        return barred(Status.NOT_MEASURED, words)
    if shallow := too_shallow(growth.depths[-1]):
        return shallow
    plain = [each for each in verdict.networks if each.family == 'plain']
    if edges := [each for each in plain if each.tuned.edge]:
        names = ', '.join(map(_name, edges))
        words = {
            'en': f'the fastest rate of {names} lies at the edge of the grid, so that a faster one '
            'may lie beyond',
            'zh': f'{names} 的最快学习率位于网格边缘，之外可能还有更快的',
        }
        return barred(Status.NOT_MEASURED, words)
    if slow := [each for each in plain if not any(each.tuned.updates.values())]:
        names = ', '.join(map(_name, slow))
        words = {
            'en': f'no tuning run of {names} reached the target, so that its fastest rate is not '
            'known',
            'zh': f'{names} 的调参训练都未达到目标，因此不知其最快的学习率',
        }
        return barred(Status.BUDGET, words)
    return None


def _name(network: Network) -> str:
    return f'plain-{network.depth} ({network.tuned.rate:g})'


def _log_factor(growth: Growth) -> Contrast:
    """By what factor the updates grow from the shallowest to the deepest, by the likelier law.

    Its interval may be that over depths: n is the smaller one of both numbers.
    """
    law = growth.likelier
    low, high = map(math.log10, law.factor_interval)
    n = min(growth.n, len(growth.depths))
    found = sample_of_interval(math.log10(law.factor), (low, high), n)
    return above(found, math.log10(FLAT_FACTOR))


def _control(evidence: Evidence) -> Control:
    """The deepest residual network, as deep as the plain one, reaches the target in most runs."""
    verdict: ConvergenceVerdict = evidence.verdict
    counted = [each for each in verdict.networks if each.seeds]
    deepest = max((each.depth for each in counted if each.family == 'plain'), default=0)
    controls = [each for each in counted if each.family == 'resnet' and each.depth >= deepest]
    if not controls:
        words = {
            'en': 'no residual network as deep as the deepest plain one was counted',
            'zh': '没有与最深普通网络同样深的残差网络的计数',
        }
        return Control(None, words)
    target, control = verdict.targets[0], max(controls, key=lambda each: each.depth)
    runs = control.updates[target]
    reached = sum(each is not None for each in runs)
    return Control(
        2 * reached > len(runs),
        {
            'en': f'ResNet-{control.depth} reaches {target} % training error in {reached} of '
            f'{len(runs)} runs',
            'zh': f'{control.depth} 层残差网络的 {len(runs)} 次训练中有 {reached} 次达到 '
            f'{target}% 的训练误差',
        },
    )


def _factors(evidence: Evidence) -> Iterator[Description]:
    """How much the updates to the first target grow, in both families."""
    verdict: ConvergenceVerdict = evidence.verdict
    for family, found in verdict.growth.items():
        growth = found[verdict.targets[0]]
        if growth.laws and family in FAMILIES:
            first, last = growth.depths[0], growth.depths[-1]
            yield Description(
                what={
                    'en': f'Updates at depth {last} over those at depth {first}, by the law that '
                    'fits better',
                    'zh': f'深度 {last} 与深度 {first} 所需更新次数之比，取拟合较好的规律',
                },
                where={'family': FAMILIES[family]},
                value=growth.likelier.factor,
                n=growth.n,
                counted=SEEDS,
            )


CLAIMS = (
    Claim(
        key='slowness',
        sentence={
            'en': 'Plain networks are exponentially slow in depth.',
            'zh': '普通网络所需的更新次数随深度指数增长。',
        },
        source={
            'en': 'conjectured by He et al. 2015, §4.1',
            'zh': 'He 等人 2015 年第 4.1 节的猜想',
        },
        sweep='convergence',
        contrasts=_slow,
        control=_control,
        factors=(),
        quantity={
            'en': 'Log-likelihood of the exponential law minus that of the power law, fitted to '
            'the updates that plain networks need to the first target, each network at its own '
            'fastest rate; the mean over seeds',
            'zh': '普通网络达到首个目标所需更新次数的指数律与幂律的对数似然之差，'
            '每个网络取各自最快的学习率，对种子取平均',
        },
        unit={'en': 'nats a seed', 'zh': '奈特（每个种子）'},
        criterion={
            'en': 'The claim is true above 0 if the updates also grow by more than a factor of '
            f'{FLAT_FACTOR:g} from the shallowest network to the deepest, and false below 0 or if '
            'they grow by less. It is not decided where leaving out one depth, or the prediction '
            'of the deepest networks from the others, favours the other law, or where a power law '
            'above a floor may look exponential.',
            'zh': f'大于 0 且从最浅到最深的网络更新次数增长超过 {FLAT_FACTOR:g} 倍为真；小于 0 或'
            '增长不足此倍数为假。若去掉某一深度，或由其余深度预测最深的网络时另一规律占优，'
            '或带下限的幂律也可能如此，则不作判定。',
        },
        counted=SEEDS,
        figure=Picture(
            'updates_against_depth',
            {
                'en': 'Updates to a training error against depth, each network at its own fastest '
                'constant rate. An arrow is a run that the budget ended.',
                'zh': '达到某一训练误差所需的更新次数随深度的变化，每个网络取各自最快的恒定学习率；'
                '箭头是预算用尽的训练。',
            },
        ),
        describe=_factors,
    ),
)
