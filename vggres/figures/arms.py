"""Draws the updates that each arm of an intervention needs: numbers in, a `Figure` out."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator

from vggres.figures.style import (
    FIGURE_WIDTH,
    FONT,
    GRID,
    INK,
    MARKER_SIZE,
    QUIET_INK,
    add_top_legend,
    label_panel,
    marker,
    new_figure,
)

_ROW = 0.36  # inches, of an arm
STATUS_COLORS = {
    'cures': '#00866a',
    'helps': '#0072b2',
    'no effect': '#59626d',
    'harms': '#d55e00',
    'reference': INK,
}
UNDECIDED = '#9a7b00'
_NOTE = {'color': QUIET_INK, 'fontdict': FONT}
_SPREAD = 0.22  # rows, over which the seeds of an arm stand


class ArmRuns(NamedTuple):
    """The runs of an arm at one depth.

    Attributes:
        name: of the arm.
        updates: to the error, one a run; None where the budget ended first.
        status: what became of the intervention, or 'reference' for what it is compared with.
    """

    name: str
    updates: Sequence[int | None]
    status: str


def updates_by_arm(panels: Mapping[str, Sequence[ArmRuns]], budget: int, target: str) -> Figure:
    """Draws the updates to an error of each arm, one row an arm, on a logarithmic axis.

    Each run is a dot, or an arrow at the budget where that ended it; a bar marks the median where
    most runs reached the error. Colours say what became of an intervention. A row says so where an
    arm has no runs.

    Args:
        panels: the arms, in the order of their rows, by the title of a panel.
        budget: the updates after which a run ended.
        target: the training error in percent, as a text.

    Raises:
        ValueError: where there are no runs.
    """
    names = list(dict.fromkeys(arm.name for arms in panels.values() for arm in arms))
    counts = [each or budget for arms in panels.values() for arm in arms for each in arm.updates]
    if not counts:
        raise ValueError('no runs to draw')
    figure, axes = new_figure(len(panels), share_y=True)
    figure.set_size_inches(FIGURE_WIDTH, 1.4 + _ROW * len(names))
    for ax, (title, arms) in zip(axes, panels.items(), strict=True):
        label_panel(ax, title, f'updates to {target} % training error', '')
        ax.grid(visible=False, axis='y')
        ax.grid(axis='x', color=GRID, linewidth=0.8)
        ax.axvline(budget, color=QUIET_INK, linewidth=0.8, linestyle=(0, (2, 2)))
        for arm in arms:
            _draw(ax, arm, names.index(arm.name), budget)
        for name in set(names) - {arm.name for arm in arms if arm.updates}:
            place = (0.02, names.index(name))
            ax.text(*place, 'no runs', transform=ax.get_yaxis_transform(), va='center', **_NOTE)
        ax.set_xscale('log')
        ax.set_xlim(0.8 * min(counts), 1.35 * budget)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:,g}'))
        ax.minorticks_off()
    axes[0].set_yticks(range(len(names)), names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    everything = [arm for arms in panels.values() for arm in arms]
    add_top_legend(figure, _explain(everything))
    return figure


def _draw(ax: Axes, arm: ArmRuns, row: int, budget: int) -> None:
    color = STATUS_COLORS.get(arm.status, UNDECIDED)
    places = row + np.linspace(-_SPREAD, _SPREAD, len(arm.updates))
    for place, updates in zip(places, arm.updates, strict=True):
        shape = 'o' if updates else '>'
        ax.plot([updates or budget], [place], zorder=3, **marker(shape, color, MARKER_SIZE))
    middle = median([np.inf if each is None else each for each in arm.updates] or [np.inf])
    if np.isfinite(middle):
        ends = [row - 1.5 * _SPREAD, row + 1.5 * _SPREAD]
        ax.plot([middle, middle], ends, color=color, linewidth=1.6, zorder=2)


def _explain(arms: Sequence[ArmRuns]) -> list[Line2D]:
    statuses = dict.fromkeys(arm.status for arm in arms)
    decided = [each for each in STATUS_COLORS if each in statuses]
    handles = [
        Line2D([], [], label=each, **marker('o', STATUS_COLORS[each], MARKER_SIZE))
        for each in decided
    ]
    if set(statuses) - set(decided):
        handles.append(Line2D([], [], label='not decided', **marker('o', UNDECIDED, MARKER_SIZE)))
    if any(None in arm.updates for arm in arms):
        look = marker('>', QUIET_INK, MARKER_SIZE)
        handles.append(Line2D([], [], label='not within the budget', **look))
    return handles
