"""The house style of all figures: colours, markers, line styles, panels and legends.

Nothing here uses pyplot or changes rcParams, so that figures can be drawn in any thread and without
a display.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

INK = '#24292f'
QUIET_INK = '#59626d'
GRID = '#dfe3e8'
FONT_SIZE = 9.5  # points
FONT = {'family': 'DejaVu Sans', 'size': FONT_SIZE}
FIGURE_WIDTH = 9.0  # inches: the text column of the report
FIGURE_HEIGHT = 3.6  # inches
LINE_WIDTH = 1.7  # points
MARKER_SIZE = 5.5  # points


@dataclass(frozen=True)
class Style:
    """How a variant is drawn.

    Its marker and its line style tell it from others without the colour.
    """

    color: str
    marker: str
    line_style: str | tuple


# In the order of legends and tables. The colours are those of Okabe and Ito 2008, which people with
# any colour vision tell apart; the green is darkened so that it shows on white.
FAMILY_STYLES = {
    'plain': Style('#d55e00', 'o', '-'),
    'resnet': Style('#0072b2', 's', (0, (5, 2))),
    'vgg': Style('#00866a', '^', (0, (7, 2, 1.5, 2))),
}
_MORE_STYLES = (
    Style('#b0568c', 'D', (0, (1.5, 1.5))),
    Style('#5b3a8e', 'v', (0, (5, 1.5, 1.5, 1.5, 1.5, 1.5))),
    Style('#9a7b00', 'P', (0, (9, 3))),
    Style('#24292f', 'X', (0, (3, 3))),
    Style('#3f9ac9', '<', (0, (2, 3))),
    Style('#7d2e1f', '>', (0, (8, 1.5))),
    Style('#59626d', 'h', (0, (4, 1, 1, 1, 1, 1))),
)


def order_variants(variants: Iterable[str]) -> list[str]:
    """The distinct variants: families in the order of `FAMILY_STYLES`, then others as given."""
    distinct = list(dict.fromkeys(variants))
    families = [family for family in FAMILY_STYLES if family in distinct]
    return families + [variant for variant in distinct if variant not in FAMILY_STYLES]


def styles(variants: Iterable[str]) -> dict[str, Style]:
    """How each variant is drawn, in the order of `order_variants`.

    A family always looks the same.

    Raises:
        ValueError: for more variants than there are styles.
    """
    ordered = order_variants(variants)
    others = [variant for variant in ordered if variant not in FAMILY_STYLES]
    taken = {family: FAMILY_STYLES[family] for family in ordered if family in FAMILY_STYLES}
    free = [style for family, style in FAMILY_STYLES.items() if family not in taken]
    looks = [*free, *_MORE_STYLES]
    if len(others) > len(looks):
        raise ValueError(f'there are {len(others)} variants and only {len(looks)} styles')
    return taken | dict(zip(others, looks, strict=False))


def many_styles(variants: Iterable[str]) -> dict[str, Style]:
    """How each of any number of variants is drawn: as in `styles` for the first ten.

    Further ones have the colours of the first with other markers and line styles.
    """
    ordered = order_variants(variants)
    number = len(FAMILY_STYLES) + len(_MORE_STYLES)
    first = styles(ordered[:number])
    looks = list(first.values())
    further = {
        variant: Style(
            looks[place % number].color,
            looks[(place + place // number) % number].marker,
            looks[(place + place // number) % number].line_style,
        )
        for place, variant in enumerate(ordered)
        if place >= number
    }
    return first | further


def depth_colors(depths: Iterable[int]) -> dict[int, str]:
    """A colour for each depth: deeper is darker, in even steps that survive printing in grey."""
    depths = sorted(set(depths))
    ramp = matplotlib.colormaps['viridis'](np.linspace(0.0, 0.74, len(depths)))[::-1]
    return dict(zip(depths, map(to_hex, ramp), strict=True))


def new_figure(
    panels: int, share_y: bool | str = False, rows: int = 1, share_x: bool = True
) -> tuple[Figure, list[Axes]]:
    """Makes an empty figure with panels in rows.

    Args:
        panels: in each row.
        share_y: which panels share their vertical axis: all, none, or those of a 'row'.
        rows: of panels.
        share_x: whether all panels share their horizontal axis.

    Returns:
        The figure and the axes of its panels, row by row.
    """
    figure = Figure(figsize=(FIGURE_WIDTH, FIGURE_HEIGHT * (0.25 + 0.75 * rows)))
    figure.set_layout_engine('constrained', w_pad=0.08, h_pad=0.06, wspace=0.03, hspace=0.04)
    axes = list(figure.subplots(rows, panels, squeeze=False, sharex=share_x, sharey=share_y).flat)
    for ax in axes:
        ax.set_facecolor('none')
        ax.spines[['top', 'right']].set_visible(False)
        ax.spines[['left', 'bottom']].set_color(QUIET_INK)
        ax.grid(axis='y', color=GRID, linewidth=0.8)
        ax.set_axisbelow(True)
        ax.tick_params(
            color=QUIET_INK, labelcolor=INK, labelsize=FONT_SIZE, labelfontfamily=FONT['family']
        )
    return figure, axes


def label_panel(ax: Axes, title: str, x: str, y: str) -> None:
    """Writes the title of a panel and the names, with units, of its axes."""
    ax.set_title(title, loc='left', color=INK, fontdict=FONT | {'weight': 'bold'}, pad=8)
    ax.set_xlabel(x, color=INK, fontdict=FONT)
    ax.set_ylabel(y, color=INK, fontdict=FONT)


def add_top_legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Puts a legend above the panels, in as few rows as its labels need."""
    _add_legend(figure, handles, loc='outside upper left', ncols=_columns(handles))


def add_bottom_legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Puts a legend below the panels, for a figure that has its title above them."""
    _add_legend(figure, handles, loc='outside lower left', ncols=_columns(handles))


def _columns(handles: Sequence[Line2D]) -> int:
    """The columns of a legend that is as wide as the figure."""
    longest = max(len(handle.get_label()) for handle in handles)
    width = FONT_SIZE / 72 * (0.62 * longest + 5.5)  # inches; a letter is about 0.62 wide
    fitting = max(1, int(FIGURE_WIDTH / width))
    total = sum(len(handle.get_label()) for handle in handles)
    in_a_row = FONT_SIZE / 72 * (0.62 * total + 5.5 * len(handles)) <= FIGURE_WIDTH
    return len(handles) if in_a_row else fitting


def add_side_legend(figure: Figure, handles: Sequence[Line2D], title: str) -> None:
    """Puts a legend in one column to the right of the panels."""
    _add_legend(figure, handles, loc='outside right upper', title=title)


def _add_legend(figure: Figure, handles: Sequence[Line2D], **place: Any) -> None:
    legend = figure.legend(
        handles=handles,
        alignment='left',
        frameon=False,
        prop=FONT,
        labelcolor=INK,
        handlelength=2.8,
        columnspacing=1.8,
        borderaxespad=0.3,
        **place,
    )
    legend.get_title().set(color=INK, fontfamily=FONT['family'], fontsize=FONT_SIZE)


def marker(shape: str, color: str, size: float = MARKER_SIZE) -> dict[str, Any]:
    """Keywords for a line of markers alone; their white edges separate those that overlap."""
    return {
        'marker': shape,
        'linestyle': '',
        'markersize': size,
        'markerfacecolor': color,
        'markeredgecolor': 'white',
        'markeredgewidth': 0.6,
    }


def cross(color: str, size: float = MARKER_SIZE) -> dict[str, Any]:
    """Keywords for a line of crosses alone."""
    return {'marker': 'x', 'linestyle': '', 'markersize': size, 'color': color}
