"""Draws measured lines beside closed forms, in panels: numbers in, a matplotlib `Figure` out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import ScalarFormatter

from vggres.figures.style import (
    FONT,
    FONT_SIZE,
    INK,
    LINE_WIDTH,
    QUIET_INK,
    add_side_legend,
    label_panel,
    new_figure,
    styles,
)

_DASHES = ((0, (4, 3)), (0, (1, 2)), (0, (7, 2, 1, 2)), (0, (9, 3)))  # of closed forms
_COLUMNS = 3  # panels side by side, at most


@dataclass(frozen=True)
class Line:
    """A line of a figure.

    Attributes:
        panel: the title of the panel that it is drawn in.
        name: what the legend calls it; lines of one name look alike.
        x: `[n]`.
        y: `[n]`; NaN leaves a gap.
        is_expected: whether it is a closed form, which is drawn thin and dashed.
    """

    panel: str
    name: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    is_expected: bool = False


@dataclass(frozen=True)
class Axis:
    """An axis of all panels.

    Attributes:
        title: what is drawn along it, with its unit.
        is_log: whether it is logarithmic; numbers that are not positive then leave a gap.
        lowest: where it begins; None for where the lines do.
    """

    title: str
    is_log: bool = False
    lowest: float | None = None


def in_panels(drawn: Sequence[Line], title: str, x: Axis, y: Axis) -> Figure:
    """Draws lines in panels that share both axes, at most three panels in a row.

    Args:
        drawn: the lines of all panels.
        title: of the whole figure.
        x: the horizontal axis.
        y: the vertical axis.

    Raises:
        ValueError: where there are no lines.
    """
    if not drawn:
        raise ValueError('no lines to draw')
    panels = list(dict.fromkeys(line.panel for line in drawn))
    columns = 2 if len(panels) == 4 else min(_COLUMNS, len(panels))
    figure, axes = new_figure(columns, True, -(-len(panels) // columns))
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    looks = _looks(drawn)
    for i, (panel, ax) in enumerate(zip(panels, axes, strict=False)):
        below = i + columns >= len(panels)
        label_panel(ax, panel, x.title if below else '', '' if i % columns else y.title)
        for line in drawn:
            if line.panel == panel:
                ax.plot(line.x, _shown(line.y, y), **looks[line.name])
        ax.margins(x=0.03)
        _scale(ax, x, y)
    figure.suptitle(title, color=INK, fontfamily=FONT['family'], fontsize=FONT_SIZE + 1)
    handles = [Line2D([], [], label=name, **look) for name, look in looks.items()]
    add_side_legend(figure, handles, title='')
    return figure


def _looks(drawn: Sequence[Line]) -> dict[str, dict]:
    """How the lines of each name are drawn: what is measured first, then the closed forms."""
    measured = styles(line.name for line in drawn if not line.is_expected)
    looks: dict[str, dict] = {
        name: {
            'color': style.color,
            'linestyle': style.line_style,
            'linewidth': LINE_WIDTH,
            'marker': style.marker,
            'markersize': 3.5,
        }
        for name, style in measured.items()
    }
    expected = dict.fromkeys(line.name for line in drawn if line.is_expected)
    for number, name in enumerate(expected):
        dashes = _DASHES[number % len(_DASHES)]
        looks[name] = {'color': QUIET_INK, 'linestyle': dashes, 'linewidth': 1.1}
    return looks


def _shown(values: Sequence[float] | np.ndarray, axis: Axis) -> np.ndarray:
    found = np.asarray(values, float)
    return np.where(found > 0, found, np.nan) if axis.is_log else found


def _scale(ax: Axes, x: Axis, y: Axis) -> None:
    if x.is_log:
        ax.set_xscale('log', base=2)
        ax.xaxis.set_major_formatter(ScalarFormatter())
    if y.is_log:
        ax.set_yscale('log')
    if y.lowest is not None:
        ax.set_ylim(bottom=y.lowest)
