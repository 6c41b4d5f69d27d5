"""Draws how quantities along the layers change in training: numbers in, a `Figure` out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vggres.figures.style import (
    LINE_WIDTH,
    add_side_legend,
    depth_colors,
    label_panel,
    new_figure,
)


class LayerCourse(NamedTuple):
    """A quantity along the layers of one network, at some moments of its training.

    Attributes:
        positions: `[n]` weighted layers, 1 next to the image.
        values: `[n]` by epoch; values that are not positive leave a gap.
    """

    positions: Sequence[int]
    values: Mapping[float, np.ndarray]


def along_layers_in_training(rows: Mapping[str, Mapping[str, LayerCourse]]) -> Figure:
    """Draws quantities against the layer: one line an epoch, later ones darker.

    Args:
        rows: the networks of each row of panels by their titles, which are the same in all rows;
            the rows by the title of their vertical axis, which is logarithmic.

    Raises:
        ValueError: where there is nothing to draw.
    """
    courses = [course for panels in rows.values() for course in panels.values()]
    epochs = sorted({epoch for course in courses for epoch in course.values})
    if not epochs:
        raise ValueError('no layers to draw')
    ranks = depth_colors(range(len(epochs)))
    colors = {epoch: ranks[rank] for rank, epoch in enumerate(epochs)}
    columns = len(next(iter(rows.values())))
    figure, axes = new_figure(columns, share_y='row', rows=len(rows))
    placed = [(row, title) for row, panels in rows.items() for title in panels]
    for place, (ax, (y_title, title)) in enumerate(zip(axes, placed, strict=True)):
        is_last, is_first = place >= len(placed) - columns, place % columns == 0
        x = 'layer, 1 next to the image' if is_last else ''
        label_panel(ax, title, x, y_title if is_first else '')
        course = rows[y_title][title]
        for epoch, values in course.values.items():
            line = {'color': colors[epoch], 'linewidth': LINE_WIDTH}
            ax.plot(course.positions, np.where(values > 0, values, np.nan), **line)
        ax.set_yscale('log')
        ax.margins(x=0.03)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    handles = [
        Line2D([], [], color=colors[epoch], linewidth=2.4, label=f'{epoch:.3g}') for epoch in epochs
    ]
    add_side_legend(figure, handles, title='epoch')
    return figure
