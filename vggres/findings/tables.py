"""Findings as tables of text, for the report."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vggres.figures.style import order_variants
from vggres.findings.estimates import Interval
from vggres.findings.verdict import METRIC_WORDS, Difference, VariantVerdict, Verdict

MISSING = '–'
_SUPERSCRIPTS = str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹')


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        heading: what stands above it.
        words: whether it holds words rather than numbers; words are aligned to the left.
    """

    heading: str
    words: bool = False


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: what it shows, in a few words.
        columns: in order.
        rows: each with one text per column.
        note: what the headings mean.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    note: str = ''


def verdict_table(verdict: Verdict) -> Table:
    """The verdict in numbers: one row per variant, and one per difference between two."""
    names = order_variants(verdict.variants)
    return Table(
        title='Verdict by network',
        columns=(
            Column('network', words=True),
            Column('verdict', words=True),
            Column('depths compared'),
            Column('excess error (pp)'),
            Column(f'{100 * verdict.confidence:g} % CI (pp)'),
            Column('trend p'),
            Column('n'),
        ),
        rows=[
            *(_variant_row(name, verdict.variants[name]) for name in names),
            *(_difference_row(difference) for difference in verdict.differences),
        ],
        note=f'The excess error is the {METRIC_WORDS[verdict.metric]} of the deepest network minus '
        'that of the best shallower network of its family, in percentage points (pp). The margin '
        f'is {verdict.margin:g} pp, the significance level {verdict.significance:g}; n counts '
        'seeds.',
    )


def _variant_row(name: str, judged: VariantVerdict) -> list[str]:
    shallower = judged.best_shallower
    return [
        name,
        judged.verdict,
        MISSING if shallower is None else f'{judged.deepest} against {shallower}',
        number(judged.excess_error),
        interval(judged.confidence_interval),
        p_value(judged.trend_p),
        str(judged.n),
    ]


def _difference_row(difference: Difference) -> list[str]:
    return [
        ' − '.join(difference.variants),
        'difference of excesses',
        '',
        number(difference.excess_error),
        interval(difference.confidence_interval),
        '',
        str(difference.n),
    ]


def number(value: float | None, form: str = '+.2f') -> str:
    """A number with a true minus sign; a dash for None, and never a negative zero."""
    if value is None:
        return MISSING
    if value == math.inf:
        return '∞'
    text = f'{value:{form}}'
    if float(text) == 0:
        text = f'{0.0:{form}}'
    return text.replace('-', '−')


def scientific(value: float | None) -> str:
    """A number with two digits and a power of ten, as in 1.5·10⁻³; a dash for None."""
    if value is None:
        return MISSING
    if not math.isfinite(value) or value == 0:
        return f'{value:g}'
    mantissa, exponent = f'{value:.1e}'.replace('-', '−').split('e')
    power = f'{int(exponent.replace("−", "-"))}'.translate(_SUPERSCRIPTS)
    return mantissa if power == '⁰' else f'{mantissa}·10{power}'


def interval(ends: Interval | None, form: str = '+.2f') -> str:
    """The two ends of an interval; a dash for None."""
    return ' to '.join(number(end, form) for end in ends) if ends else MISSING


def p_value(p: float | None) -> str:
    """A p-value with three digits, or that it is below 0.001; a dash for None."""
    if p is None:
        return MISSING
    return '< 0.001' if p < 0.001 else f'{p:.3f}'
