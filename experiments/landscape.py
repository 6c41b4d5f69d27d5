"""Do shortcuts smooth the loss surface? The loss on a plane through trained networks.

Li et al. 2018, "Visualizing the loss landscape of neural nets" (arXiv 1712.09913), §5 and Fig. 5:
without shortcuts, the surface around a trained network turns chaotic and steep as the network gets
deeper; with shortcuts it stays wide and smooth. Their planes are spanned by two random directions
whose filters have the norms of the weights' filters, in evaluation mode (`vggres.probes.landscape`
has the details).

A picture is no number. The number here is the part of the plane on which the loss is below that of
guessing, within one norm of the weights on each side. The sentence would be refuted by deep plain
networks that train and keep as large a part as residual ones. A network that has not trained is no
end point whose surroundings could be compared, so all networks have the rate of 0.01 here, at which
plain-56 trains within 660 updates. Minima on the grid besides the centre are counted, too.

The sweep describes and decides nothing: at first looks the part was a few per cent of the plane for
a residual network as well, so that no margin on it would tell much. A claim needs another number,
chosen before plain networks are looked at.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments import all_results, no_more_cells
from vggres.errors import UserError
from vggres.figures.surfaces import LossSurface, contours
from vggres.findings.estimates import t_interval
from vggres.findings.outcomes import CONFIDENCE, has_failed
from vggres.findings.tables import Column, Table, number
from vggres.results import Observation
from vggres.sweeps.grid import families, grid
from vggres.sweeps.sweep import Sweep

TITLE = 'Loss surfaces around trained networks'
CLAIM = (
    'Without shortcuts, the loss rises steeply around a deep trained network; with shortcuts its '
    'surface stays wide.'
)
SOURCE = 'Li et al. 2018, Visualizing the Loss Landscape of Neural Nets, §5 (arXiv 1712.09913)'
VARIES = ('optimizer.learning_rate',)
CLAIMS = ()
PROBE = 'landscape'
FAMILIES = ('plain', 'resnet')


@dataclass(frozen=True)
class SurfaceNetwork:
    """One network of the sweep.

    Attributes:
        family: 'plain' or 'resnet'.
        depth: weighted layers.
        seed: of its weights, its data's order and its directions.
        failed: whether it failed to train.
        train_error: at the end, in percent.
        centre: the loss in the middle of the plane.
        wide: the part of the plane, in percent, on which the loss is below that of guessing.
        minima: the number of points inside of the grid, the centre left out, that are lower than
            their eight neighbours.
    """

    family: str
    depth: int
    seed: int
    failed: bool
    train_error: float
    centre: float
    wide: float
    minima: int


@dataclass(frozen=True)
class SurfaceVerdict:
    """What the sweep says about surfaces.

    Attributes:
        networks: all that finished and whose surface was observed.
        confidence: the level of all intervals.
    """

    networks: tuple[SurfaceNetwork, ...]
    confidence: float = CONFIDENCE


def defaults(config: ConfigDict) -> dict[str, object]:
    """Three depths and seeds, at a rate and a budget at which plain-56 trains."""
    own: dict[str, object] = {
        'sweep.depths': (8, 20, 56),
        'sweep.seeds': 3,
        'optimizer.learning_rate': 0.01,
        'probes.also': (PROBE,),
    }
    if config.train.epochs:
        longest = max(60, config.train.epochs)
        longer = {'train.epochs': 60, 'evaluation.every_epochs': 10}
        return own | longer | {'probes.every_epochs': longest}
    return own | {'probes.every_epochs': config.train.steps}


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Both families at each depth, once per seed.

    Raises:
        UserError: for other families, or where surfaces would not be observed.
    """
    if sorted(config.sweep.families) != sorted(FAMILIES):
        raise UserError(f'this sweep compares two families: leave sweep.families at {FAMILIES}.')
    if PROBE not in config.probes.also:
        raise UserError(f"this sweep observes surfaces: leave '{PROBE}' in probes.also.")
    return grid(config, families(config))


next_cells = no_more_cells
judged = all_results


def analyse(sweep: Sweep) -> SurfaceVerdict:
    """Measures how wide each network's surface is."""
    networks = []
    for _, result, observations in sweep.observed():
        found = last_surface(observations)
        if found is None or result.status != 'finished':
            continue
        networks.append(
            SurfaceNetwork(
                family=result.family,
                depth=result.depth,
                seed=result.seed,
                failed=has_failed(result),
                train_error=result.train_error,
                centre=float(found.losses[len(found.first) // 2, len(found.second) // 2]),
                wide=100 * float(np.mean(found.losses < math.log(result.num_classes))),
                minima=local_minima(found.losses),
            )
        )
    return SurfaceVerdict(tuple(networks))


def last_surface(observations: Sequence[Observation], title: str = '') -> LossSurface | None:
    """The surface of the last observation; None where it has none, or its centre is not finite.

    A loss that was not finite becomes infinite.
    """
    values = observations[-1].values.get('surface')
    if not values:
        return None
    points = [tuple(map(float, name.split(','))) for name in values]
    first, second = (np.unique([point[axis] for point in points]) for axis in (0, 1))
    losses = np.full((len(first), len(second)), math.inf)
    for (x, y), loss in zip(points, values.values(), strict=True):
        losses[np.searchsorted(first, x), np.searchsorted(second, y)] = (
            math.inf if loss is None else loss
        )
    found = LossSurface(title, first, second, losses)
    return found if math.isfinite(losses[len(first) // 2, len(second) // 2]) else None


def local_minima(losses: np.ndarray) -> int:
    """The number of points inside of a grid that are lower than their eight neighbours.

    The centre, where the trained network lies, is left out.

    Args:
        losses: `[n, m]`.
    """
    rows, columns = losses.shape
    inside = losses[1:-1, 1:-1]
    lower = np.ones(inside.shape, bool)
    for i in (0, 1, 2):
        for j in (0, 1, 2):
            if (i, j) != (1, 1):
                lower &= inside < losses[i : i + rows - 2, j : j + columns - 2]
    lower[rows // 2 - 1, columns // 2 - 1] = False
    return int(lower.sum())


def wider(networks: Sequence[SurfaceNetwork], depth: int) -> list[float]:
    """By how much more of the plane residual networks are wide, for each seed, in points."""
    found = {(n.family, n.seed): n.wide for n in networks if n.depth == depth}
    seeds = sorted({seed for _, seed in found})
    pairs = [(found.get(('resnet', seed)), found.get(('plain', seed))) for seed in seeds]
    return [a - b for a, b in pairs if a is not None and b is not None]


def words(verdict: SurfaceVerdict) -> str:
    """The verdict in words: how wide surfaces are by family and depth."""
    if not verdict.networks:
        return 'No surface of a finished network was observed.'
    lines = []
    for depth in sorted({network.depth for network in verdict.networks}):
        parts = []
        for family in FAMILIES:
            own = [n for n in verdict.networks if (n.family, n.depth) == (family, depth)]
            if own:
                failed = sum(n.failed for n in own)
                parts.append(
                    f'{fmean(n.wide for n in own):.0f} % of the plane around {family} networks, '
                    f'whose training error is {fmean(n.train_error for n in own):.1f} %'
                    + (f' ({failed} of {len(own)} failed to train)' if failed else '')
                )
        said = f'Depth {depth}: the loss is below that of guessing on {", and on ".join(parts)}.'
        if more := wider(verdict.networks, depth):
            ends = t_interval(np.array(more), verdict.confidence)
            within = f', 95 % interval {ends[0]:.0f} to {ends[1]:.0f}' if ends else ''
            said += f' Shortcuts add {fmean(more):+.0f} points{within} (n = {len(more)}).'
        lines.append(said)
    lines.append(
        'All of this is at one rate and one budget; n counts seeds, and no margin says what is '
        'wide.'
    )
    return '\n'.join(lines)


def tables(verdict: SurfaceVerdict) -> list[Table]:
    """The verdict in numbers: one row per network."""
    return [
        Table(
            title='Loss surfaces',
            columns=(
                Column('network', words=True),
                Column('depth'),
                Column('seed'),
                Column('training error (%)'),
                Column('loss in the middle'),
                Column('below guessing (% of the plane)'),
                Column('other minima'),
            ),
            rows=[
                [
                    n.family,
                    str(n.depth),
                    str(n.seed),
                    number(n.train_error, '.2f'),
                    number(n.centre, '.4f'),
                    number(n.wide, '.1f'),
                    str(n.minima),
                ]
                for n in verdict.networks
            ],
            note='The plane reaches one norm of each filter to each side, along two random '
            'directions (Li et al. 2018). Other minima: points inside of the grid that are lower '
            'than their eight neighbours, the trained network left out.',
        )
    ]


def figures(sweep: Sweep, verdict: SurfaceVerdict) -> dict[str, tuple[Figure, str]]:
    """The surfaces of the first seed: families in rows, depths in columns."""
    observed = [each for each in sweep.observed() if each[1].status == 'finished']
    first = min((result.seed for _, result, _ in observed), default=0)
    drawn, classes = [], 0
    for _, result, observations in observed:
        title = f'{result.family}-{result.depth}'
        found = last_surface(observations, title) if result.seed == first else None
        if found:
            drawn.append(found)
            classes = result.num_classes
    if not drawn:
        return {}
    columns = len({result.depth for _, result, _ in observed})
    return {
        'surfaces': (
            contours(drawn, columns, math.log(classes)),
            'Training loss on a plane through the final weights (+) of the first seed, along two '
            'random directions whose filters have the norms of those of the weights, in evaluation '
            'mode. The white line is the loss of guessing.',
        )
    }
