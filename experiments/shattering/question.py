"""Do the gradients of deep plain networks turn into noise, and do shortcuts prevent it?

The claim: the gradient of a network in its input changes with the input, and the more abruptly the
deeper a plain network is, until it looks like white noise although its size is healthy. Gradients
of residual networks keep what neighbouring inputs have in common. Balduzzi et al. 2017 ("The
Shattered Gradients Problem", arXiv 1702.08591, §3) derive that the correlation of gradients at two
inputs falls as 2^−L in feed-forward networks, as (3/4)^L with shortcuts, and as about 1/√L with
shortcuts and batch norm. L counts ReLUs in the first law and residual blocks, of one ReLU each, in
the other two.

What is compared with these laws is the gradient in the input of each block, for different images
(see `vggres.probes.shattering`): between it and the head lie L weighted layers of the main path, in
plain networks each with one ReLU behind it, so that 2^−L is compared like with like. Blocks here
have two layers, so that L/2 of them lie in between; the law of the paper is carried over to
branches with two ReLUs (`vggres.findings.random_networks`). It knows nothing of the ReLU behind the
addition, and inputs count as independent at every layer, as they are for a batch norm and not
without it, where images become alike (see the sweep `collapse`).

The claim would be refuted by plain networks whose correlation falls no faster by layer than that of
residual networks of the same depth. That shattering is *why* deep plain networks fail to train is
not shown here: for that, see the interventions.

Each network is observed before training, in several draws of its weights, and after it.
"""

from collections.abc import Iterator
from itertools import product

from ml_collections import ConfigDict

from vggres.errors import UserError
from vggres.sweeps.grid import families, grid

TITLE = 'Shattered gradients'
CLAIM = (
    'Gradients of plain networks shatter with depth: the correlation between the gradients of '
    'different inputs falls faster with each layer than in residual networks.'
)
SOURCE = 'Balduzzi et al. 2017, The Shattered Gradients Problem, §3 (arXiv 1702.08591)'
VARIES = ('model.norm',)
NORMS = {'batch': 'batch norm', 'none': 'no norm'}
FAMILIES = ('plain', 'resnet')
PROBE = 'shattering'

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
