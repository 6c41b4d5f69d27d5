"""Figures of what happens along a network's layers: plain data in, a matplotlib `Figure` out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from vggres.figures.style import (
    FONT,
    FONT_SIZE,
    INK,
    LINE_WIDTH,
    QUIET_INK,
    Style,
    add_side_legend,
    add_top_legend,
    depth_colors,
    label_panel,
    marker,
    new_figure,
    styles,
)
from vggres.results import Observation

Rows = Sequence[Mapping[str, Any]]
_COLUMNS = 3  # panels side by side


@dataclass(frozen=True)
class Profile:
    """A quantity along one network.

    Attributes:
        panel: title of the panel that it belongs to.
        depth: weighted layers of the network.
        positions: `[n]` weighted layers, 1 next to the image.
        values: `[n]`, or `[observations, n]` for a heat map; what is not positive is not drawn.
    """

    panel: str
    depth: int
    positions: Sequence[int]
    values: np.ndarray


def profiles(drawn: Sequence[Profile], title: str) -> Figure:
    """log10 of a quantity against the layer: panels of three in a row, a line a network by depth.

    Raises:
        ValueError: no profile.
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
        _label(ax, name, 'layer, 1 next to the image', 'log10')
        ax.margins(x=0.03)
        ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    figure.suptitle(title, color=INK, fontfamily=FONT['family'], fontsize=FONT_SIZE + 1)
    handles = [
        Line2D([], [], color=color, linewidth=2.4, label=str(depth))
        for depth, color in sorted(colors.items(), reverse=True)
    ]
    add_side_legend(figure, handles, title='depth')
    return figure


def heat_maps(drawn: Sequence[Profile], epochs: Sequence[float], title: str) -> Figure:
    """log10 of a quantity, layer × observation, a panel a network; one colour scale for all.

    Args:
        drawn: a panel each, with values `[observations, n]`, as many as epochs.
        epochs: `[observations]`, ascending.
        title: of the whole figure.

    Raises:
        ValueError: no profile.
    """
    if not drawn:
        raise ValueError('no profiles to draw')
    figure, axes = _grid([profile.panel for profile in drawn], False)
    logs = {profile.panel: _log10(profile.values) for profile in drawn}
    finite = np.concatenate([[0.0], *(each[np.isfinite(each)] for each in logs.values())])
    finite = finite[1:] if len(finite) > 1 else finite
    scale = dict(zip(('vmin', 'vmax'), np.quantile(finite, (0.01, 0.99)), strict=True))
    for profile in drawn:
        ax = axes[profile.panel]
        _label(ax, profile.panel, 'epoch', 'layer')
        image = _heat_map(ax, logs[profile.panel], epochs, **scale)
        rows = _spaced(len(profile.positions), 6)
        ax.set_yticks(rows + 0.5, [str(profile.positions[i]) for i in rows])
    _color_bar(figure, image, list(axes.values()))
    figure.suptitle(title, color=INK, fontfamily=FONT['family'], fontsize=FONT_SIZE + 1)
    return figure


def bands(drawn: Sequence[tuple[Profile, Profile, Profile]], title: str) -> Figure:
    """From a lowest to a highest value along each network, and a line between, logarithmic.

    Args:
        drawn: of each panel the lowest, the middle and the highest.
        title: of the whole figure.

    Raises:
        ValueError: nothing to draw.
    """
    if not drawn:
        raise ValueError('no bands to draw')
    figure, axes = _grid([middle.panel for _, middle, _ in drawn], True)
    floor = 1e-3  # what is smaller is as good as zero
    for low, middle, high in drawn:
        ax = axes[middle.panel]
        ends = [np.clip(each.values, floor, None) for each in (low, high)]
        ax.fill_between(middle.positions, *ends, color='#0072b2', alpha=0.22, linewidth=0)
        ax.plot(middle.positions, middle.values, color='#0072b2', linewidth=LINE_WIDTH)
        ax.axhline(1, color=QUIET_INK, linewidth=0.8, linestyle=(0, (4, 3)))
        _label(ax, middle.panel, 'layer, 1 next to the image', 'singular value')
        ax.set_yscale('log')
        ax.margins(x=0.03)
    handles = [
        Line2D([], [], color='#0072b2', linewidth=7, alpha=0.3, label='smallest to largest'),
        Line2D([], [], color='#0072b2', linewidth=LINE_WIDTH, label='root mean square'),
        Line2D([], [], color=QUIET_INK, linestyle=(0, (4, 3)), label='the identity'),
    ]
    figure.suptitle(title, color=INK, fontfamily=FONT['family'], fontsize=FONT_SIZE + 1)
    add_side_legend(figure, handles, title='')
    return figure


def agreement(points: Rows, x_title: str, y_title: str) -> Figure:
    """Measured against expected, and the line where they agree.

    Args:
        points: dicts with x, y, depth and name, which gives the look.
        x_title: what was expected.
        y_title: what was measured.

    Raises:
        ValueError: no points.
    """
    if not points:
        raise ValueError('no points to draw')
    figure, (ax,) = new_figure(1)
    label_panel(ax, '', x_title, y_title)
    ends = [f(point[axis] for point in points for axis in 'xy') for f in (min, max)]
    ax.plot(ends, ends, color=QUIET_INK, linewidth=0.8, linestyle=(0, (4, 3)))
    looks = styles(point['name'] for point in points)
    shallowest = min(point['depth'] for point in points)
    for point in points:
        look = looks[point['name']]
        size = 5 + 1.6 * np.log2(point['depth'] / shallowest)
        ax.plot(point['x'], point['y'], **marker(look.marker, look.color, size))
    handles = [
        Line2D([], [], label=name, **marker(look.marker, look.color))
        for name, look in looks.items()
    ]
    handles.append(Line2D([], [], label='larger: deeper', linestyle=''))
    handles.append(
        Line2D([], [], color=QUIET_INK, linewidth=0.8, linestyle=(0, (4, 3)), label='as expected')
    )
    add_side_legend(figure, handles, title='')
    return figure


def error_against(
    networks: Rows, x: str, x_title: str, group: str, group_titles: Mapping[str, str]
) -> Figure:
    """Training error in % against a number, a panel a group, a marker a network by its family.

    Args:
        networks: dicts with family, train_error, the number `x` and the `group`.
        x: a key; networks where it is None are not drawn.
        x_title: what it is, with its unit.
        group: a key.
        group_titles: of each value of it the panel's title, in order.

    Raises:
        ValueError: no networks.
    """
    networks = [network for network in networks if network[x] is not None]
    if not networks:
        raise ValueError('no networks to draw')
    figure, axes = new_figure(len(group_titles), share_y=True, share_x=False)
    looks = styles(network['family'] for network in networks)
    for ax, (value, panel) in zip(axes, group_titles.items(), strict=True):
        label_panel(ax, panel, x_title, 'training error (%)' if ax is axes[0] else '')
        ax.set_ylim(-4, 104)
        ax.axvline(0, color=QUIET_INK, linewidth=0.8)
        for network in networks:
            if network[group] == value:
                look = looks[network['family']]
                size = 4 + 1.4 * np.log2(network['depth'] / 8)
                ax.plot(network[x], network['train_error'], **marker(look.marker, look.color, size))
    handles = [
        Line2D([], [], label=family, **marker(look.marker, look.color))
        for family, look in looks.items()
    ]
    handles.append(Line2D([], [], label='larger: deeper', linestyle=''))
    add_top_legend(figure, handles)
    return figure


def error_by_depth(
    networks: Rows, panel: str, titles: Mapping[str, str], line: str, looks: Mapping[str, Style]
) -> Figure:
    """Training error in % against depth, a panel a value of `panel`, a line a value of `line`.

    Each point is the mean over seeds. Depths stand evenly spaced.

    Args:
        networks: dicts with depth, train_error and the keys `panel` and `line`.
        panel: a key.
        titles: of each value of it the panel's title.
        line: a key.
        looks: of each value of it how it is drawn.
    """
    figure, axes = new_figure(len(titles), share_y=True)
    depths = sorted({network['depth'] for network in networks})
    for ax, (value, title) in zip(axes, titles.items(), strict=True):
        label_panel(ax, title, 'depth', 'training error (%)' if ax is axes[0] else '')
        for name, look in looks.items():
            found = [network for network in networks if network[line] == name]
            errors = _mean_errors([network for network in found if network[panel] == value])
            x, y = [depths.index(depth) for depth in errors], list(errors.values())
            ax.plot(x, y, **_line(look))
        ax.set_xticks(range(len(depths)), map(str, depths))
        ax.margins(x=0.08)
        ax.set_ylim(-4, 104)
    handles = [Line2D([], [], label=name, **_line(look)) for name, look in looks.items()]
    add_side_legend(figure, handles, title='')
    return figure


def error_by_variant(networks: Rows) -> Figure:
    """Training error in %, a row a variant, a marker a depth; each the mean over seeds.

    Args:
        networks: dicts with variant, depth and train_error.

    Raises:
        ValueError: no networks.
    """
    if not networks:
        raise ValueError('no networks to draw')
    variants = list(dict.fromkeys(network['variant'] for network in networks))
    colors = depth_colors(network['depth'] for network in networks)
    figure, (ax,) = new_figure(1)
    figure.set_figheight(1.4 + 0.24 * len(variants))
    label_panel(ax, '', 'training error (%)', '')
    shapes = dict(zip(colors, 'osD^vP<>hX' * len(colors), strict=False))
    for row, variant in enumerate(variants):
        errors = _mean_errors([n for n in networks if n['variant'] == variant])
        for depth, error in errors.items():
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


def _mean_errors(networks: Rows) -> dict[int, float]:
    """By depth, ascending."""
    errors: dict[int, list[float]] = {}
    for network in networks:
        errors.setdefault(network['depth'], []).append(network['train_error'])
    return {depth: fmean(errors[depth]) for depth in sorted(errors)}


def _line(look: Style) -> dict[str, Any]:
    drawn = marker(look.marker, look.color) | {'linestyle': look.line_style}
    return drawn | {'color': look.color, 'linewidth': LINE_WIDTH}


def _label(ax: Axes, title: str, x: str, y: str) -> None:
    """Names the axes at the edges of a grid alone."""
    place = ax.get_subplotspec()
    label_panel(ax, title, x if place.is_last_row() else '', y if place.is_first_col() else '')


def _grid(names: Sequence[str], share_y: bool | str) -> tuple[Figure, dict[str, Axes]]:
    """A panel a distinct name, three in a row."""
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


def _heat_map(ax: Axes, logs: np.ndarray, epochs: Sequence[float], **scale: float) -> AxesImage:
    """Draws [observations, layers], the first layer on top."""
    image = ax.pcolormesh(logs.T, cmap='viridis', rasterized=True, **scale)
    ax.yaxis.set_inverted(True)
    ax.grid(visible=False)
    columns = _spaced(len(epochs), 12 if len(ax.figure.axes) == 1 else 6)
    ax.set_xticks(columns + 0.5, [f'{epochs[i]:g}' for i in columns])
    return image


def _color_bar(figure: Figure, image: AxesImage, axes: Sequence[Axes]) -> None:
    bar = figure.colorbar(image, ax=axes, pad=0.01)
    bar.set_label('log10', color=INK, fontdict=FONT)
    bar.ax.tick_params(color=QUIET_INK, labelcolor=INK, labelsize=FONT_SIZE)
    bar.outline.set_visible(False)


def layer_heat_map(observations: Sequence[Observation], name: str, title: str, of: str) -> Figure:
    """log10 of a quantity along the main path, a row a layer or block, the first on top.

    A column is an epoch; blank is what is zero or not finite.

    Args:
        observations: of one network, the oldest first.
        name: the name of a quantity that they hold.
        title: the heading.
        of: 'layer' or 'block': what stands along the main path.

    Raises:
        ValueError: no observations, or none of the main path.
    """
    names, values = _by_layer(observations, name, of)
    figure, (ax,) = new_figure(1)
    label_panel(ax, title, 'epoch', '')
    image = _heat_map(ax, values, [each.epoch for each in observations])
    rows = _spaced(len(names), 14)
    ax.set_yticks(rows + 0.5, [names[i] for i in rows])
    _color_bar(figure, image, [ax])
    return figure


def quantity_by_layer(
    observations: Sequence[Observation], name: str, title: str, of: str
) -> Figure:
    """log10 of a quantity along the main path, a line an epoch, at most seven of them.

    Args and Raises: as of `layer_heat_map`.
    """
    names, values = _by_layer(observations, name, of)
    figure, (ax,) = new_figure(1)
    label_panel(ax, title, f'{of}, from the image on', 'log10')
    shown = _spaced(len(observations), 7)
    colors = depth_colors(shown.tolist())
    handles = []
    for i in shown:
        line = {'color': colors[i], 'linewidth': LINE_WIDTH}
        label = f'{observations[i].epoch:g}'
        ax.plot(range(1, len(names) + 1), values[i], label=label, **line)
        handles.append(Line2D([], [], label=label, **line))
    ax.margins(x=0.02)
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True, min_n_ticks=1))
    add_side_legend(figure, handles, title='epoch')
    return figure


def _by_layer(
    observations: Sequence[Observation], quantity: str, of: str
) -> tuple[list[str], np.ndarray]:
    """Names along the main path, and log10 [observations, names]; NaN for zero and not finite.

    Of inputs those of whole blocks, whose gradient comes through branch and shortcut; of weights
    those of the layers.
    """
    rows = [each.values[quantity] for each in observations]
    names = [name for name in (rows[0] if rows else ()) if all(name in row for row in rows)]
    if of == 'layer':
        names = [name for name in names if not name.endswith(('/projection', '/gate'))]
    else:
        names = [name for name in names if name.count('/') < 2]  # blocks, not what is in them
    if not names:
        raise ValueError(f'{quantity} was not observed along the main path')
    values = [[row[name] or np.nan for name in names] for row in rows]
    return names, np.log10(np.array(values, float))


def _spaced(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` indices, the first and the last among them, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))
