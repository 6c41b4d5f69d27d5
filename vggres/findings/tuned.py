"""Judges whether deeper networks fit worse when each one trains at its own best learning rate.

The *gap* of a family is the training loss of its deepest network over that of its best shallower
one, in decades, seed by seed: runs of one seed saw the data in the same order. The loss counts
because it has no floor; the error, which ends at 0 %, stands beside it. The shallower network is
chosen on the seeds that chose the rates, so that no luck of the judged seeds enters. `judge` gives
every family one status at each budget:

- `fails to train`: the deepest network fails more often than the shallower one;
- `degrades`: the gap is above `LOSS_MARGIN`, and that of the error is not below its own margin; or
  the gap of the error is above `ERROR_GAP`;
- `floor`: no run of either network errs by more than a point; rates are chosen by the validation
  loss, which says little of the training loss there, so that a gap tells of rates and not of depth;
- `does not degrade`: the gap is below `LOSS_MARGIN`, that of the error is below its own margin, and
  frequent failures are ruled out;
- `budget insufficient`: a positive control is not passed. The controls are the shallower network
  and one of the other family: for plain networks the deepest residual one, of which the runs that
  train also have to err by no more than `controls.CONTROL_MARGIN` above the best shallower one, for
  residual networks the best shallower plain one;
- `inconclusive`: none of these is shown; the number of seeds that would decide is forecast. So is
  a gap that the grid of rates may have made: where the best rate of the deepest network lies at the
  edge of the grid it may be no worse than the shallower one, and where that of the shallower one
  does, the gap may be larger.

What follows over all budgets is a matter of `budgets`.

How often the rules are wrong is simulated in `tests/findings/test_tuned.py`.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np

from vggres.findings.controls import CONTROL_MARGIN
from vggres.findings.estimates import (
    Interval,
    failure_p,
    proportion_bound,
    proportion_interval,
    seeds_for_interval,
    seeds_to_rule_out,
    t_interval,
)
from vggres.findings.outcomes import (
    CONFIDENCE,
    MARGIN,
    MIN_SEEDS,
    SIGNIFICANCE,
    TOLERATED_FAILURES,
    has_failed,
    is_at_floor,
    log_loss,
)
from vggres.results import Result

# In decades: a factor of two in the training loss, by convention. On digits (`--sweep rate`), the
# validation losses at the best rate of a grid and at its neighbours differ by factors of 1.1 to
# 2.5, so that a smaller gap may come from the grid.
LOSS_MARGIN = 0.3
# In points of training error. Where losses are high a factor of two is out of reach, because
# guessing among ten classes has no more than 2.3; a gap in the error of so many points counts
# there. It is wider than `MARGIN`, because a gap of a few points may come from the grid of rates.
ERROR_GAP = 5.0

DEGRADES = 'degrades'
FAILS = 'fails to train'
DOES_NOT = 'does not degrade'
INSUFFICIENT = 'budget insufficient'
INCONCLUSIVE = 'inconclusive'
FLOOR = 'floor'
WORSE = (DEGRADES, FAILS)
# The other family of which a network has to train where a family is judged, and whether it is the
# deepest one or the best shallower one.
_OTHER_CONTROL = {'plain': ('resnet', True), 'resnet': ('plain', False)}

Place = tuple[str, int, int]  # family, depth, budget


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: None without values.
        interval: of the mean; None where its spread cannot be estimated.
        values: one per seed, seeds ascending.
    """

    mean: float | None
    interval: Interval | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class Outcome:
    """What became of the runs of a network at a budget.

    Attributes:
        n: the number of runs.
        failed: how many of them failed to train.
        failure_interval: of the probability that a run fails, by Clopper and Pearson; None without
            runs.
        median_loss: of the training loss; failed runs count with no more than guessing's.
        median_error: the median training error in percent.
    """

    n: int
    failed: int
    failure_interval: Interval | None
    median_loss: float | None
    median_error: float | None


@dataclass(frozen=True)
class Gap:
    """The deepest network of a family against its best shallower one, at one budget.

    Attributes:
        family: 'plain' or 'resnet'.
        budget: in multiples of the smallest one.
        status: 'degrades', 'fails to train', 'does not degrade', 'floor', 'budget insufficient' or
            'inconclusive'.
        reason: a sentence or more.
        deepest: the greatest depth.
        shallower: the depth of the best shallower network.
        seeds: those that both networks have, ascending.
        loss: in decades, deepest minus shallower.
        error: in percentage points, deepest minus shallower.
        error_status: 'degrades' or 'does not degrade' where the interval of the error is above or
            below `outcomes.MARGIN`; 'floor' where no run of either network errs by more than that,
            so that the error cannot tell them apart; 'inconclusive' otherwise.
        failed: how many runs of the deepest and of the shallower network failed.
        failure_p: the p-value of "the deepest network fails no more often than the shallower one";
            None without seeds.
        seeds_needed: where it is inconclusive, a forecast of the seeds that would decide; None
            where nothing can be forecast.
        at_edge: which of the two networks, the deepest and the shallower one, have a rate at an
            edge of the grid.
    """

    family: str
    budget: int
    status: str
    reason: str
    deepest: int
    shallower: int
    seeds: tuple[int, ...]
    loss: Estimate
    error: Estimate
    error_status: str
    failed: tuple[int, int]
    failure_p: float | None
    seeds_needed: int | None
    at_edge: tuple[bool, bool]


def outcome(runs: Sequence[Result]) -> Outcome:
    """What became of the runs of one network at one budget."""
    failed = sum(map(has_failed, runs))
    if not runs:
        return Outcome(0, 0, None, None, None)
    return Outcome(
        n=len(runs),
        failed=failed,
        failure_interval=proportion_interval(failed, len(runs), CONFIDENCE),
        median_loss=10 ** median(map(capped_log_loss, runs)),
        median_error=median(run.train_error for run in runs),
    )


def best_shallower(runs: Mapping[int, Sequence[Result]]) -> int | None:
    """The depth of the shallower network with the lowest mean of log10(training loss).

    Args:
        runs: those of the tuning seeds by depth, each network at its own rate.

    Returns:
        None where a depth has no run. Of equal networks the shallowest.
    """
    shallower = sorted(runs)[:-1]
    if not shallower or not all(runs.values()):
        return None
    return min(shallower, key=lambda depth: fmean(map(capped_log_loss, runs[depth])))


def capped_log_loss(run: Result) -> float:
    """log10 of the training loss; a run that ended above guessing counts as guessing."""
    return min(log_loss(run), math.log10(math.log(run.num_classes)))


def judge(
    runs: Mapping[Place, Sequence[Result]],
    shallower: Mapping[tuple[str, int], int],
    at_edge: Collection[Place] = (),
) -> list[Gap]:
    """Judges the gap of each family at each budget.

    Args:
        runs: those of the fresh seeds by family, depth and budget, each network at its own rate;
            an empty list for a network that has none yet.
        shallower: the depth of the best shallower network by family and budget. Families and
            budgets that it lacks are left out.
        at_edge: the networks, at a budget, whose rate is the lowest or the highest of the grid.
    """
    gaps = []
    for family, budget in sorted(shallower):
        depths = _deepest(runs, family), shallower[family, budget]
        control = _failed_control(runs, shallower, family, budget)
        deepest, best = ((family, depth, budget) in at_edge for depth in depths)
        gaps.append(_judged(runs, (family, budget), depths, control, (deepest, best)))
    return gaps


def _judged(
    runs: Mapping[Place, Sequence[Result]],
    at: tuple[str, int],
    depths: tuple[int, int],
    control: str,
    edges: tuple[bool, bool],
) -> Gap:
    (family, budget), (deepest, best) = at, depths
    pairs = _pairs(runs[family, deepest, budget], runs[family, best, budget])
    deep, shallow = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    losses = [capped_log_loss(a) - capped_log_loss(b) for a, b in pairs]
    errors = [a.train_error - b.train_error for a, b in pairs]
    failed = np.array([[has_failed(b), has_failed(a)] for a, b in pairs], bool).reshape(-1, 2)
    status, reason, needed = _status(np.array(losses), failed, control, depths)
    error_status = _error_status(errors, [run.train_error for run in (*deep, *shallow)])
    if status in (DEGRADES, DOES_NOT, INCONCLUSIVE) and len(pairs) >= MIN_SEEDS:
        status, reason = _beside_error(status, reason, estimate(errors), error_status)
    if status != INCONCLUSIVE:
        needed = None
    for depth, is_at_edge, unfair in zip(depths, edges, (WORSE, (DOES_NOT,)), strict=True):
        if is_at_edge and status in unfair:
            status, reason = INCONCLUSIVE, f'It would be "{status}", but {_beyond(depth)}'
    return Gap(
        family=family,
        budget=budget,
        status=status,
        reason=reason,
        deepest=deepest,
        shallower=best,
        seeds=tuple(run.seed for run in deep),
        loss=estimate(losses),
        error=estimate(errors),
        error_status=error_status,
        failed=(int(failed[:, 1].sum()), int(failed[:, 0].sum())),
        failure_p=failure_p(failed) if len(failed) else None,
        seeds_needed=needed,
        at_edge=edges,
    )


def _beside_error(status: str, reason: str, error: Estimate, of_error: str) -> tuple[str, str]:
    """The status by the loss, and its reason, after a look at the error."""
    if of_error == FLOOR and status == DEGRADES:
        return (
            FLOOR,
            f'No run errs by more than {MARGIN:g} %, where a gap in the loss tells of rates.',
        )
    if status != DEGRADES and error.interval and error.interval[0] > ERROR_GAP:
        return DEGRADES, f'The gap of the error is above {ERROR_GAP:g} points.'
    loss_alone = reason.rstrip('.')
    if status == DEGRADES and of_error == DOES_NOT:
        return INCONCLUSIVE, f'{loss_alone}, but that of the error is below {MARGIN:g} point.'
    # Errors that differ alike in all seeds have no interval, and the loss has one.
    is_alike = error.interval is None and error.mean is not None and error.mean < MARGIN
    if status == DOES_NOT and of_error not in (DOES_NOT, FLOOR) and not is_alike:
        return INCONCLUSIVE, f'{loss_alone}, but that of the error is not below {MARGIN:g} point.'
    return status, reason


def estimate(values: Sequence[float]) -> Estimate:
    """The mean of some values, one per seed, with Student's interval."""
    sample = np.array(values, float)
    mean = float(sample.mean()) if len(sample) else None
    return Estimate(mean, t_interval(sample, CONFIDENCE), tuple(map(float, values)))


def _deepest(runs: Mapping[Place, Sequence[Result]], family: str) -> int:
    return max(depth for name, depth, _ in runs if name == family)


def _pairs(first: Sequence[Result], second: Sequence[Result]) -> list[tuple[Result, Result]]:
    """The runs of the seeds that both networks have, seeds ascending."""
    one, other = ({run.seed: run for run in runs} for runs in (first, second))
    return [(one[seed], other[seed]) for seed in sorted(one.keys() & other.keys())]


def _failed_control(
    runs: Mapping[Place, Sequence[Result]],
    shallower: Mapping[tuple[str, int], int],
    family: str,
    budget: int,
) -> str:
    """The positive control that is not passed, in words; '' for none.

    A control trains in more than half of its runs. Of those that train, the deepest residual
    network also errs by no more than `CONTROL_MARGIN` above the best shallower one: where it does
    not, the budget is too short for depth of any kind, and what plain networks do says nothing of
    them.
    """
    controls = [(family, shallower[family, budget])]
    other, is_deepest = _OTHER_CONTROL[family]
    if (other, budget) in shallower:
        depth = _deepest(runs, other) if is_deepest else shallower[other, budget]
        controls.append((other, depth))
    for name, depth in controls:
        found = runs[name, depth, budget]
        failed = sum(map(has_failed, found))
        if found and 2 * failed >= len(found):
            return f'{name}-{depth} failed to train in {failed} of {len(found)} runs'
    if not is_deepest or (other, budget) not in shallower:
        return ''
    deepest, best = _deepest(runs, other), shallower[other, budget]
    deep, shallow = (
        [run for run in runs[other, depth, budget] if not has_failed(run)]
        for depth in (deepest, best)
    )
    if not deep or not shallow:
        return ''
    errors = [fmean(run.train_error for run in found) for found in (deep, shallow)]
    if errors[0] <= errors[1] + CONTROL_MARGIN:
        return ''
    return (
        f'the training error of {other}-{deepest} is {errors[0]:.1f} %, that of {other}-{best} '
        f'{errors[1]:.1f} %'
    )


def _status(
    losses: np.ndarray, failed: np.ndarray, control: str, depths: tuple[int, int]
) -> tuple[str, str, int | None]:
    """The status of a gap, the reason, and the seeds that would decide.

    Args:
        losses: `[num_seeds]`, decades.
        failed: `[num_seeds, 2]`, whether the shallower and the deepest network failed.
        control: what `_failed_control` found.
        depths: the greatest, and that of the shallower network.
    """
    n, (deepest, best) = len(losses), depths
    if control:
        reason = f'A positive control is not passed: {control}.'
        return INSUFFICIENT, reason, None
    if n < MIN_SEEDS:
        reason = f'{_seeds(n)} both depths; at least {MIN_SEEDS} are needed.'
        return INCONCLUSIVE, reason, MIN_SEEDS
    p, (few, many) = failure_p(failed), failed.sum(axis=0).tolist()
    if p <= SIGNIFICANCE:
        reason = (
            f'Depth {deepest} failed to train in {many} of {n} runs, depth {best} in {few} '
            f'(exact test: p = {p:.2g}). Failure to train is not degradation.'
        )
        return FAILS, reason, None
    interval = t_interval(losses, CONFIDENCE)
    if interval is None:
        reason = 'The gap is the same in all seeds, so that its spread cannot be estimated.'
        return INCONCLUSIVE, reason, n + 1
    if interval[0] > LOSS_MARGIN:
        return DEGRADES, f'The gap is above the margin of {LOSS_MARGIN:g} decades.', None
    bound = proportion_bound(many, n, 1 - SIGNIFICANCE)
    ruled_out = seeds_to_rule_out(many, n, TOLERATED_FAILURES, 1 - SIGNIFICANCE)
    failures = (
        f'depth {deepest} failed in {many} of {n} runs, so P(fail) is at most {100 * bound:.0f} %'
    )
    if interval[1] >= LOSS_MARGIN:
        reason = f'The interval of the gap contains the margin of {LOSS_MARGIN:g} decades.'
        needed = seeds_for_interval(losses, LOSS_MARGIN, CONFIDENCE)
        if needed and losses.mean() < LOSS_MARGIN:
            needed = max(needed, ruled_out)
    elif bound < TOLERATED_FAILURES:
        reason = f'The gap is below the margin of {LOSS_MARGIN:g} decades, and {failures}.'
        return DOES_NOT, reason, None
    else:
        reason = (
            f'The gap is below the margin of {LOSS_MARGIN:g} decades, but {failures}, which is '
            f'not below {100 * TOLERATED_FAILURES:.0f} %.'
        )
        needed = ruled_out
    return INCONCLUSIVE, f'{reason} {_forecast(needed)}', needed


def _beyond(depth: int) -> str:
    return (
        f'the best rate of depth {depth} lies at the edge of the grid, and a better one may lie '
        'beyond: widen sweep.rates.'
    )


def _seeds(n: int) -> str:
    return {0: 'No seed has', 1: 'Only 1 seed has'}.get(n, f'Only {n} seeds have')


def _forecast(needed: int | None) -> str:
    if needed is None:
        return 'More seeds than can be forecast would be needed to decide.'
    return f'If all goes on like this, {needed} seeds will decide.'


def _error_status(differences: Sequence[float], errors: Sequence[float]) -> str:
    if len(differences) < MIN_SEEDS:
        return INCONCLUSIVE
    if is_at_floor(errors):
        return FLOOR
    interval = t_interval(np.array(differences), CONFIDENCE)
    if interval and interval[0] > MARGIN:
        return DEGRADES
    return DOES_NOT if interval and interval[1] < MARGIN else INCONCLUSIVE
