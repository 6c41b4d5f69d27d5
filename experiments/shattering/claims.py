"""The claim about shattered gradients; its margin stands in `analysis`, and the text quotes it.

The margin was chosen after a first look at gradients of untrained networks on digits, so that the
claim is exploratory there. It is about weights before training, of which the paper's
theorems speak; what is left of it after training is descriptive.
"""

from collections.abc import Iterator

from experiments.shattering.analysis import FLOOR, SLOPE_MARGIN, ShatteringVerdict, slopes
from vggres.findings.before_after import NORMS
from vggres.findings.before_after_claims import deepest_above, deepest_described
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import NETWORKS, Contrast
from vggres.findings.controls import NOTHING_IS_TRAINED


def _faster(evidence: Evidence) -> list[Contrast]:
    """By how much faster the correlation falls in the deepest plain networks, under each norm."""
    verdict: ShatteringVerdict = evidence.verdict
    return deepest_above(
        verdict.networks,
        verdict.differences,
        SLOPE_MARGIN,
        finite={'en': 'gradients', 'zh': '梯度'},
        prediction=lambda found: found.law,
    )


def _slopes(evidence: Evidence) -> Iterator[Description]:
    """The halvings a layer of each kind of the deepest networks, before and after training."""
    verdict: ShatteringVerdict = evidence.verdict
    what = {
        'en': 'halvings of the correlation of gradients for each layer',
        'zh': '梯度相关性每层减半的次数',
    }
    return deepest_described(verdict.networks, what, slopes)


CLAIMS = (
    Claim(
        key='shattering',
        sentence={
            'en': 'Gradients of plain networks shatter with depth: the correlation between the '
            'gradients of different images falls faster than in residual networks.',
            'zh': '普通网络的梯度随深度而破碎：不同图像的梯度之间的相关性比残差网络下降得更快。',
        },
        source={
            'en': 'Balduzzi et al. 2017, The Shattered Gradients Problem',
            'zh': 'Balduzzi 等 2017，《The Shattered Gradients Problem》',
        },
        sweep='shattering',
        contrasts=_faster,
        control=lambda evidence: NOTHING_IS_TRAINED,
        factors=('norm',),
        levels=len(NORMS),
        quantity={
            'en': 'by how many more halvings a layer the correlation between the gradients of '
            'different images falls in the deepest plain networks than in residual ones, from the '
            'head on and before training; paired by the weights that both start from',
            'zh': '训练前，从输出端算起，最深的普通网络中不同图像梯度之间的相关性'
            '每层比残差网络多减半的次数；按共同的初始权重配对',
        },
        unit={'en': 'halvings a layer', 'zh': '次减半/层'},
        criterion={
            'en': f'The claim is true above {SLOPE_MARGIN:g} halvings a layer, a tenth of what the '
            f'law 2^−L gives for plain networks, and false below it. Correlations below {FLOOR:g} '
            'cannot be told from none and are left out. Networks are draws of random weights.',
            'zh': f'大于每层 {SLOPE_MARGIN:g} 次减半（2^−L 定律对普通网络所给数值的十分之一）为真，'
            f'小于它为假。低于 {FLOOR:g} 的相关性与零无法区分，不计入。按随机权重的抽样计数。',
        },
        counted=NETWORKS,
        figure=Picture(
            'correlation_from_the_head',
            {
                'en': 'Correlation between the gradients of different images, by the layers that '
                'lie between them and the head, with the laws of Balduzzi et al.',
                'zh': '不同图像梯度之间的相关性与其到输出端的层数的关系，以及 Balduzzi 等的定律。',
            },
        ),
        describe=_slopes,
    ),
)
