"""What became of the networks of each depth: how many failed, how far they got, and how fast."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vggres.findings.estimates import Interval, Median, censored_median, proportion_interval
from vggres.findings.outcomes import CONFIDENCE, Table, has_failed
from vggres.results import Curve, Result

# In percent: training counts as fast or slow by the updates that it takes to get here.
TARGET_ERROR = 5.0


@dataclass(frozen=True)
class DepthOutcome:
    """What became of all runs of a variant at one depth.

    Attributes:
        depth: weighted layers.
        n: the number of runs.
        failed: how many of them failed to train.
        failure_interval: of the probability that a run fails, by Clopper and Pearson.
        median_error: in percent.
        lowest_error: in percent.
        highest_error: in percent.
        updates: the median number of updates until the training error was at or below
            `TARGET_ERROR`; None where the course of a run is not known.
    """

    depth: int
    n: int
    failed: int
    failure_interval: Interval
    median_error: float
    lowest_error: float
    highest_error: float
    updates: Median | None


def networks(
    table: Table, metric: str, records: Mapping[str, Mapping[int, float]]
) -> tuple[DepthOutcome, ...]:
    """What became of all runs at each depth, complete seeds or not."""
    runs_of: dict[int, list[Result]] = {}
    for _, row in sorted(table.items()):
        for depth, run in row.items():
            runs_of.setdefault(depth, []).append(run)
    return tuple(_network(depth, runs, metric, records) for depth, runs in sorted(runs_of.items()))


def _network(
    depth: int, runs: Sequence[Result], metric: str, records: Mapping[str, Mapping[int, float]]
) -> DepthOutcome:
    errors = [getattr(run, metric) for run in runs]
    failed = sum(map(has_failed, runs))
    updates = None
    if all(records.get(run.cell) for run in runs):
        found = [_updates_to_target(records[run.cell]) for run in runs]
        updates = censored_median(
            [run.steps if step is None else step for run, step in zip(runs, found, strict=True)],
            [step is not None for step in found],
        )
    return DepthOutcome(
        depth=depth,
        n=len(runs),
        failed=failed,
        failure_interval=proportion_interval(failed, len(runs), CONFIDENCE),
        median_error=float(np.median(errors)),
        lowest_error=min(errors),
        highest_error=max(errors),
        updates=updates,
    )


def evaluated(curve: Curve) -> dict[int, float]:
    """The training error in percent by the number of updates, where it was measured."""
    return {
        record.step: record.train_error
        for record in curve.records
        if record.train_error is not None
    }


def _updates_to_target(errors: Mapping[int, float]) -> int | None:
    """The updates at the first look that found the target reached; None where none did."""
    return next((step for step, error in sorted(errors.items()) if error <= TARGET_ERROR), None)


def resolution(courses: Iterable[Mapping[int, float]]) -> int | None:
    """The most updates between two looks; a first look follows the start of the training."""
    gaps = [int(np.diff([0, *sorted(errors)]).max()) for errors in courses if errors]
    return max(gaps, default=None)
