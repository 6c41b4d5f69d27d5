"""Do deep plain networks fail by capacity, by architecture, or by where they start?

He et al. 2015 (arXiv 1512.03385), §1, argue that a deeper network can fit at least as well as a
shallower one, because its added layers could be the identity; that it fits worse says that solvers
do not find such a solution. This sweep takes both halves of the argument at their word.

*Capacity.* A plain-20 is trained at its own fastest rate and deepened by blocks that change nothing
(`networks.deepening`): Dirac kernels and batch norms that undo their own normalisation. The deep
plain network starts at the solution of the shallow one. It is trained on at two rates, neither of
which is chosen by its own results: that of plain-20, and the one that is fastest for a plain
network of its depth from random weights. If it keeps the training error, then deep plain networks
can represent the solution and gradient descent stays there; what fails is the way. It would speak
against that, and for an architecture that cannot be trained from anywhere, if the error rose and
stayed up at both rates.

*Initialisation.* Plain networks of the same depth start from Dirac kernels, from delta-orthogonal
ones (Xiao et al. 2018, arXiv 1806.05393, which trained plain networks of 10,000 layers) and from
weights that make the network linear (Balduzzi et al. 2017, arXiv 1702.08591, §5), beside He's
weights and the residual network of that depth. Each trains at its own fastest constant rate, chosen
on tuning seeds, and the updates of fresh seeds to 5 % training error are counted. That deep plain
networks fail by where they start would be refuted by starts that leave them more than twice as slow
as the residual network.

*A way there.* A residual network of the same depth trains while the factor of its shortcuts falls
linearly to 0 (`model.shortcut.fade_steps`; after Monti et al. 2018, ICANN, who phase shortcuts out
by a penalty), so that it has become a plain network halfway, and trains on as one. It does so at
two rates, neither of which is chosen by its own results: the fastest of the residual network and
the fastest of the plain network of that depth. If it keeps the training error that it had reached,
then the plain network is no architecture that cannot be trained: the shortcuts were needed to get
there. That would be refuted by a training error that ends more than 5 points above the lowest one
that was seen while there were shortcuts, at the rate at which plain networks are fastest.

Nothing else differs between arms of one seed: the network, the order of the data and, before the
scheme shapes them, the random numbers. Not every layer can be the identity: the Dirac start leaves
those as He's scheme draws them that change the number of channels.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from vggres.config import Config
from vggres.errors import UserError
from vggres.sweeps import arms

TITLE = 'Deep plain networks from other starts'
CLAIM = (
    'Deep plain networks can hold the solution of a shallow one, or of a residual one whose '
    'shortcuts fade away, and train as residual networks do where they start from orthogonal or '
    'identity-like weights.'
)
SOURCE = (
    'He et al. 2015, §1 (arXiv 1512.03385); Xiao et al. 2018 (arXiv 1806.05393); Balduzzi et al. '
    '2017, §5 (arXiv 1702.08591); after Monti et al. 2018 (ICANN)'
)
VARIES = (
    'model.family',
    'model.shortcut.fade_steps',
    'init.scheme',
    'init.deepened_from',
    'optimizer.learning_rate',
    'train.until_error',
)

SHALLOW = 20  # layers of the trained network that is deepened: plain-20 trains as plain-8 does
UNTREATED, CONTROL = 'plain', 'resnet'
DIRAC, ORTHOGONAL = 'plain, Dirac', 'plain, delta-orthogonal'
LOOKS_LINEAR = 'plain, looks-linear'
# The arms, by the scheme of their random weights.
STARTS = {DIRAC: 'dirac', ORTHOGONAL: 'delta_orthogonal', LOOKS_LINEAR: 'looks_linear'}
# At a first look, the orthogonal start was fastest at 0.001, the lowest rate at that time.
RATES = (0.0003, *arms.RATES)
# Updates. Runs that tune have half of them, in which plain-44 has to come to 5 % as well.
BUDGET = 600


def defaults(config: ConfigDict) -> dict[str, object]:
    """One depth, three seeds, a constant rate after a short warm-up, a look every 5 updates."""
    return (
        arms.defaults(config)
        | arms.protocol(BUDGET)
        | {
            'sweep.families': (UNTREATED, CONTROL),
            'sweep.depths': (44,),
            'sweep.rates': RATES,
        }
    )


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """The first stage: the shallowest network of each arm at each rate.

    Raises:
        UserError: where the configuration does not suit the question.
    """
    if tuple(config.sweep.families) != (UNTREATED, CONTROL):
        raise UserError(
            'this sweep compares starts of plain networks with the residual network: leave '
            f"sweep.families at ('{UNTREATED}', '{CONTROL}')."
        )
    if not config.sweep.depths or min(config.sweep.depths) <= SHALLOW:
        raise UserError(
            f'this sweep deepens a plain network of {SHALLOW} layers: sweep.depths has to name '
            f'larger depths, not {tuple(config.sweep.depths)}.'
        )
    yield from arms.first_cells(config, compared())
    yield from arms.first_cells(with_shallow(config), untreated())


def untreated() -> arms.Arms:
    """The arm that has a shallow network besides the deep ones."""
    return {UNTREATED: {'model.family': 'plain'}}


def compared() -> arms.Arms:
    """The other arms, which have the depths of the sweep."""
    starts = {arm: {'model.family': 'plain', 'init.scheme': to} for arm, to in STARTS.items()}
    return starts | {CONTROL: {'model.family': 'resnet'}}


def with_shallow(config: Config) -> ConfigDict:
    """The configuration of a sweep with the shallow network's depth before its own."""
    own = ConfigDict(config.to_dict())
    own.sweep.depths = (SHALLOW, *config.sweep.depths)
    return own
