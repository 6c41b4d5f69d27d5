"""Numbers as they stand in sentences of verdicts."""

from collections.abc import Mapping, Sequence

from vggres.findings.estimates import Interval, t_interval
from vggres.findings.outcomes import CONFIDENCE


def counted(count: int, noun: str) -> str:
    """A number with its noun: '1 seed', '2 seeds'."""
    return f'{count:,} {noun}' if count == 1 else f'{count:,} {noun}s'


def by_word(in_short: Mapping[str, str]) -> dict[str, str]:
    """A verdict in short the other way round: each word, and all that it is said of.

    In `{'degrades': 'plain; vgg'}`, a semicolon stands between the things, whose names have commas.
    """
    said: dict[str, list[str]] = {}
    for thing, word in in_short.items():
        said.setdefault(word, []).append(thing)
    return {word: '; '.join(things) for word, things in said.items()}


def beside(values: Sequence[float], margin: float, above: str, below: str) -> str:
    """What a sample says of a margin, by the interval of its mean at `CONFIDENCE`.

    Args:
        values: one for each seed or draw.
        margin: what the mean is compared with.
        above: what is said where the whole interval lies above the margin.
        below: the same below it. Between them, and without an interval, it is 'inconclusive'.
    """
    low, high = t_interval(values, CONFIDENCE) or (margin, margin)
    return above if low > margin else below if high < margin else 'inconclusive'


def points(difference: float | None) -> str:
    """How much more or less error, in percentage points: '2.70 points more'."""
    if difference is None or abs(difference) < 0.005:
        return 'no more'
    return f'{abs(difference):.2f} points {"less" if difference < 0 else "more"}'


def interval_in_words(interval: Interval) -> str:
    """An interval at `CONFIDENCE`: '95 % interval −0.50 to 1.20'."""
    low, high = (f'{end:.2f}'.replace('-', '−') for end in interval)
    return f'{100 * CONFIDENCE:g} % interval {low} to {high}'


def percent_interval(interval: Interval) -> str:
    """An interval of a probability, at `CONFIDENCE`: '95 % interval 29 to 100 %'."""
    low, high = interval
    return f'{100 * CONFIDENCE:g} % interval {100 * low:.0f} to {100 * high:.0f} %'


def p_in_words(p: float) -> str:
    """A p-value: 'p = 0.0012'."""
    return 'p < 0.0001' if p < 0.0001 else f'p = {p:.2g}'
