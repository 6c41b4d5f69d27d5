"""Does the gradient vanish on its way back, and is that why deep plain networks fail to train?

The claim, as blog posts and interview answers have it: the gradient that reaches the first layers
is a product of local gradients, so it shrinks geometrically with depth and leaves these layers
almost without updates; the derivative of a shortcut is 1, so it lets the gradient through. He et
al. 2015 (arXiv 1512.03385, §4.1) doubt it: with batch norm they found the backward norms of their
plain networks healthy. Balduzzi et al. 2017 (arXiv 1702.08591) find that gradients do not lose
their size but their correlation.

The claim would be refuted by plain networks that fail to train although the gradient that reaches
their first blocks has not shrunk, by networks that train although it has, and by networks with
shortcuts in which it shrinks as much as without.

All networks are observed before the first update, with five draws of weights and batches each, and
during training. "Shrinks geometrically" means that log10(gradient) falls by as much in each part of
the network (`along_layers.judge` and `shape`). The slope is that of the Euclidean norm of the
gradient in a block's input, so that layers of different resolution compare; the figures show the
root mean square. One seed is described in training and not judged: `sweep.seeds` of 3 or more
decide.

Three things to know. Small images lose gradient over their borders: in an image of 2×2 pixels a
3×3 kernel meets four pixels with nine taps, so that the gradient shrinks even under He's variance;
`expected_gradient` predicts by how much. Batch norm turns the fate of the gradient around: before
training it grows towards the image. And under the `vgg` scheme, which gives all weights one
variance, the gradient grows or shrinks with the width of the layers: other widths, other answers.
"""

from collections.abc import Iterator
from itertools import product

from ml_collections import ConfigDict

from vggres.config import NORMAL_SCHEMES
from vggres.errors import UserError
from vggres.sweeps.grid import families, grid

TITLE = 'The gradient along the layers'
CLAIM = (
    'The gradient shrinks geometrically on its way from the loss to the first layers, deep plain '
    'networks fail to train for that reason, and shortcuts keep it from shrinking.'
)
SOURCE = 'The popular explanation of ResNets; doubted by He et al. 2015, §4.1 (arXiv 1512.03385)'
VARIES = (
    'model.norm',
    'init.scheme',
    'model.vgg.shortcuts',
    'model.shortcut.scale',
    'model.shortcut.branch_scale',
    'model.shortcut.gate',
    'model.shortcut.dropout',
)
NORMS = {'batch': 'batch norm', 'none': 'no norm'}
_EPOCHS = 10  # so that the sweep takes minutes


def defaults(config: ConfigDict) -> dict[str, object]:
    """The grid of the question; runs that are counted in epochs get ten of them."""
    own: dict[str, object] = {
        'sweep.families': ('vgg', 'plain', 'resnet'),
        'sweep.depths': (8, 20, 56, 110),
        'sweep.seeds': 1,
        'probes.draws': 5,
    }
    if config.train.epochs:
        shorter = {'train.epochs': _EPOCHS, 'evaluation.every_epochs': 5, 'probes.every_epochs': 2}
        return own | shorter
    return own | {'probes.every_epochs': config.evaluation.every_epochs}


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Each family with and without batch norm, under each scheme of weights, at each depth.

    Raises:
        UserError: where not all layers would be observed.
    """
    if not config.probes.every_epochs or config.probes.names:
        raise UserError(
            'this sweep observes all layers: leave probes.names empty and probes.every_epochs at 1 '
            'or more.'
        )
    variants = {
        f'{family}, {NORMS[norm]}, {scheme}': knobs | {'model.norm': norm, 'init.scheme': scheme}
        for (family, knobs), norm, scheme in product(
            families(config).items(), NORMS, NORMAL_SCHEMES
        )
    }
    return grid(config, variants)
