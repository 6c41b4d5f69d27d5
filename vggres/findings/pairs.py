"""Compares two variants of a sweep, as plain and residual networks, seed by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vggres.findings.estimates import Interval, best_shallower, excess, failure_p, t_interval
from vggres.findings.outcomes import CONFIDENCE, Outcomes, Table, complete, outcomes_of


@dataclass(frozen=True)
class Difference:
    """How two variants differ over the depths that both have.

    Attributes:
        variants: the two.
        excess_error: how much more excess error the first has, in percentage points: the mean over
            the seeds in which both trained at both of their depths; None where there are none.
        confidence_interval: of that mean; None where the spread cannot be estimated.
        trained: the number of these seeds.
        depth: the greatest depth that both have.
        failed: how many runs of each failed to train at that depth.
        failure_p: the p-value of "the first fails no more often than the second" at that depth.
        n: the number of seeds that both variants have at every depth that they share.
    """

    variants: tuple[str, str]
    excess_error: float | None
    confidence_interval: Interval | None
    trained: int
    depth: int
    failed: tuple[int, int]
    failure_p: float
    n: int


def difference(
    tables: Mapping[str, Table],
    depths_of: Mapping[str, Sequence[int]],
    pair: tuple[str, str],
    metric: str,
) -> Difference | None:
    """Compares a pair of variants; None where they share too little."""
    if not set(pair) <= tables.keys():
        return None
    first, second = pair
    depths = sorted(set(depths_of[first]) & set(depths_of[second]))
    rows, other_rows = (complete(tables[variant], depths) for variant in pair)
    seeds = sorted(rows.keys() & other_rows.keys())
    if len(depths) < 2 or not seeds:
        return None
    mine, others = (
        outcomes_of([some[seed] for seed in seeds], metric, len(depths))
        for some in (rows, other_rows)
    )
    has_trained = _trains_at_both(mine) & _trains_at_both(others)
    sample = (excess(mine.errors) - excess(others.errors))[has_trained]
    failed = np.stack([others.failed[:, -1], mine.failed[:, -1]], axis=1)
    return Difference(
        variants=pair,
        excess_error=float(sample.mean()) if len(sample) else None,
        confidence_interval=t_interval(sample, CONFIDENCE),
        trained=len(sample),
        depth=depths[-1],
        failed=(int(failed[:, 1].sum()), int(failed[:, 0].sum())),
        failure_p=failure_p(failed),
        n=len(seeds),
    )


def _trains_at_both(outcomes: Outcomes) -> np.ndarray:
    """Whether each seed trained at the greatest depth and at that of the best shallower network."""
    both = outcomes.failed[:, [best_shallower(outcomes.errors), -1]]
    return np.asarray(~both.any(axis=1))
