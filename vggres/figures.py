"""The figures of a report: plain data in, a matplotlib `Figure` out."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation, Transform

from vggres.style import (
    FAMILY_STYLES,
    FIGURE_WIDTH,
    FONT,
    FONT_SIZE,
    INK,
    LINE_WIDTH,
    MARKER_SIZE,
    QUIET_INK,
    add_side_legend,
    add_top_legend,
    cross,
    depth_colors,
    label_panel,
    marker,
    new_figure,
    order_families,
)

Rows = Sequence[Mapping[str, Any]]
Curve = dict[float, float]  # epoch → percent

ERROR_PANELS = {'train_error': 'Training error', 'validation_error': 'Validation error'}
# Of two panels, in points, about; and the part of it that is free left and right of the depths.
DEPTH_AXIS_LENGTH = 0.4 * 72 * FIGURE_WIDTH
DEPTH_AXIS_MARGIN = 0.1
# Runs of one depth stand this far apart, in points: less than a marker, so that they overlap but
# each shows an edge.
MINIMUM_SLOT, MAXIMUM_SLOT = 1.2, 3.4
SMALL_MARKER_SIZE = 4.0  # points, for many runs a depth

CURVE_STYLES = {'train/error': (0, (3.2, 1.6)), 'validation/error': '-'}
THIN_LINE_WIDTH = 0.7


def error_against_depth(results: Rows) -> Figure:
    """Training and validation error in % against depth: one line a family, one marker a run.

    The line is the mean over seeds. The runs of one depth stand side by side; those that diverged
    are crossed out.

    Args:
        results: dicts with family, depth, seed, status, train_error and validation_error.

    Raises:
        ValueError: no results.
    """
    if not results:
        raise ValueError('no results to draw')
    families = order_families(result['family'] for result in results)
    seeds = sorted({result['seed'] for result in results})
    depths = sorted({result['depth'] for result in results})
    size = MARKER_SIZE if len(families) * len(seeds) <= 12 else SMALL_MARKER_SIZE
    figure, axes = new_figure(len(ERROR_PANELS))
    for ax, (metric, title) in zip(axes, ERROR_PANELS.items(), strict=True):
        label_panel(ax, title, 'depth (weighted layers)', 'error (%)')
        shifts = _shifts(_set_depth_axis(ax, depths), families, seeds)
        for family in families:
            runs = [result for result in results if result['family'] == family]
            middle = fmean(shifts[family, seed] for seed in seeds)
            _draw_mean(ax, runs, metric, middle)
        for run in results:
            _draw_run(ax, run, metric, shifts[run['family'], run['seed']], size)

    tops = [max(result[metric] for result in results) for metric in ERROR_PANELS]
    alike = max(tops) < 2 * min(tops)
    for ax, top in zip(axes, tops, strict=True):
        _set_error_axis(ax, max(tops) if alike else top)
    diverged = any(result['status'] == 'diverged' for result in results)
    add_top_legend(figure, _explain_runs(families, len(seeds) > 1, diverged))
    return figure


def _set_depth_axis(ax: Axes, depths: Sequence[int]) -> np.ndarray:
    """Sets limits and ticks: logarithmic where the deepest net is over 16 times the shallowest.

    Returns:
        Where each depth is, in points from the left: `[depths]`.
    """
    logarithmic = depths[-1] > 16 * depths[0]
    places = np.log10(depths) if logarithmic else np.array(depths, float)
    length = ((places[-1] - places[0]) or 1.0) / (1 - 2 * DEPTH_AXIS_MARGIN)
    left = (places[0] + places[-1] - length) / 2
    limits = np.array([left, left + length])
    points = (places - left) / length * DEPTH_AXIS_LENGTH
    ax.set_xscale('log' if logarithmic else 'linear')
    ax.set_xlim(10**limits if logarithmic else limits)
    ax.set_xticks(depths, _depth_labels(depths, points))
    ax.minorticks_off()
    return points


def _depth_labels(depths: Sequence[int], points: np.ndarray) -> list[str]:
    """A text for each depth, empty where it would run into that of a deeper net."""
    labels, end = [], np.inf
    for depth, point in zip(reversed(depths), reversed(points), strict=True):
        half_width = FONT_SIZE * (0.32 * len(str(depth)) + 0.2)  # a digit is 0.64 wide
        if point + half_width < end:
            labels.append(str(depth))
            end = point - half_width
        else:
            labels.append('')
    return labels[::-1]


def _shifts(
    points: np.ndarray, families: Sequence[str], seeds: Sequence[int]
) -> dict[tuple[str, int], float]:
    """How far right of its depth each (family, seed) stands, in points, so that all are seen."""
    slots_per_family = len(seeds) + 1  # An empty one parts a family from the next.
    slots = len(families) * slots_per_family - 1
    gap = np.diff(points).min(initial=DEPTH_AXIS_LENGTH)
    room = min(0.6 * gap, 2 * DEPTH_AXIS_MARGIN * DEPTH_AXIS_LENGTH - 8)
    slot = float(np.clip(room / slots, MINIMUM_SLOT, MAXIMUM_SLOT))
    return {
        (family, seed): slot * (i * slots_per_family + j - (slots - 1) / 2)
        for i, family in enumerate(families)
        for j, seed in enumerate(seeds)
    }


def _shifted(ax: Axes, points: float) -> Transform:
    return ax.transData + ScaledTranslation(points / 72, 0, ax.figure.dpi_scale_trans)


def _draw_mean(ax: Axes, runs: Rows, metric: str, shift: float) -> None:
    """The line of one family, moved right by `shift` points."""
    depths = sorted({run['depth'] for run in runs})
    means = [fmean(run[metric] for run in runs if run['depth'] == depth) for depth in depths]
    family = runs[0]['family']
    style = FAMILY_STYLES[family]
    ax.plot(
        depths,
        means,
        label=f'{family} mean',
        color=style.color,
        linestyle=style.line_style,
        linewidth=LINE_WIDTH,
        transform=_shifted(ax, shift),
    )


def _draw_run(ax: Axes, run: Mapping[str, Any], metric: str, shift: float, size: float) -> None:
    """One marker, moved right by `shift` points; a hollow one with a cross if the run diverged."""
    style = FAMILY_STYLES[run['family']]
    place = {'transform': _shifted(ax, shift), 'zorder': 3}
    label = f'{run["family"]} {run["depth"]} seed {run["seed"]}'
    x, y = [run['depth']], [run[metric]]
    if run['status'] == 'diverged':
        hollow = marker(style.marker, 'white', 8) | {'markeredgecolor': style.color}
        ax.plot(x, y, label=label, **hollow, **place)
        ax.plot(x, y, label=f'{label} cross', **cross(style.color, 4.5), **place)
    else:
        ax.plot(x, y, label=label, **marker(style.marker, style.color, size), **place)


def _explain_runs(families: Sequence[str], several_seeds: bool, diverged: bool) -> list[Line2D]:
    handles = []
    for family in families:
        style = FAMILY_STYLES[family]
        both = marker(style.marker, style.color, 6.5) | {'linestyle': style.line_style}
        handles.append(
            Line2D([], [], label=family, color=style.color, linewidth=LINE_WIDTH, **both)
        )
    if several_seeds:
        line = {'color': QUIET_INK, 'linewidth': LINE_WIDTH}
        handles.append(Line2D([], [], label='mean over seeds', **line))
        handles.append(Line2D([], [], label='one run', **marker('o', QUIET_INK)))
    if diverged:
        handles.append(Line2D([], [], label='diverged', **cross(QUIET_INK)))
    return handles


def learning_curves(cells: Rows) -> Figure:
    """Error in % against epoch, a panel a family, a colour a depth (He et al. 2015, Fig. 6).

    Training error is dashed, validation error solid. Thin: every seed; thick: their mean, as far
    as all of them got. The axis ends above what each curve does after the first quarter of its
    epochs: before, curves fall from chance.

    Args:
        cells: dicts with family, depth, seed and metrics, a list of dicts with epoch and, where
            the network was evaluated, train/error and validation/error.

    Raises:
        ValueError: no cells.
    """
    if not cells:
        raise ValueError('no cells to draw')
    families = order_families(cell['family'] for cell in cells)
    colors = depth_colors(cell['depth'] for cell in cells)
    figure, axes = new_figure(len(families), share_y=True)
    top = max(_highest_late(_curve(cell, metric)) for cell in cells for metric in CURVE_STYLES)
    for ax, family in zip(axes, families, strict=True):
        label_panel(ax, family, 'epoch', 'error (%)' if ax is axes[0] else '')
        for depth, color in colors.items():
            group = [c for c in cells if (c['family'], c['depth']) == (family, depth)]
            if group:
                _draw_group(ax, group, color)
        ax.margins(x=0.02)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        _set_error_axis(ax, top)

    depth_handles = [
        Line2D([], [], color=color, linewidth=2.4, label=str(depth))
        for depth, color in sorted(colors.items(), reverse=True)
    ]
    add_side_legend(figure, depth_handles, title='depth')
    several_seeds = len({cell['seed'] for cell in cells}) > 1
    add_top_legend(figure, _explain_curves(several_seeds))
    return figure


def _curve(cell: Mapping[str, Any], metric: str) -> Curve:
    return {record['epoch']: record[metric] for record in cell['metrics'] if metric in record}


def _highest_late(curve: Curve) -> float:
    """The highest error after the first quarter of the epochs; 0 for no epochs."""
    late = max(curve, default=0) / 4
    return max((error for epoch, error in curve.items() if epoch >= late), default=0.0)


def _draw_group(ax: Axes, group: Rows, color: str) -> None:
    """The curves of the cells of one family and depth, and their means."""
    label = f'{group[0]["family"]} {group[0]["depth"]}'
    for metric, line_style in CURVE_STYLES.items():
        curves = [_curve(cell, metric) for cell in group]
        line = {'color': color, 'linestyle': line_style}
        for cell, curve in zip(group, curves, strict=True):
            thin = {'linewidth': THIN_LINE_WIDTH, 'alpha': 0.45, **line}
            _draw_curve(ax, curve, label=f'{label} {metric} seed {cell["seed"]}', **thin)
        shared = [epoch for epoch in curves[0] if all(epoch in curve for curve in curves)]
        mean = {epoch: fmean(curve[epoch] for curve in curves) for epoch in shared}
        thick = {'linewidth': LINE_WIDTH, 'zorder': 3, **line}
        _draw_curve(ax, mean, label=f'{label} {metric} mean', **thick)


def _draw_curve(ax: Axes, curve: Curve, **line: Any) -> None:
    dot = 'o' if len(curve) == 1 else ''  # A line through one point does not show.
    ax.plot(list(curve), list(curve.values()), marker=dot, markersize=3, **line)


def _explain_curves(several_seeds: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], color=QUIET_INK, linewidth=LINE_WIDTH, linestyle=line_style, label=label)
        for label, line_style in zip(('training', 'validation'), CURVE_STYLES.values(), strict=True)
    ]
    if several_seeds:
        label = 'thin: one run; thick: mean over seeds'
        handles.append(Line2D([], [], color=QUIET_INK, linewidth=THIN_LINE_WIDTH, label=label))
    return handles


_OF_INPUTS = ('activation', 'input_gradient')
QUANTITY_TITLES = {
    'activation': 'Root mean square of the inputs of blocks',
    'input_gradient': 'Root mean square of the gradient in the inputs of blocks',
    'weight_gradient': 'Root mean square of the gradient in the weights',
    'update_ratio': 'Root mean square of the update, over that of the weights',
}


def layer_heat_map(observations: Rows, quantity: str) -> Figure:
    """log10 of a quantity along the main path, a row a layer or block, the first on top.

    A column is an epoch; blank is what is zero or not finite.

    Args:
        observations: records of `probes.jsonl`: dicts with epoch and of each quantity a dict by
            layer.
        quantity: one of `probes.QUANTITIES`.

    Raises:
        ValueError: no observations, or none of the main path.
    """
    names, values = _by_layer(observations, quantity)
    figure, (ax,) = new_figure(1)
    label_panel(ax, QUANTITY_TITLES[quantity], 'epoch', '')
    image = ax.pcolormesh(values.T, cmap='viridis', rasterized=True)
    ax.invert_yaxis()
    ax.grid(visible=False)
    columns = _spaced(len(observations), 12)
    ax.set_xticks(columns + 0.5, [f'{observations[i]["epoch"]:g}' for i in columns])
    rows = _spaced(len(names), 14)
    ax.set_yticks(rows + 0.5, [names[i] for i in rows])
    bar = figure.colorbar(image, ax=ax, pad=0.01)
    bar.set_label('log10', color=INK, fontdict=FONT)
    bar.ax.tick_params(color=QUIET_INK, labelcolor=INK, labelsize=FONT_SIZE)
    bar.outline.set_visible(False)
    return figure


def quantity_by_layer(observations: Rows, quantity: str) -> Figure:
    """log10 of a quantity along the main path, a line an epoch, at most seven of them.

    Args and Raises: as of `layer_heat_map`.
    """
    names, values = _by_layer(observations, quantity)
    figure, (ax,) = new_figure(1)
    kind = 'block' if quantity in _OF_INPUTS else 'layer'
    label_panel(ax, QUANTITY_TITLES[quantity], f'{kind}, from the image on', 'log10')
    shown = _spaced(len(observations), 7)
    colors = depth_colors(shown.tolist())
    handles = []
    for i in shown:
        line = {'color': colors[i], 'linewidth': LINE_WIDTH}
        label = f'{observations[i]["epoch"]:g}'
        ax.plot(range(1, len(names) + 1), values[i], label=label, **line)
        handles.append(Line2D([], [], label=label, **line))
    ax.margins(x=0.02)
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True, min_n_ticks=1))
    add_side_legend(figure, handles, title='epoch')
    return figure


def _by_layer(observations: Rows, quantity: str) -> tuple[list[str], np.ndarray]:
    """Names along the main path, and log10 [observations, names]; NaN for zero and not finite.

    Of inputs those of whole blocks, whose gradient comes through branch and shortcut; of weights
    those of the layers.
    """
    rows = [row[quantity] for row in observations]
    names = [name for name in (rows[0] if rows else ()) if all(name in row for row in rows)]
    if quantity in _OF_INPUTS:
        names = [name for name in names if name.count('/') < 2]  # blocks, not what is in them
    else:
        names = [name for name in names if not name.endswith(('/projection', '/gate'))]
    if not names:
        raise ValueError(f'{quantity} was not observed along the main path')
    values = [[row[name] or np.nan for name in names] for row in rows]
    return names, np.log10(np.array(values, float))


def _spaced(count: int, most: int) -> np.ndarray:
    """At most `most` of `count` indices, the first and the last among them, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def _set_error_axis(ax: Axes, top: float) -> None:
    """Sets y from 0 to `top`, with room for markers there, which would be half outside."""
    top = top or 1.0
    ax.set_ylim(-0.03 * top, 1.06 * top)
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
