"""The claim that deep plain networks are slow because their effective rate falls."""

from collections.abc import Iterator

from experiments.effective_rate.analysis import Comparison, EffectiveRateVerdict
from vggres.findings import cure_claims
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import FAMILIES, SEEDS

_TREATED = 'plain, fixed norms'


def _falls(evidence: Evidence) -> Iterator[Description]:
    """By how much the effective rate of both families has fallen at the end of their runs."""
    verdict: EffectiveRateVerdict = evidence.verdict
    for each in verdict.comparisons:
        if (each.quantity, each.moment) == ('fall', 'end'):
            yield from _of_both(each, verdict.depth)


def _of_both(found: Comparison, depth: int | None) -> Iterator[Description]:
    for family, value in (('plain', found.plain), ('resnet', found.resnet)):
        yield Description(
            what={
                'en': f'Decades by which the effective rate has fallen at the end, depth {depth}, '
                'norms not held; the mean over layers and seeds',
                'zh': f'训练结束时有效学习率下降的数量级（深度 {depth}，未固定范数），'
                '对各层与种子取平均',
            },
            where={'family': FAMILIES[family]},
            value=value,
            n=found.n,
            counted=SEEDS,
        )


CLAIMS = (
    Claim(
        key='effective_rate',
        sentence={
            'en': 'Deep plain networks are slow because batch norm lets their weights grow, so '
            'that their effective learning rate falls.',
            'zh': '深的普通网络训练慢，是因为批归一化使权重增长，有效学习率因而下降。',
        },
        source={
            'en': 'a cause suggested by van Laarhoven 2017, §2',
            'zh': 'van Laarhoven 2017 年第 2 节所提示的原因',
        },
        sweep='effective_rate',
        contrasts=lambda evidence: cure_claims.cured(evidence.verdict.arms, _TREATED),
        control=lambda evidence: cure_claims.control(evidence.verdict.arms, _TREATED),
        factors=(),
        quantity=cure_claims.QUANTITY,
        unit=cure_claims.UNIT,
        criterion={
            'en': 'Treated: the kernels below a norm keep their norms. '
            + cure_claims.CRITERION['en'],
            'zh': '处理：归一化之前的卷积核保持其范数。' + cure_claims.CRITERION['zh'],
        },
        counted=SEEDS,
        figure=Picture(
            name='updates_by_arm',
            caption={
                'en': 'Updates to the training error, with the norms of the kernels free and held.',
                'zh': '达到训练误差所需的更新次数：卷积核的范数自由或固定。',
            },
        ),
        describe=_falls,
    ),
)
