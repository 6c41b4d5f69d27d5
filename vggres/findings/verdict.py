"""Does a deeper network have a higher training error than a shallower one?

Degradation (He et al. 2015, arXiv 1512.03385, §1 and §4.2) is a *training* error that rises with
depth, so it is not overfitting. `decide` turns the final errors of a sweep into one verdict a
variant: `degrades`, `does not degrade` or `inconclusive`. Errors are percentages, differences are
percentage points, and the seeds are paired: seed i saw the same data order in every run.

What it cannot see: with a handful of seeds no statistic knows of a failure that happens once in
twenty runs. If it happened in none of them, the verdict describes the runs that worked. Student's
interval also needs an excess that is not strongly skewed to the left (a deepest net without any
spread against shallower ones that fail rarely but badly).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from vggres.errors import UserError, unknown
from vggres.findings.estimates import (
    best_shallower,
    excess,
    excess_without_hindsight,
    t_interval,
    trend_p,
)

# These four were fixed before the first sweep was run.

# Percentage points: 14 of the 1,437 digits images. Less than this is what another schedule would
# change, not a network that fails to train; the test error of plain-20 to plain-56 on CIFAR-10
# rises by 3 (a published reproduction; plain training errors are not in print).
MARGIN = 1.0
# Two-sided level of every interval, by convention; `degrades` rests on its lower end: 2.5 %.
CONFIDENCE = 0.95
# One-sided level of the trend over depth, by convention.
SIGNIFICANCE = 0.05
# Student's quantile is 12.7 for two seeds and 4.3 for three.
MIN_SEEDS = 3

METRIC_WORDS = {
    'train_error': 'training error',
    'validation_error': 'validation error',
    'test_error': 'test error',
}

Table = dict[int, dict[int, float]]  # seed → depth → percent


def judge(errors: np.ndarray, depths: Sequence[int]) -> dict[str, Any]:
    """The verdict on one variant.

    In this order, with the interval of `excess`:

    - `inconclusive` with fewer than two depths or `MIN_SEEDS` seeds;
    - `does not degrade` if the whole interval is below `MARGIN`;
    - `degrades` if the interval is above 0, also without hindsight, and the trend is significant;
    - `inconclusive` otherwise.

    Args:
        errors: `[num_seeds, num_depths]`, percent; complete seeds only, possibly none.
        depths: ascending, one a column.

    Returns:
        `verdict`, `excess_error` and `confidence_interval` (points), `trend_p`, `n` (seeds),
        `depths`, `mean_error` (percent, one a depth), `deepest` and `best_shallower` (depths), and
        `reason`, a sentence. What cannot be computed is None.
    """
    num_seeds, num_depths = errors.shape
    judged: dict[str, Any] = {
        'verdict': 'inconclusive',
        'excess_error': None,
        'confidence_interval': None,
        'trend_p': None,
        'n': num_seeds,
        'depths': list(depths),
        'mean_error': errors.mean(axis=0).tolist() if num_seeds else [None] * num_depths,
        'deepest': depths[-1],
        'best_shallower': None,
        'reason': '',
    }
    if num_depths < 2:
        return judged | {
            'reason': f'There is only depth {depths[0]}, so there is no shallower net.'
        }
    if num_seeds:
        sample = excess(errors)
        judged['excess_error'] = float(sample.mean())
        judged['confidence_interval'] = t_interval(sample, CONFIDENCE)
        judged['trend_p'] = trend_p(errors)
        judged['best_shallower'] = depths[best_shallower(errors)]
    if num_seeds < MIN_SEEDS:
        number = f'Only {num_seeds}' if num_seeds else 'No'
        seeds = 'seed has' if num_seeds == 1 else 'seeds have'
        reason = f'{number} {seeds} every depth; at least {MIN_SEEDS} are needed.'
        return judged | {'reason': reason}

    low, high = judged['confidence_interval']
    fair_interval = t_interval(excess_without_hindsight(errors), CONFIDENCE)
    trend = f'{"trend over depth" if num_depths > 2 else "paired t-test"} {_p(judged["trend_p"])}'
    if high < MARGIN:
        judged['verdict'] = 'does not degrade'
        because = f'so any excess is below the margin of {MARGIN:g}'
    elif low <= 0:
        because = f'which excludes neither 0 nor an excess above the margin of {MARGIN:g}'
    elif judged['trend_p'] >= SIGNIFICANCE:
        because = f'but the error does not clearly rise over all depths ({trend})'
    elif fair_interval[0] <= 0:
        because = (
            'but not once the best shallower net is chosen on other seeds than it is scored on '
            f'({_interval(fair_interval)})'
        )
    else:
        judged['verdict'] = 'degrades'
        because = trend
    judged['reason'] = (
        f'Depth {judged["deepest"]} has {_points(judged["excess_error"])} error than depth '
        f'{judged["best_shallower"]}, the best shallower net '
        f'({_interval([low, high])}, n = {num_seeds}), {because}.'
    )
    return judged


def decide(
    results: Iterable[Mapping[str, Any]],
    metric: str = 'train_error',
    planned: Mapping[str, Iterable[int]] | None = None,
    pairs: Iterable[tuple[str, str]] = (('plain', 'resnet'),),
) -> dict[str, Any]:
    """The verdict on every variant of a sweep, and how much more the first of each pair loses.

    A variant is a family, or a family with other options than the rest of the sweep. A seed counts
    for one only if it has every depth that was planned for it. `differences` has of each pair the
    excess of the first minus that of the second, paired by seed, over the depths that both have and
    the seeds that have them all; pairs with fewer than two such depths or no seed are left out.

    Args:
        results: one mapping a training run, with `variant` (str), `depth` and `seed` (int) and the
            metric (percent). A diverged run comes in as the error of guessing,
            100 · (1 − 1/classes), and as such with the `status` 'diverged'. Other keys are ignored.
        metric: the error to judge by.
        planned: variant → the depths it was to be run at, so that what was lost cannot make a
            smaller grid of the sweep; None: the depths that the results have.
        pairs: of variants to compare.

    Returns:
        What `verdict.json` holds: plain floats, integers, strings, lists and None.

    Raises:
        UserError: a run has no such metric, or its error is not a finite number, or two runs share
            variant, depth and seed.
    """
    results = list(results)
    tables = _tabulate(results, metric)
    diverged = {_point(result) for result in results if result.get('status') == 'diverged'}
    if planned is None:
        planned = {
            variant: {d for row in table.values() for d in row}
            for variant, table in sorted(tables.items())
        }
    depths_of = {variant: sorted(depths) for variant, depths in planned.items()}
    variants = {}
    for variant, depths in depths_of.items():
        table = tables.get(variant, {})
        variants[variant] = judge(_stack(_complete(table, depths).values(), len(depths)), depths)
        variants[variant]['reason'] += _incomplete(table, depths)
        lost = {point for point in diverged if point[0] == variant}
        if lost:
            variants[variant] |= _with_diverged(variants[variant], lost, _complete(table, depths))
    return {
        'metric': metric,
        'confidence': CONFIDENCE,
        'margin': MARGIN,
        'significance': SIGNIFICANCE,
        'variants': variants,
        'differences': [found for p in pairs if (found := _difference(tables, depths_of, *p))],
    }


def _point(result: Mapping[str, Any]) -> tuple[str, int, int]:
    return str(result['variant']), int(result['depth']), int(result['seed'])


def _with_diverged(
    judged: Mapping[str, Any], lost: set[tuple[str, int, int]], seeds: Iterable[int]
) -> dict[str, Any]:
    """What changes in a variant's verdict: guessing at every depth is no evidence about depth."""
    runs = 'run' if len(lost) == 1 else 'runs'
    said = f'{judged["reason"]} {len(lost)} {runs} diverged, counted as guessing.'
    best = judged['best_shallower']
    diverged = {seed for _, depth, seed in lost if depth == best}
    if best is not None and diverged >= set(seeds):
        said = f'No shallower net trained: {len(lost)} {runs} diverged.'
        return {'verdict': 'inconclusive', 'reason': said}
    return {'reason': said}


def _tabulate(results: Iterable[Mapping[str, Any]], metric: str) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    for result in results:
        variant, depth, seed = _point(result)
        run = f'{variant} depth {depth} seed {seed}'
        if metric not in result:
            raise unknown('metric', metric, result.keys() - {'variant', 'depth', 'seed'})
        error = result[metric]
        if error is None or not math.isfinite(error):
            raise UserError(f'{run}: {metric} is {error}, not a number; count it as guessing')
        row = tables.setdefault(variant, {}).setdefault(seed, {})
        if depth in row:
            raise UserError(f'{run} is there twice; a verdict is about one setting')
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
    tables: Mapping[str, Table], depths_of: Mapping[str, Sequence[int]], first: str, second: str
) -> dict[str, Any] | None:
    if first not in tables or second not in tables:
        return None
    depths = sorted(set(depths_of[first]) & set(depths_of[second]))
    rows, other_rows = (_complete(tables[variant], depths) for variant in (first, second))
    seeds = sorted(rows.keys() & other_rows.keys())
    if len(depths) < 2 or not seeds:
        return None
    errors, other_errors = (
        _stack([some[seed] for seed in seeds], len(depths)) for some in (rows, other_rows)
    )
    sample = excess(errors) - excess(other_errors)
    return {
        'variants': [first, second],
        'excess_error': float(sample.mean()),
        'confidence_interval': t_interval(sample, CONFIDENCE),
        'n': len(seeds),
    }


def in_words(verdict: Mapping[str, Any]) -> str:
    """What `decide` found, a line for each finding, for the console and the report."""
    if not verdict['variants']:
        return 'There are no results to judge.'
    metric = METRIC_WORDS.get(verdict['metric'], verdict['metric'])
    sentences = [f'Judged by the final {metric}, in percentage points.']
    for variant, judged in verdict['variants'].items():
        sentences.append(f'{variant}: {judged["verdict"]}. {judged["reason"]}')
    for difference in verdict['differences']:
        if difference['n'] < MIN_SEEDS:
            continue
        first, second = difference['variants']
        interval = _interval(difference['confidence_interval'])
        sentences.append(
            f'Over the depths both have, {first} has {_points(difference["excess_error"])} excess '
            f'than {second} ({interval}, n = {difference["n"]}).'
        )
    sentences.append(
        "This holds for this protocol's learning rate only: "
        'whether it survives tuning was not tested here.'
    )
    return '\n'.join(sentences)


def _points(difference: float) -> str:
    if abs(difference) < 0.005:
        return 'no more'
    return f'{abs(difference):.2f} points {"less" if difference < 0 else "more"}'


def _interval(interval: Sequence[float]) -> str:
    return f'{100 * CONFIDENCE:g} % interval {interval[0]:.2f} to {interval[1]:.2f}'


def _p(p: float) -> str:
    return 'p < 0.0001' if p < 0.0001 else f'p = {p:.2g}'


def _incomplete(table: Table, depths: Sequence[int]) -> str:
    missing = {seed: sorted(set(depths) - row.keys()) for seed, row in sorted(table.items())}
    words = [f'{seed} (depth {", ".join(map(str, d))})' for seed, d in missing.items() if d]
    return f' Left out, for want of a depth: seed {", ".join(words)}.' if words else ''
