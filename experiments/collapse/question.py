"""Do the features of different images become alike with depth, and do shortcuts prevent it?

The claim: every layer with random weights and a ReLU brings the features of different images closer
together, so that deep plain networks end with one direction for all of them, from which no head can
read a label; shortcuts carry the differences along. The first half is a closed form without norm:
the cosine c of two inputs becomes (√(1 − c²) + (π − arccos c) c) / π in a wide layer (Cho & Saul
2009; Poole et al. 2016, arXiv 1606.05340; Daniely et al. 2016, arXiv 1602.05897), which exceeds c
and tends to 1. With batch norm, which subtracts what the images of a batch have in common, it does
not apply (Daneshmand et al. 2020, arXiv 2003.01652).

Compared are the features in the input of each block (see `vggres.probes.collapse`), for different
images of a batch. The closed form holds for wide layers and single pixels; here it starts from the
cosine that is measured in the input of the first block, and stands beside plain networks without
norm. Averages over pixels, borders and some tens of channels make measured cosines differ from it.

The claim would be refuted by plain networks whose cosine in the last block is no larger than that
of residual networks of the same depth.

Each network is observed before training, in several draws of its weights, and after it.
"""

from collections.abc import Iterator
from itertools import product

from ml_collections import ConfigDict

from vggres.errors import UserError
from vggres.sweeps.grid import families, grid

TITLE = 'Collapsed features'
CLAIM = (
    'Features of deep plain networks collapse onto one direction, the mean cosine between images '
    'tends to 1, and those of residual networks do not.'
)
SOURCE = (
    'Poole et al. 2016, Exponential expressivity in deep neural networks (arXiv 1606.05340); '
    'Daneshmand et al. 2020, Batch Normalization Provably Avoids Rank Collapse (arXiv 2003.01652)'
)
VARIES = ('model.norm',)
NORMS = {'batch': 'batch norm', 'none': 'no norm'}
FAMILIES = ('plain', 'resnet')
PROBE = 'collapse'

_EPOCHS = 5  # so that the sweep takes minutes


def defaults(config: ConfigDict) -> dict[str, object]:
    """Three depths, three seeds, three draws of weights each; runs in epochs get five of them."""
    own: dict[str, object] = {
        'sweep.depths': (8, 20, 56),
        'sweep.seeds': 3,
        'probes.draws': 3,
        'probes.also': (PROBE,),
    }
    # No run has more epochs than this (an epoch has an update at least), so that nothing is
    # observed between the first update and the last one.
    if config.train.epochs:
        whole_run = max(_EPOCHS, config.train.epochs)
        shorter = {'train.epochs': _EPOCHS, 'evaluation.every_epochs': _EPOCHS}
        return own | shorter | {'probes.every_epochs': whole_run}
    return own | {'probes.every_epochs': config.train.steps}


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Each family with and without batch norm at each depth, once per seed.

    Raises:
        UserError: for other families, or where not all blocks would be observed.
    """
    if not set(config.sweep.families) <= set(FAMILIES):
        raise UserError(f'this sweep compares {FAMILIES}, not {tuple(config.sweep.families)}.')
    if PROBE not in config.probes.also or not config.probes.every_epochs or config.probes.names:
        raise UserError(
            f'this sweep observes all blocks: leave {PROBE!r} in probes.also, probes.names empty '
            'and probes.every_epochs at 1 or more.'
        )
    variants = {
        f'{family}, {NORMS[norm]}': knobs | {'model.norm': norm}
        for norm, (family, knobs) in product(NORMS, families(config).items())
    }
    return grid(config, variants)
