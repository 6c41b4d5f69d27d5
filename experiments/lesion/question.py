"""What does a trained network lose with a block? Blocks are deleted and swapped after training.

The claim: deleting one block from a trained residual network hardly hurts, while deleting one from
a plain network or a layer from a VGG destroys it. Veit, Wilber & Belongie 2016 (arXiv 1605.06431),
§4.1 and §4.2, Fig. 3 and 5: in a ResNet-110 on CIFAR-10, most single deletions leave the test error
as it is; in a VGG-15 every deletion brings it to 90 %, which is guessing. With several random
blocks deleted, or with blocks swapped, the error of the ResNet rises smoothly.

What a deletion costs is the rise of the validation error as a part of the rise to guessing: 0 where
nothing is lost and 1 where everything is. It is averaged over the blocks of a network, so that one
network is one number, and none is chosen after a look. A block is two convolutions in a residual or
plain network and one in a VGG. What takes the place of a deleted block without a shortcut is told
in `vggres.probes.lesion`.

The paper compares a ResNet-110 with a VGG-15: deleting one of 54 blocks is a smaller lesion than
deleting one of 15 layers. Here all families are compared at one depth, and residual networks are
looked at at a larger depth besides.

The claim would be refuted by a residual network at either depth that loses more than a tenth of the
way to guessing with a block, or by a plain network or a VGG that loses less than half of it.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from vggres.errors import UserError
from vggres.sweeps.before_after import at_both_ends
from vggres.sweeps.grid import grid

TITLE = 'What does a trained network lose with a block?'
CLAIM = (
    'Deleting one block from a trained residual network hardly hurts; deleting one from a plain '
    'network or a VGG destroys it.'
)
SOURCE = (
    'Veit, Wilber & Belongie 2016, Residual Networks Behave Like Ensembles of Relatively Shallow '
    'Networks, §4.1 and §4.2 (arXiv 1605.06431)'
)
VARIES = ()


def defaults(config: ConfigDict) -> dict[str, object]:
    """Three families of depth 20, residual networks of depth 56, eight seeds of each.

    Nothing is observed in training, so that trained networks alone are lesioned.
    """
    return at_both_ends(config) | {
        'sweep.families': ('plain', 'resnet', 'vgg'),
        'sweep.depths': (20, 56),
        'sweep.seeds': 8,
        'probes.also': ('lesion',),
    }


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Residual networks at every depth, the other families at the smallest, once per seed.

    Raises:
        UserError: without the probe that makes the lesions.
    """
    if 'lesion' not in config.probes.also:
        raise UserError("this sweep deletes blocks: leave 'lesion' in probes.also.")
    variants = {family: {'model.family': family} for family in config.sweep.families}
    shallowest = min(config.sweep.depths)
    return (
        (variant, cell)
        for variant, cell in grid(config, variants)
        if variant == 'resnet' or cell.model.depth == shallowest
    )
