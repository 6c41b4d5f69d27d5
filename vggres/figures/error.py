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

from vggres.figures.style import (
    FIGURE_WIDTH,
    FONT_SIZE,
    LINE_WIDTH,
    MARKER_SIZE,
    QUIET_INK,
    Style,
    add_side_legend,
    add_top_legend,
    cross,
    depth_colors,
    label_panel,
    marker,
    new_figure,
    styles,
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
    """Training and validation error in % against depth: one line a variant, one marker a run.

    The line is the mean over seeds. The runs of one depth stand side by side; those that diverged
    are crossed out.

    Args:
        results: dicts with variant, depth, seed, status, train_error and validation_error.

    Raises:
        ValueError: no results.
    """
    if not results:
        raise ValueError('no results to draw')
    looks = styles(result['variant'] for result in results)
    variants = list(looks)
    seeds = sorted({result['seed'] for result in results})
    depths = sorted({result['depth'] for result in results})
    size = MARKER_SIZE if len(variants) * len(seeds) <= 12 else SMALL_MARKER_SIZE
    figure, axes = new_figure(len(ERROR_PANELS))
    for ax, (metric, title) in zip(axes, ERROR_PANELS.items(), strict=True):
        label_panel(ax, title, 'depth (weighted layers)', 'error (%)')
        shifts = _shifts(_set_depth_axis(ax, depths), variants, seeds)
        for variant in variants:
            runs = [result for result in results if result['variant'] == variant]
            middle = fmean(shifts[variant, seed] for seed in seeds)
            _draw_mean(ax, runs, metric, middle, looks[variant])
        for run in results:
            look = looks[run['variant']]
            _draw_run(ax, run, metric, shifts[run['variant'], run['seed']], size, look)

    tops = [max(result[metric] for result in results) for metric in ERROR_PANELS]
    alike = max(tops) < 2 * min(tops)
    for ax, top in zip(axes, tops, strict=True):
        _set_error_axis(ax, max(tops) if alike else top)
    diverged = any(result['status'] == 'diverged' for result in results)
    add_top_legend(figure, _explain_runs(looks, len(seeds) > 1, diverged))
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
    points: np.ndarray, variants: Sequence[str], seeds: Sequence[int]
) -> dict[tuple[str, int], float]:
    """How far right of its depth each (variant, seed) stands, in points, so that all are seen."""
    slots_per_variant = len(seeds) + 1  # An empty one parts a variant from the next.
    slots = len(variants) * slots_per_variant - 1
    gap = np.diff(points).min(initial=DEPTH_AXIS_LENGTH)
    room = min(0.6 * gap, 2 * DEPTH_AXIS_MARGIN * DEPTH_AXIS_LENGTH - 8)
    slot = float(np.clip(room / slots, MINIMUM_SLOT, MAXIMUM_SLOT))
    return {
        (variant, seed): slot * (i * slots_per_variant + j - (slots - 1) / 2)
        for i, variant in enumerate(variants)
        for j, seed in enumerate(seeds)
    }


def _shifted(ax: Axes, points: float) -> Transform:
    return ax.transData + ScaledTranslation(points / 72, 0, ax.figure.dpi_scale_trans)


def _draw_mean(ax: Axes, runs: Rows, metric: str, shift: float, style: Style) -> None:
    """The line of one variant, moved right by `shift` points."""
    depths = sorted({run['depth'] for run in runs})
    means = [fmean(run[metric] for run in runs if run['depth'] == depth) for depth in depths]
    ax.plot(
        depths,
        means,
        label=f'{runs[0]["variant"]} mean',
        color=style.color,
        linestyle=style.line_style,
        linewidth=LINE_WIDTH,
        transform=_shifted(ax, shift),
    )


def _draw_run(
    ax: Axes, run: Mapping[str, Any], metric: str, shift: float, size: float, style: Style
) -> None:
    """One marker, moved right by `shift` points; a hollow one with a cross if the run diverged."""
    place = {'transform': _shifted(ax, shift), 'zorder': 3}
    label = f'{run["variant"]} {run["depth"]} seed {run["seed"]}'
    x, y = [run['depth']], [run[metric]]
    if run['status'] == 'diverged':
        hollow = marker(style.marker, 'white', 8) | {'markeredgecolor': style.color}
        ax.plot(x, y, label=label, **hollow, **place)
        ax.plot(x, y, label=f'{label} cross', **cross(style.color, 4.5), **place)
    else:
        ax.plot(x, y, label=label, **marker(style.marker, style.color, size), **place)


def _explain_runs(looks: Mapping[str, Style], several_seeds: bool, diverged: bool) -> list[Line2D]:
    handles = []
    for variant, style in looks.items():
        both = marker(style.marker, style.color, 6.5) | {'linestyle': style.line_style}
        handles.append(
            Line2D([], [], label=variant, color=style.color, linewidth=LINE_WIDTH, **both)
        )
    if several_seeds:
        line = {'color': QUIET_INK, 'linewidth': LINE_WIDTH}
        handles.append(Line2D([], [], label='mean over seeds', **line))
        handles.append(Line2D([], [], label='one run', **marker('o', QUIET_INK)))
    if diverged:
        handles.append(Line2D([], [], label='diverged', **cross(QUIET_INK)))
    return handles


def learning_curves(cells: Rows) -> Figure:
    """Error in % against epoch, a panel a variant, a colour a depth (He et al. 2015, Fig. 6).

    Training error is dashed, validation error solid. Thin: every seed; thick: their mean, as far
    as all of them got. The axis ends above what each curve does after the first quarter of its
    epochs: before, curves fall from chance.

    Args:
        cells: dicts with variant, depth, seed and records, a list of dicts with epoch and, where
            the network was evaluated, train/error and validation/error.

    Raises:
        ValueError: no cells.
    """
    if not cells:
        raise ValueError('no cells to draw')
    variants = list(styles(cell['variant'] for cell in cells))
    colors = depth_colors(cell['depth'] for cell in cells)
    rows = -(-len(variants) // 3)
    columns = -(-len(variants) // rows)
    figure, axes = new_figure(columns, share_y=True, rows=rows)
    for ax in axes[len(variants) :]:
        ax.set_visible(False)
    top = max(_highest_late(_curve(cell, metric)) for cell in cells for metric in CURVE_STYLES)
    for ax, variant in zip(axes, variants, strict=False):
        place = ax.get_subplotspec()
        x = 'epoch' if place.is_last_row() else ''
        label_panel(ax, variant, x, 'error (%)' if place.is_first_col() else '')
        for depth, color in colors.items():
            group = [c for c in cells if (c['variant'], c['depth']) == (variant, depth)]
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
    return {record['epoch']: record[metric] for record in cell['records'] if metric in record}


def _highest_late(curve: Curve) -> float:
    """The highest error after the first quarter of the epochs; 0 for no epochs."""
    late = max(curve, default=0) / 4
    return max((error for epoch, error in curve.items() if epoch >= late), default=0.0)


def _draw_group(ax: Axes, group: Rows, color: str) -> None:
    """The curves of the cells of one variant and depth, and their means."""
    label = f'{group[0]["variant"]} {group[0]["depth"]}'
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


def _set_error_axis(ax: Axes, top: float) -> None:
    """Sets y from 0 to `top`, with room for markers there, which would be half outside."""
    top = top or 1.0
    ax.set_ylim(-0.03 * top, 1.06 * top)
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
