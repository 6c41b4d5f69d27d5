"""Tells of plain beside residual networks before and after training: words, rows and panels."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from vggres.findings.before_after import (
    AFTER,
    BEFORE,
    FAMILIES,
    MOMENTS,
    NORMS,
    AnyDifference,
    Difference,
    Found,
    Group,
    Network,
    all_draws,
    groups,
)
from vggres.findings.estimates import t_interval
from vggres.findings.outcomes import CONFIDENCE
from vggres.findings.phrases import beside, counted, interval_in_words
from vggres.findings.tables import Column, interval, number

UNDER = {'batch': 'With batch norm', 'none': 'Without norm'}
_UNITS = {BEFORE: 'draw', AFTER: 'seed'}  # draws of random weights


def deepest(differences: Sequence[AnyDifference]) -> list[AnyDifference]:
    """The differences between the deepest networks."""
    depth = max((each.depth for each in differences), default=0)
    return [each for each in differences if each.depth == depth]


def beside_margin(
    differences: Sequence[AnyDifference], margin: float, larger: str
) -> dict[str, str]:
    """Whether the differences between the deepest networks are above a margin, by norm and moment.

    Args:
        differences: plain minus residual networks.
        margin: what they are compared with.
        larger: what is said where one is above it; where it is below, 'not' stands in front.
    """
    return {
        f'{UNDER[each.norm].lower()}, {each.moment}': beside(
            each.values, margin, larger, f'not {larger}'
        )
        for each in deepest(differences)
    }


def opening(found: Difference) -> str:
    """How a sentence begins: 'With batch norm, before training, at depth 20'."""
    return f'{UNDER[found.norm]}, {found.moment}, at depth {found.depth}'


def in_words(found: Difference, without_spread: str, *remarks: str) -> str:
    """A difference in a sentence: '0.28 (95 % interval 0.25 to 0.31; 4 draws)'.

    Args:
        found: the difference.
        without_spread: what stands in the place of the interval where there is none.
        remarks: what stands between the interval and the number of draws or seeds.
    """
    mean = f'{found.mean:.2f}'.replace('-', '−')
    spread = interval_in_words(found.interval) if found.interval else without_spread
    n = counted(len(found.values), _UNITS[found.moment])
    return f'{mean} ({"; ".join((spread, *remarks, n))})'


def network_columns(compared: str, confidence: float, *own: str) -> tuple[Column, ...]:
    """The columns of a table of networks by kind, depth and moment.

    Args:
        compared: the heading of the number that is compared.
        confidence: the level of its interval.
        own: the headings of the experiment's further columns, all of them numbers.
    """
    return (
        Column('network', words=True),
        Column('depth'),
        Column('when', words=True),
        Column(compared),
        Column(f'{100 * confidence:g} % CI'),
        *(Column(heading) for heading in own),
        Column('training error (%)'),
        Column('n'),
    )


def network_row(
    group: Group[Found],
    compared: Callable[[Found], Sequence[float]],
    form: str,
    own: Sequence[str],
) -> list[str]:
    """A row of a table of networks.

    Args:
        group: what it is about.
        compared: the number that is compared, for each draw of the weights: their mean is shown.
        form: of that number, as in '.2f'.
        own: the texts of the experiment's further columns.
    """
    values = np.array(all_draws(group.found, compared))
    return [
        group.variant,
        str(group.depth),
        group.moment,
        number(values.mean(), form),
        interval(t_interval(values, CONFIDENCE), form),
        *own,
        number(group.train_error, '.1f') if group.moment == AFTER else '',
        str(len(values)),
    ]


def panels(
    networks: Sequence[Network[Found]], norms: Iterable[str] = tuple(NORMS)
) -> Iterator[tuple[str, Group[Found]]]:
    """The deepest networks, a panel of a figure for each norm and moment.

    Args:
        networks: all of a sweep.
        norms: those that get panels, in their order.

    Yields:
        The title of a panel, and a family in it.
    """
    depth = max((n.depth for n in networks), default=0)
    kinds = groups([n for n in networks if n.depth == depth])
    found = {(each.norm, each.moment, each.family): each for each in kinds}
    for norm in norms:
        for moment in MOMENTS:
            for family in FAMILIES:
                if group := found.get((norm, moment, family)):
                    yield f'{NORMS[norm]}, {moment}, depth {depth}', group
