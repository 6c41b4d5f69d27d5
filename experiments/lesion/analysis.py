"""Gathers what trained networks lose with blocks that are deleted or swapped."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, median

from vggres.findings.before_after import looks
from vggres.findings.outcomes import CONFIDENCE, failing_error
from vggres.results import Observation, Result
from vggres.sweeps.sweep import Sweep

# Both were fixed before the first sweep was run, as parts of the way to guessing. "Hardly hurts": a
# tenth of it, nine points of error among ten classes. "Destroys": the network is nearer to guessing
# than to what it was, as in `outcomes.FAILED_SHARE`.
HARDLY = 0.1
DESTROYED = 0.5


@dataclass(frozen=True)
class Lesioned:
    """A trained network and its lesions; errors are of the validation set, in percent.

    Attributes:
        family: 'vgg', 'plain' or 'resnet'.
        depth: weighted layers.
        seed: of its weights and the order of its data.
        train_error: of the whole network on the training set.
        has_failed: whether it failed to train.
        whole: the error of the whole network.
        deleted: the error without a block, by its name.
        damage: the rise of the error by deleting one block, as a part of the rise to guessing: the
            mean over the blocks.
        typical: the median over the blocks.
        worst: the largest over the blocks.
        several: the error without so many random blocks, the mean over random sets; 0 is the whole
            network.
        swapped: for each random order, Kendall's τ between it and the original one, and the error.
    """

    family: str
    depth: int
    seed: int
    train_error: float
    has_failed: bool
    whole: float
    deleted: Mapping[str, float]
    damage: float
    typical: float
    worst: float
    several: Mapping[int, float]
    swapped: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class LesionVerdict:
    """What the sweep says about lesions.

    Attributes:
        networks: all that were trained to the end and lesioned.
        guessing: the error of guessing in percent.
        hardly: the threshold `HARDLY`.
        destroyed: the threshold `DESTROYED`.
        confidence: the level of all intervals.
    """

    networks: tuple[Lesioned, ...]
    guessing: float
    hardly: float = HARDLY
    destroyed: float = DESTROYED
    confidence: float = CONFIDENCE

    def groups(self) -> dict[tuple[str, int], list[Lesioned]]:
        """The networks by family and depth, one of each seed."""
        found: dict[tuple[str, int], list[Lesioned]] = {}
        for network in self.networks:
            found.setdefault((network.family, network.depth), []).append(network)
        return found


def analyse(sweep: Sweep) -> LesionVerdict:
    """Gathers the errors of lesioned networks from their last observation."""
    networks, guessing = [], 90.0
    for _, result, observations in sweep.observed():
        guessing = 100 * (1 - 1 / result.num_classes)
        _, after = looks(result, observations)
        networks += [_lesioned(result, each) for each in after if each.values.get('lesion_deleted')]
    return LesionVerdict(tuple(networks), guessing)


def _lesioned(result: Result, observation: Observation) -> Lesioned:
    found = {
        quantity: {name: float(value) for name, value in values.items() if value is not None}
        for quantity, values in observation.values.items()
        if quantity.startswith('lesion')
    }
    several: dict[int, list[float]] = {}
    for name, error in found['lesion_several'].items():
        several.setdefault(int(name.split('/')[0]), []).append(error)
    whole = found['lesion_several']['0']
    guessing = 100 * (1 - 1 / result.num_classes)
    damages = [damage(error, whole, guessing) for error in found['lesion_deleted'].values()]
    taus = found['lesion_tau']
    return Lesioned(
        family=result.family,
        depth=result.depth,
        seed=result.seed,
        train_error=result.train_error,
        has_failed=result.train_error >= failing_error(result.num_classes),
        whole=whole,
        deleted=found['lesion_deleted'],
        damage=fmean(damages),
        typical=median(damages),
        worst=max(damages),
        several={count: fmean(errors) for count, errors in several.items()},
        swapped=tuple((taus[name], error) for name, error in found['lesion_swapped'].items()),
    )


def damage(error: float, whole: float, guessing: float) -> float:
    """The rise of an error as a part of the rise to guessing.

    >>> damage(46.0, whole=2.0, guessing=90.0)
    0.5

    Args:
        error: of the lesioned network, in percent.
        whole: of the network as it was.
        guessing: of guessing. Where the whole network is no better, the damage is 0.
    """
    return (error - whole) / (guessing - whole) if whole < guessing else 0.0
