"""What training runs came to, and the levels and margins that all verdicts share."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vggres.errors import UserError
from vggres.results import Result

# The margin and the three levels were fixed before the first sweep was run. What a failure is, how
# many are tolerated and that `degrades` needs more than the margin was written after it.

# In percentage points: 14 of the 1,437 images of digits. A smaller difference is what another
# learning-rate schedule would make, not a sign of a network that is harder to train. For
# comparison, from plain-20 to plain-56 on CIFAR-10 the test error rises by 3.2 points in one
# published reproduction, and the training error by 2.7 points in another.
MARGIN = 1.0
# The two-sided level of every interval, by convention. `degrades` rests on its lower end alone,
# where 2.5 % are left out, and `does not degrade` on its upper end.
CONFIDENCE = 0.95
# The one-sided level of the exact test of failures and of the bound on P(fail), by convention.
SIGNIFICANCE = 0.05
# Student's quantile is 12.7 for two seeds and 4.3 for three.
MIN_SEEDS = 3
# The part of guessing's training error from which on a run has failed to train. Runs that train end
# at a few per cent and runs that fail end near guessing; the middle is far from both.
FAILED_SHARE = 0.5
# `does not degrade` needs a P(fail) below this, with one-sided 95 %. Eight runs without a failure
# leave P(fail) up to 0.312; seven leave it up to 0.348, and three up to 0.632.
TOLERATED_FAILURES = 1 / 3
SMALLEST_LOSS = 1e-30  # whose logarithm is finite

Table = dict[int, dict[int, Result]]  # seed → depth → run


@dataclass(frozen=True)
class Outcomes:
    """The final outcomes of the seeds that have every depth, `[num_seeds, num_depths]` each.

    Attributes:
        errors: in percent.
        failed: whether the run failed to train.
        log_losses: log10 of the training loss.
    """

    errors: np.ndarray
    failed: np.ndarray
    log_losses: np.ndarray


def has_failed(result: Result) -> bool:
    """Whether a run failed to train: it diverged, or its error is nearer to guessing than to 0."""
    return result.status == 'diverged' or result.train_error >= failing_error(result.num_classes)


def is_at_floor(errors: np.ndarray | Sequence[float]) -> bool:
    """Whether no training error, in percent, is above `MARGIN`, so that none can tell of depth."""
    return bool(np.max(errors) <= MARGIN)


def failing_error(num_classes: int) -> float:
    """The training error in percent from which on a run has failed to train."""
    return FAILED_SHARE * 100 * (1 - 1 / num_classes)


def tabulate(results: Iterable[Result], metric: str) -> dict[str, Table]:
    """The runs by variant, seed and depth."""
    tables: dict[str, Table] = {}
    for result in results:
        run = f'{result.variant} depth {result.depth} seed {result.seed}'
        error = getattr(result, metric)
        if error is None or not math.isfinite(error):
            raise UserError(f'{run}: {metric} is {error}, not a number; count it as guessing.')
        row = tables.setdefault(result.variant, {}).setdefault(result.seed, {})
        if result.depth in row:
            raise UserError(f'{run} is there twice; a verdict is about one setting.')
        row[result.depth] = result
    return tables


def complete(table: Table, depths: Sequence[int]) -> dict[int, list[Result]]:
    """The runs `[num_depths]` of each seed that has every depth, seeds ascending."""
    return {
        seed: [row[depth] for depth in depths]
        for seed, row in sorted(table.items())
        if row.keys() >= set(depths)
    }


def outcomes_of(rows: Iterable[Sequence[Result]], metric: str, num_depths: int) -> Outcomes:
    """The outcomes of complete seeds."""
    rows = list(rows)

    def stacked(values: list, kind: type) -> np.ndarray:
        return np.array(values, kind).reshape(-1, num_depths)

    return Outcomes(
        errors=stacked([[getattr(run, metric) for run in row] for row in rows], float),
        failed=stacked([[has_failed(run) for run in row] for row in rows], bool),
        log_losses=stacked([[log_loss(run) for run in row] for row in rows], float),
    )


def log_loss(run: Result) -> float:
    """log10 of the training loss; of a diverged run, that of guessing among all classes."""
    if run.train_loss is None:
        return math.log10(math.log(run.num_classes))
    return math.log10(max(run.train_loss, SMALLEST_LOSS))
