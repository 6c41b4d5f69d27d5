"""The claim of the story about the Jacobians of residual blocks, with its threshold.

The threshold was written before the sweep was run; it stands in `analysis`, and the text here
quotes it.
"""

from collections.abc import Iterator, Mapping

from experiments.identity_shortcut.analysis import (
    CLOSE,
    Distance,
    ShortcutNetwork,
    ShortcutVerdict,
)
from experiments.identity_shortcut.question import IDENTITY, PREACTIVATION
from vggres.findings.claims import Case, Claim, Evidence, Repeated, Word


def _near_identity(evidence: Evidence) -> Iterator[Case]:
    """Whether the blocks that keep their shape are close to the identity, ‖J − I‖ / ‖I‖.

    (Amended after a first sweep: the last ReLU of a postactivation block closes a part of the
    identity too, so the distance from what that makes of it is a case of its own; means are
    geometric.)
    """
    verdict: ShortcutVerdict = evidence.verdict
    for network in verdict.networks:
        for moment, jacobians in (
            (Word.BEFORE_TRAINING, network.before),
            (Word.AFTER_TRAINING, network.after),
        ):
            if jacobians:
                distances = {
                    Word.POSTACTIVATION: jacobians.distance_from_identity,
                    Word.POSTACTIVATION_WITHOUT_RELU: jacobians.distance_from_relu,
                    Word.PREACTIVATION: jacobians.distance_from_identity,
                }
                yield from _cases(network, moment, distances, jacobians.n)


def _cases(
    network: ShortcutNetwork, moment: Word, distances: Mapping[Word, Distance], n: int
) -> Iterator[Case]:
    """The cases of one network at one moment, of which only identity networks have any."""
    blocks = {
        IDENTITY: (Word.POSTACTIVATION, Word.POSTACTIVATION_WITHOUT_RELU),
        PREACTIVATION: (Word.PREACTIVATION,),
    }
    for block in blocks.get(network.variant, ()):
        found = distances[block]
        low, high = found.interval or (found.mean, found.mean)
        holds = True if high <= CLOSE else False if low > CLOSE else None
        where = {'activation': block, 'when': moment, 'depth': network.depth}
        yield Case(where, holds, found.mean, found.interval, n)


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
            'en': 'Distance ‖J − I‖ / ‖I‖, as the geometric mean over the blocks that keep their '
            'shape',
            'zh': '保持形状的各块的 ‖J − I‖ / ‖I‖，取几何平均',
        },
        unit={'en': '‖J − I‖ / ‖I‖', 'zh': '（‖J − I‖ / ‖I‖）'},
        criterion={
            'en': f'The claim counts as true where the whole interval over blocks is at {CLOSE:g} '
            'or below, and as false where it is above. A final ReLU alone takes a part of the '
            'identity away.',
            'zh': f'各块间的整个区间不高于 {CLOSE:g} 为真，高于 {CLOSE:g} 为假；'
            '仅末端 ReLU 就会去掉单位矩阵的一部分。',
        },
        repeated=Repeated(
            one={'en': 'block', 'zh': '个块'}, several={'en': 'blocks', 'zh': '个块'}
        ),
        figure='singular_values_after_training',
    ),
)
