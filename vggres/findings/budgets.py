"""Judges a family over all budgets, from its gaps at each of them (see `tuned`).

The status follows from those at the budgets and from the slope of the gap against the logarithm of
the budget: `shrinks with budget` is a gap that is there at some budget and falls by more than
`LOSS_MARGIN` from the smallest budget to the largest.

How often the rule is wrong is simulated in `tests/findings/test_budgets.py`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vggres.findings.tuned import (
    DEGRADES,
    DOES_NOT,
    FAILS,
    FLOOR,
    INCONCLUSIVE,
    INSUFFICIENT,
    LOSS_MARGIN,
    WORSE,
    Estimate,
    Gap,
    estimate,
)

SHRINKS = 'shrinks with budget'


@dataclass(frozen=True)
class Interaction:
    """How much larger the gap of one family is than that of another, seed by seed.

    Attributes:
        families: the two.
        budget: in multiples of the smallest one.
        loss: in decades, first minus second.
        error: in percentage points, first minus second.
    """

    families: tuple[str, str]
    budget: int
    loss: Estimate
    error: Estimate


@dataclass(frozen=True)
class FamilyVerdict:
    """The verdict on a family over all budgets.

    Attributes:
        status: that of all budgets, 'shrinks with budget', or 'inconclusive'.
        reason: a sentence or more.
        slope: of the gap against log10(budget): in decades of loss per tenfold budget.
        budgets: those that the slope rests on.
    """

    status: str
    reason: str
    slope: Estimate
    budgets: tuple[int, ...]


def interactions(gaps: Sequence[Gap], families: tuple[str, str]) -> list[Interaction]:
    """The gap of one family minus that of another, over the seeds that both have, at each budget.

    Args:
        gaps: as `judge` returns them.
        families: the two; nothing is returned where either has no gap.
    """
    found = []
    for budget in sorted({gap.budget for gap in gaps}):
        first, second = (
            next((gap for gap in gaps if (gap.family, gap.budget) == (name, budget)), None)
            for name in families
        )
        if first and second:
            loss, error = (_difference(first, second, quantity) for quantity in ('loss', 'error'))
            found.append(Interaction(families, budget, loss, error))
    return found


def _difference(first: Gap, second: Gap, quantity: str) -> Estimate:
    one, other = (
        dict(zip(gap.seeds, getattr(gap, quantity).values, strict=True)) for gap in (first, second)
    )
    return estimate([one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())])


def over_budgets(gaps: Sequence[Gap]) -> FamilyVerdict:
    """The verdict on one family over all budgets.

    The slope is that of each seed's gap against log10(budget), by least squares, over the budgets
    at which the controls are passed, the error is not at its floor and no rate lies at an edge of
    the grid, and the seeds that have all of them. Failed runs take part with the loss of guessing,
    which can only make a gap at a small budget look smaller than it is.

    Args:
        gaps: of one family, one per budget.
    """
    counted = sorted((gap for gap in gaps if gap.status != INSUFFICIENT), key=lambda g: g.budget)
    inside = [gap for gap in counted if gap.status != FLOOR and not any(gap.at_edge)]
    slope = _slope(inside)
    statuses = [gap.status for gap in counted]
    worse = [gap for gap in counted if gap.status in WORSE]
    budgets = tuple(gap.budget for gap in inside)

    def verdict(status: str, reason: str) -> FamilyVerdict:
        return FamilyVerdict(status, reason, slope, budgets)

    if not gaps:
        return verdict(INCONCLUSIVE, 'The rates of its networks are not known yet.')
    if not counted:
        return verdict(INSUFFICIENT, 'At no budget are the positive controls passed.')
    if worse and slope.interval and slope.interval[1] * _decades(budgets) < -LOSS_MARGIN:
        last = counted[-1]
        return verdict(SHRINKS, f'At the largest budget, {last.budget}×, it {_still(last.status)}.')
    said = ', '.join(f'{gap.status} at {gap.budget}×' for gap in counted)
    if len(set(statuses)) == 1:
        where = 'all budgets' if len(counted) > 1 else f'{counted[0].budget}×'
        left_out = len(gaps) - len(counted)
        more = ' at which the positive controls are passed' if left_out else ''
        return verdict(statuses[0], f'That is the status at {where}{more}.')
    if len(worse) == len(counted):
        return verdict(statuses[-1], f'By budget: {said}.')
    return verdict(
        INCONCLUSIVE, f'The status differs between budgets, and no slope explains it: {said}.'
    )


def _decades(budgets: Sequence[int]) -> float:
    """How far budgets reach, in decades."""
    return math.log10(max(budgets) / min(budgets))


def _still(status: str) -> str:
    return {
        DEGRADES: 'still degrades',
        FAILS: 'still fails to train',
        DOES_NOT: 'does not degrade any more',
        INCONCLUSIVE: 'is inconclusive',
        FLOOR: 'is at the floor of the error',
    }[status]


def _slope(gaps: Sequence[Gap]) -> Estimate:
    """The slope of the gap against log10(budget), for each seed that has all budgets."""
    if len(gaps) < 2:
        return estimate([])
    x = np.log10([gap.budget for gap in gaps])
    x = x - x.mean()
    values = [dict(zip(gap.seeds, gap.loss.values, strict=True)) for gap in gaps]
    seeds = sorted(set.intersection(*(set(each) for each in values)))
    return estimate([float(x @ [each[seed] for each in values] / (x @ x)) for seed in seeds])
