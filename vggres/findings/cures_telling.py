"""Tells what interventions do to networks: the verdict of a sweep of arms, in words and a table."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from matplotlib.figure import Figure

from vggres.figures.arms import ArmRuns, updates_by_arm
from vggres.findings.cures import CLEAR, CURED, Cure, Network, Ratio, Updates, judge
from vggres.findings.fastest import TunedRate
from vggres.findings.outcomes import CONFIDENCE
from vggres.findings.phrases import counted
from vggres.findings.tables import MISSING, Column, Table


@dataclass(frozen=True)
class ArmOutcome:
    """An arm at one depth: its rate, its runs, and what the intervention does.

    Attributes:
        arm: its name.
        depth: weighted layers.
        tuned: its learning rate, and how it was chosen.
        updates: to the training error, by seed; None where the budget ended first.
        cure: what the intervention does; None for the untreated network and the control.
    """

    arm: str
    depth: int
    tuned: TunedRate
    updates: Updates
    cure: Cure | None

    @property
    def label(self) -> str:
        """The arm and its depth, as in 'plain-44'."""
        return f'{self.arm}-{self.depth}'

    @property
    def status(self) -> str:
        """What the intervention does, or 'reference' for what others are compared with."""
        return self.cure.status if self.cure else 'reference'

    @property
    def reached(self) -> int:
        """The number of runs that reached the error within the budget."""
        return sum(count is not None for count in self.updates.values())

    @property
    def median_updates(self) -> float | None:
        """The median over runs; None where it is beyond the budget, and without runs."""
        if 2 * self.reached <= len(self.updates):
            return None
        return median(math.inf if count is None else count for count in self.updates.values())


@dataclass(frozen=True)
class ArmsVerdict:
    """What interventions do to the networks of a sweep.

    Attributes:
        arms: by depth and arm, in the order of the sweep.
        treated: of each arm, the name of the untreated one and of the control that it is judged by.
        target: the training error in percent, as a text.
        budget: the updates after which a run ends in any case.
        every: the updates between two looks at the training error.
    """

    arms: tuple[ArmOutcome, ...]
    treated: Mapping[str, tuple[str, str]]
    target: str
    budget: int
    every: int = 0

    def outcome(self, arm: str, depth: int) -> ArmOutcome | None:
        """An arm at a depth; None where it has no runs yet."""
        found = [each for each in self.arms if (each.arm, each.depth) == (arm, depth)]
        return found[0] if found and found[0].updates else None

    def depths(self) -> list[int]:
        """All depths, ascending."""
        return sorted({each.depth for each in self.arms})

    @property
    def greatest_depth(self) -> int:
        """The greatest depth of all arms, at which claims are judged; 0 without arms."""
        return max(self.depths(), default=0)

    def deepest(self, arm: str) -> ArmOutcome | None:
        """An arm at the greatest depth of all arms; None where it has no runs there yet."""
        return self.outcome(arm, self.greatest_depth)


def verdict(
    updates: Mapping[Network, Updates],
    tuned: Mapping[Network, TunedRate],
    treated: Mapping[str, tuple[str, str]],
    target: str,
    budget: int,
    every: int = 0,
) -> ArmsVerdict:
    """Judges each treated network that has runs, against the two that it is compared with.

    Args:
        updates: the updates of the judged runs, by arm and depth.
        tuned: the rate of each network, by arm and depth, in the order in which they are told.
        treated: of each treated arm, the names of the untreated arm and of the control.
        target: the training error in percent, as a text.
        budget: the updates after which a run ends in any case.
        every: the updates between two looks at the training error; 0 for counts that are exact.
    """

    def cure(network: Network) -> Cure | None:
        arm, depth = network
        if arm not in treated or not updates.get(network):
            return None
        untreated, control = (updates.get((name, depth), {}) for name in treated[arm])
        return judge(network, updates[network], untreated, control, budget, every)

    arms = tuple(
        ArmOutcome(*network, each, updates.get(network, {}), cure(network))
        for network, each in tuned.items()
    )
    return ArmsVerdict(arms, treated, target, budget, every)


def within(verdict: object) -> ArmsVerdict | None:
    """What interventions do, by the verdict of any sweep; None where it tunes no arms.

    An experiment that measures more besides has it as a field of its own verdict.
    """
    fields = [verdict, *vars(verdict).values()]
    return next((each for each in fields if isinstance(each, ArmsVerdict)), None)


def in_short(verdict: ArmsVerdict) -> dict[str, str]:
    """What each intervention does at the greatest depth at which it has runs."""
    treated = sorted((arm for arm in verdict.arms if arm.cure), key=lambda arm: arm.depth)
    return {arm.arm: arm.status for arm in treated}


def words(verdict: ArmsVerdict) -> str:
    """The verdict in words: a line for each treated arm at each depth, after the two others."""
    lines = []
    for depth in verdict.depths():
        own = [each for each in verdict.arms if each.depth == depth]
        lines += [_reference(each, verdict) for each in own if each.arm not in verdict.treated]
        lines += [_treated(each) for each in own if each.cure]
    lines.append(
        f'Updates are those to {verdict.target} % training error, each network at its own fastest '
        f'constant rate, within a budget of {verdict.budget:,}. "Cures" means less than {CURED:g} '
        f'times slower than the control; faster and slower begin at a factor of {CLEAR:g}.'
    )
    return '\n'.join(lines)


def _reference(each: ArmOutcome, verdict: ArmsVerdict) -> str:
    if not each.updates:
        return f'{each.label}: not run yet.'
    runs, middle = counted(len(each.updates), 'run'), each.median_updates
    if middle is not None:
        return f'{each.label}: {middle:,g} updates in the median of {runs}.'
    reach = 'reaches' if each.reached == 1 else 'reach'
    return f'{each.label}: {each.reached} of {runs} {reach} {verdict.target} % training error.'


def _treated(each: ArmOutcome) -> str:
    cure = each.cure
    assert cure
    edge = f'; its rate is the {each.tuned.edge} of the grid' if each.tuned.edge else ''
    return (
        f'{each.label}: {cure.status} ({cure.reason}): {factor(cure.to_control)} times the '
        f'updates of the control, {factor(cure.to_untreated)} times those of the untreated '
        f'network, n = {min(cure.to_control.n, cure.to_untreated.n)}{edge}.'
    )


def factor(found: Ratio, to: str = ' to ') -> str:
    """A factor with its interval, as in '1.20 (0.90 to 1.60)'; what stands in between is `to`."""
    if found.factor is None:
        return MISSING
    sign = '≥ ' * bool(found.at_least) + '≤ ' * bool(found.at_most and not found.at_least)
    if found.interval is None:
        return f'{sign}{found.factor:.2f}'
    low, high = found.interval
    return f'{sign}{found.factor:.2f} ({low:.2f}{to}{high:.2f})'


def tables(verdict: ArmsVerdict) -> list[Table]:
    """The verdict in numbers, as an experiment that judges arms alone has it."""
    return [table(verdict)]


def table(verdict: ArmsVerdict) -> Table:
    """The verdict in numbers: one row for each arm at each depth."""
    return Table(
        title=f'Updates to {verdict.target} % training error',
        columns=(
            Column('arm', words=True),
            Column('depth'),
            Column('rate'),
            Column('median updates'),
            Column('reached'),
            Column('to the untreated'),
            Column('to the control'),
            Column('status', words=True),
            Column('n'),
        ),
        rows=[
            _row(each) for depth in verdict.depths() for each in verdict.arms if each.depth == depth
        ],
        note=f'Factors of the updates, seed by seed: geometric means with their '
        f'{100 * CONFIDENCE:g} % intervals. ≥ and ≤ stand before factors that hold runs ended by '
        f'the budget of {verdict.budget:,} updates. {MISSING}: there is none.',
    )


def _row(each: ArmOutcome) -> list[str]:
    middle = each.median_updates
    rate = MISSING if each.tuned.rate is None else f'{each.tuned.rate:g}'
    return [
        each.arm,
        str(each.depth),
        rate + (f' ({each.tuned.edge})' if each.tuned.edge else ''),
        MISSING if middle is None else f'{middle:,g}',
        f'{each.reached} of {len(each.updates)}',
        factor(each.cure.to_untreated) if each.cure else MISSING,
        factor(each.cure.to_control) if each.cure else MISSING,
        each.status,
        str(len(each.updates)),
    ]


def figures(verdict: ArmsVerdict, name: str, caption: str) -> dict[str, tuple[Figure, str]]:
    """The figure of `figure` with its caption, by its file name; none before a run was judged."""
    drawn = figure(verdict)
    return {name: (drawn, caption)} if drawn else {}


def figure(verdict: ArmsVerdict) -> Figure | None:
    """The updates of each arm, one panel a depth; None where nothing was judged yet."""
    panels = {f'depth {depth}': _runs(verdict.arms, depth) for depth in verdict.depths()}
    panels = {title: arms for title, arms in panels.items() if arms}
    return updates_by_arm(panels, verdict.budget, verdict.target) if panels else None


def _runs(arms: Iterable[ArmOutcome], depth: int) -> Sequence[ArmRuns]:
    return [
        ArmRuns(each.arm, tuple(each.updates.values()), each.status)
        for each in arms
        if each.depth == depth and each.updates
    ]
