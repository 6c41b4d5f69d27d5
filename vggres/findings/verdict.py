"""Judges whether a deeper network has a higher training error than a shallower one.

Degradation (He et al. 2015, arXiv 1512.03385, §1 and §4.2) is a *training* error that rises with
depth, so it is not overfitting. `decide` turns the final errors of a sweep into one verdict per
variant: `degrades`, `does not degrade` or `inconclusive`. Errors are percentages and differences
are percentage points. The seeds are paired: runs of one seed saw the data in the same order.

What it cannot see: with a handful of seeds, no statistic knows of a failure that happens once in
twenty runs. If it happened in none of them, the verdict describes the runs that worked. Student's
interval also needs an excess that is not strongly skewed to the left, as it would be if a deepest
network without any spread were compared with shallower ones that fail rarely but badly.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vggres.errors import UserError, unknown
from vggres.findings.estimates import (
    Interval,
    best_shallower,
    excess,
    excess_without_hindsight,
    t_interval,
    trend_p,
)
from vggres.results import Result

# These four were fixed before the first sweep was run.

# In percentage points: 14 of the 1,437 images of digits. A smaller difference is what another
# learning-rate schedule would make, not a sign of a network that fails to train. For comparison,
# from plain-20 to plain-56 on CIFAR-10 the test error rises by 3.2 points in one published
# reproduction, and the training error by 2.7 points in another.
MARGIN = 1.0
# The two-sided level of every interval, by convention. `degrades` rests on its lower end alone,
# where 2.5 % are left out.
CONFIDENCE = 0.95
# The one-sided level of the trend over depth, by convention.
SIGNIFICANCE = 0.05
# Student's quantile is 12.7 for two seeds and 4.3 for three.
MIN_SEEDS = 3

METRIC_WORDS = {
    'train_error': 'training error',
    'validation_error': 'validation error',
    'test_error': 'test error',
}

Table = dict[int, dict[int, float]]  # seed → depth → percent
Point = tuple[str, int, int]  # variant, depth, seed


@dataclass(frozen=True)
class VariantVerdict:
    """The verdict on one variant; what cannot be computed is None.

    Attributes:
        verdict: 'degrades', 'does not degrade' or 'inconclusive'.
        reason: a sentence.
        excess_error: of the deepest network over the best shallower one, in percentage points.
        confidence_interval: of the excess, in percentage points.
        trend_p: the p-value of an error that rises with depth (see `estimates.trend_p`).
        n: the number of seeds that have every depth.
        depths: ascending.
        mean_error: in percent, one per depth.
        deepest: the greatest depth.
        best_shallower: the depth of the shallower network with the lowest mean error.
    """

    verdict: str
    reason: str
    excess_error: float | None
    confidence_interval: Interval | None
    trend_p: float | None
    n: int
    depths: tuple[int, ...]
    mean_error: tuple[float | None, ...]
    deepest: int
    best_shallower: int | None


@dataclass(frozen=True)
class Difference:
    """How much more excess error the first of two variants has than the second.

    Attributes:
        variants: the two.
        excess_error: the mean over seeds of the difference, in percentage points.
        confidence_interval: of that mean; None for a single seed.
        n: the number of seeds that both variants have at every depth that they share.
    """

    variants: tuple[str, str]
    excess_error: float
    confidence_interval: Interval | None
    n: int


@dataclass(frozen=True)
class Verdict:
    """What `decide` finds in a sweep.

    Attributes:
        metric: the error that it judges by, as a field of `results.Result`.
        confidence: the level of all intervals.
        margin: the excess, in percentage points, below which a variant does not degrade.
        significance: the level of the trend over depth.
        variants: the verdict on each variant by its name.
        differences: of the pairs of variants that can be compared.
    """

    metric: str
    confidence: float
    margin: float
    significance: float
    variants: Mapping[str, VariantVerdict]
    differences: tuple[Difference, ...]


def judge(errors: np.ndarray, depths: Sequence[int]) -> VariantVerdict:
    """Judges one variant by its complete seeds.

    The rules apply in this order, with the interval of `excess`:

    - `inconclusive` with fewer than two depths or `MIN_SEEDS` seeds;
    - `does not degrade` if the whole interval is below `MARGIN`;
    - `degrades` if the interval is above 0, also without hindsight, and the trend is significant;
    - `inconclusive` otherwise.

    Args:
        errors: `[num_seeds, num_depths]`, percent; complete seeds only, possibly none.
        depths: ascending, one per column.
    """
    num_seeds, num_depths = errors.shape
    judged = VariantVerdict(
        verdict='inconclusive',
        reason='',
        excess_error=None,
        confidence_interval=None,
        trend_p=None,
        n=num_seeds,
        depths=tuple(depths),
        mean_error=tuple(errors.mean(axis=0).tolist()) if num_seeds else (None,) * num_depths,
        deepest=depths[-1],
        best_shallower=None,
    )
    if num_depths < 2:
        reason = f'Depth {depths[0]} is the only one, so there is no shallower network.'
        return dataclasses.replace(judged, reason=reason)
    if num_seeds:
        sample = excess(errors)
        judged = dataclasses.replace(
            judged,
            excess_error=float(sample.mean()),
            confidence_interval=t_interval(sample, CONFIDENCE),
            trend_p=trend_p(errors),
            best_shallower=depths[best_shallower(errors)],
        )
    if num_seeds < MIN_SEEDS:
        number = f'Only {num_seeds}' if num_seeds else 'No'
        seeds = 'seed has' if num_seeds == 1 else 'seeds have'
        reason = f'{number} {seeds} every depth; at least {MIN_SEEDS} are needed.'
        return dataclasses.replace(judged, reason=reason)
    return _judge_complete(errors, judged)


def _judge_complete(errors: np.ndarray, judged: VariantVerdict) -> VariantVerdict:
    """The verdict where there are enough seeds and depths to decide."""
    fair_interval = t_interval(excess_without_hindsight(errors), CONFIDENCE)
    low, high = judged.confidence_interval or (-math.inf, math.inf)
    p = 1.0 if judged.trend_p is None else judged.trend_p
    trend = f'{"trend over depth" if len(judged.depths) > 2 else "paired t-test"}: {_p(p)}'
    verdict = 'inconclusive'
    if high < MARGIN:
        verdict = 'does not degrade'
        because = f'so any excess is below the margin of {MARGIN:g}'
    elif low <= 0:
        because = f'which excludes neither 0 nor an excess above the margin of {MARGIN:g}'
    elif p >= SIGNIFICANCE:
        because = f'but the error does not clearly rise over all depths ({trend})'
    elif fair_interval is not None and fair_interval[0] <= 0:
        because = (
            'but not once the best shallower network is chosen on other seeds than those it is '
            f'scored on ({_interval(fair_interval)})'
        )
    else:
        verdict = 'degrades'
        because = trend
    reason = (
        f'Depth {judged.deepest} has {_points(judged.excess_error)} error than depth '
        f'{judged.best_shallower}, the best shallower network '
        f'({_interval((low, high))}, n = {judged.n}), {because}.'
    )
    return dataclasses.replace(judged, verdict=verdict, reason=reason)


def decide(
    results: Iterable[Result],
    metric: str = 'train_error',
    planned: Mapping[str, Iterable[int]] | None = None,
    pairs: Iterable[tuple[str, str]] = (('plain', 'resnet'),),
) -> Verdict:
    """Judges every variant of a sweep, and compares the excess errors of pairs of variants.

    A variant is a family, or a family with other options than the rest of the sweep. A seed counts
    for it only if it has every depth that was planned for it. A pair is compared, seed by seed,
    over the depths that both variants have and the seeds that have them all; pairs with fewer than
    two such depths or no such seed are left out.

    Args:
        results: one per training run. A diverged run counts with the error of guessing,
            100 · (1 − 1/classes).
        metric: the error to judge by: 'train_error', 'validation_error' or 'test_error'.
        planned: the depths that each variant was to be run at, so that runs that were lost cannot
            make a smaller grid of the sweep; None: the depths that the results have.
        pairs: the variants to compare.

    Raises:
        UserError: for an unknown metric, for an error that is not a finite number, and for two runs
            of the same variant, depth and seed.
    """
    results = list(results)
    if metric not in METRIC_WORDS:
        raise unknown('metric', metric, METRIC_WORDS)
    tables = _tabulate(results, metric)
    diverged = {_point(result) for result in results if result.status == 'diverged'}
    if planned is None:
        planned = {
            variant: {d for row in table.values() for d in row}
            for variant, table in sorted(tables.items())
        }
    depths_of = {variant: sorted(depths) for variant, depths in planned.items()}
    return Verdict(
        metric=metric,
        confidence=CONFIDENCE,
        margin=MARGIN,
        significance=SIGNIFICANCE,
        variants={
            variant: _judge_variant(tables.get(variant, {}), depths, _of(diverged, variant))
            for variant, depths in depths_of.items()
        },
        differences=tuple(
            found for pair in pairs if (found := _difference(tables, depths_of, pair))
        ),
    )


def _judge_variant(table: Table, depths: Sequence[int], diverged: set[Point]) -> VariantVerdict:
    """Judges a variant by its errors; its reason names the seeds and runs that were lost."""
    complete = _complete(table, depths)
    judged = judge(_stack(complete.values(), len(depths)), depths)
    judged = dataclasses.replace(judged, reason=judged.reason + _incomplete(table, depths))
    if not diverged:
        return judged
    runs = 'run' if len(diverged) == 1 else 'runs'
    best = judged.best_shallower
    seeds = {seed for _, depth, seed in diverged if depth == best}
    if best is not None and seeds >= set(complete):
        # Guessing at every depth is no evidence about depth.
        reason = f'No shallower network trained: {len(diverged)} {runs} diverged.'
        return dataclasses.replace(judged, verdict='inconclusive', reason=reason)
    counted = 'counts' if len(diverged) == 1 else 'count'
    reason = f'{judged.reason} {len(diverged)} {runs} diverged and {counted} as guessing.'
    return dataclasses.replace(judged, reason=reason)


def _point(result: Result) -> Point:
    return result.variant, result.depth, result.seed


def _of(points: Iterable[Point], variant: str) -> set[Point]:
    return {point for point in points if point[0] == variant}


def _tabulate(results: Iterable[Result], metric: str) -> dict[str, Table]:
    """The errors by variant, seed and depth."""
    tables: dict[str, Table] = {}
    for result in results:
        variant, depth, seed = _point(result)
        run = f'{variant} depth {depth} seed {seed}'
        error = getattr(result, metric)
        if error is None or not math.isfinite(error):
            raise UserError(f'{run}: {metric} is {error}, not a number; count it as guessing.')
        row = tables.setdefault(variant, {}).setdefault(seed, {})
        if depth in row:
            raise UserError(f'{run} is there twice; a verdict is about one setting.')
        row[depth] = float(error)
    return tables


def _complete(table: Table, depths: Sequence[int]) -> dict[int, list[float]]:
    """The errors `[num_depths]` of each seed that has every depth, seeds ascending."""
    return {
        seed: [row[depth] for depth in depths]
        for seed, row in sorted(table.items())
        if row.keys() >= set(depths)
    }


def _stack(rows: Iterable[Sequence[float]], num_depths: int) -> np.ndarray:
    return np.array(list(rows), dtype=float).reshape(-1, num_depths)


def _difference(
    tables: Mapping[str, Table], depths_of: Mapping[str, Sequence[int]], pair: tuple[str, str]
) -> Difference | None:
    """Compares a pair of variants; None where they share too little."""
    if not set(pair) <= tables.keys():
        return None
    first, second = pair
    depths = sorted(set(depths_of[first]) & set(depths_of[second]))
    rows, other_rows = (_complete(tables[variant], depths) for variant in pair)
    seeds = sorted(rows.keys() & other_rows.keys())
    if len(depths) < 2 or not seeds:
        return None
    errors, other_errors = (
        _stack([some[seed] for seed in seeds], len(depths)) for some in (rows, other_rows)
    )
    sample = excess(errors) - excess(other_errors)
    return Difference(
        variants=pair,
        excess_error=float(sample.mean()),
        confidence_interval=t_interval(sample, CONFIDENCE),
        n=len(seeds),
    )


def in_words(verdict: Verdict) -> str:
    """Says a verdict, one finding per line, for the terminal and the report."""
    if not verdict.variants:
        return 'There are no results to judge.'
    sentences = [
        f'The verdict rests on the final {METRIC_WORDS[verdict.metric]}; differences are in '
        'percentage points.'
    ]
    for variant, judged in verdict.variants.items():
        sentences.append(f'{variant}: {judged.verdict}. {judged.reason}')
    for difference in verdict.differences:
        if difference.n < MIN_SEEDS or difference.confidence_interval is None:
            continue
        first, second = difference.variants
        sentences.append(
            f'Over the depths that both have, {first} has {_points(difference.excess_error)} '
            f'excess error than {second} ({_interval(difference.confidence_interval)}, '
            f'n = {difference.n}).'
        )
    sentences.append(
        'This holds for the learning rate of this protocol only; whether it survives tuning was '
        'not tested here.'
    )
    return '\n'.join(sentences)


def _points(difference: float | None) -> str:
    if difference is None or abs(difference) < 0.005:
        return 'no more'
    return f'{abs(difference):.2f} points {"less" if difference < 0 else "more"}'


def _interval(interval: Interval) -> str:
    low, high = (f'{end:.2f}'.replace('-', '−') for end in interval)
    return f'{100 * CONFIDENCE:g} % interval {low} to {high}'


def _p(p: float) -> str:
    return 'p < 0.0001' if p < 0.0001 else f'p = {p:.2g}'


def _incomplete(table: Table, depths: Sequence[int]) -> str:
    """A sentence on the seeds that lack a depth; '' where there are none."""
    missing = {seed: sorted(set(depths) - row.keys()) for seed, row in sorted(table.items())}
    words = [f'{seed} (depth {", ".join(map(str, d))})' for seed, d in missing.items() if d]
    seeds = 'seed' if len(words) == 1 else 'seeds'
    return f' Left out for want of a depth: {seeds} {", ".join(words)}.' if words else ''
