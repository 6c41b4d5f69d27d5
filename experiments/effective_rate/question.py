"""Do deep plain networks stop learning because their weights grow and slow them down?

Under batch norm the loss does not depend on the norm of a kernel w, so that the kernel is
orthogonal to its gradient g. An update then makes ‖w‖² larger by η²‖g‖², and the kernel turns by
the effective rate η/‖w‖², which falls (van Laarhoven 2017, arXiv 1706.05350, §2; Hoffer et al.
2018, arXiv 1803.01814, §2; Li & Arora 2020, arXiv 1910.07454). Before training, the gradient of a
deep plain network with batch norm is larger by decades next to the image. Its first layers should
grow most, and be left with a low effective rate for good. If that is the disease, holding the norms
of all kernels below a norm cures it, and the effective rate along the layers tells sick networks
from healthy ones.

Plain and residual networks are trained as they are and with the norms of these kernels held, each
at its own fastest constant rate, and the updates to a training error are counted. The claim would
be refuted by plain networks that stay slow with their norms held. The probe `effective_rate`
follows the runs that are counted.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from vggres.errors import UserError
from vggres.findings.tuning import FIRST_TUNING_SEED
from vggres.results import Result
from vggres.sweeps import arms
from vggres.sweeps.sweep import Sweep

TITLE = 'The effective learning rate, and the norms of weights held'
CLAIM = (
    'Deep plain networks stop learning because batch norm lets their weights grow, so that their '
    'effective learning rate falls.'
)
SOURCE = 'from van Laarhoven 2017, L2 Regularization versus Batch and Weight Normalization, §2'

PROBE = 'effective_rate'
ARMS: arms.Arms = {
    'plain': {'model.family': 'plain'},
    'resnet': {'model.family': 'resnet'},
    'plain, fixed norms': {'model.family': 'plain', 'optimizer.fixed_norms': True},
    'resnet, fixed norms': {'model.family': 'resnet', 'optimizer.fixed_norms': True},
}
# Of each treated arm, the untreated one and the control.
TREATED = {
    'plain, fixed norms': ('plain', 'resnet'),
    'resnet, fixed norms': ('resnet', 'resnet'),
}
VARIES = arms.varied(ARMS)


def defaults(config: ConfigDict) -> dict[str, object]:
    """A depth without the disease and one with it; looks into the layers every two epochs."""
    return arms.defaults(config) | {'probes.every_epochs': 2, 'probes.also': (PROBE,)}


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """The first stage: the shallowest network of each arm at each rate.

    Raises:
        UserError: where the configuration does not suit the question.
    """
    if config.model.norm == 'none' or config.model.preactivation:
        raise UserError(
            'this sweep holds the norms of kernels below a norm: leave model.norm at batch and '
            'model.preactivation at False.'
        )
    if not config.probes.every_epochs or PROBE not in config.probes.also or config.probes.names:
        raise UserError(
            f"this sweep follows all layers: probes.also has to name '{PROBE}', probes.names has "
            'to be empty, and probes.every_epochs 1 or more.'
        )
    for variant, each in arms.first_cells(config, ARMS):
        yield variant, _observed_if_judged(each)


def next_cells(sweep: Sweep) -> Iterator[tuple[str, ConfigDict]]:
    """The tuning runs that searches still want, and the fresh seeds of networks with a rate."""
    for variant, each in arms.next_cells(sweep, ARMS):
        yield variant, _observed_if_judged(each)


def _observed_if_judged(config: ConfigDict) -> ConfigDict:
    """Tuning runs are not observed, which saves their time."""
    if config.seed >= FIRST_TUNING_SEED:
        config.probes.every_epochs, config.probes.also, config.probes.jacobians = 0, (), False
    return config


def judged(sweep: Sweep) -> list[Result]:
    """The runs of fresh seeds at the rate of each network, by arm, depth and seed."""
    return arms.judged_runs(sweep, ARMS)
