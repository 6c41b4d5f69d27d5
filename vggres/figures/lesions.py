"""Draws the error of lesioned networks: numbers in, a matplotlib `Figure` out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vggres.figures.style import (
    LINE_WIDTH,
    QUIET_INK,
    Style,
    add_top_legend,
    label_panel,
    marker,
    new_figure,
    styles,
)


@dataclass(frozen=True)
class Lesions:
    """The lesions of the networks of one kind; errors are in percent, means over seeds.

    Attributes:
        name: what the legend calls them.
        deleted: `[blocks]` the error without each block, from the first to the last.
        several: the error by the number of blocks that are deleted together.
        swapped: `[orders, 2]` Kendall's τ with the original order, and the error; may be empty.
    """

    name: str
    deleted: Sequence[float]
    several: Mapping[int, float]
    swapped: np.ndarray


def lesions(drawn: Sequence[Lesions], guessing: float) -> Figure:
    """Draws three panels: one block deleted, several deleted, and blocks swapped.

    Args:
        drawn: one entry for each kind of networks.
        guessing: the error of guessing in percent, drawn as a line.

    Raises:
        ValueError: where there is nothing to draw.
    """
    if not drawn:
        raise ValueError('no lesions to draw')
    figure, axes = new_figure(3, share_y=True, share_x=False)
    titles = (
        ('one block deleted', 'number of the block', 'validation error (%)'),
        ('several deleted', 'blocks deleted', ''),
        ('blocks swapped', "Kendall's τ with the trained order", ''),
    )
    for ax, labels in zip(axes, titles, strict=True):
        label_panel(ax, *labels)
        ax.axhline(guessing, color=QUIET_INK, linewidth=0.8, linestyle=(0, (4, 3)))
    looks = styles(each.name for each in drawn)
    for each in drawn:
        line, dots = _line(looks[each.name]), _dots(looks[each.name])
        axes[0].plot(range(1, len(each.deleted) + 1), each.deleted, **line)
        counts = sorted(each.several)
        axes[1].plot(counts, [each.several[count] for count in counts], **line)
        if len(each.swapped):
            axes[2].plot(each.swapped[:, 0], each.swapped[:, 1], **dots)
    for ax in axes[:2]:
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes[2].invert_xaxis()  # the order is the more disturbed, the further to the right
    axes[0].set_ylim(-3, 103)
    handles = [Line2D([], [], label=name, **_line(look)) for name, look in looks.items()]
    guess = {'color': QUIET_INK, 'linewidth': 0.8, 'linestyle': (0, (4, 3))}
    add_top_legend(figure, [*handles, Line2D([], [], label='guessing', **guess)])
    return figure


def _line(look: Style) -> dict:
    line = {'color': look.color, 'linewidth': LINE_WIDTH, 'linestyle': look.line_style}
    return marker(look.marker, look.color, 4.5) | line


def _dots(look: Style) -> dict:
    return marker(look.marker, look.color, 4.5) | {'alpha': 0.7}
