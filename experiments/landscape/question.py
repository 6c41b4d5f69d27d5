"""Do shortcuts smooth the loss surface? The loss around trained networks, and its curvature.

Li et al. 2018, "Visualizing the loss landscape of neural nets" (arXiv 1712.09913), §5 and Fig. 5:
without shortcuts, the surface around a trained network turns chaotic and sharp as the network gets
deeper; with shortcuts it stays wide and smooth. Their planes are spanned by two random directions
whose filters have the norms of the weights' filters, in evaluation mode (`vggres.probes.landscape`
has the details).

A picture is no number. One number here is the part of the plane on which the loss is below that of
guessing, within one norm of the weights on each side. It describes and decides nothing: at first
looks it was a few per cent for a residual network as well, so that no margin on it would tell much.
Minima on the grid besides the centre are counted, too.

The number that decides is the largest eigenvalue λ of the Hessian of the training loss, after the
last update (`vggres.probes.curvature`). The sentence would be refuted by deep plain networks that
have solved their task and around which λ is less than twice that around residual networks. It is
chosen, with its margin, before anybody has looked at λ of plain networks deeper than 20 layers. The
number has two known weaknesses, which stand beside it as numbers that decide nothing. Where a
network fits its images better, the curvature of the cross-entropy is lower for that reason alone.
And batch norm leaves the loss as it is when all kernels below a norm are halved, while it makes λ
four times larger: λ is the curvature that a learning rate meets, and not a property of the function
that the network computes.

λ is measured along training as well, where η·λ says how far from the edge of stability a rate η is
(Cohen et al. 2021, arXiv 2103.00065).

A network that has not trained is no end point whose surroundings could be compared, so all networks
have a rate here at which the deepest plain one trains: on digits, one run of plain-56 of a seed
that is used for nothing else ended with a training error of 1.5 % after 660 updates at 0.003. (At
0.01 another one had ended with 19 %.) Both runs were made after the margin was chosen. Where plain
networks end without a solution, the claim says that the budget is insufficient: a longer one is
asked for by `--config.train.epochs`.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from vggres.errors import UserError
from vggres.sweeps.grid import families, grid

TITLE = 'Loss surfaces around trained networks'
CLAIM = (
    'Without shortcuts, the loss rises steeply around a deep trained network; with shortcuts its '
    'surface stays wide.'
)
SOURCE = 'Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, §5 (arXiv 1712.09913)'
VARIES = ('optimizer.learning_rate',)
FAMILIES = ('plain', 'resnet')
PROBES = ('landscape', 'curvature')
# A look at the surface after the last change of the rate takes as long as some hundred updates, and
# there are two such looks with this.
_EVERY_EPOCHS = 10


def defaults(config: ConfigDict) -> dict[str, object]:
    """Three depths and five seeds, at a rate and a budget at which plain-56 trains."""
    own: dict[str, object] = {
        'sweep.depths': (8, 20, 56),
        'sweep.seeds': 5,
        'optimizer.learning_rate': 0.003,
        'probes.also': PROBES,
        'probes.every_epochs': _EVERY_EPOCHS,
    }
    if config.train.epochs:
        own |= {'train.epochs': 60, 'evaluation.every_epochs': 10}
    return own


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Both families at each depth, once per seed.

    Raises:
        UserError: for other families, or where surfaces or curvature would not be observed.
    """
    if sorted(config.sweep.families) != sorted(FAMILIES):
        raise UserError(f'this sweep compares two families: leave sweep.families at {FAMILIES}.')
    if missing := [probe for probe in PROBES if probe not in config.probes.also]:
        raise UserError(
            f"this sweep observes surfaces and curvature: leave '{missing[0]}' in probes.also."
        )
    return grid(config, families(config))
