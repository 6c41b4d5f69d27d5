"""Judges claims of the popular story by what finished sweeps have measured.

    more layers fit better → yet plain networks get worse → because the gradient shrinks on its way
    back → which a shortcut, whose derivative is 1, prevents → so residual networks gain from depth

Each experiment states its claims, their thresholds and how their cases are measured; nothing here
knows an experiment. A case is a measurement under certain conditions: a family, a norm, a scheme of
initialisation. A claim that is true in some cases and false in all others holds only under the
conditions of the former.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from statistics import median
from typing import Any

from vggres.findings.estimates import Interval
from vggres.results import Result

Text = Mapping[str, str]  # words by language: 'en' and 'zh'


class Status(StrEnum):
    """What became of a claim."""

    HOLDS = 'holds'
    FAILS = 'does not hold'
    ONLY_IF = 'holds only if'
    HOLDS_IF = 'holds at least if'
    UNDECIDED = 'undecided'
    NOT_MEASURED = 'not measured'


class Word(Enum):
    """A condition that cases were measured under; `languages` says each in words."""

    VGG = auto()
    PLAIN = auto()
    RESNET = auto()
    BATCH_NORM = auto()
    NO_NORM = auto()
    HE = auto()
    GLOROT = auto()
    SMALL_NORMAL = auto()  # the scheme of the VGG paper
    BEFORE_TRAINING = auto()
    DURING_TRAINING = auto()
    AFTER_TRAINING = auto()
    POSTACTIVATION = auto()
    POSTACTIVATION_WITHOUT_RELU = auto()
    PREACTIVATION = auto()
    ALL_DEPTHS = auto()
    ONE_DEPTH = auto()


Condition = Word | int  # a number is a depth


@dataclass(frozen=True)
class Evidence:
    """A finished sweep, as the measure of a claim sees it.

    Attributes:
        results: of its cells.
        verdict: what its experiment's `analyse` returned, a dataclass of that experiment.
        planned: the depths planned for each variant.
    """

    results: Sequence[Result]
    verdict: Any
    planned: Mapping[str, Collection[int]]


@dataclass(frozen=True)
class Case:
    """One measurement.

    Attributes:
        where: the condition that it was measured under, by factor: {'norm': Word.NO_NORM}.
        holds: whether the claim is true here; None where the measurement does not decide it.
        value: the measured number; None where there is none.
        interval: of the number; None where there is none.
        n: the number of repetitions.
    """

    where: Mapping[str, Condition]
    holds: bool | None
    value: float | None
    interval: Interval | None
    n: int


@dataclass(frozen=True)
class Repeated:
    """What n counts, in words: one of it, and several."""

    one: Text
    several: Text


@dataclass(frozen=True)
class Claim:
    """A sentence of the story, and how it is judged.

    Attributes:
        key: its name in the code.
        sentence: what is claimed.
        source: who says so.
        sweep: the experiment whose sweep it rests on.
        measure: turns the evidence into cases, none where there is nothing to judge by.
        quantity: what the number of a case is.
        unit: of that number, in a word or two.
        criterion: from where on the claim counts as true, and where it counts as false; it quotes
            the thresholds of `measure`.
        repeated: what n counts.
        figure: the file name of the sweep's figure that shows it.
    """

    key: str
    sentence: Text
    source: Text
    sweep: str
    measure: Callable[[Evidence], Iterable[Case]]
    quantity: Text
    unit: Text
    criterion: Text
    repeated: Repeated
    figure: str


@dataclass(frozen=True)
class Finding:
    """What became of a claim.

    Attributes:
        claim: the claim.
        status: whether it holds.
        conditions: where it holds, if only in some cases: in each case that meets all parts of one
            of them.
        cases: what was measured.
    """

    claim: Claim
    status: Status
    conditions: Sequence[Sequence[Condition]]
    cases: Sequence[Case]


def find(claim: Claim, evidence: Evidence | None) -> Finding:
    """Judges a claim; without evidence it is not measured."""
    cases = _pooled(claim.measure(evidence)) if evidence else []
    status, conditions = decide(cases)
    return Finding(claim, status, conditions, cases)


def decide(cases: Sequence[Case]) -> tuple[Status, list[tuple[Condition, ...]]]:
    """The status of a claim by its cases, and the conditions under which it holds.

    It holds *only* under the conditions where it is false in all other cases. (Amended after a
    first sweep: cases that are undecided had been enough.)
    """
    true = [case for case in cases if case.holds]
    others = [case for case in cases if not case.holds]
    is_decided = all(case.holds is False for case in others)
    if not cases:
        return Status.NOT_MEASURED, []
    if not others:
        return Status.HOLDS, []
    if not true:
        return (Status.FAILS if is_decided else Status.UNDECIDED), []
    return (Status.ONLY_IF if is_decided else Status.HOLDS_IF), _conditions(true, others)


def _conditions(true: Sequence[Case], others: Sequence[Case]) -> list[tuple[Condition, ...]]:
    """Few and short conditions, such that every true case meets one and no other case meets any.

    The search is greedy: the next condition is always one that most of the remaining true cases
    meet, and of those one with the fewest factors.
    """
    names = list(true[0].where)
    possible: dict[tuple, set[int]] = {}
    for count in range(1, len(names) + 1):
        for i, chosen in itertools.product(range(len(true)), itertools.combinations(names, count)):
            key = tuple((name, true[i].where[name]) for name in chosen)
            if not any(set(key) <= set(other.where.items()) for other in others):
                possible.setdefault(key, set()).add(i)
    found, left = [], set(range(len(true)))
    while left:
        key = max(possible, key=lambda each: len(possible[each] & left))  # the first of equals
        left -= possible[key]
        found.append(tuple(value for _, value in key))
    return found


def _pooled(cases: Iterable[Case]) -> list[Case]:
    """One case for all that were measured under the same conditions: seeds have to agree."""
    places: dict[tuple, list[Case]] = {}
    for case in cases:
        places.setdefault(tuple(case.where.items()), []).append(case)
    return [found[0] if len(found) == 1 else _agreed(found) for found in places.values()]


def _agreed(found: Sequence[Case]) -> Case:
    answers = {case.holds for case in found}
    values = [case.value for case in found if case.value is not None]
    return Case(
        where=found[0].where,
        holds=answers.pop() if len(answers) == 1 else None,
        value=median(values) if values else None,
        interval=None,
        n=sum(case.n for case in found),
    )


def is_below(interval: Interval, threshold: float) -> bool | None:
    """True where a whole interval is below a threshold, False where it is above, None otherwise."""
    low, high = interval
    return True if high < threshold else False if low > threshold else None
