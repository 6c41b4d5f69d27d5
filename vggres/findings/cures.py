"""Judges whether an intervention cures a deep network of its slowness, by updates to an error.

Three networks of one depth are compared: the untreated one, the treated one, and the control that
has no disease, which is the residual network as a rule. Each trains at its own fastest rate. The
seed is the unit: runs of one seed see the same batches, so that ratios of updates are taken seed by
seed, and their logarithms are averaged.

A run that the budget ended is censored: it needs more updates than the budget. The budget stands in
its place, which makes a ratio too small above the line and too large below it. A status is given
only where such a value cannot have made it.

The error is looked at every few updates only. A run counts in the middle between the look that saw
the target and the one before, and what is not known within these updates adds to the spread: few
runs of equal counts would seem to be without any.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from vggres.findings.contrasts import Sample, sample
from vggres.findings.estimates import Interval, interval_of_mean
from vggres.findings.outcomes import CONFIDENCE, MIN_SEEDS

# Both were fixed before any intervention was looked at. A cured network is at most this many times
# slower than the control: on digits, at the fastest constant rates, plain-20 takes 1.6 times the
# updates of ResNet-20, and plain-20 is no sick network.
CURED = 2.0
# A smaller change is what two rates that are half a decade apart may differ by.
CLEAR = 1.25

Network = tuple[str, int]  # the name of an arm, and the depth
Updates = Mapping[int, int | None]  # by seed; None where the budget ended first


@dataclass(frozen=True)
class Ratio:
    """How many times more updates one network takes than another, seed by seed.

    Attributes:
        factor: the geometric mean over seeds; None where no seed has both.
        interval: of the factor, at `CONFIDENCE`; None for fewer than two seeds and without spread.
        n: the number of seeds that have both.
        at_least: the number of these whose run above the line is censored: the factor is larger.
        at_most: the number of these whose run below the line is censored: the factor is smaller.
    """

    factor: float | None
    interval: Interval | None
    n: int
    at_least: int
    at_most: int

    def is_below(self, limit: float) -> bool:
        """Whether the whole interval lies below a limit, in spite of censored runs."""
        return bool(self.interval) and not self.at_least and self.interval[1] < limit

    def is_above(self, limit: float) -> bool:
        """Whether the whole interval lies above a limit, in spite of censored runs."""
        return bool(self.interval) and not self.at_most and self.interval[0] > limit


@dataclass(frozen=True)
class Cure:
    """What an intervention does to a network.

    Attributes:
        arm: the name of the treated network.
        depth: weighted layers.
        updates: of the treated network to the training error, by seed; None where the budget ended
            first.
        to_untreated: the treated network's updates by those of the untreated one.
        to_control: the treated network's updates by those of the control.
        status: 'cures', 'helps', 'no effect', 'harms', 'nothing to cure', 'budget insufficient' or
            'inconclusive'.
        reason: of the status, in a clause.
    """

    arm: str
    depth: int
    updates: Updates
    to_untreated: Ratio
    to_control: Ratio
    status: str
    reason: str


def ratio(above: Updates, below: Updates, budget: int, every: int = 0) -> Ratio:
    """The ratio of two networks' updates to an error.

    >>> found = ratio({0: 100, 1: 200}, {0: 50, 1: None}, budget=400)
    >>> found.factor, found.n, found.at_most  # √(2 · ½), and the second ratio is smaller still
    (1.0, 2, 1)

    Args:
        above: the updates above the line.
        below: those below it.
        budget: it stands in the place of a censored run.
        every: the updates between two looks at the error; 0 for counts that are exact.
    """
    found = log_ratio(above, below, budget, every)
    seeds = sorted(above.keys() & below.keys())
    interval = found and interval_of_mean(found.mean, found.deviation, found.n, CONFIDENCE)
    return Ratio(
        factor=math.exp(found.mean) if found else None,
        interval=interval and (math.exp(interval[0]), math.exp(interval[1])),
        n=len(seeds),
        at_least=sum(above[seed] is None for seed in seeds),
        at_most=sum(below[seed] is None for seed in seeds),
    )


def log_ratio(above: Updates, below: Updates, budget: int, every: int = 0) -> Sample | None:
    """The natural logarithm of the ratio, over the seeds that have both; None where none has.

    See `ratio` for the arguments. Within `every` updates a count is uniform, with a variance of
    every² / 12, which is that of the logarithm times the count squared.
    """
    seeds = sorted(above.keys() & below.keys())
    logs, unresolved = [], []
    for seed in seeds:
        counts = [each[seed] for each in (above, below)]
        middles = [budget if count is None else count - every / 2 for count in counts]
        logs.append(math.log(middles[0] / middles[1]))
        widths = [0 if count is None else every / count for count in counts]
        unresolved.append(sum(width**2 for width in widths) / 12)
    found = sample(logs)
    if found is None or found.deviation is None:
        return found
    return Sample(found.mean, math.hypot(found.deviation, math.sqrt(np.mean(unresolved))), found.n)


def judge(
    network: Network,
    treated: Updates,
    untreated: Updates,
    control: Updates,
    budget: int,
    every: int = 0,
) -> Cure:
    """Judges an intervention into one network.

    Args:
        network: the name of the treated arm, and the depth.
        treated: the updates of the treated network.
        untreated: the updates of the network without the intervention.
        control: the updates of the network that has no disease; the same mapping where that is
            what was treated.
        budget: the updates after which a run ended.
        every: the updates between two looks at the error; 0 for counts that are exact.
    """
    to_untreated = ratio(treated, untreated, budget, every)
    to_control = ratio(treated, control, budget, every)
    disease = ratio(untreated, control, budget, every)
    status, reason = _status(to_untreated, to_control, disease, untreated is control)
    return Cure(*network, treated, to_untreated, to_control, status, reason)


def _status(
    to_untreated: Ratio, to_control: Ratio, disease: Ratio, is_healthy: bool
) -> tuple[str, str]:
    n = min(to_untreated.n, to_control.n, disease.n)
    if n < MIN_SEEDS:
        return 'inconclusive', f'{n} seeds have all three networks, and {MIN_SEEDS} are needed'
    if 2 * disease.at_most >= disease.n:
        return 'budget insufficient', 'most runs of the control do not reach the error'
    if to_untreated.is_above(CLEAR):
        return 'harms', f'more than {CLEAR:g} times slower than the untreated network'
    if is_healthy:
        return 'nothing to cure', 'the untreated network is the control'
    if disease.is_below(CURED):
        return (
            'nothing to cure',
            f'the untreated network is less than {CURED:g} times slower than the control',
        )
    if to_control.is_below(CURED):
        return 'cures', f'less than {CURED:g} times slower than the control'
    if to_untreated.is_below(1 / CLEAR):
        return 'helps', f'more than {CLEAR:g} times faster than the untreated network'
    if to_untreated.is_above(1 / CLEAR) and to_untreated.is_below(CLEAR):
        return 'no effect', f'within a factor of {CLEAR:g} of the untreated network'
    if to_untreated.at_least and to_untreated.at_most:
        return (
            'budget insufficient',
            'neither the treated nor the untreated network reaches the error in every run',
        )
    return 'inconclusive', f'the interval of the factor contains a limit with {n} seeds'
