"""The primary contrast of a claim that an intervention cures deep networks, and its control."""

import dataclasses
import math

import numpy as np

from vggres.findings.contrasts import Contrast, Status, Text, barred, below, sample
from vggres.findings.controls import Control
from vggres.findings.cures import CURED, log_ratios
from vggres.findings.cures_telling import ArmOutcome, ArmsVerdict

CRITERION: Text = {
    'en': 'The treated network takes as many updates to the training error as the residual network '
    f'of the same depth, each at its own fastest rate: true below a factor of {CURED:g}, false '
    'above it.',
    'zh': '处理后的网络达到该训练误差所需的更新次数与同深度的残差网络相当（各取自己最快的学习率）：'
    f'比值低于 {CURED:g} 为真，高于为假。',
}
QUANTITY: Text = {
    'en': 'Logarithm to base 10 of the updates to the training error, treated network by control; '
    'the mean over seeds',
    'zh': '处理后的网络与对照达到该训练误差所需更新次数之比的常用对数，对种子取平均',
}
UNIT: Text = {'en': 'decades', 'zh': '数量级'}


def cured(found: ArmsVerdict, arm: str) -> list[Contrast]:
    """How much slower than the control a treated network is, at the greatest depth of the sweep.

    A run of the treated network that the budget ended speaks against a cure and never for one.

    Args:
        found: the verdict of a sweep of arms.
        arm: the name of the treated arm.
    """
    depth = max(found.depths(), default=0)
    names = arm, *found.treated[arm]
    outcomes = [found.outcome(name, depth) for name in names]
    if None in outcomes:
        words = {'en': f'{arm}-{depth} was not judged yet', 'zh': f'{arm}-{depth} 尚未评判'}
        return [barred(Status.NOT_MEASURED, words)]
    treated, untreated, control = outcomes
    assert treated
    assert untreated
    assert control
    if barrier := _barrier(treated, untreated, control, found):
        return [barrier]
    logs = log_ratios(treated.updates, control.updates, found.budget) / math.log(10)
    values = sample(logs)
    assert values
    contrast = below(values, math.log10(CURED))
    if None in treated.updates.values():
        contrast = dataclasses.replace(contrast, p_true=1.0)
    return [contrast]


def _barrier(
    treated: ArmOutcome, untreated: ArmOutcome, control: ArmOutcome, found: ArmsVerdict
) -> Contrast | None:
    if edges := [each for each in (treated, control) if each.tuned.edge]:
        names = ', '.join(f'{each.arm}-{each.depth} ({each.tuned.rate:g})' for each in edges)
        words = {
            'en': f'the fastest rate of {names} lies at the edge of the grid, so that a faster one '
            'may lie beyond',
            'zh': f'{names} 的最快学习率位于网格边缘，之外可能还有更快的',
        }
        return barred(Status.NOT_MEASURED, words)
    disease = log_ratios(untreated.updates, control.updates, found.budget)
    if len(disease) and np.exp(disease.mean()) < CURED:
        words = {
            'en': f'{untreated.arm}-{untreated.depth} is less than {CURED:g} times slower than '
            f'{control.arm}-{control.depth}, so that there is nothing to cure',
            'zh': f'{untreated.arm}-{untreated.depth} 比 {control.arm}-{control.depth} '
            f'慢不到 {CURED:g} 倍，无可治愈',
        }
        return barred(Status.NOT_MEASURED, words)
    return None


def control(found: ArmsVerdict, arm: str) -> Control:
    """Whether the control of a treated arm reaches the training error in every run.

    Args:
        found: the verdict of a sweep of arms.
        arm: the name of the treated arm.
    """
    depth = max(found.depths(), default=0)
    name = found.treated[arm][1]
    outcome = found.outcome(name, depth)
    if outcome is None:
        words = {'en': f'{name}-{depth} was not run', 'zh': f'没有运行 {name}-{depth}'}
        return Control(None, words)
    runs = outcome.updates.values()
    reached = sum(each is not None for each in runs)
    return Control(
        reached == len(runs),
        {
            'en': f'{name}-{depth} reaches {found.target} % training error in {reached} of '
            f'{len(runs)} runs',
            'zh': f'{name}-{depth} 的 {len(runs)} 次训练中有 {reached} 次达到 {found.target}% '
            '的训练误差',
        },
    )
