"""Judges whether fixed norms cure, and follows the effective rate along layers and training."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.effective_rate.question import ARMS, TREATED, judged
from vggres.findings.cures_telling import ArmsVerdict
from vggres.findings.estimates import Interval, t_interval
from vggres.findings.outcomes import CONFIDENCE
from vggres.networks.spec import NetworkSpec, positions
from vggres.results import Observation, Result
from vggres.sweeps import arms
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep

Observed = tuple[Cell, Result, Sequence[Observation]]

PAIR = ('plain', 'resnet')
QUANTITIES = ('level', 'fall', 'unevenness', 'turn_unevenness')
MOMENTS = ('same', 'end')


@dataclass(frozen=True)
class Look:
    """The kernels below a norm, before an update of one run; all are those of the main path.

    Attributes:
        step: the number of updates done.
        level: log10 of the effective rate, the mean over layers.
        fall: the decades by which the growth of the weights has lowered the effective rate since
            before the first update, the mean over layers; negative where it has raised it.
        unevenness: the decades of that fall between the layer that fell most and the one that fell
            least. The widths of layers, which are in the norms from the beginning, are not in it.
        turn: log10 of the angle by which the update turns a kernel, in radians, the mean over
            layers.
        turn_unevenness: the decades between the largest and the smallest such angle.
        cosine: the largest size of a cosine between kernel and gradient.
    """

    step: int
    level: float
    fall: float
    unevenness: float
    turn: float
    turn_unevenness: float
    cosine: float


@dataclass(frozen=True)
class Course:
    """The looks at one run, in their order.

    Attributes:
        arm: its name.
        depth: weighted layers.
        seed: of its weights and the order of its data.
        looks: those in which every value was finite.
    """

    arm: str
    depth: int
    seed: int
    looks: tuple[Look, ...]


@dataclass(frozen=True)
class Comparison:
    """A quantity of plain networks beside that of residual networks, both without intervention.

    Attributes:
        quantity: one of `QUANTITIES`, all of them in decades.
        moment: 'same' for the last look before which both runs of a seed had done as many updates,
            or 'end' for the last look at each run.
        plain: the mean over seeds.
        resnet: the mean over the same seeds.
        interval: of their difference, Student's over the seeds; None for fewer than two.
        n: the number of seeds that have both.
    """

    quantity: str
    moment: str
    plain: float
    resnet: float
    interval: Interval | None
    n: int

    @property
    def answer(self) -> str:
        """Where plain networks lie beside residual ones: 'higher', 'lower' or 'not decided'."""
        low, high = self.interval or (0.0, 0.0)
        return 'higher' if low > 0 else 'lower' if high < 0 else 'not decided'


@dataclass(frozen=True)
class EffectiveRateVerdict:
    """What fixed norms do, and the course of the effective rate.

    Attributes:
        arms: what holding the norms does to each network.
        courses: of the judged runs, by arm, depth and seed.
        depth: the greatest one that both families were observed at; None where there is none.
        comparisons: of the families at that depth.
    """

    arms: ArmsVerdict
    courses: tuple[Course, ...]
    depth: int | None
    comparisons: tuple[Comparison, ...]


def analyse(sweep: Sweep) -> EffectiveRateVerdict:
    """Judges the arms with fixed norms, and compares the families at their greatest depth."""
    courses = tuple(
        Course(*arms.network_of(cell), result.seed, tuple(_looks(cell.network_spec, observations)))
        for cell, result, observations in judged_observations(sweep)
    )
    own = {family: {each.depth for each in courses if each.arm == family} for family in PAIR}
    depth = max(set.intersection(*own.values()), default=None)
    return EffectiveRateVerdict(
        arms=arms.verdict(sweep, ARMS, TREATED),
        courses=courses,
        depth=depth,
        comparisons=tuple(_comparisons(courses, depth)),
    )


def judged_observations(sweep: Sweep) -> list[Observed]:
    """The judged runs that were observed, by arm, depth and seed."""
    order = {run.cell: place for place, run in enumerate(judged(sweep))}
    found = [each for each in sweep.observed() if each[1].cell in order]
    return sorted(found, key=lambda each: order[each[1].cell])


def on_main_path(
    network_spec: NetworkSpec, values: Mapping[str, float | None]
) -> tuple[list[str], list[int]]:
    """The layers of the main path that have a value: their names, and their positions."""
    found = positions(network_spec)
    names = [name for name in found if name in values]
    return names, [found[name] for name in names]


def _looks(network_spec: NetworkSpec, observations: Sequence[Observation]) -> Iterator[Look]:
    own = [each for each in observations if each.draw == 0 and 'effective_rate' in each.values]
    if not own:
        return
    names, _ = on_main_path(network_spec, own[0].values['effective_rate'])

    def of(observation: Observation, quantity: str) -> np.ndarray:
        values = observation.values[quantity]
        return np.array([values[name] for name in names], float)  # None becomes NaN

    first = of(own[0], 'weight_norm')
    for each in own:
        with np.errstate(divide='ignore', invalid='ignore'):
            rate, turn = np.log10(of(each, 'effective_rate')), np.log10(of(each, 'turn'))
            fall = 2 * np.log10(of(each, 'weight_norm') / first)
        cosine = abs(of(each, 'weight_gradient_cosine'))
        if all(np.isfinite(row).all() for row in (rate, turn, fall, cosine)):
            yield Look(
                step=each.step,
                level=float(rate.mean()),
                fall=float(fall.mean()),
                unevenness=float(np.ptp(fall)),
                turn=float(turn.mean()),
                turn_unevenness=float(np.ptp(turn)),
                cosine=float(cosine.max()),
            )


def _comparisons(courses: Sequence[Course], depth: int | None) -> Iterator[Comparison]:
    by_seed = {
        family: {
            each.seed: each
            for each in courses
            if (each.arm, each.depth) == (family, depth) and len(each.looks) > 1
        }
        for family in PAIR
    }
    seeds = sorted(set.intersection(*(set(each) for each in by_seed.values())))
    pairs = [tuple(by_seed[family][seed] for family in PAIR) for seed in seeds]
    for moment in MOMENTS:
        looks = [found for pair in pairs if (found := _moment(*pair, moment))]
        for quantity in QUANTITIES if looks else ():
            plain, resnet = np.array(
                [[getattr(look, quantity) for look in pair] for pair in looks]
            ).T
            yield Comparison(
                quantity=quantity,
                moment=moment,
                plain=float(plain.mean()),
                resnet=float(resnet.mean()),
                interval=t_interval(plain - resnet, CONFIDENCE),
                n=len(looks),
            )


def _moment(first: Course, second: Course, moment: str) -> tuple[Look, Look] | None:
    """A look at each of two runs; None where they have no look after as many updates."""
    if moment == 'end':
        return first.looks[-1], second.looks[-1]
    found = [{look.step: look for look in course.looks if look.step} for course in (first, second)]
    shared = max(set(found[0]) & set(found[1]), default=None)
    return None if shared is None else (found[0][shared], found[1][shared])
