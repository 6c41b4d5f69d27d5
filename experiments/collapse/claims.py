"""The claim about collapsed features; its margin stands in `analysis`, and the text quotes it.

The margin was chosen after a first look at features of untrained networks on digits, so that the
claim is exploratory there. It is about weights before training, of which the theory speaks; what
becomes of the features in training is descriptive.
"""

from collections.abc import Iterator

from experiments.collapse.analysis import COSINE_MARGIN, CollapseVerdict, last
from vggres.findings.before_after import NORMS
from vggres.findings.before_after_claims import deepest_above, deepest_described
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import NETWORKS, Contrast
from vggres.findings.controls import NOTHING_IS_TRAINED


def _more_alike(evidence: Evidence) -> list[Contrast]:
    """By how much more alike features are in the deepest plain networks, under each norm."""
    verdict: CollapseVerdict = evidence.verdict
    finite = {'en': 'features', 'zh': '特征'}
    return deepest_above(verdict.networks, verdict.differences, COSINE_MARGIN, finite)


def _cosines(evidence: Evidence) -> Iterator[Description]:
    """The cosine in the last block of each kind of the deepest networks, before and after."""
    verdict: CollapseVerdict = evidence.verdict
    what = {
        'en': 'mean cosine between the features of different images in the last block',
        'zh': '最后一个块中不同图像特征之间的平均余弦',
    }
    return deepest_described(verdict.networks, what, last)


CLAIMS = (
    Claim(
        key='collapse',
        sentence={
            'en': 'Features of deep plain networks collapse onto one direction, and those of '
            'residual networks do not.',
            'zh': '深层普通网络的特征坍缩到同一方向，而残差网络的特征不会。',
        },
        source={
            'en': 'Poole et al. 2016; Daneshmand et al. 2020',
            'zh': 'Poole 等 2016；Daneshmand 等 2020',
        },
        sweep='collapse',
        contrasts=_more_alike,
        control=lambda evidence: NOTHING_IS_TRAINED,
        factors=('norm',),
        levels=len(NORMS),
        quantity={
            'en': 'by how much larger the mean cosine between the features of different images is '
            'in the last block of the deepest plain networks than in that of residual ones, before '
            'training; paired by the weights that both start from',
            'zh': '训练前，最深的普通网络最后一个块中不同图像特征之间的平均余弦'
            '比残差网络大多少；按共同的初始权重配对',
        },
        unit={'en': '(cosine)', 'zh': '（余弦）'},
        criterion={
            'en': f'The claim is true above {COSINE_MARGIN:g}, several times the spread between '
            'draws of the weights, and false below it. Networks are draws of random weights.',
            'zh': f'大于 {COSINE_MARGIN:g}（权重抽样之间离散程度的数倍）为真，小于它为假。'
            '按随机权重的抽样计数。',
        },
        counted=NETWORKS,
        figure=Picture(
            'cosine_along_the_layers',
            {
                'en': 'Mean cosine between the features of different images along the blocks, with '
                'the arc-cosine recursion for plain networks without norm.',
                'zh': '不同图像特征之间的平均余弦沿各块的变化，以及无归一化普通网络的反余弦递推。',
            },
        ),
        describe=_cosines,
    ),
)
