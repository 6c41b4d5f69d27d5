"""Draws what depends on the length of paths through a network: numbers in, a `Figure` out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from vggres.figures.style import (
    LINE_WIDTH,
    QUIET_INK,
    add_top_legend,
    label_panel,
    new_figure,
    styles,
)

_COLUMNS = 2  # panels side by side
_EXPECTED_STYLES = ((0, (1, 1.2)), (0, (5, 2)), (0, (6, 2, 1, 2)))
_LOWEST = 1e-6  # of a logarithmic axis, relative to its largest value


@dataclass(frozen=True)
class LengthLine:
    """A line in a figure of the lengths of paths.

    Attributes:
        panel: the title of the panel that it is drawn in.
        name: what the legend calls it; lines of one name look alike.
        values: `[blocks + 1]`, at index k of paths through k branches.
        is_expected: whether it is a prediction, which is drawn thin and without markers.
    """

    panel: str
    name: str
    values: np.ndarray
    is_expected: bool = False


def by_length(drawn: Sequence[LengthLine], y_title: str, log: bool = False) -> Figure:
    """Draws values against the number of residual branches, two panels in each row.

    Args:
        drawn: the lines of all panels.
        y_title: what the values are, with their unit.
        log: whether the vertical axis is logarithmic; it then ends six decades below the largest
            value, and values of zero leave a gap.

    Raises:
        ValueError: where there is nothing to draw.
    """
    if not drawn:
        raise ValueError('no lengths to draw')
    panels = list(dict.fromkeys(line.panel for line in drawn))
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = new_figure(columns, True, rows, share_x=False)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    handles = {}
    looks = _looks(drawn)
    for line in drawn:
        ax = axes[panels.index(line.panel)]
        lengths, values = np.arange(len(line.values)), np.asarray(line.values, float)
        ax.plot(
            lengths, np.where(values > 0, values, np.nan) if log else values, **looks[line.name]
        )
        handles[line.name] = Line2D([], [], label=line.name, **looks[line.name])
    for i, (ax, panel) in enumerate(zip(axes, panels, strict=False)):
        is_last = i + columns >= len(panels)
        x_title = 'residual branches on the path' if is_last else ''
        label_panel(ax, panel, x_title, y_title if i % columns == 0 else '')
        ax.margins(x=0.03)
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        if log:
            ax.set_yscale('log')
            ax.yaxis.set_major_locator(LogLocator(numticks=8))
    if log:
        largest = max(float(np.max(line.values)) for line in drawn)
        axes[0].set_ylim(_LOWEST * largest, 3 * largest)
    add_top_legend(figure, list(handles.values()))
    return figure


def _looks(drawn: Sequence[LengthLine]) -> dict[str, dict]:
    """How the line of each name is drawn."""
    measured = styles(line.name for line in drawn if not line.is_expected)
    looks: dict[str, dict] = {
        name: {
            'color': style.color,
            'linewidth': LINE_WIDTH,
            'linestyle': style.line_style,
            'marker': style.marker,
            'markersize': 3,
        }
        for name, style in measured.items()
    }
    expected = dict.fromkeys(line.name for line in drawn if line.is_expected)
    for name, line_style in zip(expected, _EXPECTED_STYLES, strict=False):
        looks[name] = {'color': QUIET_INK, 'linewidth': 1.2, 'linestyle': line_style}
    return looks
