"""Findings as tables of text, for the report."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from vggres.figures.style import order_variants
from vggres.findings.estimates import Interval
from vggres.findings.verdict import METRIC_WORDS, DepthOutcome, Difference, VariantVerdict, Verdict

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
            Column('failed at the deepest'),
            Column('exact test p'),
            Column('excess error (pp)'),
            Column(f'{100 * verdict.confidence:g} % CI (pp)'),
            Column('trained'),
            Column('log10 loss'),
            Column(f'{100 * verdict.confidence:g} % CI'),
            Column('exchangeability p'),
            Column('n'),
        ),
        rows=[
            *(_variant_row(name, verdict.variants[name]) for name in names),
            *(_difference_row(difference) for difference in verdict.differences),
        ],
        note=f'The excess error is the {METRIC_WORDS[verdict.metric]} of the deepest network minus '
        'that of the best shallower network of its family, in percentage points (pp), among the '
        'seeds that trained at both ("trained"). There is no interval where all these seeds '
        'have the same excess, because its spread cannot be estimated then. log10 loss is the '
        'same difference for the decimal logarithm of the training loss. The exact test asks '
        'whether the deepest network fails to train more often than shallower ones. The '
        'exchangeability p (Page) asks whether depth matters at all; no verdict rests on it. The '
        f'margin is {verdict.margin:g} pp, the significance level {verdict.significance:g}; n '
        'counts seeds.',
    )


def _variant_row(name: str, judged: VariantVerdict) -> list[str]:
    shallower, loss = judged.best_shallower, judged.loss
    deepest = [each for each in judged.networks if each.depth == judged.deepest]
    return [
        name,
        judged.verdict,
        MISSING if shallower is None else f'{judged.deepest} against {shallower}',
        f'{deepest[0].failed} of {deepest[0].n}' if deepest else MISSING,
        p_value(judged.failure_p),
        number(judged.excess_error),
        interval(judged.confidence_interval),
        str(judged.trained),
        number(loss.decades if loss else None),
        interval(loss.confidence_interval if loss else None),
        p_value(judged.exchangeability_p),
        str(judged.n),
    ]


def _difference_row(difference: Difference) -> list[str]:
    failed, others = difference.failed
    return [
        ' − '.join(difference.variants),
        'difference',
        str(difference.depth),
        f'{failed} − {others}',
        p_value(difference.failure_p),
        number(difference.excess_error),
        interval(difference.confidence_interval),
        str(difference.trained),
        '',
        '',
        '',
        str(difference.n),
    ]


def outcomes_table(verdict: Verdict) -> Table:
    """What became of the runs: one row per variant and depth."""
    names = order_variants(verdict.variants)
    return Table(
        title='Failures and speed by depth',
        columns=(
            Column('network', words=True),
            Column('depth'),
            Column(f'{METRIC_WORDS[verdict.metric]} (%)'),
            Column('failed'),
            Column('P(fail)'),
            Column(f'updates to {verdict.target_error:g} %'),
            Column('n'),
        ),
        rows=[
            [
                name,
                str(each.depth),
                error_range(each.median_error, each.lowest_error, each.highest_error),
                str(each.failed),
                ' to '.join(f'{end:.2f}' for end in each.failure_interval),
                _updates(each),
                str(each.n),
            ]
            for name in names
            for each in verdict.variants[name].networks
        ],
        note='Errors are the median over runs and, in brackets, the lowest and the highest. A run '
        f'has failed to train if it diverged or if its training error is {verdict.failing_error:g} '
        '% or more, half of that of guessing. P(fail) is the '
        f'{100 * verdict.confidence:g} % interval of Clopper and Pearson. Updates to '
        f'{verdict.target_error:g} % are the median number of updates until the training error '
        f'was at or below it, at a resolution of {verdict.resolution or MISSING} updates; > marks '
        'a median beyond what was seen. n counts runs.',
    )


def _updates(outcome: DepthOutcome) -> str:
    found = outcome.updates
    return MISSING if found is None else f'{"> " * found.is_exceeded}{found.value:,.0f}'


def error_range(middle: float, lowest: float, highest: float) -> str:
    """A median and the range around it in percent, `1.20 (0.90–3.10)`; alone where all are equal.

    Errors are bounded and often bimodal, so that a standard deviation says little about them.
    """
    spread = f' ({lowest:.2f}–{highest:.2f})' if f'{lowest:.2f}' != f'{highest:.2f}' else ''
    return f'{middle:.2f}{spread}'


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
