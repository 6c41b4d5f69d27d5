"""Judges whether a deeper network trains worse than a shallower one, and in which way.

Two things can happen to a deep network. It may *fail to train*: after all updates its training
error is still half of that of guessing or more. Or it trains, and its training error is higher than
that of a shallower network; He et al. 2015 (arXiv 1512.03385, §1 and §4.2) call this *degradation*.
Outcomes are bimodal, so the two are counted apart: failures by their number, degradation among the
runs that trained. `decide` gives every variant one of five statuses:

- `fails to train`: the deepest network fails more often than shallower ones;
- `degrades`: where both train, the excess error of the deepest network is more than `MARGIN`;
- `does not degrade`: the excess is less than `MARGIN`, and frequent failures are ruled out;
- `inconclusive`: none of these is shown; the number of seeds that would decide is forecast;
- `budget insufficient`: the shallower networks, which are the positive control, do not train.

Errors are percentages and differences are percentage points. The seeds are paired: runs of one seed
saw the data in the same order.

How often the rules are wrong is simulated in `tests/findings/test_verdict.py`, with three, five and
eight seeds. Where the deepest network is no worse than the best shallower one, `degrades` is
given in less than 2.5 % of sweeps and `fails to train` in at most 5 %. Where the excess is just the
margin, `does not degrade` is given in less than 5 %. A network that fails in 30 % of its runs is
never called `does not degrade` with fewer than eight seeds, and in 0.7⁸ = 5.8 % of sweeps with
eight. What no rule can see: a failure that happens once in twenty runs, and happened in none of
eight. Student's interval also needs an excess that is not strongly skewed to the left.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vggres.errors import unknown
from vggres.findings.by_depth import TARGET_ERROR, DepthOutcome, evaluated, networks, resolution
from vggres.findings.estimates import (
    Interval,
    best_shallower,
    excess_without_hindsight,
    exchangeability_p,
    failure_p,
    has_spread,
    proportion_bound,
    proportion_interval,
    seeds_for_failures,
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
    Outcomes,
    Table,
    complete,
    failing_error,
    outcomes_of,
    tabulate,
)
from vggres.findings.pairs import Difference, difference
from vggres.findings.phrases import interval_in_words, p_in_words, percent_interval, points
from vggres.results import Curve, Result

METRIC_WORDS = {
    'train_error': 'training error',
    'validation_error': 'validation error',
    'test_error': 'test error',
}


@dataclass(frozen=True)
class LossChange:
    """How the training loss of the deepest network differs from that of the best shallower one.

    Attributes:
        decades: the mean over seeds of the difference of log10(loss), deepest minus shallower.
        confidence_interval: of that mean; None where the spread cannot be estimated.
        best_shallower: the depth of the shallower network with the lowest mean of log10(loss).
        n: the number of seeds that trained at both depths.
    """

    decades: float
    confidence_interval: Interval | None
    best_shallower: int
    n: int


@dataclass(frozen=True)
class VariantVerdict:
    """The verdict on one variant; what cannot be computed is None.

    Attributes:
        verdict: 'degrades', 'fails to train', 'does not degrade', 'inconclusive' or 'budget
            insufficient'.
        reason: a sentence or more.
        excess_error: of the deepest network over the best shallower one, in percentage points: the
            mean over the seeds that trained at both.
        confidence_interval: of the excess; None where the spread cannot be estimated.
        trained: the number of seeds that trained at both depths.
        failure_p: the p-value of "the deepest network fails no more often than any shallower one".
        loss: the change of the training loss, which has no floor.
        exchangeability_p: the p-value of "depth does not matter" (see `estimates`). No status
            rests on it.
        seeds_needed: where it is inconclusive, a forecast of the seeds that would decide.
        n: the number of seeds that have every depth.
        depths: ascending.
        mean_error: in percent, one per depth, failed runs included.
        deepest: the greatest depth.
        best_shallower: the depth of the shallower network with the lowest mean error.
        networks: what became of the runs, one entry per depth that has any.
    """

    verdict: str
    reason: str
    excess_error: float | None
    confidence_interval: Interval | None
    trained: int
    failure_p: float | None
    loss: LossChange | None
    exchangeability_p: float | None
    seeds_needed: int | None
    n: int
    depths: tuple[int, ...]
    mean_error: tuple[float | None, ...]
    deepest: int
    best_shallower: int | None
    networks: tuple[DepthOutcome, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What `decide` finds in a sweep.

    Attributes:
        metric: the error that it judges by, as a field of `results.Result`.
        confidence: the level of all intervals.
        margin: the excess, in percentage points, that separates degrading from not degrading.
        significance: the one-sided level of the exact test of failures.
        tolerated_failures: the P(fail) that `does not degrade` rules out.
        failing_error: the training error in percent from which on a run has failed; None without
            results.
        target_error: the training error in percent by which the speed of training is measured.
        resolution: the number of updates between two looks at the training error; None where
            unknown.
        learning_rate: that all runs share; None where they do not, or it is unknown.
        updates: the budget that all runs share; None where they do not.
        variants: the verdict on each variant by its name.
        differences: of the pairs of variants that can be compared.
    """

    metric: str
    confidence: float
    margin: float
    significance: float
    tolerated_failures: float
    failing_error: float | None
    target_error: float
    resolution: int | None
    learning_rate: float | None
    updates: int | None
    variants: Mapping[str, VariantVerdict]
    differences: tuple[Difference, ...]


def judge(outcomes: Outcomes, depths: Sequence[int]) -> VariantVerdict:
    """Judges one variant by its complete seeds.

    The best shallower network is the one with the lowest mean error. The excess is that of the
    deepest network over it, among the seeds that trained at both. The rules apply in this order:

    - `inconclusive` with fewer than two depths or `MIN_SEEDS` seeds;
    - `budget insufficient` if the best shallower network failed in half of its runs or more;
    - `fails to train` if `estimates.failure_p` is at most `SIGNIFICANCE`;
    - `degrades` if the interval of the excess is above `MARGIN`, also without hindsight;
    - `does not degrade` if the interval is below `MARGIN` and P(fail) of the deepest network below
      `TOLERATED_FAILURES`, each with its level;
    - `inconclusive` otherwise.

    Where the excess is the same in all seeds, its spread cannot be estimated and there is no
    interval. It counts as above the margin if so many seeds lie above that chance would put them
    there in at most 2.5 % of cases if half of all seeds did (six seeds), and as below if all seeds
    lie below, so that the rest is left to the bound on P(fail).

    Args:
        outcomes: of complete seeds only, possibly none.
        depths: ascending, one per column.
    """
    num_seeds, num_depths = outcomes.errors.shape
    judged = _described(outcomes, depths)
    if num_depths < 2:
        reason = f'Depth {depths[0]} is the only one, so there is no shallower network.'
        return dataclasses.replace(judged, reason=reason)
    if num_seeds < MIN_SEEDS:
        number = f'Only {num_seeds}' if num_seeds else 'No'
        seeds = 'seed has' if num_seeds == 1 else 'seeds have'
        reason = f'{number} {seeds} every depth; at least {MIN_SEEDS} are needed.'
        return dataclasses.replace(judged, reason=reason, seeds_needed=MIN_SEEDS)
    verdict, because, needed = _status(outcomes, judged)
    return dataclasses.replace(judged, verdict=verdict, reason=because, seeds_needed=needed)


def _described(outcomes: Outcomes, depths: Sequence[int]) -> VariantVerdict:
    """All numbers of a verdict, and no decision yet."""
    num_seeds, num_depths = outcomes.errors.shape
    means = outcomes.errors.mean(axis=0).tolist() if num_seeds else [None] * num_depths
    judged = VariantVerdict(
        verdict='inconclusive',
        reason='',
        excess_error=None,
        confidence_interval=None,
        trained=0,
        failure_p=None,
        loss=None,
        exchangeability_p=None,
        seeds_needed=None,
        n=num_seeds,
        depths=tuple(depths),
        mean_error=tuple(means),
        deepest=depths[-1],
        best_shallower=None,
    )
    if num_depths < 2 or not num_seeds:
        return judged
    sample = _excess_of_trained(outcomes)
    return dataclasses.replace(
        judged,
        excess_error=float(sample.mean()) if len(sample) else None,
        confidence_interval=t_interval(sample, CONFIDENCE),
        trained=len(sample),
        failure_p=failure_p(outcomes.failed),
        loss=_loss_change(outcomes, depths),
        exchangeability_p=exchangeability_p(outcomes.errors),
        best_shallower=depths[best_shallower(outcomes.errors)],
    )


def _excess_of_trained(outcomes: Outcomes) -> np.ndarray:
    """The excess error of the seeds that trained at both depths, `[trained]`."""
    best = best_shallower(outcomes.errors)
    rows = outcomes.errors[~outcomes.failed[:, [best, -1]].any(axis=1)]
    return rows[:, -1] - rows[:, best]


def _loss_change(outcomes: Outcomes, depths: Sequence[int]) -> LossChange | None:
    best = best_shallower(outcomes.log_losses)
    rows = outcomes.log_losses[~outcomes.failed[:, [best, -1]].any(axis=1)]
    sample = rows[:, -1] - rows[:, best]
    if not len(sample):
        return None
    interval = t_interval(sample, CONFIDENCE)
    return LossChange(float(sample.mean()), interval, depths[best], len(sample))


def _status(outcomes: Outcomes, judged: VariantVerdict) -> tuple[str, str, int | None]:
    """The status where there are enough seeds and depths, the reason, and the seeds needed."""
    failures = outcomes.failed.sum(axis=0).tolist()
    best = best_shallower(outcomes.errors)
    n, deepest, control = judged.n, judged.deepest, judged.best_shallower
    if 2 * failures[best] >= n:
        reason = (
            f'Depth {control}, the best shallower network, failed to train in '
            f'{failures[best]} of {n} runs. Where the control does not train, nothing can be said '
            'about depth.'
        )
        return 'budget insufficient', reason, None
    p = 1.0 if judged.failure_p is None else judged.failure_p
    if p <= SIGNIFICANCE:
        reason = (
            f'Depth {deepest} failed to train in {failures[-1]} of {n} runs (probability of '
            f'failure: {percent_interval(proportion_interval(failures[-1], n, CONFIDENCE))}), the '
            f'shallower networks together in {sum(failures[:-1])} of {n * (len(failures) - 1)} '
            f'(exact test: {p_in_words(p)}). Failure to train is not degradation.'
        )
        return 'fails to train', reason, None
    excess_words = _excess_in_words(judged)
    sample = _excess_of_trained(outcomes)
    if len(sample) >= MIN_SEEDS and _is_above_margin(sample):
        return _above_the_margin(outcomes, judged, excess_words)
    bound = proportion_bound(failures[-1], n, 1 - SIGNIFICANCE)
    failed = (
        f'It failed to train in {failures[-1]} of {n} runs, which leaves a probability of failure '
        f'of up to {100 * bound:.0f} % (one-sided {100 * (1 - SIGNIFICANCE):g} %)'
    )
    is_below = len(sample) >= MIN_SEEDS and _is_below_margin(sample)
    if is_below and bound < TOLERATED_FAILURES:
        reason = f'{excess_words}, so any excess is below the margin of {MARGIN:g}. {failed}.'
        return 'does not degrade', reason, None
    needed = _seeds_needed(outcomes, sample)
    if failures[-1] > failures[best] or len(sample) < MIN_SEEDS:
        reason = (
            f'Depth {deepest} failed to train in {failures[-1]} of {n} runs and depth {control} in '
            f'{failures[best]}, which does not show that it fails more often (exact test: '
            f'{p_in_words(p)}).'
        )
    elif is_below:
        allowed = f'less than {100 * TOLERATED_FAILURES:.0f} % is asked for'
        reason = f'{excess_words}. {failed}; {allowed}.'
    else:
        reason = (
            f'{excess_words}, which leaves open on which side of the margin of {MARGIN:g} it is.'
        )
    return 'inconclusive', f'{reason} {_forecast(needed, judged)}', needed


def _above_the_margin(
    outcomes: Outcomes, judged: VariantVerdict, excess_words: str
) -> tuple[str, str, int | None]:
    """`degrades`, unless the best shallower network may owe its place to luck."""
    best = best_shallower(outcomes.errors)
    rows = outcomes.errors[~outcomes.failed[:, [best, -1]].any(axis=1)]
    fair = excess_without_hindsight(rows)
    if _is_above_margin(fair):
        return 'degrades', f'{excess_words}, which is above the margin of {MARGIN:g}.', None
    interval = t_interval(fair, CONFIDENCE)
    needed = seeds_for_interval(fair, MARGIN, CONFIDENCE)
    reason = (
        f'{excess_words}, but it is not above the margin of {MARGIN:g} once the best shallower '
        'network is chosen on other seeds than those it is scored on'
        f'{f" ({interval_in_words(interval)})" if interval else ""}.'
    )
    return 'inconclusive', f'{reason} {_forecast(needed, judged)}', needed


def _is_above_margin(sample: np.ndarray) -> bool:
    interval = t_interval(sample, CONFIDENCE)
    if interval:
        return interval[0] > MARGIN
    return bool(sample[0] > MARGIN) and 0.5 ** len(sample) <= (1 - CONFIDENCE) / 2


def _is_below_margin(sample: np.ndarray) -> bool:
    interval = t_interval(sample, CONFIDENCE)
    return interval[1] < MARGIN if interval else bool(sample[0] < MARGIN)


def _seeds_needed(outcomes: Outcomes, sample: np.ndarray) -> int | None:
    """A forecast of the seeds that decide, if all goes on as it went; None where it says nothing.

    Args:
        outcomes: of the variant.
        sample: the excess of the seeds that trained.
    """
    n, failures = len(outcomes.failed), outcomes.failed.sum(axis=0)
    if failures[-1] > failures[best_shallower(outcomes.errors)] or len(sample) < MIN_SEEDS:
        return seeds_for_failures(outcomes.failed, SIGNIFICANCE)
    if not has_spread(sample):
        by_excess = math.ceil(-math.log2((1 - CONFIDENCE) / 2)) if sample[0] > MARGIN else n
    else:
        by_excess = seeds_for_interval(sample, MARGIN, CONFIDENCE)
    if sample.mean() >= MARGIN or by_excess is None:
        return by_excess
    by_failures = seeds_to_rule_out(int(failures[-1]), n, TOLERATED_FAILURES, 1 - SIGNIFICANCE)
    return max(by_excess, by_failures)


def _forecast(needed: int | None, judged: VariantVerdict) -> str:
    if needed is None or needed <= judged.n:
        return 'More seeds than can be forecast would be needed to decide.'
    return f'If all goes on like this, {needed} seeds will decide.'


def decide(
    results: Iterable[Result],
    metric: str = 'train_error',
    planned: Mapping[str, Iterable[int]] | None = None,
    pairs: Iterable[tuple[str, str]] = (('plain', 'resnet'),),
    curves: Iterable[Curve] = (),
    learning_rate: float | None = None,
) -> Verdict:
    """Judges every variant of a sweep, and compares pairs of variants.

    A variant is a family, or a family with other options than the rest of the sweep. A seed counts
    for it only if it has every depth that was planned for it. A pair is compared, seed by seed,
    over the depths that both variants have and the seeds that have them all; pairs with fewer than
    two such depths or no such seed are left out.

    Args:
        results: one per training run. A diverged run counts with the error of guessing,
            100 · (1 − 1/classes), and with its loss.
        metric: the error to judge by: 'train_error', 'validation_error' or 'test_error'. Whether a
            run failed to train is always seen from the training error.
        planned: the depths that each variant was to be run at, so that runs that were lost cannot
            make a smaller grid of the sweep; None: the depths that the results have.
        pairs: the variants to compare.
        curves: the epochs of the runs, from which the updates to `TARGET_ERROR` are read.
        learning_rate: that all runs share, for the words.

    Raises:
        UserError: for an unknown metric, for an error that is not a finite number, and for two runs
            of the same variant, depth and seed.
    """
    results = list(results)
    if metric not in METRIC_WORDS:
        raise unknown('metric', metric, METRIC_WORDS)
    tables = tabulate(results, metric)
    if planned is None:
        planned = {
            variant: {d for row in table.values() for d in row}
            for variant, table in sorted(tables.items())
        }
    depths_of = {variant: sorted(depths) for variant, depths in planned.items()}
    records = {curve.cell: evaluated(curve) for curve in curves}
    budgets = {result.steps for result in results}
    return Verdict(
        metric=metric,
        confidence=CONFIDENCE,
        margin=MARGIN,
        significance=SIGNIFICANCE,
        tolerated_failures=TOLERATED_FAILURES,
        failing_error=failing_error(results[0].num_classes) if results else None,
        target_error=TARGET_ERROR,
        resolution=resolution(records.values()),
        learning_rate=learning_rate,
        updates=budgets.pop() if len(budgets) == 1 else None,
        variants={
            variant: dataclasses.replace(
                _judge_variant(tables.get(variant, {}), depths, metric),
                networks=networks(tables.get(variant, {}), metric, records),
            )
            for variant, depths in depths_of.items()
        },
        differences=tuple(
            found for pair in pairs if (found := difference(tables, depths_of, pair, metric))
        ),
    )


def _judge_variant(table: Table, depths: Sequence[int], metric: str) -> VariantVerdict:
    """Judges a variant by its runs; its reason names the seeds and runs that were lost."""
    judged = judge(outcomes_of(complete(table, depths).values(), metric, len(depths)), depths)
    reason = judged.reason + _incomplete(table, depths)
    diverged = sum(run.status == 'diverged' for row in table.values() for run in row.values())
    if diverged:
        runs = 'run diverged and counts' if diverged == 1 else 'runs diverged and count'
        reason += f' {diverged} {runs} as failed, with the error of guessing.'
    return dataclasses.replace(judged, reason=reason)


def _excess_in_words(judged: VariantVerdict) -> str:
    """The excess with its interval, or why it has none."""
    who = 'all' if judged.trained == judged.n else f'{judged.trained} of'
    who += f' {judged.n} seeds'
    said = (
        f'Depth {judged.deepest} has {points(judged.excess_error)} error than depth '
        f'{judged.best_shallower}, the best shallower network'
    )
    if judged.confidence_interval:
        return f'{said} ({interval_in_words(judged.confidence_interval)}, {who} trained at both)'
    return (
        f'{said} ({who} trained at both, with the same difference in each, so that its spread '
        'cannot be estimated)'
    )


def _incomplete(table: Table, depths: Sequence[int]) -> str:
    """A sentence on the seeds that lack a depth; '' where there are none."""
    missing = {seed: sorted(set(depths) - row.keys()) for seed, row in sorted(table.items())}
    words = [f'{seed} (depth {", ".join(map(str, d))})' for seed, d in missing.items() if d]
    seeds = 'seed' if len(words) == 1 else 'seeds'
    return f' Left out for want of a depth: {seeds} {", ".join(words)}.' if words else ''
