"""What was found in networks before training and after it, in plain ones beside residual ones.

Networks of one depth are compared, with batch norm and without. Those of one seed start from the
same weights, whether they have shortcuts or not, so that they are compared draw by draw of their
weights before training, and seed by seed after it. What is found in a network at one moment is a
record of the experiment's own, `Found` below; the network and the comparison are the same for all.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Generic, TypeVar

import numpy as np

from vggres.findings.estimates import Interval, t_interval
from vggres.findings.outcomes import CONFIDENCE
from vggres.results import Observation, Result

BEFORE, AFTER = 'before training', 'after training'
MOMENTS = (BEFORE, AFTER)
NORMS = {'batch': 'batch norm', 'none': 'no norm'}
FAMILIES = ('plain', 'resnet')

Place = tuple[str, int, str]  # a norm, a depth and a moment
Found = TypeVar('Found')


@dataclass(frozen=True)
class Network(Generic[Found]):
    """One network of a sweep.

    Attributes:
        variant: family and norm.
        family: 'plain' or 'resnet'.
        norm: 'batch' or 'none'.
        depth: weighted layers.
        seed: of its weights and the order of its data.
        train_error: at the end, in percent.
        before: what was found before the first update; None where a value is not finite.
        after: the same after the last update; None for a run that diverged, too.
    """

    variant: str
    family: str
    norm: str
    depth: int
    seed: int
    train_error: float
    before: Found | None
    after: Found | None

    def at(self, moment: str) -> Found | None:
        """What was found at one of `MOMENTS`."""
        return self.before if moment == BEFORE else self.after


@dataclass(frozen=True)
class Group(Generic[Found]):
    """The networks of one kind and depth at one moment, over their seeds.

    Attributes:
        variant: family and norm.
        family: 'plain' or 'resnet'.
        norm: 'batch' or 'none'.
        depth: weighted layers.
        moment: one of `MOMENTS`.
        found: what was found in each network in which something was found: one or more.
        train_error: at the end, in percent; the mean over all networks.
    """

    variant: str
    family: str
    norm: str
    depth: int
    moment: str
    found: tuple[Found, ...]
    train_error: float


@dataclass(frozen=True)
class Difference:
    """By how much a number is larger in plain networks than in residual ones.

    Attributes:
        norm: 'batch' or 'none'.
        depth: weighted layers.
        moment: one of `MOMENTS`.
        values: plain minus residual, one for each draw of the weights that both start from; after
            training, one for each seed.
        mean: of the values.
        interval: Student's, of the mean; None for fewer than two values and without spread.
    """

    norm: str
    depth: int
    moment: str
    values: tuple[float, ...]
    mean: float
    interval: Interval | None


AnyNetwork = TypeVar('AnyNetwork', bound=Network[Any])
AnyDifference = TypeVar('AnyDifference', bound=Difference)


def looks(
    result: Result, observations: Sequence[Observation]
) -> tuple[list[Observation], list[Observation]]:
    """The looks at a network before the first update, and the one after the last update.

    Args:
        result: of its run.
        observations: all of it, in their order.

    Returns:
        One look for each draw of the weights; and one after the last update, or none where the run
        diverged.
    """
    before = [each for each in observations if each.step == 0]
    is_whole = result.status == 'finished' and observations[-1].step > 0
    return before, [observations[-1]] if is_whole else []


def found_at(networks: Iterable[Network[Found]], family: str, place: Place) -> list[Found]:
    """What was found in the networks of a family at a place, one for each seed that has it."""
    norm, depth, moment = place
    own = [n for n in networks if (n.family, n.norm, n.depth) == (family, norm, depth)]
    return [found for each in own if (found := each.at(moment)) is not None]


def all_draws(found: Iterable[Found], values: Callable[[Found], Sequence[float]]) -> list[float]:
    """The numbers of several networks, one for each draw of the weights, as one list."""
    return [value for each in found for value in values(each)]


def groups(networks: Sequence[Network[Found]]) -> list[Group[Found]]:
    """The networks by kind and depth, in their order, and by moment; none in which nothing is."""
    kinds = dict.fromkeys((n.variant, n.family, n.norm, n.depth) for n in networks)
    grouped = []
    for variant, family, norm, depth in kinds:
        errors = [n.train_error for n in networks if (n.variant, n.depth) == (variant, depth)]
        for moment in MOMENTS:
            if found := found_at(networks, family, (norm, depth, moment)):
                kind = variant, family, norm, depth
                grouped.append(Group(*kind, moment, tuple(found), fmean(errors)))
    return grouped


def pairs(networks: Iterable[AnyNetwork], place: Place) -> list[tuple[AnyNetwork, AnyNetwork]]:
    """The plain and the residual network of each seed that has both, and a finding in both."""
    norm, depth, moment = place
    of_seed: dict[str, dict[int, AnyNetwork]] = {family: {} for family in FAMILIES}
    for each in networks:
        if (each.norm, each.depth) == (norm, depth) and each.at(moment) is not None:
            of_seed[each.family][each.seed] = each
    plain, residual = of_seed.values()
    return [(plain[seed], residual[seed]) for seed in sorted(plain.keys() & residual.keys())]


def difference(
    networks: Iterable[Network[Found]], place: Place, values: Callable[[Found], Sequence[float]]
) -> Difference | None:
    """Compares plain and residual networks that start from the same weights.

    Args:
        networks: all of a sweep.
        place: the norm, the depth and the moment.
        values: the numbers that are compared, one for each draw of the weights.

    Returns:
        None where no weights have a plain and a residual network.
    """
    norm, depth, moment = place
    more = []
    for pair in pairs(networks, place):
        both = [values(found) for each in pair if (found := each.at(moment)) is not None]
        more += [plain - residual for plain, residual in zip(*both, strict=False)]
    if not more:
        return None
    interval = t_interval(np.array(more), CONFIDENCE)
    return Difference(norm, depth, moment, tuple(more), float(np.mean(more)), interval)


def differences(
    networks: Sequence[AnyNetwork],
    compare: Callable[[Sequence[AnyNetwork], str, int, str], AnyDifference | None],
) -> tuple[AnyDifference, ...]:
    """The comparison at each norm, depth and moment that networks have.

    Args:
        networks: all of a sweep.
        compare: the experiment's comparison: (networks, norm, depth, moment) → difference.
    """
    places = dict.fromkeys((n.norm, n.depth, moment) for n in networks for moment in MOMENTS)
    found = (compare(networks, *place) for place in places)
    return tuple(each for each in found if each is not None)
