"""The claim of the story about the Jacobians of residual blocks.

Its margin stands in `jacobians`, and the text here quotes it. It was chosen after sweeps with these
data were seen, so that the claim is exploratory. The unit is the network: a draw of random weights
before training, and a seed after it. The blocks of a network are an ordered profile, and no sample.
"""

import dataclasses
from collections.abc import Iterator
from itertools import product
from statistics import fmean

from experiments.identity_shortcut.analysis import ShortcutNetwork, ShortcutVerdict
from experiments.identity_shortcut.jacobians import CLOSE, Jacobians
from experiments.identity_shortcut.question import IDENTITY, PREACTIVATION
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import (
    Barrier,
    Condition,
    Contrast,
    Counted,
    Status,
    Word,
    barred,
    below,
    sample,
)
from vggres.findings.controls import Control, too_shallow
from vggres.findings.outcomes import failing_error

_MOMENTS = (Word.BEFORE_TRAINING, Word.AFTER_TRAINING)
_BLOCKS = {Word.POSTACTIVATION: IDENTITY, Word.PREACTIVATION: PREACTIVATION}


def _near_identity(evidence: Evidence) -> list[Contrast]:
    """Whether the blocks that keep their shape are near the identity, all of them together.

    Each of the deepest networks gives one number: before training each draw of its weights, after
    it each run. Where runs failed to train, nothing is decided about the time after it.
    """
    contrasts = []
    for (block, variant), moment in product(_BLOCKS.items(), _MOMENTS):
        where: dict[str, Condition] = {'activation': block, 'when': moment}
        networks = _deepest(evidence, variant)
        if not networks:
            continue
        shallow = too_shallow(networks[0].depth, where)
        contrasts.append(shallow or _contrast(evidence, networks, where, moment))
    return contrasts


def _contrast(
    evidence: Evidence,
    networks: list[ShortcutNetwork],
    where: dict[str, Condition],
    moment: Word,
) -> Contrast:
    measured = [jacobians for each in networks if (jacobians := _jacobians(each, moment))]
    found = sample([root for jacobians in measured for root in jacobians.from_identity.roots])
    if found is None:
        words = {'en': 'a run diverged, or a Jacobian is not finite', 'zh': '训练发散或数值非有限'}
        return barred(Status.NOT_MEASURED, words, where)
    contrast = below(found, CLOSE, where)
    failed = _failed(evidence, networks)
    if moment is Word.BEFORE_TRAINING or not any(failed):
        return contrast
    words = {
        'en': f'{sum(failed)} of {len(failed)} runs failed to train',
        'zh': f'{len(failed)} 次训练中有 {sum(failed)} 次失败',
    }
    return dataclasses.replace(contrast, barrier=Barrier(Status.BUDGET, words))


def _jacobians(network: ShortcutNetwork, moment: Word) -> Jacobians | None:
    return network.before if moment is Word.BEFORE_TRAINING else network.after


def _deepest(evidence: Evidence, variant: str) -> list[ShortcutNetwork]:
    """The deepest networks of a kind of shortcut, one per seed."""
    verdict: ShortcutVerdict = evidence.verdict
    found = [network for network in verdict.networks if network.variant == variant]
    depth = max((network.depth for network in found), default=0)
    return [network for network in found if network.depth == depth]


def _failed(evidence: Evidence, networks: list[ShortcutNetwork]) -> list[bool]:
    failing = failing_error(evidence.results[0].num_classes)
    return [network.train_error >= failing for network in networks]


def _control(evidence: Evidence) -> Control:
    """What is said before training needs no control; what is said after it is checked by itself."""
    networks = [n for variant in _BLOCKS.values() for n in _deepest(evidence, variant)]
    errors = [network.train_error for network in networks]
    if not errors:
        return Control(None, {'en': 'networks with identity shortcuts', 'zh': '采用恒等捷径的网络'})
    return Control(
        True,
        {
            'en': 'none is needed before training; after it, the training error is '
            f'at most {max(errors):.1f} %',
            'zh': f'训练前不需要；训练后的训练误差不超过 {max(errors):.1f}%',
        },
        is_needed=False,
    )


def _distances(evidence: Evidence) -> Iterator[Description]:
    """√Σd² at smaller depths, and relative to the last ReLU of postactivation blocks."""
    verdict: ShortcutVerdict = evidence.verdict
    found: dict[tuple[Word, Word, int], list[float]] = {}
    for block, variant in _BLOCKS.items():
        deepest = _deepest(evidence, variant)
        for network, moment in product(verdict.networks, _MOMENTS):
            jacobians = _jacobians(network, moment)
            if network.variant != variant or jacobians is None:
                continue
            if network not in deepest:  # where it is the primary contrast
                where = (block, moment, network.depth)
                found.setdefault(where, []).extend(jacobians.from_identity.roots)
            if block is Word.POSTACTIVATION:
                where = (Word.POSTACTIVATION_WITHOUT_RELU, moment, network.depth)
                found.setdefault(where, []).extend(jacobians.from_relu.roots)
    for (block, moment, depth), roots in found.items():
        yield Description(
            what={
                'en': '√Σd² over blocks; without the final ReLU, d is the distance from the '
                'Jacobian of that ReLU',
                'zh': '各块的 √Σd²；不计末端 ReLU 时，d 是到该 ReLU 的雅可比矩阵的距离',
            },
            where={'activation': block, 'when': moment, 'depth': depth},
            value=fmean(roots),
            n=len(roots),
            counted=_NETWORKS,
        )


_NETWORKS = Counted(
    one={'en': 'network', 'zh': '个网络'},
    several={'en': 'networks', 'zh': '个网络'},
)

CLAIMS = (
    Claim(
        key='identity',
        sentence={
            'en': "A residual block's local Jacobian is close to the identity.",
            'zh': '残差块的局部雅可比矩阵接近单位矩阵。',
        },
        source={
            'en': "popular account: “the identity's derivative is 1”",
            'zh': '流行说法：“恒等映射的导数为 1”',
        },
        sweep='identity_shortcut',
        contrasts=_near_identity,
        control=_control,
        factors=('activation', 'when'),
        levels=4,
        quantity={
            'en': '√Σd² over the blocks of the deepest network that keep their shape, where '
            'd = ‖J − I‖ / ‖I‖ is the distance of a block from the identity in Frobenius norm',
            'zh': '最深网络中保持形状的各块的 √Σd²，其中 d = ‖J − I‖ / ‖I‖（Frobenius 范数）'
            '是一个块到单位矩阵的距离',
        },
        unit={'en': '(√Σd²)', 'zh': '（√Σd²）'},
        criterion={
            'en': f'The claim is true below {CLOSE:g}, where the identity is the larger part of '
            'what the blocks do together, and false above it. It is a sum, because many small '
            'deviations make a large one. Networks are draws of the weights before training, and '
            'runs after it.',
            'zh': f'小于 {CLOSE:g}（各块合起来仍以单位矩阵为主）为真，大于它为假；'
            '取总和，是因为许多小的偏离会积成大的偏离。训练前按随机权重的抽样计数，训练后按训练次数计数。',
        },
        counted=_NETWORKS,
        figure=Picture(
            'distance_from_identity',
            {
                'en': 'Distance of the Jacobian of each block from the identity, and of '
                'postactivation blocks from the Jacobian of their last ReLU.',
                'zh': '各块雅可比矩阵到单位矩阵的距离；后激活块另绘出'
                '到其末端 ReLU 的雅可比矩阵的距离。',
            },
        ),
        describe=_distances,
    ),
)
