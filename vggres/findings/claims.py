"""Judges claims of the popular story by what finished sweeps have measured.

    more layers fit better → yet plain networks get worse → because the gradient shrinks on its way
    back → which a shortcut, whose derivative is 1, prevents → so residual networks gain from depth

Each experiment states its claims; nothing here knows an experiment. A claim rests on one primary
contrast, which is measured under each level of the factors that the claim declares, if any. It is
stated as true at all of them, so that one decided counterexample refutes it. Everything else that a
claim shows is descriptive and decides nothing.

A contrast decides where its two-sided p-value is below `contrasts.LEVEL` after Holm's adjustment
for all contrasts that the story declares, whether or not they were measured: what one sweep shows
must not depend on which others were run. So any of them is decided wrongly in at most that part of
all cases.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vggres.findings.contrasts import (
    LEVEL,
    Barrier,
    Condition,
    Contrast,
    Counted,
    Status,
    Text,
    barred,
    holm,
    n_to_decide,
    two_sided,
)
from vggres.findings.controls import Control
from vggres.results import Result


@dataclass(frozen=True)
class Evidence:
    """A finished sweep, as a claim sees it.

    Attributes:
        results: of its cells.
        verdict: what its experiment's `analyse` returned, a dataclass of that experiment.
        planned: the depths planned for each variant.
        frozen: the commit that fixed all margins before anybody looked at results on these data;
            None where a margin was chosen or amended afterwards, so that findings are exploratory.
    """

    results: Sequence[Result]
    verdict: Any
    planned: Mapping[str, Collection[int]]
    frozen: str | None = None


@dataclass(frozen=True)
class Description:
    """A number that stands beside a claim and decides nothing.

    Attributes:
        what: it is, with its unit.
        where: the conditions that it was measured under.
        value: the number; None where the run diverged before it was measured.
        n: how many measurements it is the mean or the median of.
        counted: what n counts.
    """

    what: Text
    where: Mapping[str, Condition]
    value: float | None
    n: int
    counted: Counted


@dataclass(frozen=True)
class Picture:
    """A figure of a sweep.

    Attributes:
        name: of its file, without the ending.
        caption: what it shows, whatever that is; it asserts nothing.
    """

    name: str
    caption: Text


@dataclass(frozen=True)
class Claim:
    """A sentence of the story, and how it is judged.

    Attributes:
        key: its name in the code.
        sentence: what is claimed.
        source: who says so.
        sweep: the experiment whose sweep it rests on.
        contrasts: measures the primary contrast, once for each level of the declared factors.
        control: says whether the networks trained that have to.
        factors: that the claim is declared over; conditions are stated over these alone.
        levels: the most combinations of their levels that the default sweep may measure; 1 without
            factors.
        quantity: what the number of the primary contrast is.
        unit: of that number, in a word or two.
        criterion: where the claim is true and where it is false; it quotes the margin and says why
            it is what it is.
        counted: what n counts.
        figure: that goes with it.
        describe: gives numbers beside the primary contrast.
    """

    key: str
    sentence: Text
    source: Text
    sweep: str
    contrasts: Callable[[Evidence], Sequence[Contrast]]
    control: Callable[[Evidence], Control]
    factors: Sequence[str]
    quantity: Text
    unit: Text
    criterion: Text
    counted: Counted
    figure: Picture
    describe: Callable[[Evidence], Iterable[Description]] = lambda evidence: ()
    levels: int = 1


@dataclass(frozen=True)
class Judged:
    """What became of a contrast.

    Attributes:
        contrast: the contrast.
        answer: whether the claim is true here; None where that is not decided.
        p: two-sided, adjusted for all contrasts of the story; None behind a barrier.
        needed: the n that would decide, where a larger one can; None otherwise.
    """

    contrast: Contrast
    answer: bool | None
    p: float | None
    needed: int | None


@dataclass(frozen=True)
class Finding:
    """What became of a claim.

    Attributes:
        claim: the claim.
        status: what it comes to.
        control: its positive control; None where the sweep was not run.
        judged: its contrasts, at least one unless the sweep was not run.
        descriptions: the numbers beside them.
        frozen: see `Evidence`.
    """

    claim: Claim
    status: Status
    control: Control | None
    judged: Sequence[Judged]
    descriptions: Sequence[Description]
    frozen: str | None = None

    @property
    def primary(self) -> list[Judged]:
        """The contrasts that make the status what it is, the clearest first.

        A universal sentence rests on its weakest level where it holds, and on its clearest
        counterexample where it fails.
        """
        by_p = sorted(self.judged, key=lambda each: 1.0 if each.p is None else each.p)
        true = [each for each in by_p if each.answer is True]
        false = [each for each in by_p if each.answer is False]
        undecided = [each for each in by_p if each.answer is None]
        undecided.sort(key=lambda each: each.contrast.value is None)
        return {
            Status.HOLDS: true[-1:],
            Status.FAILS: false[:1],
            Status.MIXED: true[:1] + false[:1],
        }.get(self.status, undecided[:1])


def judge(claims: Sequence[Claim], evidence: Mapping[str, Evidence]) -> list[Finding]:
    """Judges all claims of a story together.

    Args:
        claims: the story.
        evidence: of the sweeps that are there, by name.

    Returns:
        A finding for each claim.
    """
    controls = [
        claim.control(evidence[claim.sweep]) if claim.sweep in evidence else None
        for claim in claims
    ]
    measured = [
        _measured(claim, evidence.get(claim.sweep), control)
        for claim, control in zip(claims, controls, strict=True)
    ]
    family = [two_sided(contrast) for contrasts in measured for contrast in contrasts]
    declared = zip(claims, measured, strict=True)
    unmeasured = sum(max(0, claim.levels - len(contrasts)) for claim, contrasts in declared)
    adjusted = iter(holm(family + [1.0] * unmeasured))
    level = LEVEL / (len(family) + unmeasured)
    findings = []
    for claim, control, contrasts in zip(claims, controls, measured, strict=True):
        judged = [_judged(each, next(adjusted), level) for each in contrasts]
        found = evidence.get(claim.sweep)
        findings.append(
            Finding(
                claim=claim,
                status=status(judged),
                control=control,
                judged=judged if found else [],
                descriptions=list(claim.describe(found)) if found else [],
                frozen=found.frozen if found else None,
            )
        )
    return findings


def _measured(
    claim: Claim, evidence: Evidence | None, control: Control | None
) -> Sequence[Contrast]:
    """The contrasts of a claim, at least one, behind a barrier where its control is not passed."""
    if evidence is None or control is None:
        return [barred(Status.NOT_MEASURED, {'en': 'no sweep', 'zh': '没有实验'})]
    contrasts = claim.contrasts(evidence)
    for contrast in contrasts:
        if set(contrast.where) - set(claim.factors):
            raise ValueError(f'{claim.key} has conditions over factors that it does not declare')
    if control.passed:
        nothing = {'en': 'the sweep lacks the networks', 'zh': '实验中没有所需的网络'}
        return contrasts or [barred(Status.NOT_MEASURED, nothing)]
    stopped = Status.NOT_MEASURED if control.passed is None else Status.BUDGET
    return [
        _behind(Barrier(stopped, control.words), contrast) for contrast in contrasts or [Contrast()]
    ]


def _behind(barrier: Barrier, contrast: Contrast) -> Contrast:
    """A contrast behind a barrier; what was not measured at all keeps its own reason."""
    if contrast.barrier and contrast.barrier.status is Status.NOT_MEASURED:
        return contrast
    return dataclasses.replace(contrast, barrier=barrier)


def _judged(contrast: Contrast, p: float, level: float) -> Judged:
    if contrast.barrier:
        return Judged(contrast, None, None, None)
    if p < LEVEL:
        return Judged(contrast, contrast.p_true < contrast.p_false, p, None)
    # A remark says what stands in the way, which more values like these would not remove.
    needed = None if contrast.remark else n_to_decide(contrast, level)
    # So does something else than the spread where this n would be enough already.
    return Judged(contrast, None, p, needed if needed and needed > contrast.n else None)


def status(judged: Sequence[Judged]) -> Status:
    """What contrasts come to, for a claim that is stated as true under all of their conditions.

    - `holds` where it is decided to be true under all of them;
    - `mixed` where it is decided to be true under some and false under others;
    - `fails` where it is false under some and true under none;
    - the status of the barriers where nothing else could decide;
    - `inconclusive` otherwise.

    Args:
        judged: at least one.
    """
    answers = [each.answer for each in judged]
    if False in answers:
        return Status.MIXED if True in answers else Status.FAILS
    if all(answers):
        return Status.HOLDS
    barriers = [each.contrast.barrier.status for each in judged if each.contrast.barrier]
    if len(barriers) == len(judged):
        order = (Status.BUDGET, Status.FLOOR, Status.NOT_MEASURED)
        return min(barriers, key=order.index)
    return Status.INCONCLUSIVE
