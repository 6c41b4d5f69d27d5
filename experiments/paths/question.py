"""Through how many blocks does the gradient go? Its parts by the length of their paths.

The claim: a residual network of n blocks is a collection of 2ⁿ paths, and although most of them go
through about n / 2 residual branches, most of the gradient comes from the few that are short. Veit,
Wilber & Belongie 2016 (arXiv 1605.06431), §4.3: in a ResNet-110 of 54 blocks, almost all of the
gradient in training comes from paths through 5 to 17 branches, which are 0.45 % of the paths. The
longest of these takes 17 / 54 of the blocks, about a third: hence "short" here.

The paper multiplies the number of paths of a length by the norm of a single one, which holds where
all of them point the same way. Here the sum over all paths of a length is computed exactly (see
`vggres.probes.paths`), and its share is its inner product with the whole gradient, relative to the
squared norm of the latter: these shares add up to 1. The norms of single paths stand beside them.

The claim would be refuted by residual networks that train, where paths through more than a third of
the blocks carry more than half of the gradient.

Three yardsticks go with it. If all paths had the same norm, were orthogonal or pointed the same
way, lengths would be distributed as those of the paths, binomially with probability ½. If branches
were random, and the branch of block ℓ of a stage had the part 1/(ℓ + 1) of the energy that passes
it (De & Smith 2020, arXiv 2002.10444: batch norm divides the branch by a scale of √ℓ), they would
be distributed as the number of successes in independent trials with these probabilities. And with
a shortcut scaled by λ, "Identity mappings" (He et al. 2016, arXiv 1603.05027, §3.1), a path through
k of n branches carries the factor λ^(n − k), which favours long paths.

In a plain network there is one path, which goes through all blocks.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from vggres.errors import UserError
from vggres.sweeps.before_after import at_both_ends
from vggres.sweeps.grid import grid

TITLE = 'Through how many blocks does the gradient go?'
CLAIM = (
    'Most of the gradient in a deep residual network comes from short paths, although most paths '
    'go through half of the blocks.'
)
SOURCE = (
    'Veit, Wilber & Belongie 2016, Residual Networks Behave Like Ensembles of Relatively Shallow '
    'Networks, §4.3 (arXiv 1605.06431)'
)

IDENTITY = 'identity'
PREACTIVATION = 'identity, preactivation'
VARIANTS: dict[str, dict[str, object]] = {
    IDENTITY: {},
    PREACTIVATION: {'model.preactivation': True},
    'shortcut × 0.9': {'model.shortcut.scale': 0.9},
    'shortcut × 0.5': {'model.shortcut.scale': 0.5},
}
VARIES = ('model.preactivation', 'model.shortcut.scale')

_EPOCHS = 10  # so that the sweep takes minutes


def defaults(config: ConfigDict) -> dict[str, object]:
    """Residual networks of two depths, eight seeds, looked at before and after training.

    Runs that are counted in epochs get ten of them.
    """
    return at_both_ends(config, _EPOCHS) | {
        'sweep.families': ('resnet',),
        'sweep.depths': (20, 56),
        'sweep.seeds': 8,
        'probes.also': ('paths',),
    }


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Each kind of shortcut at each depth, once per seed.

    Raises:
        UserError: for other families, or without the probe that takes the gradient apart.
    """
    if tuple(config.sweep.families) != ('resnet',):
        raise UserError(
            "this sweep is about paths through shortcuts: leave sweep.families at ('resnet',)."
        )
    if 'paths' not in config.probes.also:
        raise UserError("this sweep takes the gradient apart: leave 'paths' in probes.also.")
    variants = {name: {'model.family': 'resnet'} | knobs for name, knobs in VARIANTS.items()}
    return grid(config, variants)
