"""Draws the updates to a target, and learning rates, against depth: numbers in, a `Figure` out."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.ticker import FuncFormatter, LogLocator

from vggres.figures.style import (
    LINE_WIDTH,
    MARKER_SIZE,
    QUIET_INK,
    Style,
    add_top_legend,
    label_panel,
    marker,
    new_figure,
    styles,
)

_WIDTH = 2.0  # layers over which the runs of one depth and family stand side by side
_LAW_STYLES = ((0, (1, 1.2)), (0, (6, 2, 1, 2)))
# An arrow that is slim enough for those of several seeds to stand side by side.
_SHAFT_AND_HEAD = Path([(0, -1), (0, 1), (-0.22, 0.45), (0, 1), (0.22, 0.45)], [1, 2, 1, 2, 2])
_ARROW = {
    'marker': _SHAFT_AND_HEAD,
    'markersize': 12.0,
    'markerfacecolor': 'none',
    'markeredgewidth': 1.1,
    'linestyle': '',
}


class Reached(NamedTuple):
    """The updates of one run; those of a censored one are its budget."""

    family: str
    depth: int
    seed: int
    updates: float
    censored: bool


class LawLine(NamedTuple):
    """A law that was fitted to a family: its name and the updates at some depths."""

    family: str
    name: str
    depths: Sequence[float]
    updates: Sequence[float]


def updates_against_depth(
    runs: Mapping[str, Sequence[Reached]], laws: Mapping[str, Sequence[LawLine]]
) -> Figure:
    """Draws the updates to each target against depth, on a logarithmic axis.

    There is one panel per target. Each run is a marker, or an arrow where the budget ended it; a
    line joins the medians of a family, as far as most runs reached the target. Seeds stand side by
    side.

    Args:
        runs: by the title of the panel.
        laws: the fitted laws to draw, by the title of the panel.

    Raises:
        ValueError: where there are no runs.
    """
    everything = [run for panel in runs.values() for run in panel]
    if not everything:
        raise ValueError('no runs to draw')
    looks = styles(run.family for run in everything)
    depths = sorted({run.depth for run in everything})
    figure, axes = new_figure(len(runs), share_y=True)
    for ax, (title, panel) in zip(axes, runs.items(), strict=True):
        label_panel(ax, title, 'depth (weighted layers)', 'updates' if ax is axes[0] else '')
        shifts = {family: _shift(place, len(looks)) for place, family in enumerate(looks)}
        for family, style in looks.items():
            own = [run for run in panel if run.family == family]
            _draw_family(ax, own, style, shifts[family])
        for law, line_style in zip(laws.get(title, ()), _LAW_STYLES, strict=False):
            places = np.array(law.depths) + shifts[law.family]
            ax.plot(places, law.updates, label=f'{law.family}: {law.name}', **_law(line_style))
        ax.set_xticks(depths, [str(depth) for depth in depths])
        ax.set_yscale('log')
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:,g}'))
        ax.minorticks_off()
    lowest, highest = (choose(run.updates for run in everything) for choose in (min, max))
    axes[0].set_ylim(0.75 * lowest, 1.35 * highest)
    names = dict.fromkeys(f'{law.family}: {law.name}' for own in laws.values() for law in own)
    handles = _explain(looks, any(run.censored for run in everything))
    handles += [
        Line2D([], [], label=name, **_law(line_style))
        for name, line_style in zip(names, _LAW_STYLES, strict=False)
    ]
    add_top_legend(figure, handles)
    return figure


def _law(line_style: tuple) -> dict:
    return {'color': QUIET_INK, 'linestyle': line_style, 'linewidth': 1.2, 'zorder': 1.5}


def _shift(place: int, families: int) -> float:
    """How far to the right of their depth the runs of a family stand, in layers."""
    return _WIDTH * (place - (families - 1) / 2)


def _draw_family(ax: Axes, runs: Sequence[Reached], style: Style, shift: float) -> None:
    seeds = sorted({run.seed for run in runs})
    depths = sorted({run.depth for run in runs})
    medians = []
    for depth in depths:
        values = [np.inf if run.censored else run.updates for run in runs if run.depth == depth]
        medians.append(median(values))
    shown = np.where(np.isfinite(medians), medians, np.nan)
    line = {'color': style.color, 'linestyle': style.line_style, 'linewidth': LINE_WIDTH}
    if runs:
        places = np.array(depths, float) + shift
        ax.plot(places, shown, label=f'{runs[0].family} median', **line)
    for run in runs:
        spread = 0.7 * _WIDTH / max(1, len(seeds))
        place = run.depth + shift + spread * (seeds.index(run.seed) - (len(seeds) - 1) / 2)
        label = f'{run.family} {run.depth} seed {run.seed}{" censored" * run.censored}'
        look = marker(style.marker, style.color, MARKER_SIZE - 1)
        if run.censored:
            look = _ARROW | {'color': style.color}
        ax.plot([place], [run.updates], label=label, zorder=3, **look)


def _explain(looks: Mapping[str, Style], is_censored: bool) -> list[Line2D]:
    handles = []
    for family, style in looks.items():
        both = marker(style.marker, style.color, MARKER_SIZE) | {'linestyle': style.line_style}
        label = f'{family}: runs and median'
        handles.append(Line2D([], [], label=label, color=style.color, linewidth=LINE_WIDTH, **both))
    if is_censored:
        handles.append(Line2D([], [], label='not within the budget', color=QUIET_INK, **_ARROW))
    return handles


def rate_against_depth(rates: Mapping[str, Mapping[int, float]], grid: Sequence[float]) -> Figure:
    """Draws the learning rate of each network against depth, on a logarithmic axis.

    Args:
        rates: by family and depth.
        grid: the rates that were tried; horizontal lines mark them.

    Raises:
        ValueError: where there are no rates.
    """
    depths = sorted({depth for own in rates.values() for depth in own})
    if not depths:
        raise ValueError('no rates to draw')
    looks = styles(rates)
    figure, (ax,) = new_figure(1)
    label_panel(ax, '', 'depth (weighted layers)', 'learning rate')
    for place, (family, style) in enumerate(looks.items()):
        own = dict(sorted(rates[family].items()))
        places = np.array(list(own), float) + 0.25 * _shift(place, len(looks))
        both = marker(style.marker, style.color) | {'linestyle': style.line_style}
        label = {'label': family, 'color': style.color, 'linewidth': LINE_WIDTH}
        ax.plot(places, list(own.values()), **label, **both)
    ax.set_xticks(depths, [str(depth) for depth in depths])
    ax.set_yscale('log')
    ax.set_ylim(0.7 * min(grid), 1.4 * max(grid))
    ax.set_yticks(list(grid), [f'{rate:g}' for rate in grid])
    ax.minorticks_off()
    handles = [line for line in ax.get_lines() if line.get_label() in looks]
    add_top_legend(figure, handles)
    return figure
