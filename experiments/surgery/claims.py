"""The claims about the size of gradients and about the layers that do not learn."""

from experiments.surgery.question import UNTREATED
from vggres.findings import cure_claims
from vggres.findings.claims import Claim, Picture
from vggres.findings.contrasts import SEEDS

_EQUAL = f'{UNTREATED}, equal gradients'

CLAIMS = (
    Claim(
        key='gradient_size',
        sentence={
            'en': 'What slows deep plain networks down is the size of their gradients along depth: '
            'with gradients of equal size in all layers they train as fast as residual networks.',
            'zh': '使深层普通网络变慢的是梯度大小沿深度的变化：'
            '若各层梯度大小相等，它们就与残差网络训练得一样快。',
        },
        source={
            'en': 'the popular explanation, turned into an intervention',
            'zh': '通行的解释，改写为一项干预',
        },
        sweep='surgery',
        contrasts=lambda evidence: cure_claims.cured(evidence.verdict, _EQUAL),
        control=lambda evidence: cure_claims.control(evidence.verdict, _EQUAL),
        factors=(),
        quantity=cure_claims.QUANTITY,
        unit=cure_claims.UNIT,
        criterion=cure_claims.CRITERION,
        counted=SEEDS,
        figure=Picture(
            'updates_by_treatment',
            {
                'en': 'Updates to a training error under each intervention, each network at its '
                'own fastest rate.',
                'zh': '每种干预下达到某一训练误差所需的更新次数，每个网络取各自最快的学习率。',
            },
        ),
    ),
)
