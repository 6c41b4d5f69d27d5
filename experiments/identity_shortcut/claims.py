"""The claim of the story about the Jacobians of residual blocks.

Its threshold stands in `jacobians`, and the text here quotes it.
"""

from collections.abc import Iterator
from statistics import fmean

import numpy as np

from experiments.identity_shortcut.analysis import ShortcutNetwork, ShortcutVerdict
from experiments.identity_shortcut.jacobians import CLOSE, CONFIDENCE, Distance
from experiments.identity_shortcut.question import IDENTITY, PREACTIVATION
from vggres.findings.claims import Case, Claim, Evidence, Repeated, Word
from vggres.findings.estimates import t_interval


def _near_identity(evidence: Evidence) -> Iterator[Case]:
    """Whether a network's blocks that keep their shape are together close to the identity.

    The networks of all seeds are the repetitions: before training every draw of the weights, and
    after it every run. Blocks are not.

    (Amended after a first sweep: the criterion is the sum over blocks and no longer their mean, and
    the last ReLU of a postactivation block closes a part of the identity too, so that the distance
    from what that makes of it is a case of its own. Both are exploratory on that sweep's data.)
    """
    verdict: ShortcutVerdict = evidence.verdict
    roots: dict[tuple[Word, Word, int], list[float]] = {}
    for network in verdict.networks:
        for where, distance in _distances(network):
            roots.setdefault(where, []).extend(distance.roots)
    for (block, moment, depth), found in roots.items():
        interval = t_interval(np.array(found), CONFIDENCE)
        holds = None
        if interval:  # a single network decides nothing
            low, high = interval
            holds = True if high <= CLOSE else False if low > CLOSE else None
        where = {'activation': block, 'when': moment, 'depth': depth}
        yield Case(where, holds, fmean(found), interval, len(found))


def _distances(network: ShortcutNetwork) -> Iterator[tuple[tuple[Word, Word, int], Distance]]:
    """What was measured of one network, which only identity networks have."""
    for moment, found in (
        (Word.BEFORE_TRAINING, network.before),
        (Word.AFTER_TRAINING, network.after),
    ):
        if found and network.variant == IDENTITY:
            yield (Word.POSTACTIVATION, moment, network.depth), found.from_identity
            yield (Word.POSTACTIVATION_WITHOUT_RELU, moment, network.depth), found.from_relu
        if found and network.variant == PREACTIVATION:
            yield (Word.PREACTIVATION, moment, network.depth), found.from_identity


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
        measure=_near_identity,
        quantity={
            'en': '√Σd² over the blocks that keep their shape, where d = ‖J − I‖ / ‖I‖ is the '
            'distance of a block from the identity in Frobenius norm',
            'zh': '对保持形状的各块求 √Σd²，其中 d = ‖J − I‖ / ‖I‖（Frobenius 范数）'
            '是一个块到单位矩阵的距离',
        },
        unit={'en': '√Σd²', 'zh': '（√Σd²）'},
        criterion={
            'en': f'The claim counts as true where the whole interval over networks is at '
            f'{CLOSE:g} or below, and as false where it is above. Without their final ReLU, '
            'postactivation blocks are compared with the Jacobian of that ReLU. Both the sum over '
            'blocks and this comparison were chosen after a first sweep: they are exploratory.',
            'zh': f'各网络间的整个区间不高于 {CLOSE:g} 为真，高于 {CLOSE:g} 为假。'
            '不计末端 ReLU 时，后激活块与该 ReLU 的雅可比矩阵比较。'
            '对各块求和与这一比较都是在第一次扫描之后选定的：属探索性。',
        },
        repeated=Repeated(
            one={'en': 'network', 'zh': '个网络'}, several={'en': 'networks', 'zh': '个网络'}
        ),
        figure='distance_from_identity',
    ),
)
