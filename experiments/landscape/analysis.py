"""Summarises the surface around each network, and the curvature of its loss along training."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vggres.figures.surfaces import LossSurface
from vggres.findings.outcomes import CONFIDENCE, has_failed
from vggres.results import Observation, Result
from vggres.sweeps.sweep import Sweep


@dataclass(frozen=True)
class SurfaceNetwork:
    """The surface around one network of the sweep.

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
class Look:
    """The curvature of the loss at one moment of training.

    Attributes:
        step: updates done.
        largest: λ, the largest eigenvalue of the Hessian.
        residual: of Lanczos' method: some eigenvalue lies no further than this from λ.
        rate: the learning rate η of the update that comes next.
        norm: ‖w‖ over all parameters.
    """

    step: int
    largest: float
    residual: float
    rate: float
    norm: float


@dataclass(frozen=True)
class CurvatureNetwork:
    """The curvature of the loss of one network along training.

    Attributes:
        family: 'plain' or 'resnet'.
        depth: weighted layers.
        seed: of its weights and the order of its data.
        failed: whether it failed to train.
        train_error: at the end, in percent.
        train_loss: at the end; None for a run that diverged.
        looks: those that gave finite numbers.
        end: λ after the last update; None for a run that diverged, and where λ is not a positive
            number.
    """

    family: str
    depth: int
    seed: int
    failed: bool
    train_error: float
    train_loss: float | None
    looks: tuple[Look, ...]
    end: float | None

    @property
    def peak(self) -> float | None:
        """The largest λ of all looks after the first update; None where it is not positive."""
        largest = max((look.largest for look in self.looks if look.step), default=0.0)
        return largest if largest > 0 else None

    @property
    def relative(self) -> float | None:
        """λ‖w‖² at the end, which a factor on all weights leaves as it is; None as in `end`."""
        return self.end and self.end * self.looks[-1].norm ** 2


@dataclass(frozen=True)
class LandscapeVerdict:
    """What the sweep says about surfaces.

    Attributes:
        networks: all that finished and whose surface was observed.
        curvatures: all whose curvature was observed.
        edge: the η·λ above which gradient descent with this momentum diverges on a quadratic.
        confidence: the level of all intervals.
    """

    networks: tuple[SurfaceNetwork, ...]
    curvatures: tuple[CurvatureNetwork, ...]
    edge: float
    confidence: float = CONFIDENCE


def analyse(sweep: Sweep) -> LandscapeVerdict:
    """Measures how wide each network's surface is, and how sharp it is along training."""
    networks, curvatures = [], []
    for _, result, observations in sweep.observed():
        found = last_surface(observations)
        if found is not None and result.status == 'finished':
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
        if any('curvature' in each.values for each in observations):
            curvatures.append(_curvature(result, observations))
    edge = 2 * (1 + sweep.config.optimizer.momentum)
    return LandscapeVerdict(tuple(networks), tuple(curvatures), edge)


def _curvature(result: Result, observations: Sequence[Observation]) -> CurvatureNetwork:
    looks = tuple(look for each in observations if (look := _look(each)))
    end = None
    if result.status == 'finished' and looks and looks[-1].step == observations[-1].step:
        end = looks[-1].largest if looks[-1].largest > 0 else None
    return CurvatureNetwork(
        family=result.family,
        depth=result.depth,
        seed=result.seed,
        failed=has_failed(result),
        train_error=result.train_error,
        train_loss=result.train_loss,
        looks=looks,
        end=end,
    )


def _look(observation: Observation) -> Look | None:
    """What was found at one moment; None for other draws, and where a number is not finite."""
    values = observation.values.get('curvature', {})
    numbers = [values.get(name) for name in ('largest', 'residual', 'rate', 'norm')]
    largest, residual, rate, norm = numbers
    if observation.draw or largest is None or residual is None or rate is None or norm is None:
        return None
    return Look(observation.step, largest, residual, rate, norm)


def doublings(
    networks: Sequence[CurvatureNetwork],
    depth: int,
    number: Callable[[CurvatureNetwork], float | None] = lambda network: network.end,
) -> list[float]:
    """log2 of a number of plain networks over that of residual ones, for each seed that has both.

    Args:
        networks: all of them.
        depth: of both.
        number: of a network, positive; λ at the end where nothing else is said.
    """
    found = {(n.family, n.seed): number(n) for n in networks if n.depth == depth}
    seeds = sorted({seed for _, seed in found})
    pairs = [(found.get(('plain', seed)), found.get(('resnet', seed))) for seed in seeds]
    return [math.log2(plain / residual) for plain, residual in pairs if plain and residual]


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
