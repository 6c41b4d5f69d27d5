"""How strongly do layers respond, and what do branch and shortcut bring to each addition?

He et al. 2015 (arXiv 1512.03385), §4.2 and Fig. 7: "ResNets have generally smaller responses than
their plain counterparts", and "the deeper ResNet has smaller magnitudes of responses". A response
is the standard deviation of a layer's output after batch norm and before ReLU or addition. The
first sentence would be refuted by residual networks that respond as strongly as plain ones which
train as well, the second by a deep residual network that responds as strongly as a shallow one.
Responses are 1 in a fresh network, and later on they say what the scales and biases of batch norm
have learnt (see `vggres.probes.response`).

De & Smith 2020 (arXiv 2002.10444), §2: before training, batch norm gives every branch the same size
while the shortcut adds up all branches before it, so that the branch of block l is the part
1/(l + 1) of the signal's energy; without norm branch and shortcut are equal in every block. What
this becomes in the networks here, behind a ReLU after the addition and on small images, is worked
out in `vggres.findings.expected_response`, and drawn beside the measurement. That would be refuted
by wide random networks of another profile, which a test builds.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from vggres.errors import UserError
from vggres.sweeps.before_after import at_both_ends
from vggres.sweeps.grid import grid

TITLE = 'Responses of layers, and branch against shortcut'
CLAIM = (
    'Residual networks respond more weakly than plain ones, and the more so the deeper they are; '
    'batch norm makes the branch the smaller part of the signal, the deeper its block lies.'
)
SOURCE = (
    'He et al. 2015, Deep Residual Learning for Image Recognition, §4.2 and Fig. 7 (arXiv '
    '1512.03385); De & Smith 2020, §2 (arXiv 2002.10444)'
)
VARIES = ('model.norm', 'model.preactivation')

FAMILIES = ('plain', 'resnet')
# The others are there for the start of training alone: one seed, with several draws of weights.
OTHERS: dict[str, dict[str, object]] = {
    'resnet, preactivation': {'model.preactivation': True},
    'resnet, no norm': {'model.norm': 'none'},
    'resnet, preactivation, no norm': {'model.preactivation': True, 'model.norm': 'none'},
}
PROBE = 'response'


def defaults(config: ConfigDict) -> dict[str, object]:
    """Three depths and five seeds, observed before the first update and after the last one."""
    return at_both_ends(config) | {
        'sweep.depths': (8, 20, 56),
        'sweep.seeds': 5,
        'evaluation.every_epochs': 5,
        'probes.also': (PROBE,),
        'probes.draws': 3,
    }


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Both families at each depth and seed, and other residual networks for the first seed.

    Raises:
        UserError: for other families, or where not all layers would be observed.
    """
    if sorted(config.sweep.families) != sorted(FAMILIES):
        raise UserError(f'this sweep compares two families: leave sweep.families at {FAMILIES}.')
    if PROBE not in config.probes.also or config.probes.names:
        raise UserError(
            f"this sweep observes all layers: leave '{PROBE}' in probes.also and probes.names "
            'empty.'
        )
    both = {family: {'model.family': family} for family in FAMILIES}
    others = {name: {'model.family': 'resnet'} | knobs for name, knobs in OTHERS.items()}
    for variant, each in grid(config, both | others):
        if variant in both or each.seed == config.seed:
            yield variant, each
