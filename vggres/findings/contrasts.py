"""The primary contrast of a claim: one number per seed, set against a margin.

A contrast holds two one-sided p-values. `p_true` is small where the number lies clearly on the side
of the margin where the claim is true, and `p_false` where it lies clearly on the other side, so
that a claim can be refuted as well as confirmed, by the same test. Nothing here decides: `claims`
does, over all claims of the story at once.

What n counts is independent: seeds, or draws of random weights where the claim is about weights
before training. Values that are all equal are no reason for certainty. Student's t knows no spread
of zero, so a sign test takes its place there, by which n equal values never give less than 2⁻ⁿ.
"""

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

import numpy as np
from scipy import special

from vggres.findings.estimates import Interval
from vggres.findings.outcomes import CONFIDENCE

Text = Mapping[str, str]  # words by language: 'en' and 'zh'

# The probability that a whole table with nothing to find decides any claim, by convention.
LEVEL = 0.05
# The probability of a decision by which the n that would decide is computed, by convention.
POWER = 0.8
# Beyond this n, the spread or the nearness of the margin makes a decision impractical.
MAX_N = 1000
# Spreads below this part of the mean are round-off: sums in another order differ by it.
_ROUND_OFF = 1e-9


class Status(StrEnum):
    """What became of a claim."""

    HOLDS = 'holds'
    FAILS = 'fails'
    MIXED = 'mixed'
    INCONCLUSIVE = 'inconclusive'
    FLOOR = 'floor'
    BUDGET = 'budget insufficient'
    NOT_MEASURED = 'not measured'


class Word(Enum):
    """A condition that something was measured under; `languages` says each in words."""

    VGG = auto()
    PLAIN = auto()
    RESNET = auto()
    BATCH_NORM = auto()
    NO_NORM = auto()
    HE = auto()
    GLOROT = auto()
    SMALL_NORMAL = auto()  # the scheme of the VGG paper
    DIRAC = auto()
    DELTA_ORTHOGONAL = auto()
    LOOKS_LINEAR = auto()
    BEFORE_TRAINING = auto()
    DURING_TRAINING = auto()
    AFTER_TRAINING = auto()
    POSTACTIVATION = auto()
    POSTACTIVATION_WITHOUT_RELU = auto()
    PREACTIVATION = auto()
    ALL_DEPTHS = auto()
    ONE_DEPTH = auto()


FAMILIES = {'vgg': Word.VGG, 'plain': Word.PLAIN, 'resnet': Word.RESNET}
NORMS = {'batch': Word.BATCH_NORM, 'none': Word.NO_NORM}
Condition = Word | int  # a number is a depth or a budget, as its factor says


@dataclass(frozen=True)
class Counted:
    """What n counts, in words: one of it, and several."""

    one: Text
    several: Text

    def words(self, n: int, code: str) -> str:
        """The word that goes with a number, in the language of a code."""
        return (self.one if n == 1 else self.several)[code]


SEEDS = Counted(one={'en': 'seed', 'zh': '个随机种子'}, several={'en': 'seeds', 'zh': '个随机种子'})
# Draws of the weights before training, and runs after it.
NETWORKS = Counted(
    one={'en': 'network', 'zh': '个网络'}, several={'en': 'networks', 'zh': '个网络'}
)


@dataclass(frozen=True)
class Sample:
    """What a test needs of one number per seed.

    Attributes:
        mean: of the numbers.
        deviation: their sample standard deviation; None for fewer than two.
        n: how many there are, at least one.
    """

    mean: float
    deviation: float | None
    n: int

    @property
    def is_constant(self) -> bool:
        """Whether there are several values, and all of them are equal but for round-off."""
        return self.deviation is not None and self.deviation <= _ROUND_OFF * max(1, abs(self.mean))

    def scaled(self, factor: float) -> 'Sample':
        """The sample of the numbers times a positive factor."""
        deviation = None if self.deviation is None else factor * self.deviation
        return Sample(factor * self.mean, deviation, self.n)


@dataclass(frozen=True)
class Barrier:
    """Why a contrast decides nothing, whatever its number is.

    Attributes:
        status: `FLOOR`, `BUDGET` or `NOT_MEASURED`.
        words: the reason.
    """

    status: Status
    words: Text


@dataclass(frozen=True)
class Contrast:
    """One number against a margin, under one combination of the factors that its claim declares.

    Attributes:
        where: the conditions, by factor: {'family': Word.PLAIN}; empty for a claim without factors.
        value: the number; None where there is none.
        interval: of the number, at `CONFIDENCE`; None for fewer than two values and for values that
            are all equal.
        n: the number of independent values.
        p_true: one-sided, of the hypothesis that the claim is not true here; 1 where nothing speaks
            against it.
        p_false: one-sided, of the hypothesis that the claim is not false here.
        effect: the distance of the number from the margin in standard deviations of one value; None
            where there is no spread.
        is_constant: whether there are several values and all of them are equal.
        prediction: what a closed form gives for the number; None where there is none.
        barrier: why it decides nothing; None where it may decide.
        remark: what else decided, or stands in the way of a decision that more values cannot
            remove; None where the number and its spread say everything.
    """

    where: Mapping[str, Condition] = field(default_factory=dict)
    value: float | None = None
    interval: Interval | None = None
    n: int = 0
    p_true: float = 1.0
    p_false: float = 1.0
    effect: float | None = None
    is_constant: bool = False
    prediction: float | None = None
    barrier: Barrier | None = None
    remark: Text | None = None


def barred(status: Status, words: Text, where: Mapping[str, Condition] | None = None) -> Contrast:
    """A contrast without a number, because of a barrier."""
    return Contrast(where or {}, barrier=Barrier(status, words))


def sample(values: Sequence[float] | np.ndarray) -> Sample | None:
    """The sample of some numbers, one per seed; None where there are none."""
    found = np.asarray(values, float)
    if not len(found):
        return None
    deviation = float(found.std(ddof=1)) if len(found) > 1 else None
    return Sample(float(found.mean()), deviation, len(found))


def sample_of_interval(mean: float, interval: Interval | None, n: int) -> Sample:
    """The sample that Student's interval at `CONFIDENCE` was computed from.

    Where there is no interval, the spread is not known, and the mean counts as a single value.
    """
    if interval is None or n < 2:
        return Sample(mean, None, 1)
    half = (interval[1] - interval[0]) / 2
    return Sample(mean, half * math.sqrt(n) / special.stdtrit(n - 1, 0.5 + CONFIDENCE / 2), n)


def pooled(samples: Sequence[Sample]) -> Sample | None:
    """All values of some samples as one sample; None where there are none."""
    if not samples:
        return None
    n = sum(each.n for each in samples)
    mean = sum(each.n * each.mean for each in samples) / n
    squares = sum(
        (each.n - 1) * (each.deviation or 0) ** 2 + each.n * (each.mean - mean) ** 2
        for each in samples
    )
    return Sample(mean, math.sqrt(squares / (n - 1)) if n > 1 else None, n)


def above(
    found: Sample,
    margin: float,
    where: Mapping[str, Condition] | None = None,
    prediction: float | None = None,
) -> Contrast:
    """A claim that is true where the mean is above a margin, and false where it is below."""
    p_above, p_below = _p(found, margin)
    return _contrast(found, margin, p_above, p_below, where, prediction)


def below(
    found: Sample,
    margin: float,
    where: Mapping[str, Condition] | None = None,
    prediction: float | None = None,
) -> Contrast:
    """A claim that is true where the mean is below a margin, and false where it is above."""
    p_above, p_below = _p(found, margin)
    return _contrast(found, margin, p_below, p_above, where, prediction)


def within(
    found: Sample,
    margin: float,
    where: Mapping[str, Condition] | None = None,
    prediction: float | None = None,
) -> Contrast:
    """A claim that is true where the mean is between −margin and margin, and false outside.

    "True" is decided by two one-sided tests, of which both have to succeed; "false" by the better
    of the same two tests on the other side, times two because there are two.
    """
    above_low, below_low = _p(found, -margin)
    above_high, below_high = _p(found, margin)
    nearest = math.copysign(margin, found.mean)
    p_false = min(1.0, 2 * min(below_low, above_high))
    return _contrast(found, nearest, max(above_low, below_high), p_false, where, prediction)


def _contrast(
    found: Sample,
    margin: float,
    p_true: float,
    p_false: float,
    where: Mapping[str, Condition] | None,
    prediction: float | None,
) -> Contrast:
    effect = None
    if found.deviation and not found.is_constant:
        effect = abs(found.mean - margin) / found.deviation
    return Contrast(
        where=where or {},
        value=found.mean,
        interval=_interval(found),
        n=found.n,
        p_true=p_true,
        p_false=p_false,
        effect=effect,
        is_constant=found.is_constant,
        prediction=prediction,
    )


def _interval(found: Sample) -> Interval | None:
    if found.deviation is None or found.is_constant:
        return None
    quantile = special.stdtrit(found.n - 1, 0.5 + CONFIDENCE / 2)
    half = float(quantile * found.deviation / math.sqrt(found.n))
    return found.mean - half, found.mean + half


def _p(found: Sample, margin: float) -> tuple[float, float]:
    """The one-sided p-values of a mean above a margin, and of one below.

    They are Student's. Values that are all equal give the p-value of the sign test: were a value
    as likely on one side as on the other, n of them would be on this side with probability 2⁻ⁿ.
    """
    if found.deviation is None:
        return 1.0, 1.0
    if found.is_constant:
        if math.isclose(found.mean, margin, rel_tol=_ROUND_OFF, abs_tol=_ROUND_OFF):
            return 1.0, 1.0
        p = 0.5**found.n
        return (p, 1.0) if found.mean > margin else (1.0, p)
    t = (found.mean - margin) / found.deviation * math.sqrt(found.n)
    return float(special.stdtr(found.n - 1, -t)), float(special.stdtr(found.n - 1, t))


def two_sided(contrast: Contrast) -> float:
    """The p-value of a decision either way; 1 behind a barrier."""
    if contrast.barrier:
        return 1.0
    return min(1.0, 2 * min(contrast.p_true, contrast.p_false))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for their number by Holm's method (Scand. J. Stat. 6, 1979).

    Rejecting all hypotheses whose adjusted p-value is below a level rejects a true one with at most
    that probability, however the p-values depend on each other.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def n_to_decide(contrast: Contrast, level: float) -> int | None:
    """The smallest n with which a decision is likely, if mean and spread are as observed.

    For a spread, it is the n at which Student's two-sided test decides with probability `POWER`.
    For values that are all equal, it is the n at which the sign test decides if they stay equal.

    Args:
        contrast: with its effect.
        level: two-sided, of one contrast; that of the whole table over the number of contrasts is
            safe.

    Returns:
        None where a single value has no spread, and where more than `MAX_N` are needed.
    """
    if contrast.is_constant:
        return max(2, math.floor(math.log2(2 / level)) + 1)
    if not contrast.effect:
        return None
    effect = contrast.effect
    n = bisect.bisect_left(range(MAX_N + 1), POWER, lo=2, key=lambda n: _power(effect, n, level))
    return n if n <= MAX_N else None


def _power(effect: float, n: int, level: float) -> float:
    """The probability that Student's two-sided test of n values decides on the right side."""
    critical = special.stdtrit(n - 1, 1 - level / 2)
    misses = special.nctdtr(n - 1, effect * math.sqrt(n), critical)
    # NaN where the chance of a miss is too small to be computed.
    return 1.0 if math.isnan(misses) else 1 - float(misses)
