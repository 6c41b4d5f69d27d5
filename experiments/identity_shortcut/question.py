"""What exactly does a shortcut change? Local Jacobians, and shortcuts other than the identity.

The claim: the derivative of the identity is 1, so the local Jacobian of a residual block is close
to the identity, the product of many such Jacobians stays healthy, and any other shortcut spoils it.
He et al. 2016, "Identity mappings" (arXiv 1603.05027), §3: with a shortcut scaled by λ, the
gradient that reaches layer l from layer L is a sum, one term of which has the factor λ^(L − l). In
their Table 1 every shortcut other than the identity trains a ResNet-110 worse (test errors:
identity 6.61 %; shortcut and branch by 0.5 12.35 %; exclusive gate 8.70 %; shortcut-only gate
12.86 %; 1×1 convolutions 12.22 %; dropout fails). Their derivation of λ has no activation after the
addition; the networks here have one, as those of their Table 1 do.

The claim would be refuted by residual blocks whose Jacobian is far from the identity although their
network trains, by a gradient that does not fall with λ, and by scaled, gated or convolved shortcuts
that train as well as the identity. A gradient that falls by less than λ^L refutes nothing in the
paper: λ^L is the path through shortcuts alone, and the other paths, through k of L branches, carry
C(L, k) λ^2(L − k) g^2k of the energy (`analysis.least_branches`). Under batch norm the factor g of
a branch is the larger, the smaller its input, and a smaller λ makes inputs smaller.

Near counts over depth: if each of L blocks is d away from the identity, the product of all is about
√(L d²) away, so the sum of the squares over the blocks is what is judged (see `jacobians`).

Two yardsticks go with it. The last ReLU of a block closes a part of what comes in, whether the
shortcut is the identity or not: `relu_distance` compares with the Jacobian of that ReLU, relative
to its norm; this comparison was added after a first sweep and is exploratory. And the gradient
changes from block to block in a network with identity shortcuts too, so a factor λ is judged by
what it adds to that.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from vggres.errors import UserError
from vggres.sweeps.before_after import at_both_ends
from vggres.sweeps.grid import grid

TITLE = 'What a shortcut changes'
CLAIM = (
    "A residual block's local Jacobian is close to the identity, which carries the gradient "
    'through any depth; a shortcut scaled by λ < 1 lets it fade from block to block, and every '
    'shortcut other than the identity trains worse.'
)
SOURCE = (
    'He et al. 2016, Identity Mappings in Deep Residual Networks, §3 and Table 1 (arXiv 1603.05027)'
)

IDENTITY = 'identity'
PREACTIVATION = 'identity, preactivation'
BOTH = 'both × 0.5'
_SCALES = (0.0, 0.5, 0.9, 1.1)
SCALED = {f'shortcut × {scale:g}': scale for scale in _SCALES}
BRANCHES = {f'branch × {scale:g}': scale for scale in _SCALES}
VARIANTS: dict[str, dict[str, object]] = {
    IDENTITY: {},
    PREACTIVATION: {'model.preactivation': True},
    **{name: {'model.shortcut.scale': scale} for name, scale in SCALED.items()},
    **{name: {'model.shortcut.branch_scale': scale} for name, scale in BRANCHES.items()},
    BOTH: {'model.shortcut.scale': 0.5, 'model.shortcut.branch_scale': 0.5},
    'exclusive gate, bias −6': {
        'model.shortcut.gate': 'exclusive',
        'model.shortcut.gate_bias': -6.0,
    },
    'shortcut-only gate, bias 0': {
        'model.shortcut.gate': 'shortcut_only',
        'model.shortcut.gate_bias': 0.0,
    },
    '1×1 convolution': {'model.shortcut.kind': 'C'},
    'dropout 0.5': {'model.shortcut.dropout': 0.5},
}
VARIES = tuple(dict.fromkeys(knob for knobs in VARIANTS.values() for knob in knobs))
# The factor of the shortcut, where it has one.
FACTORS = SCALED | {BOTH: 0.5}
# The variants whose shortcut is the identity, so that they say nothing about other shortcuts.
IDENTITIES = (IDENTITY, PREACTIVATION, *BRANCHES)

_EPOCHS = 10  # so that the sweep takes minutes


def defaults(config: ConfigDict) -> dict[str, object]:
    """One family and one depth, with Jacobians before and after training.

    Runs that are counted in epochs get ten of them.
    """
    return at_both_ends(config, _EPOCHS) | {
        'sweep.families': ('resnet',),
        'sweep.depths': (56,),
        'sweep.seeds': 1,
        'probes.draws': 3,
        'probes.jacobians': True,
    }


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Each kind of shortcut at each depth, once per seed.

    Raises:
        UserError: for other families, or where not all blocks would be observed.
    """
    if tuple(config.sweep.families) != ('resnet',):
        raise UserError("this sweep is about shortcuts: leave sweep.families at ('resnet',).")
    if not config.probes.jacobians or config.probes.names:
        raise UserError(
            'this sweep observes all blocks: leave probes.jacobians at True and probes.names empty.'
        )
    variants = {name: {'model.family': 'resnet'} | knobs for name, knobs in VARIANTS.items()}
    return grid(config, variants)
