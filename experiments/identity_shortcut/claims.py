"""The claim of the story about the Jacobians of residual blocks, with its margin.

The margin was chosen after sweeps with these data were seen, so that the claim is exploratory. The
unit is the seed: the blocks of a network are an ordered profile, and no sample.
"""

import dataclasses
import math
from collections.abc import Iterator
from itertools import product

from experiments.identity_shortcut.analysis import Distance, ShortcutNetwork, ShortcutVerdict
from experiments.identity_shortcut.question import IDENTITY, PREACTIVATION
from vggres.findings.claims import Claim, Description, Evidence, Picture
from vggres.findings.contrasts import (
    SEEDS,
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
from vggres.findings.controls import Control, has_failed

# √Σd² over blocks, where d = ‖J − I‖ / ‖I‖. The Jacobian of a whole network is the product of those
# of its blocks; where their deviations do not line up, its own distance from the identity is
# √(Π(1 + d²) − 1), about √Σd², so that up to here the identity is the larger part of it.
CLOSE = 0.5
# Weighted layers: the story is told of networks as deep as this.
DEEP = 50

_MOMENTS = (Word.BEFORE_TRAINING, Word.AFTER_TRAINING)
_BLOCKS = {Word.POSTACTIVATION: IDENTITY, Word.PREACTIVATION: PREACTIVATION}


def _near_identity(evidence: Evidence) -> list[Contrast]:
    """Whether the blocks that keep their shape are near the identity, all of them together.

    The number is one per seed, in the deepest networks. After training, seeds count in which the
    network trained.
    """
    contrasts = []
    for (block, variant), moment in product(_BLOCKS.items(), _MOMENTS):
        where: dict[str, Condition] = {'activation': block, 'when': moment}
        networks = _deepest(evidence, variant)
        if not networks:
            continue
        if networks[0].depth < DEEP:
            words = {
                'en': f'it takes networks of {DEEP} layers or more, and these have '
                f'{networks[0].depth}',
                'zh': f'需要不少于 {DEEP} 层的网络，而这里只有 {networks[0].depth} 层',
            }
            contrasts.append(barred(Status.NOT_MEASURED, words, where))
        else:
            contrasts.append(_contrast(evidence, networks, where, moment))
    return contrasts


def _contrast(
    evidence: Evidence,
    networks: list[ShortcutNetwork],
    where: dict[str, Condition],
    moment: Word,
) -> Contrast:
    found = sample([root for network in networks for root in _roots(network, moment)])
    if found is None:
        words = {'en': 'a run diverged, or a Jacobian is not finite', 'zh': '训练发散或数值非有限'}
        return barred(Status.NOT_MEASURED, words, where)
    contrast = below(found, CLOSE, where)
    failed = _failed(evidence, networks)
    if moment is Word.BEFORE_TRAINING or not any(failed):
        return contrast
    words = {
        'en': f'{sum(failed)} of {len(failed)} runs failed to train',
        'zh': f'{len(failed)} 次训练中有 {sum(failed)} 次未能训练',
    }
    return dataclasses.replace(contrast, barrier=Barrier(Status.BUDGET, words))


def _roots(network: ShortcutNetwork, moment: Word) -> list[float]:
    """√Σd² over the blocks of a network that keep their shape: one number per seed."""
    jacobians = network.before if moment is Word.BEFORE_TRAINING else network.after
    if jacobians is None:
        return []
    return [math.sqrt(jacobians.n) * jacobians.distance_from_identity.mean]


def _deepest(evidence: Evidence, variant: str) -> list[ShortcutNetwork]:
    """The deepest networks of a kind of shortcut, one per seed."""
    verdict: ShortcutVerdict = evidence.verdict
    found = [network for network in verdict.networks if network.variant == variant]
    depth = max((network.depth for network in found), default=0)
    return [network for network in found if network.depth == depth]


def _failed(evidence: Evidence, networks: list[ShortcutNetwork]) -> list[bool]:
    classes = evidence.results[0].num_classes
    return [has_failed(network.train_error, classes) for network in networks]


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
    """The distance of one block, with and without the last ReLU of postactivation blocks."""
    for block, variant in _BLOCKS.items():
        for network in _deepest(evidence, variant):
            for moment, jacobians in zip(_MOMENTS, (network.before, network.after), strict=True):
                if jacobians:
                    yield _distance(block, moment, jacobians.distance_from_identity, jacobians.n)
                if jacobians and block is Word.POSTACTIVATION:
                    without = Word.POSTACTIVATION_WITHOUT_RELU
                    yield _distance(without, moment, jacobians.distance_from_relu, jacobians.n)


def _distance(block: Word, moment: Word, found: Distance, n: int) -> Description:
    return Description(
        what={
            'en': 'Distance ‖J − I‖ / ‖I‖, geometric mean over blocks',
            'zh': '‖J − I‖ / ‖I‖，各块的几何平均',
        },
        where={'activation': block, 'when': moment},
        value=found.mean,
        n=n,
        counted=_BLOCKS_OF_ONE,
    )


_BLOCKS_OF_ONE = Counted(
    one={'en': 'block', 'zh': '个块'},
    several={'en': 'blocks of one network', 'zh': '个块（同一网络）'},
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
        quantity={
            'en': '√Σd² over the blocks of the deepest network that keep their shape, where '
            'd = ‖J − I‖ / ‖I‖',
            'zh': '最深网络中保持形状的各块的 √Σd²，其中 d = ‖J − I‖ / ‖I‖',
        },
        unit={'en': '(√Σd²)', 'zh': '（√Σd²）'},
        criterion={
            'en': f'The claim is true below {CLOSE:g}, where the identity is the larger part of '
            'what the blocks do together, and false above it. It is a sum, because many small '
            'deviations make a large one.',
            'zh': f'小于 {CLOSE:g}（各块合起来仍以单位矩阵为主）为真，大于它为假；'
            '取总和，是因为许多小的偏离会积成大的偏离。',
        },
        counted=SEEDS,
        figure=Picture(
            'singular_values_after_training',
            {
                'en': 'Singular values of the local Jacobians after training, block by block.',
                'zh': '训练后各块局部雅可比矩阵的奇异值。',
            },
        ),
        describe=_distances,
    ),
)
