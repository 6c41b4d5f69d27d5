"""The claims of the story about the gradient, with their margins.

The margins stand in `along_layers` and `analysis`, and the texts here quote them. They were chosen
or amended after sweeps with these data were seen, so that the claims are exploratory. Before
training, the unit is the draw of random weights; what happens during training happens in few seeds,
whose looks are not independent, and is descriptive.
"""

import dataclasses
import math
from collections.abc import Callable, Iterator
from itertools import product

from experiments.gradient_flow.analysis import (
    CORRELATION,
    FlowInTraining,
    FlowVerdict,
    NetworkFlow,
    correlate,
    deepest_shared,
)
from experiments.gradient_flow.question import NORMS
from vggres.config import NORMAL_SCHEMES
from vggres.findings import controls
from vggres.findings.along_layers import DECADES, UNEVENNESS
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import (
    FAMILIES,
    SEEDS,
    Barrier,
    Condition,
    Contrast,
    Counted,
    Sample,
    Status,
    Word,
    above,
    barred,
    pooled,
    sample,
    sample_of_interval,
    within,
)
from vggres.findings.controls import DEEP, NOTHING_IS_TRAINED, Control, too_shallow
from vggres.findings.outcomes import failing_error

_NORMS = {'batch': Word.BATCH_NORM, 'none': Word.NO_NORM}
_SCHEMES = {'he': Word.HE, 'glorot': Word.GLOROT, 'vgg': Word.SMALL_NORMAL}


def _shrinking(norm: str) -> Callable[[Evidence], list[Contrast]]:
    """Whether the gradient shrinks in the deepest networks of a norm that have no shortcuts."""

    def contrasts(evidence: Evidence) -> list[Contrast]:
        depth = deepest_shared(evidence.planned.values())
        found = []
        for family, scheme in product(('vgg', 'plain'), NORMAL_SCHEMES):
            networks = _networks(evidence, depth, family, norm, scheme)
            if networks:
                where = {'family': FAMILIES[family], 'scheme': _SCHEMES[scheme]}
                found.append(too_shallow(depth, where) or _shrinks(networks, where))
        return found

    return contrasts


def _shrinks(networks: list[NetworkFlow], where: dict[str, Condition]) -> Contrast:
    """The decades lost before training; a course that is not geometric cannot be true."""
    drawn = _drawn(networks)
    if drawn is None:
        return _no_number(where)
    contrast = above(drawn, DECADES, where, networks[0].expected)
    if all(network.shape == 'geometric' for network in networks):
        return contrast
    words = {'en': 'it shrinks, but not geometrically', 'zh': '有所缩小，但不成几何级数'}
    is_above = drawn.mean > DECADES
    return dataclasses.replace(contrast, p_true=1.0, remark=words if is_above else None)


def _drawn(networks: list[NetworkFlow]) -> Sample | None:
    """The decades by which the gradient shrinks before training, over the draws of all seeds."""
    changes = [network.gradient for network in networks]
    return pooled(
        [
            sample_of_interval(change.decades, change.interval, change.n)
            for change in changes
            if change.decades is not None
        ]
    )


def _failure(evidence: Evidence) -> list[Contrast]:
    """Whether the networks in which the gradient shrinks more end with the higher error.

    Each seed gives one rank correlation, of the networks without shortcuts of one norm, ranked
    among those of their own depth, because depth moves both sides. Only depths count at which the
    control trains.
    """
    verdict: FlowVerdict = evidence.verdict
    depths = [depth for depth, control in _controls(evidence).items() if control.passed]
    seeds = sorted({network.seed for network in verdict.networks})
    contrasts = []
    for norm, word in _NORMS.items():
        found = [
            correlate(
                [n for n in verdict.networks if n.seed == seed and n.depth in depths],
                norm,
                'before',
                'one depth',
                verdict.failed,
            ).correlation
            for seed in seeds
        ]
        where = {'norm': word}
        correlations = sample([each for each in found if each is not None])
        if correlations:
            contrasts.append(above(correlations, CORRELATION, where))
        else:
            words = {
                'en': 'there are not four networks that differ in shrinking and in error',
                'zh': '梯度缩小程度与误差各不相同的网络不足四个',
            }
            contrasts.append(barred(Status.FLOOR, words, where))
    return contrasts


def _protection(evidence: Evidence) -> list[Contrast]:
    """Whether shortcuts keep the gradient within a factor of ten, where it shrinks without them.

    The cases are those where the gradient of the plain network shrinks before training, at the
    greatest depth at which the control trains. Where it is kept and the residual network fails to
    train nonetheless, nothing is decided: a gradient that is kept has not been shown to help.
    """
    depth = max((d for d, control in _controls(evidence).items() if control.passed), default=None)
    contrasts = []
    for norm, scheme in product(NORMS, NORMAL_SCHEMES):
        plain = _drawn(_networks(evidence, depth, 'plain', norm, scheme))
        residual = _networks(evidence, depth, 'resnet', norm, scheme)
        lost = above(plain, DECADES).interval if plain else None
        if residual and lost and lost[0] > DECADES:
            where = {'norm': _NORMS[norm], 'scheme': _SCHEMES[scheme]}
            contrasts.append(too_shallow(depth, where) or _kept(evidence, residual, where))
    if contrasts or depth is None:
        return contrasts
    words = {
        'en': 'the gradient of no plain network shrinks here, so there is nothing to keep it from',
        'zh': '没有一个普通网络的梯度缩小，因此无从谈起',
    }
    return [barred(Status.NOT_MEASURED, words)]


def _kept(evidence: Evidence, networks: list[NetworkFlow], where: dict[str, Condition]) -> Contrast:
    drawn = _drawn(networks)
    if drawn is None:
        return _no_number(where)
    contrast = within(drawn, DECADES, where)
    failing = failing_error(evidence.results[0].num_classes)
    failed = [network.train_error >= failing for network in networks]
    if not any(failed):
        return contrast
    if abs(drawn.mean) > DECADES:
        return dataclasses.replace(contrast, p_true=1.0)
    words = {
        'en': f'the gradient is kept, but {sum(failed)} of {len(failed)} runs of the residual '
        'network failed to train',
        'zh': f'梯度得以保持，但残差网络的 {len(failed)} 次训练中有 {sum(failed)} 次失败',
    }
    return dataclasses.replace(contrast, barrier=Barrier(Status.BUDGET, words))


def _networks(
    evidence: Evidence, depth: int | None, family: str, norm: str, scheme: str
) -> list[NetworkFlow]:
    """The networks of one kind, one per seed."""
    verdict: FlowVerdict = evidence.verdict
    wanted = (depth, family, norm, scheme)
    return [n for n in verdict.networks if (n.depth, n.family, n.norm, n.scheme) == wanted]


def _no_number(where: dict[str, Condition]) -> Contrast:
    words = {'en': 'the gradient is zero or not finite', 'zh': '梯度为零或非有限值'}
    return barred(Status.NOT_MEASURED, words, where)


def _controls(evidence: Evidence) -> dict[int, Control]:
    """For each depth, whether the residual network with batch norm and He weights trains there.

    It is compared with the shallowest one. Depths at which it does not train say nothing about what
    makes networks fail.
    """
    verdict: FlowVerdict = evidence.verdict
    errors: dict[int, list[float]] = {}
    for network in verdict.networks:
        if (network.family, network.norm, network.scheme) == ('resnet', 'batch', 'he'):
            errors.setdefault(network.depth, []).append(network.train_error)
    if not errors:
        return {}
    low, classes = min(errors), evidence.results[0].num_classes
    return {
        depth: controls.residual({low: errors[low], depth: errors[depth]}, classes)
        for depth in sorted(errors)
        if depth > low
    }


def _control(evidence: Evidence) -> Control:
    """The deepest residual network that trains; it has to be `DEEP`."""
    deep = {depth: each for depth, each in _controls(evidence).items() if depth >= DEEP}
    if not deep:
        return Control(
            None,
            {
                'en': f'residual networks of {DEEP} layers or more, with batch norm, were not run',
                'zh': f'没有运行不少于 {DEEP} 层、有批归一化的残差网络',
            },
        )
    passed = [control for control in deep.values() if control.passed]
    return passed[-1] if passed else next(iter(deep.values()))


def _nothing_is_trained(evidence: Evidence) -> Control:
    return NOTHING_IS_TRAINED


def _during(norm: str | None, families: tuple[str, ...]) -> Callable[[Evidence], Iterator]:
    """Describes the gradient of some of the deepest networks during training."""

    def describe(evidence: Evidence) -> Iterator[Description]:
        verdict: FlowVerdict = evidence.verdict
        depth = deepest_shared(evidence.planned.values())
        for network in verdict.training:
            is_wanted = network.family in families and norm in (None, network.norm)
            if is_wanted and network.depth == depth:
                yield _during_training(network)

    return describe


def _during_training(network: FlowInTraining) -> Description:
    return Description(
        what={
            'en': 'Decades by which the gradient shrinks during training, the mean over seeds, '
            'each by its median over looks',
            'zh': '训练中梯度缩小的数量级，先对每个种子的各次观测取中位数，再对种子取平均',
        },
        where={
            'family': FAMILIES[network.family],
            'norm': _NORMS[network.norm],
            'scheme': _SCHEMES[network.scheme],
        },
        value=math.inf if network.judgement == 'vanishes' else network.gradient.decades,
        n=network.gradient.n,
        counted=SEEDS,
    )


def _correlations(evidence: Evidence) -> Iterator[Description]:
    """The rank correlations over all networks, which are not exchangeable."""
    verdict: FlowVerdict = evidence.verdict
    among = {'all depths': Word.ALL_DEPTHS, 'one depth': Word.ONE_DEPTH}
    moments = {'before': Word.BEFORE_TRAINING, 'during': Word.DURING_TRAINING}
    for found in verdict.correlations:
        if found.correlation is not None and math.isfinite(found.correlation):
            yield Description(
                what={
                    'en': 'Rank correlation over networks of all seeds and depths',
                    'zh': '所有种子与深度的网络的秩相关',
                },
                where={
                    'norm': _NORMS[found.norm],
                    'when': moments[found.moment],
                    'among': among[found.among],
                },
                value=found.correlation,
                n=found.n,
                counted=_NETWORKS,
            )


_DRAWS = Counted(
    one={'en': 'draw of the weights', 'zh': '组随机权重'},
    several={'en': 'draws of the weights', 'zh': '组随机权重'},
)
_NETWORKS = Counted(
    one={'en': 'network', 'zh': '个网络'},
    several={'en': 'networks, which are not independent', 'zh': '个网络（并不独立）'},
)
_DECADES = {'en': 'decades', 'zh': '个数量级'}
_SHRINKING_QUANTITY = {
    'en': 'Decades by which the gradient shrinks from the last block to the first before training, '
    'in the deepest networks without shortcuts',
    'zh': '训练前，无捷径的最深网络的梯度从最后一块到第一块缩小的数量级（十倍为一级）',
}
_SHRINKING_CRITERION = {
    'en': f'The claim is true above {DECADES:g}, a factor of {10**DECADES:g}, if the course is '
    'geometric: the slope of its logarithm deviates in no part of the network by more than '
    f'{100 * UNEVENNESS:.0f} % from that of the whole. It is false below {DECADES:g}: a gradient '
    f'that is {10**DECADES:g} times smaller does what a learning rate one step lower would do. '
    'Where it shrinks by more, but not geometrically, nothing is decided.',
    'zh': f'大于 {DECADES:g}（即 {10**DECADES:g} 倍）且成几何级数（网络任一部分的对数斜率与整体之差'
    f'不超过 {100 * UNEVENNESS:.0f}%）为真，小于 {DECADES:g} 为假：梯度小 {10**DECADES:g} 倍，'
    '相当于学习率降低一档；缩小更多但不成几何级数，则不作判定。',
}


def _gradient_picture(scheme: str, english: str, chinese: str) -> Picture:
    return Picture(
        f'gradient_by_layer_{scheme}',
        {
            'en': f'Gradient that reaches each block before training, with {english} '
            'initialisation; one panel per family and norm, one line per depth.',
            'zh': f'训练前到达各块的梯度，采用 {chinese} 初始化；每族网络与归一化一格，'
            '每种深度一条线。',
        },
    )


_GLOROT = _gradient_picture('glorot', 'Glorot', 'Glorot')

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
        contrasts=_shrinking('none'),
        control=_nothing_is_trained,
        factors=('family', 'scheme'),
        levels=6,
        quantity=_SHRINKING_QUANTITY,
        unit=_DECADES,
        criterion=_SHRINKING_CRITERION,
        counted=_DRAWS,
        figure=_GLOROT,
        describe=_during('none', ('vgg', 'plain')),
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
        contrasts=_shrinking('batch'),
        control=_nothing_is_trained,
        factors=('family', 'scheme'),
        levels=6,
        quantity=_SHRINKING_QUANTITY,
        unit=_DECADES,
        criterion=_SHRINKING_CRITERION,
        counted=_DRAWS,
        figure=_gradient_picture('he', 'He', 'He'),
        describe=_during('batch', ('vgg', 'plain')),
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
        contrasts=_failure,
        control=_control,
        factors=('norm',),
        levels=2,
        quantity={
            'en': 'Rank correlation of the decades by which the gradient shrinks before training '
            'with the training error at the end, one per seed, over the networks without '
            'shortcuts, which are ranked among those of their own depth',
            'zh': '训练前梯度缩小的数量级与最终训练误差的秩相关，每个种子一个值，'
            '取自无捷径的网络，在同一深度之内排名',
        },
        unit={'en': 'rank correlation', 'zh': '秩相关'},
        criterion={
            'en': f'The claim is true above {CORRELATION:g}, where one explains a quarter of the '
            f'variance of the other, and false below it. It says nothing about cause.',
            'zh': f'大于 {CORRELATION:g}（一方解释另一方四分之一的方差）为真，小于它为假；'
            '不涉及因果。',
        },
        counted=SEEDS,
        figure=Picture(
            'error_against_shrinking',
            {
                'en': 'Training error at the end against the decades by which the gradient '
                'shrinks before training; each marker is one network.',
                'zh': '最终训练误差与训练前梯度缩小的数量级；每个点是一个网络。',
            },
        ),
        describe=_correlations,
    ),
    Claim(
        key='protection',
        sentence={
            'en': 'Shortcuts keep the size of the gradient where it shrinks without them.',
            'zh': '在无捷径时梯度会缩小之处，捷径能保持梯度的大小。',
        },
        source={
            'en': 'popular account; He et al. 2016, §2',
            'zh': '流行说法；He 等人 2016 年，第 2 节',
        },
        sweep='gradient_flow',
        contrasts=_protection,
        control=_control,
        factors=('norm', 'scheme'),
        levels=6,
        quantity={
            'en': 'Decades by which the gradient shrinks before training in the residual network, '
            'wherever it shrinks in the plain one, at the greatest depth at which the control '
            'trains',
            'zh': '在普通网络梯度缩小之处，残差网络训练前梯度缩小的数量级，'
            '取对照能够训练的最大深度',
        },
        unit=_DECADES,
        criterion={
            'en': f'The claim is true between −{DECADES:g} and {DECADES:g}, a factor of '
            f'{10**DECADES:g} either way, if the residual network trains, and false beyond: a '
            'gradient that explodes is not kept.',
            'zh': f'介于 −{DECADES:g} 与 {DECADES:g} 之间（增减不到 {10**DECADES:g} 倍）'
            '且残差网络能够训练为真，超出为假：爆炸的梯度不算得到保持。',
        },
        counted=_DRAWS,
        figure=_GLOROT,
        describe=_during(None, ('resnet',)),
    ),
)
