"""The claim about sharp surfaces, with its margin.

The margin was fixed before anybody looked at the curvature of plain networks deeper than 20 layers.
The unit is the seed, by which networks are paired.
"""

from collections.abc import Callable, Iterator
from statistics import fmean

from experiments.landscape.analysis import CurvatureNetwork, LandscapeVerdict, doublings
from experiments.landscape.question import FAMILIES
from vggres.findings import controls
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import SEEDS, Contrast, Status, Text, above, barred, sample
from vggres.findings.controls import CONTROL_MARGIN, Control
from vggres.findings.outcomes import has_failed

# Doublings of λ. Rates are tried in steps of a factor of 2 to 3, and the largest stable one goes
# with 1/λ: surfaces whose curvature differs by less than a factor of 2 admit the same of them.
SHARPER = 1.0


def _sharper(evidence: Evidence) -> list[Contrast]:
    verdict: LandscapeVerdict = evidence.verdict
    deepest = max(evidence.planned.get('plain', {0}))
    if shallow := controls.too_shallow(deepest):
        return [shallow]
    compared = [r for r in evidence.results if r.depth == deepest and r.family in FAMILIES]
    unsolved = [r for r in compared if has_failed(r) or r.train_error > CONTROL_MARGIN]
    if unsolved:
        words = {
            'en': f'{len(unsolved)} of the {len(compared)} runs that are compared have a training '
            f'error above {CONTROL_MARGIN:g} %: the curvature there is not that of a solution',
            'zh': f'所比较的 {len(compared)} 次训练中有 {len(unsolved)} 次的训练误差高于 '
            f'{CONTROL_MARGIN:g}%：那里的曲率不是解的曲率',
        }
        return [barred(Status.BUDGET, words)]
    found = sample(doublings(verdict.curvatures, deepest))
    return [above(found, SHARPER)] if found else []


def _both(evidence: Evidence) -> Control:
    classes = evidence.results[0].num_classes if evidence.results else 0
    errors: dict[str, dict[int, list[float]]] = {family: {} for family in FAMILIES}
    for run in evidence.results:
        errors[run.family].setdefault(run.depth, []).append(run.train_error)
    residual = controls.residual(errors['resnet'], classes)
    return controls.both(residual, controls.plain(errors['plain'], classes))


_BESIDE: tuple[tuple[Text, Callable[[CurvatureNetwork], float | None]], ...] = (
    (
        {
            'en': 'doublings of the training loss, plain over residual: less loss, less curvature',
            'zh': '训练损失的倍增次数（普通比残差）：损失越小，曲率越小',
        },
        lambda network: network.train_loss,
    ),
    (
        {
            'en': 'doublings of λ‖w‖², plain over residual, which no common factor of all weights '
            'changes',
            'zh': 'λ‖w‖² 的倍增次数（普通比残差），所有权重的公共因子不改变它',
        },
        lambda network: network.relative,
    ),
    (
        {
            'en': 'doublings of the largest λ of all looks during training, plain over residual',
            'zh': '训练期间各次观察中最大 λ 的倍增次数（普通比残差）',
        },
        lambda network: network.peak,
    ),
)


def _others(evidence: Evidence) -> Iterator[Description]:
    """The contrast at other depths, and what else differs at the deepest."""
    verdict: LandscapeVerdict = evidence.verdict
    deepest = max(evidence.planned.get('plain', {0}))
    end = {
        'en': 'doublings of λ at the end of training, plain over residual, whether or not they '
        'trained',
        'zh': '训练结束时 λ 的倍增次数（普通比残差），不论是否训练成功',
    }
    numbers = [(deepest, what, number) for what, number in _BESIDE]
    depths = sorted({n.depth for n in verdict.curvatures})
    numbers += [(depth, end, lambda n: n.end) for depth in depths if depth != deepest]
    for depth, what, number in numbers:
        if found := doublings(verdict.curvatures, depth, number):
            yield Description(what, {'depth': depth}, fmean(found), len(found), SEEDS)


CLAIMS = (
    Claim(
        key='sharpness',
        sentence={
            'en': 'The loss surface around what deep plain networks find is sharper than around '
            "residual networks' solutions.",
            'zh': '深层普通网络所到达之处的损失曲面比残差网络的解周围更尖锐。',
        },
        source={
            'en': 'Li et al. 2018, §5',
            'zh': 'Li 等人 2018 年，第 5 节',
        },
        sweep='landscape',
        contrasts=_sharper,
        control=_both,
        factors=(),
        quantity={
            'en': 'log2 of the largest eigenvalue λ of the Hessian of the training loss in the '
            'deepest plain networks over that in residual ones, seed by seed, after the last '
            'update at the same rate',
            'zh': '最深的普通网络与残差网络的训练损失 Hessian 最大特征值 λ 之比的 log2，'
            '逐个种子计算，在相同学习率的最后一次更新之后',
        },
        unit={'en': '(doublings)', 'zh': '（倍增次数）'},
        criterion={
            'en': f'The claim is true above {SHARPER:g}, a factor of {2**SHARPER:g}, and false '
            'below it: rates are tried in steps of a factor of 2 to 3, and the largest stable rate '
            'goes with 1/λ, so that a smaller difference would move it by less than a step. A '
            f'run whose training error stays above {CONTROL_MARGIN:g} % has found no solution.',
            'zh': f'大于 {SHARPER:g}（即 {2**SHARPER:g} 倍）为真，小于它为假：学习率按 2 至 3 '
            '倍的步长尝试，而最大稳定学习率与 1/λ 成正比，更小的差别不足以移动一步。'
            f'训练误差高于 {CONTROL_MARGIN:g}% 的训练没有找到解。',
        },
        counted=SEEDS,
        figure=Picture(
            'sharpness',
            {
                'en': 'Learning rate times the largest eigenvalue of the Hessian along training, '
                'with the edge of stability.',
                'zh': '训练过程中学习率与 Hessian 最大特征值之积，以及稳定性边界。',
            },
        ),
        describe=_others,
    ),
)
