"""The claim that an intervention cures deep networks: its primary contrast and its control."""

import dataclasses
import math
from collections.abc import Mapping

from vggres.findings import controls
from vggres.findings.claims import Claim, Picture
from vggres.findings.contrasts import (
    SEEDS,
    Condition,
    Contrast,
    Status,
    Text,
    barred,
    below,
)
from vggres.findings.controls import Control
from vggres.findings.cures import CURED, log_ratio
from vggres.findings.cures_telling import ArmOutcome, ArmsVerdict

CRITERION: Text = {
    'en': 'The treated network takes as many updates to the training error as the residual network '
    f'of the same depth, each at its own fastest rate: true below a factor of {CURED:g}, false '
    'above it. It is not true as long as a third of the runs may not reach the error.',
    'zh': '处理后的网络达到该训练误差所需的更新次数与同深度的残差网络相当（各取自己最快的学习率）：'
    f'比值低于 {CURED:g} 为真，高于为假；只要不能排除三分之一的训练达不到该误差，就不判为真。',
}
QUANTITY: Text = {
    'en': 'Logarithm to base 10 of the updates to the training error, treated network by control; '
    'the mean over seeds',
    'zh': '处理后的网络与对照达到该训练误差所需更新次数之比的常用对数，对种子取平均',
}
UNIT: Text = {'en': 'decades', 'zh': '数量级'}


def claim(
    arm: str, *, key: str, sentence: Text, source: Text, sweep: str, figure: Picture
) -> Claim:
    """The claim that an intervention cures, of an experiment whose verdict is an `ArmsVerdict`.

    Args:
        arm: the name of the treated arm.
        key: the claim's name in the code.
        sentence: what is claimed.
        source: who says so.
        sweep: the experiment.
        figure: that goes with it.
    """
    return Claim(
        key=key,
        sentence=sentence,
        source=source,
        sweep=sweep,
        contrasts=lambda evidence: cured(evidence.verdict, arm),
        control=lambda evidence: control(evidence.verdict, arm),
        factors=(),
        quantity=QUANTITY,
        unit=UNIT,
        criterion=CRITERION,
        counted=SEEDS,
        figure=figure,
    )


def cured(found: ArmsVerdict, arm: str) -> list[Contrast]:
    """How much slower than the control a treated network is, at the greatest depth of the sweep.

    A run of the treated network that the budget ended speaks against a cure and never for one. Such
    runs have to be rare besides: see `controls.frequent`.

    Args:
        found: the verdict of a sweep of arms.
        arm: the name of the treated arm.
    """
    outcomes = [found.deepest(name) for name in (arm, *found.treated[arm])]
    if None in outcomes:
        label = f'{arm}-{found.greatest_depth}'
        words = {'en': f'{label} was not judged yet', 'zh': f'{label} 尚未评判'}
        return [barred(Status.NOT_MEASURED, words)]
    treated, untreated, control = outcomes
    assert treated
    assert untreated
    assert control
    if barrier := _barrier(treated, untreated, control, found):
        return [barrier]
    logs = log_ratio(treated.updates, control.updates, found.budget, found.every)
    assert logs
    margin = math.log10(CURED)
    contrast = below(logs.scaled(1 / math.log(10)), margin)
    return [unless_often_late(contrast, margin, treated, found.target)]


def unless_often_late(
    contrast: Contrast, margin: float, treated: ArmOutcome, target: str
) -> Contrast:
    """A contrast that is not true as long as many runs of a treated network may miss the target.

    Args:
        contrast: true below the margin.
        margin: in the unit of the contrast.
        treated: the runs that it is about.
        target: the training error in percent, as a text.
    """
    runs = len(treated.updates)
    what = {
        'en': f'{treated.label} does not reach {target} % training error',
        'zh': f'{treated.label} 未达到 {target}% 的训练误差',
    }
    late = runs - treated.reached
    remark = controls.frequent(late, runs, what)
    if remark is None and not late:
        return contrast
    is_low = contrast.value is not None and contrast.value < margin
    return dataclasses.replace(contrast, p_true=1.0, remark=remark if is_low else None)


def _barrier(
    treated: ArmOutcome, untreated: ArmOutcome, control: ArmOutcome, found: ArmsVerdict
) -> Contrast | None:
    if edge := at_edge(treated, control):
        return edge
    disease = log_ratio(untreated.updates, control.updates, found.budget, found.every)
    if disease and math.exp(disease.mean) < CURED:
        words = {
            'en': f'{untreated.label} is less than {CURED:g} times slower than {control.label}, '
            'so that there is nothing to cure',
            'zh': f'{untreated.label} 比 {control.label} 慢不到 {CURED:g} 倍，无可治愈',
        }
        return barred(Status.NOT_MEASURED, words)
    return None


def at_edge(
    treated: ArmOutcome, control: ArmOutcome, where: Mapping[str, Condition] | None = None
) -> Contrast | None:
    """A contrast that decides nothing, since a network may be faster beyond the grid of rates.

    Args:
        treated: the treated network.
        control: what it is compared with.
        where: the conditions of the contrast.

    Returns:
        None where neither fastest rate lies at the edge of the grid.
    """
    edges = [each for each in (treated, control) if each.tuned.edge]
    if not edges:
        return None
    names = ', '.join(f'{each.label} ({each.tuned.rate:g})' for each in edges)
    words = {
        'en': f'the fastest rate of {names} lies at the edge of the grid, so that a faster one may '
        'lie beyond',
        'zh': f'{names} 的最快学习率位于网格边缘，之外可能还有更快的',
    }
    return barred(Status.NOT_MEASURED, words, where)


def control(found: ArmsVerdict, arm: str) -> Control:
    """Whether the control of a treated arm reaches the training error in every run.

    Args:
        found: the verdict of a sweep of arms.
        arm: the name of the treated arm.
    """
    name = found.treated[arm][1]
    label, outcome = f'{name}-{found.greatest_depth}', found.deepest(name)
    if outcome is None:
        return Control(None, {'en': f'{label} was not run', 'zh': f'没有运行 {label}'})
    reached, runs = outcome.reached, len(outcome.updates)
    return Control(
        reached == runs,
        {
            'en': f'{label} reaches {found.target} % training error in {reached} of {runs} runs',
            'zh': f'{label} 的 {runs} 次训练中有 {reached} 次达到 {found.target}% 的训练误差',
        },
    )
