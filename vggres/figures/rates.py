"""Draws a loss against the learning rate: numbers in, a matplotlib `Figure` out."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from vggres.figures.style import (
    LINE_WIDTH,
    QUIET_INK,
    add_side_legend,
    add_top_legend,
    depth_colors,
    label_panel,
    marker,
    new_figure,
    order_variants,
)

_GUESSING = {'color': QUIET_INK, 'linestyle': ':', 'linewidth': 1.2}
_CHOSEN = {'color': QUIET_INK, 'linestyle': '-', 'linewidth': 1.0}


class LossLine(NamedTuple):
    """The losses of a network at ascending learning rates."""

    family: str
    depth: int
    rates: Sequence[float]
    losses: Sequence[float]


def loss_against_rate(lines: Sequence[LossLine], chosen: float | None, guessing: float) -> Figure:
    """Draws the validation loss against the learning rate, both on logarithmic axes.

    There is one panel per family and one colour per depth.

    Args:
        lines: one per network.
        chosen: the learning rate that a vertical line marks; None: no line.
        guessing: the loss that a dotted line marks.

    Raises:
        ValueError: where there are no lines.
    """
    if not lines:
        raise ValueError('no losses to draw')
    families = order_variants(line.family for line in lines)
    colors = depth_colors(line.depth for line in lines)
    figure, axes = new_figure(len(families), share_y=True)
    for ax, family in zip(axes, families, strict=True):
        label_panel(ax, family, 'learning rate', 'validation loss' if ax is axes[0] else '')
        ax.set_xscale('log')
        ax.set_yscale('log')
        ax.axhline(guessing, label='guessing', **_GUESSING)
        if chosen is not None:
            ax.axvline(chosen, label='chosen', **_CHOSEN)
        for line in lines:
            if line.family == family:
                color = colors[line.depth]
                look = marker('o', color) | {'linestyle': '-', 'linewidth': LINE_WIDTH}
                label = f'{family} {line.depth}'
                ax.plot(line.rates, line.losses, label=label, color=color, **look)
        rates = sorted({rate for line in lines for rate in line.rates})
        ax.set_xticks(rates, [f'{rate:g}' for rate in rates])
        ax.minorticks_off()
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # losses may span one decade
        ax.yaxis.set_major_formatter('{x:g}')
    depths = [
        Line2D([], [], color=color, linewidth=2.4, label=str(depth))
        for depth, color in sorted(colors.items(), reverse=True)
    ]
    add_side_legend(figure, depths, title='depth')
    explained = [Line2D([], [], label='guessing', **_GUESSING)]
    if chosen is not None:
        explained.append(Line2D([], [], label='the rate that the rule chooses', **_CHOSEN))
    add_top_legend(figure, explained)
    return figure
