"""Do plain networks become exponentially slow with depth?

He et al. 2015 (arXiv 1512.03385), §4.1: the difficulty of deep plain networks is unlikely to come
from vanishing gradients, since batch norm keeps forward and backward signals healthy, and "we
conjecture that the deep plain nets may have exponentially low convergence rates". They left it to
the future, and it is a statement on speed: on how many updates it takes to fit the training set.

Here each network trains at a constant learning rate, after a short warm-up, until its training
error is at a target, and the number of updates is counted. A rate that suits one depth may be slow
at another, so each network has its own: the one of a grid that reaches the first target with the
fewest updates, on tuning seeds that serve nothing else. Fresh seeds are counted at that rate alone.
A run that the budget ends is censored: it would have needed more updates than that.

The sweep runs in stages. The shallowest network of a family tries every rate. Each deeper one tries
the rate of the network below it and the two beside it, and goes on as long as the fastest one has
an untried neighbour, which finds the same rate as the whole grid wherever the updates have one
minimum along it. Where none of them reaches the target, it tries the whole grid. As soon as the
rate of a network is known, its fresh seeds run.

The conjecture would be refuted by plain networks whose number of updates does not grow with depth,
or grows as a power of it. It would be no statement on shortcuts if the number grew in the same way
in residual networks.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from vggres.errors import UserError
from vggres.findings.growth import MIN_DEPTHS
from vggres.sweeps import arms
from vggres.sweeps.grid import families

TITLE = 'Updates to a training error against depth'
CLAIM = (
    'The number of updates that a plain network needs to fit the training set grows exponentially '
    'with its depth; that of a residual network does not.'
)
SOURCE = 'He et al. 2015, Deep Residual Learning for Image Recognition, §4.1 (arXiv 1512.03385)'
VARIES = ('optimizer.learning_rate',)

# At first looks plain-44 was fastest at 0.003 and plain-50 at 0.001, each the lowest rate at that
# time.
RATES = (0.0003, *arms.RATES)
_BUDGET = 1000  # updates, so that the whole sweep takes less than 20 minutes on two cores


def defaults(config: ConfigDict) -> dict[str, object]:
    """Eight depths, five seeds, a constant rate after a short warm-up, a look every 5 updates."""
    return arms.protocol(_BUDGET) | {
        'sweep.families': ('plain', 'resnet'),
        'sweep.depths': (8, 14, 20, 26, 32, 38, 44, 50),
        'sweep.rates': RATES,
        'sweep.seeds': 5,
        'train.until_error': (5.0, 1.0),
    }


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """The first stage: the shallowest network of each family at each rate.

    Raises:
        UserError: where the configuration does not suit the question.
    """
    if len(config.sweep.depths) < MIN_DEPTHS:
        raise UserError(
            f'this sweep needs {MIN_DEPTHS} depths or more, not {tuple(config.sweep.depths)}: '
            'a line fits any two.'
        )
    return arms.first_cells(config, families(config))
