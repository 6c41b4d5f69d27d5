"""The claims of the story about the gradient, with their thresholds.

The thresholds were written before the sweep was run, except for amendments that say so; they stand
in `along_layers` and `analysis`, and the texts here quote them.
"""

import math
from collections.abc import Callable, Iterator, Mapping

from experiments.gradient_flow.analysis import (
    CORRELATION,
    FlowInTraining,
    FlowVerdict,
    NetworkFlow,
    deepest_shared,
)
from vggres.findings.along_layers import DECADES, LEAST_SEEDS, UNEVENNESS
from vggres.findings.claims import Case, Claim, Condition, Evidence, Repeated, Word

_SHRUNK = {'shrinks', 'vanishes'}
_KEPT = {'level', 'grows'}

_FAMILIES = {'vgg': Word.VGG, 'plain': Word.PLAIN, 'resnet': Word.RESNET}
_NORMS = {'batch': Word.BATCH_NORM, 'none': Word.NO_NORM}
_SCHEMES = {'he': Word.HE, 'glorot': Word.GLOROT, 'vgg': Word.SMALL_NORMAL}
_MOMENTS = {'before': Word.BEFORE_TRAINING, 'during': Word.DURING_TRAINING}
_AMONG = {'all depths': Word.ALL_DEPTHS, 'one depth': Word.ONE_DEPTH}


def _shrinking(norm: str) -> Callable[[Evidence], Iterator[Case]]:
    """Whether the gradient shrinks geometrically in the deepest networks without shortcuts.

    Before training, n counts draws of the weights; during training, seeds, fewer than `LEAST_SEEDS`
    of which decide nothing. A gradient that falls below the smallest float32 has shrunk as well.
    (Amended after a first sweep: what happens during training is a case of its own. Amended after a
    review: seeds instead of looks, and a test of "geometrically" for each part of a network.)

    Args:
        norm: 'batch' or 'none': only networks with this norm count.
    """

    def measure(evidence: Evidence) -> Iterator[Case]:
        for moment, network in _deepest(evidence):
            if network.norm == norm and network.family != 'resnet':
                family, scheme = _FAMILIES[network.family], _SCHEMES[network.scheme]
                where = {'when': _MOMENTS[moment], 'family': family, 'scheme': scheme}
                yield _gradient_case(network, where, _shrinks_geometrically(network))

    return measure


def _shrinks_geometrically(network: NetworkFlow | FlowInTraining) -> bool | None:
    """Whether it does; None where the size or the shape of the change is undecided."""
    if network.judgement in _KEPT:
        return False
    if network.judgement in _SHRUNK:
        return {'geometric': True, 'uneven': False}.get(network.shape or '')
    return None


def _failure(evidence: Evidence) -> Iterator[Case]:
    """Whether the shrinking before training goes with the training error at the end.

    Only networks without shortcuts count. (Amended after a first sweep: networks of one depth are
    a case of their own, since depth moves both; the shrinking during training, which may as well
    follow from the failure, stands in the sweep's report alone; failed networks share a rank.)
    """
    verdict: FlowVerdict = evidence.verdict
    for found in verdict.correlations:
        if found.interval and found.moment == 'before':
            low, high = found.interval
            holds = True if low >= CORRELATION else False if high < CORRELATION else None
            where = {'norm': _NORMS[found.norm], 'among': _AMONG[found.among]}
            yield Case(where, holds, found.correlation, found.interval, found.n)


def _protection(evidence: Evidence) -> Iterator[Case]:
    """Whether shortcuts keep the gradient from shrinking.

    The cases are those where the gradient of the deepest plain network shrinks or vanishes,
    geometrically or not. The claim is true where that of the residual network of the same norm and
    weights does neither. Where the residual network diverged before it was observed again, nothing
    is decided. (Amended after a first sweep: 'dead' decides nothing; it had counted as kept.)
    """
    deepest = list(_deepest(evidence))
    residual = {
        (moment, n.norm, n.scheme, _seed(n)): n for moment, n in deepest if n.family == 'resnet'
    }
    for moment, plain in deepest:
        found = residual.get((moment, plain.norm, plain.scheme, _seed(plain)))
        if plain.family == 'plain' and plain.judgement in _SHRUNK and found is not None:
            norm, scheme = _NORMS[plain.norm], _SCHEMES[plain.scheme]
            where = {'when': _MOMENTS[moment], 'norm': norm, 'scheme': scheme}
            judged = {**dict.fromkeys(_KEPT, True), **dict.fromkeys(_SHRUNK, False)}
            yield _gradient_case(found, where, judged.get(found.judgement or ''))


def _deepest(evidence: Evidence) -> Iterator[tuple[str, NetworkFlow | FlowInTraining]]:
    """The networks of the greatest shared depth, each before and during training."""
    verdict: FlowVerdict = evidence.verdict
    deepest = deepest_shared(evidence.planned.values())
    for moment, networks in (('before', verdict.networks), ('during', verdict.training)):
        yield from ((moment, network) for network in networks if network.depth == deepest)


def _seed(network: NetworkFlow | FlowInTraining) -> int | None:
    """The seed of a network before training; None during it, where seeds are taken together."""
    return network.seed if isinstance(network, NetworkFlow) else None


def _gradient_case(
    network: NetworkFlow | FlowInTraining, where: Mapping[str, Condition], holds: bool | None
) -> Case:
    """The case of a network, in decades by which its gradient shrinks.

    Args:
        network: before or during training.
        where: the conditions of the case.
        holds: whether the claim is true there.
    """
    change = network.gradient
    if network.judgement == 'vanishes':
        return Case(where, holds, math.inf, None, change.n)
    is_judged = network.judgement is not None
    return Case(where, holds, change.decades, change.interval if is_judged else None, change.n)


_DRAWS = Repeated(
    one={
        'en': 'draw of the weights (in training: seed)',
        'zh': '次随机权重（训练中为随机种子）',
    },
    several={
        'en': 'draws of the weights (in training: seeds)',
        'zh': '次随机权重（训练中为随机种子）',
    },
)
_SHRINKING_QUANTITY = {
    'en': 'Decades by which the gradient shrinks from the last block to the first in the deepest '
    'networks',
    'zh': '最深网络的梯度从最后一块到第一块缩小的数量级（十倍为一级）',
}
_SHRINKING_CRITERION = {
    'en': f'The claim counts as true where the gradient shrinks by a factor of {10**DECADES:g} or '
    'more and the slope of its logarithm deviates in no part of the network by more than '
    f'{100 * UNEVENNESS:.0f} % from that of the whole, and as false where it does not shrink so '
    f'far, or deviates by more. Fewer than {LEAST_SEEDS} seeds decide nothing. Small images lose '
    'gradient over their borders with He initialisation too; the report has the prediction.',
    'zh': f'缩小 {10**DECADES:g} 倍以上，且网络任一部分的对数斜率与整体之差不超过 '
    f'{100 * UNEVENNESS:.0f} % 为真；未缩小至此或偏差更大为假；少于 {LEAST_SEEDS} 个种子不作判断。'
    '小图像在边缘处损失梯度，He 初始化亦然（预测值见报告）。',
}

CLAIMS = (
    Claim(
        key='shrinking',
        sentence={
            'en': 'The gradient shrinks geometrically towards the input.',
            'zh': '梯度向输入端成几何级数缩小。',
        },
        source={
            'en': 'popular account; Glorot & Bengio 2010, §4',
            'zh': '流行说法；Glorot 与 Bengio 2010 年，第 4 节',
        },
        sweep='gradient_flow',
        measure=_shrinking('none'),
        quantity=_SHRINKING_QUANTITY,
        unit={'en': 'decades', 'zh': '个数量级'},
        criterion=_SHRINKING_CRITERION,
        repeated=_DRAWS,
        figure='gradient_by_layer_glorot',
    ),
    Claim(
        key='shrinking_with_norm',
        sentence={
            'en': 'With batch norm too, the gradient shrinks geometrically towards the input.',
            'zh': '即使有批归一化，梯度也向输入端成几何级数缩小。',
        },
        source={
            'en': 'popular account; denied by He et al. 2015, §4.1',
            'zh': '流行说法；He 等人 2015 年第 4.1 节予以否认',
        },
        sweep='gradient_flow',
        measure=_shrinking('batch'),
        quantity=_SHRINKING_QUANTITY,
        unit={'en': 'decades', 'zh': '个数量级'},
        criterion=_SHRINKING_CRITERION,
        repeated=_DRAWS,
        figure='gradient_by_layer_he',
    ),
    Claim(
        key='failure',
        sentence={
            'en': 'The shrinking goes with the failure to train.',
            'zh': '梯度缩小与训练失败相伴。',
        },
        source={
            'en': 'popular account; doubted by He et al. 2015, §4.1',
            'zh': '流行说法；He 等人 2015 年第 4.1 节表示怀疑',
        },
        sweep='gradient_flow',
        measure=_failure,
        quantity={
            'en': 'Rank correlation of the decades by which the gradient shrinks before training '
            'with the training error at the end, in networks without shortcuts',
            'zh': '无捷径的网络中，训练前梯度缩小的数量级与最终训练误差的秩相关',
        },
        unit={'en': 'rank correlation', 'zh': '（秩相关）'},
        criterion={
            'en': f'The claim counts as true where the whole interval is at {CORRELATION:g} or '
            'above, and as false where it is below. It says nothing about cause.',
            'zh': f'整个区间不低于 {CORRELATION:g} 为真，低于 {CORRELATION:g} 为假；不涉及因果。',
        },
        repeated=Repeated(
            one={'en': 'network', 'zh': '个网络'}, several={'en': 'networks', 'zh': '个网络'}
        ),
        figure='error_against_shrinking',
    ),
    Claim(
        key='protection',
        sentence={
            'en': 'Shortcuts keep the gradient from shrinking.',
            'zh': '捷径使梯度不再缩小。',
        },
        source={
            'en': 'popular account; He et al. 2016, §2',
            'zh': '流行说法；He 等人 2016 年，第 2 节',
        },
        sweep='gradient_flow',
        measure=_protection,
        quantity={
            'en': 'Decades by which the gradient shrinks in the residual network wherever it '
            'shrinks in the plain one',
            'zh': '在普通网络梯度缩小之处，残差网络梯度缩小的数量级',
        },
        unit={'en': 'decades', 'zh': '个数量级'},
        criterion={
            'en': 'The claim counts as true where it shrinks by less than a factor of '
            f'{10**DECADES:g} or grows.',
            'zh': f'缩小不到 {10**DECADES:g} 倍或增大为真。',
        },
        repeated=_DRAWS,
        figure='gradient_by_layer_glorot',
    ),
)
