"""Draws the training error of runs against their updates: numbers in, a `Figure` out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vggres.figures.style import GRID, QUIET_INK, add_top_legend, label_panel, new_figure

_COLORS = ('#0072b2', '#d55e00', '#00866a', '#9a7b00', '#7a4f9c')
_LOWEST = 0.05  # percent, below which errors are drawn as 0


class Course(NamedTuple):
    """The error of a run.

    Attributes:
        name: what it has in common with others of its colour.
        points: the updates done and the training error in percent.
    """

    name: str
    points: Sequence[tuple[int, float]]


def error_courses(
    panels: Mapping[str, Sequence[Course]], limit: float, turn: int | None = None
) -> Figure:
    """Draws the error of each run against its updates, one panel a group, one line a run.

    The axis of errors is linear up to 1 % and logarithmic above, so that 0 % has a place.

    Args:
        panels: the runs by the title of a panel.
        limit: an error in percent, drawn as a line.
        turn: the updates after which something about the networks changed, drawn as a vertical
            line; None where nothing did.

    Raises:
        ValueError: where there are no runs.
    """
    names = list(dict.fromkeys(course.name for found in panels.values() for course in found))
    if not names:
        raise ValueError('no runs to draw')
    figure, axes = new_figure(len(panels), share_y=True)
    for ax, (title, found) in zip(axes, panels.items(), strict=True):
        label_panel(ax, title, 'updates', 'training error (%)' if ax is axes[0] else '')
        ax.grid(color=GRID, linewidth=0.8)
        ax.axhline(limit, color=QUIET_INK, linewidth=0.8, linestyle=(0, (2, 2)))
        if turn is not None:
            ax.axvline(turn, color=QUIET_INK, linewidth=0.8)
        for course in found:
            color = _COLORS[names.index(course.name) % len(_COLORS)]
            steps, errors = zip(*course.points, strict=True)
            ax.plot(steps, errors, color=color, linewidth=1.3, alpha=0.85)
        ax.set_yscale('symlog', linthresh=1.0)
        ax.set_ylim(-_LOWEST, 110)
        ax.set_yticks([0, 1, 5, 10, 50, 100], ['0', '1', '5', '10', '50', '100'])
        ax.minorticks_off()
    handles = [
        Line2D([], [], color=_COLORS[i % len(_COLORS)], label=name) for i, name in enumerate(names)
    ]
    add_top_legend(figure, handles)
    return figure
