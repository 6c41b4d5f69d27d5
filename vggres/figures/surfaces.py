"""Draws loss surfaces: one panel of filled contours for each network."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from vggres.figures.style import FONT, FONT_SIZE, INK, QUIET_INK, label_panel, new_figure

_LEVELS = 24
_LOWEST, _HIGHEST = 1e-4, 1e3  # losses beyond are drawn as these
_MOST_COLUMNS = 4


@dataclass(frozen=True)
class LossSurface:
    """The loss on a plane through the weights of a network.

    Attributes:
        title: of its panel.
        first: `[n]`, the coordinates along the first direction, ascending.
        second: `[m]`, those along the second.
        losses: `[n, m]`; values that are not finite count as the highest.
    """

    title: str
    first: np.ndarray
    second: np.ndarray
    losses: np.ndarray


def contours(drawn: Sequence[LossSurface], columns: int, guessing: float) -> Figure:
    """Draws log10 of the loss as filled contours, with one scale of colours for all panels.

    A line marks where the loss is that of guessing.

    Args:
        drawn: the surfaces, row by row.
        columns: the number of panels in each row, at most four.
        guessing: the loss of guessing.

    Raises:
        ValueError: where there is nothing to draw.
    """
    if not drawn:
        raise ValueError('no surfaces to draw')
    columns = min(columns, _MOST_COLUMNS)
    rows = -(-len(drawn) // columns)
    figure, axes = new_figure(columns, share_y=True, rows=rows)
    logs = [_log10(each.losses) for each in drawn]
    low, high = min(map(np.min, logs)), max(map(np.max, logs))
    levels = np.linspace(low, high if high > low else low + 1, _LEVELS + 1)
    for ax, each, log in zip(axes, drawn, logs, strict=False):
        place = ax.get_subplotspec()
        x = 'first direction' if place.is_last_row() else ''
        label_panel(ax, each.title, x, 'second direction' if place.is_first_col() else '')
        filled = ax.contourf(each.first, each.second, log.T, levels=levels, cmap='viridis')
        border = [np.log10(guessing)]
        if log.min() < border[0] < log.max():
            ax.contour(each.first, each.second, log.T, levels=border, colors='white')
        ax.grid(visible=False)
        ax.set_aspect('equal')
        ax.plot(0, 0, marker='+', color='white', markersize=7)
    for ax in axes[len(drawn) :]:
        ax.set_visible(False)
    bar = figure.colorbar(filled, ax=axes, pad=0.01, format=FuncFormatter(_power))
    bar.set_label('loss', color=INK, fontdict=FONT)
    bar.set_ticks(np.arange(np.ceil(levels[0]), np.floor(levels[-1]) + 1))
    bar.ax.tick_params(color=QUIET_INK, labelcolor=INK, labelsize=FONT_SIZE)
    return figure


def _log10(losses: np.ndarray) -> np.ndarray:
    finite = np.where(np.isfinite(losses), losses, _HIGHEST)
    return np.log10(np.clip(finite, _LOWEST, _HIGHEST))


def _power(exponent: float, _: object) -> str:
    return f'{10.0**exponent:g}'
