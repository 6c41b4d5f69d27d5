"""Draws gaps against the budget of training: numbers in, a matplotlib `Figure` out."""

from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from vggres.figures.style import (
    LINE_WIDTH,
    QUIET_INK,
    add_top_legend,
    label_panel,
    marker,
    new_figure,
    styles,
)

_ZERO = {'color': QUIET_INK, 'linestyle': '-', 'linewidth': 0.8}
_MARGIN = {'color': QUIET_INK, 'linestyle': ':', 'linewidth': 1.2}
_MARKER_SIZE = 4.5  # points
_SLOT = 7.0  # points between two families at one budget


class GapAt(NamedTuple):
    """The gap of a family at a budget, with one value for each seed."""

    family: str
    updates: int
    values: Sequence[float]


def gap_against_budget(gaps: Sequence[GapAt], margin: float) -> Figure:
    """Draws gaps in decades of training loss against the number of updates.

    Each family has one line, the mean over seeds, and each seed one marker.

    Args:
        gaps: with at least one value each.
        margin: the gap that a dotted line marks.

    Raises:
        ValueError: where there are no gaps.
    """
    if not gaps:
        raise ValueError('no gaps to draw')
    looks = styles(gap.family for gap in gaps)
    figure, (ax,) = new_figure(1)
    label_panel(ax, 'Deepest network against the best shallower one', 'updates', 'decades of loss')
    ax.set_xscale('log')
    ax.axhline(0, label='no gap', **_ZERO)
    ax.axhline(margin, label='margin', **_MARGIN)
    for place, (family, style) in enumerate(looks.items()):
        shift = _SLOT * (place - (len(looks) - 1) / 2) / 72
        right = ax.transData + ScaledTranslation(shift, 0, figure.dpi_scale_trans)
        own = sorted((gap for gap in gaps if gap.family == family), key=lambda gap: gap.updates)
        ax.plot(
            [gap.updates for gap in own],
            [fmean(gap.values) for gap in own],
            label=f'{family} mean',
            color=style.color,
            linestyle=style.line_style,
            linewidth=LINE_WIDTH,
            transform=right,
        )
        for gap in own:
            dots = marker(style.marker, style.color, _MARKER_SIZE)
            x = [gap.updates] * len(gap.values)
            ax.plot(x, gap.values, label=f'{family} {gap.updates}', transform=right, **dots)
    updates = sorted({gap.updates for gap in gaps})
    ax.set_xticks(updates, [f'{each:,}' for each in updates])
    ax.minorticks_off()
    ax.set_xlim(updates[0] / 1.5, updates[-1] * 1.5)
    values = [value for gap in gaps for value in gap.values]
    low, high = min(0.0, *values), max(margin, *values)
    ax.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))
    handles = [
        Line2D(
            [],
            [],
            label=family,
            color=style.color,
            linewidth=LINE_WIDTH,
            **marker(style.marker, style.color, 6.5) | {'linestyle': style.line_style},
        )
        for family, style in looks.items()
    ]
    handles.append(Line2D([], [], label='one seed', **marker('o', QUIET_INK)))
    handles.append(Line2D([], [], label='margin', **_MARGIN))
    add_top_legend(figure, handles)
    return figure
