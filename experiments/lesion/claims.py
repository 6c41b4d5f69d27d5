"""The claim about deleted blocks.

Its two margins stand in `analysis`, and the text here quotes them. The unit is the seed: the blocks
of a network are averaged, and are no sample of anything.
"""

from collections.abc import Iterator
from statistics import fmean

from experiments.lesion.analysis import DESTROYED, HARDLY, Lesioned, LesionVerdict
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import FAMILIES, SEEDS, Condition, Contrast, above, below, sample
from vggres.findings.controls import CONTROL_MARGIN, Control


def _deletions(evidence: Evidence) -> list[Contrast]:
    """The damage by one deletion, for each family and depth."""
    contrasts = []
    for (family, depth), networks in _groups(evidence).items():
        where: dict[str, Condition] = {'family': FAMILIES[family], 'depth': depth}
        found = sample([network.damage for network in networks])
        assert found is not None  # a group has a network
        is_residual = family == 'resnet'
        contrasts.append(
            below(found, HARDLY, where) if is_residual else above(found, DESTROYED, where)
        )
    return contrasts


def _groups(evidence: Evidence) -> dict[tuple[str, int], list[Lesioned]]:
    verdict: LesionVerdict = evidence.verdict
    return verdict.groups()


def _control(evidence: Evidence) -> Control:
    """Whether all networks trained before they were lesioned, and both kinds are there."""
    groups = _groups(evidence)
    families = {family for family, _ in groups}
    if 'resnet' not in families or len(families) < 2:
        return Control(
            None,
            {
                'en': 'residual networks and others were not both run',
                'zh': '没有同时运行残差网络和其他网络',
            },
        )
    errors = {place: fmean(each.train_error for each in own) for place, own in groups.items()}
    (family, depth), error = max(errors.items(), key=lambda item: item[1])
    return Control(
        error <= CONTROL_MARGIN,
        {
            'en': f'the highest mean training error before a lesion is {error:.1f} % ({family}, '
            f'depth {depth}), and {CONTROL_MARGIN:g} % is allowed',
            'zh': f'损伤之前平均训练误差最高为 {error:.1f}%（{family}，深度 {depth}），'
            f'上限为 {CONTROL_MARGIN:g}%',
        },
    )


def _typical_and_worst(evidence: Evidence) -> Iterator[Description]:
    """The median and the largest damage over the blocks of a network."""
    for (family, depth), networks in _groups(evidence).items():
        where: dict[str, Condition] = {'family': FAMILIES[family], 'depth': depth}
        for what, values in (
            (
                {'en': 'the same for the median block', 'zh': '中位数块的同一数值'},
                [network.typical for network in networks],
            ),
            (
                {'en': 'the same for the worst block', 'zh': '影响最大的块的同一数值'},
                [network.worst for network in networks],
            ),
        ):
            yield Description(what, where, fmean(values), len(values), SEEDS)


CLAIMS = (
    Claim(
        key='deletion',
        sentence={
            'en': 'Deleting one block from a trained residual network hardly hurts; deleting one '
            'from a plain network or a VGG destroys it.',
            'zh': '从训练好的残差网络中删去一个块几乎无害；从普通网络或 VGG 中删去一个则会毁掉它。',
        },
        source={
            'en': 'Veit et al. 2016 (arXiv 1605.06431), §4.1',
            'zh': 'Veit 等，2016（arXiv 1605.06431），第 4.1 节',
        },
        sweep='lesion',
        contrasts=_deletions,
        control=_control,
        factors=('family', 'depth'),
        levels=4,
        quantity={
            'en': 'the rise of the validation error by deleting one block, as a part of the rise '
            'to guessing, averaged over the blocks of a network',
            'zh': '删去一个块所引起的验证误差上升占上升到随机猜测的比例，对网络的所有块取平均',
        },
        unit={'en': 'of the way to guessing', 'zh': '（到随机猜测的比例）'},
        criterion={
            'en': f'Of residual networks the claim is true below {HARDLY:g} and false above it; of '
            f'plain networks and VGGs it is true above {DESTROYED:g}, where the network is nearer '
            'to guessing than to what it was, and false below it.',
            'zh': f'对残差网络，小于 {HARDLY:g} 为真，大于它为假；对普通网络和 VGG，'
            f'大于 {DESTROYED:g}（比起原来的网络更接近随机猜测）为真，小于它为假。',
        },
        counted=SEEDS,
        figure=Picture(
            'lesions',
            {
                'en': 'Validation error of trained networks without one block, without several '
                'random ones, and with blocks in another order.',
                'zh': '训练好的网络在删去一个块、删去若干随机块以及打乱块的顺序之后的验证误差。',
            },
        ),
        describe=_typical_and_worst,
    ),
)
