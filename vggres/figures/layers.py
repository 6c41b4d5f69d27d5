"""Draws what happens along the layers of networks: records in, a matplotlib `Figure` out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vggres.figures.style import (
    FONT,
    FONT_SIZE,
    INK,
    LINE_WIDTH,
    QUIET_INK,
    Style,
    add_bottom_legend,
    add_side_legend,
    add_top_legend,
    depth_colors,
    label_panel,
    marker,
    new_figure,
    styles,
)
from vggres.results import Observation

_COLUMNS = 3  # panels side by side
_BLUE = '#0072b2'
_DASHES = (0, (4, 3))
# The names of layers that stand beside the main path end in one of these.
_ASIDE = ('/projection', '/gate')


@dataclass(frozen=True)
class Profile:
    """A quantity along one network.

    Attributes:
        panel: the title of the panel that it is drawn in.
        depth: weighted layers of the network.
        positions: `[n]` weighted layers, 1 next to the image.
        values: `[n]`, or `[observations, n]` for a heat map; values that are not positive leave a
            gap.
    """

    panel: str
    depth: int
    positions: Sequence[int]
    values: np.ndarray


@dataclass(frozen=True)
class BlockLine:
    """A line in a figure of the blocks of networks.

    Attributes:
        panel: the title of the panel that it is drawn in.
        name: what the legend calls it; lines of one name look alike.
        blocks: `[n]` the numbers of the blocks, 1 next to the stem.
        values: `[n]`; NaN leaves a gap.
        is_expected: whether it is a prediction, which is drawn thin and dashed.
    """

    panel: str
    name: str
    blocks: np.ndarray
    values: np.ndarray
    is_expected: bool = False


@dataclass(frozen=True)
class Point:
    """A network in a figure where each network is a point.

    Attributes:
        name: the family or variant, which gives the look of the marker.
        depth: weighted layers of the network.
        x: in the unit of the figure's horizontal axis.
        y: in the unit of its vertical axis.
        panel: the title of the panel that it is drawn in; '' where there is only one.
    """

    name: str
    depth: int
    x: float
    y: float
    panel: str = ''


def profiles(drawn: Sequence[Profile], title: str, y_title: str) -> Figure:
    """Draws log10 of a quantity against the layer: one line per network, coloured by its depth.

    Three panels stand in each row.

    Args:
        drawn: one profile per network, with values `[n]`.
        title: of the whole figure.
        y_title: what the logarithm is of, as in 'log10 of the gradient'.

    Raises:
        ValueError: where there is no profile.
    """
    if not drawn:
        raise ValueError('no profiles to draw')
    figure, axes = _grid([profile.panel for profile in drawn], 'row')
    colors = depth_colors(profile.depth for profile in drawn)
    for profile in sorted(drawn, key=lambda each: each.depth):
        ax, line = axes[profile.panel], {'linewidth': LINE_WIDTH}
        y = _log10(profile.values)
        dot = 'o' if np.isfinite(y).sum() < 4 else ''
        ax.plot(profile.positions, y, marker=dot, markersize=3, color=colors[profile.depth], **line)
    for name, ax in axes.items():
        _label(ax, name, 'layer, 1 next to the image', y_title)
        ax.margins(x=0.03)
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    figure.suptitle(title, color=INK, fontfamily=FONT['family'], fontsize=FONT_SIZE + 1)
    handles = [
        Line2D([], [], color=color, linewidth=2.4, label=str(depth))
        for depth, color in sorted(colors.items(), reverse=True)
    ]
    add_side_legend(figure, handles, title='depth')
    return figure


def heat_maps(
    drawn: Sequence[Profile], epochs: Sequence[float], title: str, scale_title: str
) -> Figure:
    """Draws log10 of a quantity by layer and epoch: one panel per network, one scale for all.

    Args:
        drawn: one profile per panel, with values `[observations, n]`.
        epochs: `[observations]`, ascending.
        title: of the whole figure.
        scale_title: what the logarithm is of, as in 'log10 of the gradient'.

    Raises:
        ValueError: where there is no profile.
    """
    if not drawn:
        raise ValueError('no profiles to draw')
    figure, axes = _grid([profile.panel for profile in drawn], False)
    logs = [_log10(profile.values) for profile in drawn]
    finite = np.concatenate([each[np.isfinite(each)] for each in logs])
    low, high = np.quantile(finite, (0.01, 0.99)) if len(finite) else (0.0, 0.0)
    images = []
    for profile, log in zip(drawn, logs, strict=True):
        ax = axes[profile.panel]
        _label(ax, profile.panel, 'epoch', 'layer')
        images.append(_heat_map(ax, log, epochs, vmin=low, vmax=high))
        rows = _spaced(len(profile.positions), 6)
        ax.set_yticks(rows + 0.5, [str(profile.positions[i]) for i in rows])
    _color_bar(figure, images[-1], list(axes.values()), scale_title)
    figure.suptitle(title, color=INK, fontfamily=FONT['family'], fontsize=FONT_SIZE + 1)
    return figure


def along_blocks(
    drawn: Sequence[BlockLine],
    title: str,
    y_title: str,
    x_title: str = 'block, 1 next to the stem',
) -> Figure:
    """Draws quantities against the number of the block, on a logarithmic vertical axis.

    Three panels stand in each row. A value with a gap on both sides is drawn as a dot.

    Args:
        drawn: the lines of all panels.
        title: of the whole figure.
        y_title: what the quantity is, with its unit.
        x_title: what is numbered, where that is not the block.

    Raises:
        ValueError: where there is nothing to draw.
    """
    if not drawn:
        raise ValueError('no blocks to draw')
    figure, axes = _grid([line.panel for line in drawn], True)
    looks = styles(line.name for line in drawn if not line.is_expected)
    quiet = {'color': QUIET_INK, 'linewidth': 0.8, 'linestyle': _DASHES}
    handles = {}
    for line in drawn:
        ax, look = axes[line.panel], quiet
        if not line.is_expected:
            style = looks[line.name]
            look = {
                'color': style.color,
                'linewidth': LINE_WIDTH,
                'linestyle': style.line_style,
                'markevery': _alone(line.values),
            } | {'marker': style.marker, 'markersize': 4}
        ax.plot(line.blocks, line.values, **look)
        handles[line.name] = Line2D([], [], label=line.name, **look)
    for name, ax in axes.items():
        _label(ax, name, x_title, y_title)
        ax.set_yscale('log')
        ax.margins(x=0.03)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    figure.suptitle(title, color=INK, fontfamily=FONT['family'], fontsize=FONT_SIZE + 1)
    add_bottom_legend(figure, list(handles.values()))
    return figure


def _alone(values: np.ndarray) -> list[int]:
    """The indices of the values that have no neighbour to be joined to by a line."""
    is_there = np.concatenate([[False], np.isfinite(values), [False]])
    return np.flatnonzero(is_there[1:-1] & ~is_there[:-2] & ~is_there[2:]).tolist()


def agreement(points: Sequence[Point], x_title: str, y_title: str) -> Figure:
    """Draws measured against expected values, and the line on which the two agree.

    Args:
        points: `x` is the expected and `y` the measured value.
        x_title: what was expected, with its unit.
        y_title: what was measured, with its unit.

    Raises:
        ValueError: where there are no points.
    """
    if not points:
        raise ValueError('no points to draw')
    figure, (ax,) = new_figure(1)
    label_panel(ax, '', x_title, y_title)
    values = [value for point in points for value in (point.x, point.y)]
    ends = [min(values), max(values)]
    ax.plot(ends, ends, color=QUIET_INK, linewidth=0.8, linestyle=_DASHES)
    looks = styles(point.name for point in points)
    shallowest = min(point.depth for point in points)
    for point in points:
        look = looks[point.name]
        size = 5 + 1.6 * np.log2(point.depth / shallowest)
        ax.plot(point.x, point.y, **marker(look.marker, look.color, size))
    handles = _explain_points(looks, several_depths=any(p.depth > shallowest for p in points))
    handles.append(
        Line2D([], [], color=QUIET_INK, linewidth=0.8, linestyle=_DASHES, label='as expected')
    )
    add_side_legend(figure, handles, title='')
    return figure


def error_against(points: Sequence[Point], panels: Sequence[str], x_title: str) -> Figure:
    """Draws training error in % against a number: one marker per network, by its family.

    Args:
        points: `y` is the training error in %, `name` the family.
        panels: the titles of all panels, in order.
        x_title: what the number is, with its unit.

    Raises:
        ValueError: where there are no points.
    """
    if not points:
        raise ValueError('no networks to draw')
    figure, axes = new_figure(len(panels), share_y=True, share_x=False)
    looks = styles(point.name for point in points)
    for ax, panel in zip(axes, panels, strict=True):
        label_panel(ax, panel, x_title, 'training error (%)' if ax is axes[0] else '')
        ax.set_ylim(-4, 104)
        ax.axvline(0, color=QUIET_INK, linewidth=0.8)
        for point in points:
            if point.panel == panel:
                look = looks[point.name]
                size = 4 + 1.4 * np.log2(point.depth / 8)
                ax.plot(point.x, point.y, **marker(look.marker, look.color, size))
    several_depths = len({point.depth for point in points}) > 1
    add_top_legend(figure, _explain_points(looks, several_depths))
    return figure


def _explain_points(looks: Mapping[str, Style], several_depths: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], label=name, **marker(look.marker, look.color))
        for name, look in looks.items()
    ]
    if several_depths:
        handles.append(Line2D([], [], label='larger: deeper', **marker('o', QUIET_INK, 8)))
    return handles


def error_by_depth(
    points: Sequence[Point], panels: Sequence[str], looks: Mapping[str, Style]
) -> Figure:
    """Draws training error in % against depth: one line per name in each panel.

    Each point of a line is the mean over seeds. The depths stand evenly spaced.

    Args:
        points: `y` is the training error in %; `x` is not drawn.
        panels: the titles of all panels, in order.
        looks: how the line of each name is drawn.
    """
    figure, axes = new_figure(len(panels), share_y=True)
    depths = sorted({point.depth for point in points})
    for ax, panel in zip(axes, panels, strict=True):
        label_panel(ax, panel, 'depth', 'training error (%)' if ax is axes[0] else '')
        for name, look in looks.items():
            errors = _means([p for p in points if (p.panel, p.name) == (panel, name)])
            x, y = [depths.index(depth) for depth in errors], list(errors.values())
            ax.plot(x, y, **_line(look))
        ax.set_xticks(range(len(depths)), map(str, depths))
        ax.margins(x=0.08)
        ax.set_ylim(-4, 104)
    handles = [Line2D([], [], label=name, **_line(look)) for name, look in looks.items()]
    add_side_legend(figure, handles, title='')
    return figure


def error_by_variant(points: Sequence[Point]) -> Figure:
    """Draws the training error in % of each variant: one row per variant, one marker per depth.

    Each marker is the mean over seeds.

    Args:
        points: `y` is the training error in %, `name` the variant; `x` is not drawn.

    Raises:
        ValueError: where there are no points.
    """
    if not points:
        raise ValueError('no networks to draw')
    variants = list(dict.fromkeys(point.name for point in points))
    colors = depth_colors(point.depth for point in points)
    figure, (ax,) = new_figure(1)
    figure.set_figheight(1.4 + 0.24 * len(variants))
    label_panel(ax, '', 'training error (%)', '')
    shapes = dict(zip(colors, 'osD^vP<>hX' * len(colors), strict=False))
    for row, variant in enumerate(variants):
        for depth, error in _means([p for p in points if p.name == variant]).items():
            ax.plot(error, row, **marker(shapes[depth], colors[depth], 7))
    ax.set_yticks(range(len(variants)), variants)
    ax.set_xlim(-3, 103)
    ax.invert_yaxis()
    handles = [
        Line2D([], [], label=f'depth {depth}', **marker(shapes[depth], color, 7))
        for depth, color in colors.items()
    ]
    add_top_legend(figure, handles)
    return figure


def _means(points: Sequence[Point]) -> dict[int, float]:
    """The mean of `y` by depth, depths ascending."""
    found: dict[int, list[float]] = {}
    for point in points:
        found.setdefault(point.depth, []).append(point.y)
    return {depth: fmean(found[depth]) for depth in sorted(found)}


def _line(look: Style) -> dict[str, Any]:
    drawn = marker(look.marker, look.color) | {'linestyle': look.line_style}
    return drawn | {'color': look.color, 'linewidth': LINE_WIDTH}


def _label(ax: Axes, title: str, x: str, y: str) -> None:
    """Titles a panel, and names its axes where it stands at the edge of the grid."""
    place = ax.get_subplotspec()
    label_panel(ax, title, x if place.is_last_row() else '', y if place.is_first_col() else '')


def _grid(names: Sequence[str], share_y: bool | str) -> tuple[Figure, dict[str, Axes]]:
    """One panel per distinct name, three in a row."""
    distinct = list(dict.fromkeys(names))
    columns = min(_COLUMNS, len(distinct))
    rows = -(-len(distinct) // columns)
    figure, axes = new_figure(columns, share_y, rows)
    for ax in axes[len(distinct) :]:
        ax.set_visible(False)
    return figure, dict(zip(distinct, axes, strict=False))


def _log10(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, float)
    return np.log10(np.where(values > 0, values, np.nan))


def _heat_map(ax: Axes, logs: np.ndarray, epochs: Sequence[float], **scale: float) -> QuadMesh:
    """Draws `[observations, layers]` with the first layer on top."""
    image = ax.pcolormesh(logs.T, cmap='viridis', rasterized=True, **scale)
    ax.yaxis.set_inverted(True)
    ax.grid(visible=False)
    columns = _spaced(len(epochs), 12 if len(ax.figure.axes) == 1 else 6)
    ax.set_xticks(columns + 0.5, [f'{epochs[i]:g}' for i in columns])
    return image


def _color_bar(figure: Figure, image: QuadMesh, axes: Sequence[Axes], title: str) -> None:
    bar = figure.colorbar(image, ax=axes, pad=0.01)
    bar.set_label(title, color=INK, fontdict=FONT)
    bar.ax.tick_params(color=QUIET_INK, labelcolor=INK, labelsize=FONT_SIZE)
    bar.outline.set_visible(False)


def layer_heat_map(observations: Sequence[Observation], name: str, title: str, of: str) -> Figure:
    """Draws log10 of a quantity by layer or block and by epoch, along the main path.

    The first layer stands on top. Values that are zero or not finite stay blank; of a negative one
    the size is drawn.

    Args:
        observations: of one run, in order.
        name: of the quantity, as observations have it.
        title: what the quantity is, in words.
        of: 'layer' or 'block': what stands along the main path.

    Raises:
        ValueError: where the quantity was not observed along the main path.
    """
    names, logs = _by_layer(observations, name, of)
    figure, (ax,) = new_figure(1)
    label_panel(ax, title, 'epoch', '')
    image = _heat_map(ax, logs, [each.epoch for each in observations])
    rows = _spaced(len(names), 14)
    ax.set_yticks(rows + 0.5, [names[i] for i in rows])
    _color_bar(figure, image, [ax], 'log10 of the value')
    return figure


def quantity_by_layer(
    observations: Sequence[Observation], name: str, title: str, of: str
) -> Figure:
    """Draws log10 of a quantity along the main path: one line per epoch, at most seven of them.

    Args and Raises: as of `layer_heat_map`.
    """
    names, logs = _by_layer(observations, name, of)
    figure, (ax,) = new_figure(1)
    label_panel(ax, title, f'{of}, from the image on', 'log10 of the value')
    shown = _spaced(len(observations), 7)
    colors = depth_colors(shown.tolist())
    handles = []
    for i in shown:
        line = {'color': colors[i], 'linewidth': LINE_WIDTH}
        label = f'{observations[i].epoch:g}'
        ax.plot(range(1, len(names) + 1), logs[i], label=label, **line)
        handles.append(Line2D([], [], label=label, **line))
    ax.margins(x=0.02)
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True, min_n_ticks=1))
    add_side_legend(figure, handles, title='epoch')
    return figure


def _by_layer(
    observations: Sequence[Observation], name: str, of: str
) -> tuple[list[str], np.ndarray]:
    """The names along the main path, and log10 of the size of the values.

    Of blocks, the gradient in the input comes through branch and shortcut; the layers inside them
    are left out.

    Returns:
        The names, and `[observations, names]`, NaN where a value is not positive or not finite.
    """
    rows = [observation.values[name] for observation in observations if name in observation.values]
    names = [each for each in (rows[0] if rows else ()) if all(each in row for row in rows)]
    if of == 'layer':
        names = [each for each in names if not each.endswith(_ASIDE)]
    else:
        names = [each for each in names if each.count('/') < 2]
    if not names or len(rows) < len(observations):
        raise ValueError(f'{name} was not observed along the main path')
    values = [[row[each] or np.nan for each in names] for row in rows]
    return names, np.log10(np.abs(np.array(values, float)))


def _spaced(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` indices, evenly spaced, with the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
