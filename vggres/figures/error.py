"""Draws error against depth and error during training: records in, a matplotlib `Figure` out."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any, NamedTuple

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
from vggres.results import Curve, Result

ErrorByEpoch = dict[float, float]  # epoch → percent

ERROR_PANELS = {'train_error': 'Training error', 'validation_error': 'Validation error'}
PUBLISHED_PANELS = {'train_error': 'Training error', 'test_error': 'Test error'}
PUBLISHED_WIDTH = 16.0  # points: wider than the markers that stand side by side
# The approximate length of the depth axis in a figure of two panels, in points, and the part of it
# that stays free on either side of the depths.
DEPTH_AXIS_LENGTH = 0.4 * 72 * FIGURE_WIDTH
DEPTH_AXIS_MARGIN = 0.1
# The distance between two runs of one depth, in points: less than a marker, so that markers overlap
# but each one shows an edge.
MINIMUM_SLOT, MAXIMUM_SLOT = 1.2, 3.4
SMALL_MARKER_SIZE = 4.0  # points, for many runs per depth

CURVE_STYLES = {'train_error': (0, (3.2, 1.6)), 'validation_error': '-'}
THIN_LINE_WIDTH = 0.7
FAILING_LINE = {'color': QUIET_INK, 'linestyle': ':', 'linewidth': 1.2}


class Published(NamedTuple):
    """An error that others published: of a variant at a depth, in percent."""

    variant: str
    depth: int
    metric: str
    error: float


def error_against_depth(results: Sequence[Result], failing_error: float | None = None) -> Figure:
    """Draws training and validation error in % against depth.

    Each variant has one line, the median over seeds, and each run one marker. The runs of one depth
    stand side by side; the markers of those that failed to train are open, and those that diverged
    are crossed out.

    Args:
        results: of the runs.
        failing_error: the training error in % from which on a run has failed to train, drawn as a
            dotted line; None: nothing is marked.

    Raises:
        ValueError: where there are no results.
    """
    return _draw_errors(results, ERROR_PANELS, failing_error=failing_error)


def error_beside_published(results: Sequence[Result], published: Sequence[Published]) -> Figure:
    """Draws training and test error as `error_against_depth` does, and published ones as dashes.

    Args:
        results: of the runs.
        published: errors of variants and at depths that the results have.

    Raises:
        ValueError: where there are no results.
    """
    return _draw_errors(results, PUBLISHED_PANELS, published)


def _draw_errors(
    results: Sequence[Result],
    panels: Mapping[str, str],
    published: Sequence[Published] = (),
    failing_error: float | None = None,
) -> Figure:
    if not results:
        raise ValueError('no results to draw')
    looks = styles(result.variant for result in results)
    variants = list(looks)
    seeds = sorted({result.seed for result in results})
    depths = sorted({result.depth for result in results})
    any_failed = failing_error is not None and any(
        result.train_error >= failing_error for result in results
    )
    size = MARKER_SIZE if len(variants) * len(seeds) <= 12 else SMALL_MARKER_SIZE
    figure, axes = new_figure(len(panels))
    for ax, (metric, title) in zip(axes, panels.items(), strict=True):
        label_panel(ax, title, 'depth (weighted layers)', 'error (%)')
        shifts = _shifts(_set_depth_axis(ax, depths), variants, seeds)
        for variant in variants:
            runs = [result for result in results if result.variant == variant]
            middle = fmean(shifts[variant, seed] for seed in seeds)
            _draw_median(ax, runs, metric, middle, looks[variant])
        for run in results:
            shift, style = shifts[run.variant, run.seed], looks[run.variant]
            failed = failing_error is not None and run.train_error >= failing_error
            _draw_run(ax, run, metric, shift, style, _run_marker(style, size, failed))
        if any_failed and metric == 'train_error':
            ax.axhline(failing_error, label='failing', **FAILING_LINE)
        for each in published:
            if each.metric == metric:
                _draw_published(ax, each, looks[each.variant])

    tops = [
        max(
            [getattr(result, metric) for result in results]
            + [each.error for each in published if each.metric == metric]
        )
        for metric in panels
    ]
    alike = max(tops) < 2 * min(tops)
    for ax, top in zip(axes, tops, strict=True):
        _set_error_axis(ax, max(tops) if alike else top)
    diverged = any(result.status == 'diverged' for result in results)
    handles = _explain_runs(looks, len(seeds) > 1, diverged)
    if any_failed:
        handles += _explain_failures()
    if published:
        handles.append(Line2D([], [], label='published', **_dash(QUIET_INK)))
    add_top_legend(figure, handles)
    return figure


def _set_depth_axis(ax: Axes, depths: Sequence[int]) -> np.ndarray:
    """Sets the limits and ticks of the depth axis.

    It is logarithmic where the deepest network is more than 16 times as deep as the shallowest.

    Returns:
        The place of each depth, in points from the left: `[depths]`.
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
    """The tick label of each depth, empty where it would run into that of a deeper network."""
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
    """How far to the right of its depth each (variant, seed) stands, in points."""
    slots_per_variant = len(seeds) + 1  # one stays empty between two variants
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


def _draw_median(ax: Axes, runs: Sequence[Result], metric: str, shift: float, style: Style) -> None:
    """Draws the line of one variant, moved to the right by `shift` points."""
    depths = sorted({run.depth for run in runs})
    medians = [median(getattr(run, metric) for run in runs if run.depth == d) for d in depths]
    ax.plot(
        depths,
        medians,
        label=f'{runs[0].variant} median',
        color=style.color,
        linestyle=style.line_style,
        linewidth=LINE_WIDTH,
        transform=_shifted(ax, shift),
    )


def _run_marker(style: Style, size: float, failed: bool) -> dict[str, Any]:
    """How a run is marked; the marker of one that failed to train is open."""
    filled = marker(style.marker, style.color, size)
    return filled | _open(style.color) if failed else filled


def _open(color: str) -> dict[str, Any]:
    return {'markerfacecolor': 'white', 'markeredgecolor': color, 'markeredgewidth': 1.2}


def _draw_run(
    ax: Axes, run: Result, metric: str, shift: float, style: Style, look: Mapping[str, Any]
) -> None:
    """Draws the marker of one run, moved to the right by `shift` points.

    The marker of a run that diverged is larger and crossed out.
    """
    place = {'transform': _shifted(ax, shift), 'zorder': 3}
    label = f'{run.variant} {run.depth} seed {run.seed}'
    x, y = [run.depth], [getattr(run, metric)]
    if run.status == 'diverged':
        hollow = marker(style.marker, 'white', 8) | {'markeredgecolor': style.color}
        ax.plot(x, y, label=label, **hollow, **place)
        ax.plot(x, y, label=f'{label} cross', **cross(style.color, 4.5), **place)
    else:
        ax.plot(x, y, label=label, **look, **place)


def _draw_published(ax: Axes, published: Published, style: Style) -> None:
    label = f'{published.variant} {published.depth} published'
    place = {'label': label, 'zorder': 2.5}  # between lines and markers
    ax.plot([published.depth], [published.error], **_dash(style.color), **place)


def _dash(color: str) -> dict[str, Any]:
    return {
        'marker': '_',
        'linestyle': '',
        'markersize': PUBLISHED_WIDTH,
        'markeredgewidth': 1.2,
        'color': color,
    }


def _explain_runs(looks: Mapping[str, Style], several_seeds: bool, diverged: bool) -> list[Line2D]:
    handles = []
    for variant, style in looks.items():
        both = marker(style.marker, style.color, 6.5) | {'linestyle': style.line_style}
        handles.append(
            Line2D([], [], label=variant, color=style.color, linewidth=LINE_WIDTH, **both)
        )
    if several_seeds:
        line = {'color': QUIET_INK, 'linewidth': LINE_WIDTH}
        handles.append(Line2D([], [], label='median over seeds', **line))
        handles.append(Line2D([], [], label='one run', **marker('o', QUIET_INK)))
    if diverged:
        handles.append(Line2D([], [], label='diverged', **cross(QUIET_INK)))
    return handles


def _explain_failures() -> list[Line2D]:
    return [
        Line2D([], [], label='failed to train', **marker('o', QUIET_INK) | _open(QUIET_INK)),
        Line2D([], [], label='failing begins', **FAILING_LINE),
    ]


def learning_curves(curves: Sequence[Curve]) -> Figure:
    """Draws error in % against epoch, as Fig. 6 of He et al. 2015 does.

    There is one panel per variant and one colour per depth. The training error is dashed and the
    validation error solid. A thin line is one run; a thick line is the mean over seeds, as far as
    all of them got. The axis ends above what each curve does after the first quarter of its epochs,
    since curves fall from chance before.

    Raises:
        ValueError: where there are no curves.
    """
    if not curves:
        raise ValueError('no curves to draw')
    variants = list(styles(curve.variant for curve in curves))
    colors = depth_colors(curve.depth for curve in curves)
    rows = -(-len(variants) // 3)
    columns = -(-len(variants) // rows)
    figure, axes = new_figure(columns, share_y=True, rows=rows)
    for ax in axes[len(variants) :]:
        ax.set_visible(False)
    top = max(_highest_late(_errors(each, metric)) for each in curves for metric in CURVE_STYLES)
    for ax, variant in zip(axes, variants, strict=False):
        place = ax.get_subplotspec()
        x = 'epoch' if place.is_last_row() else ''
        label_panel(ax, variant, x, 'error (%)' if place.is_first_col() else '')
        for depth, color in colors.items():
            group = [each for each in curves if (each.variant, each.depth) == (variant, depth)]
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
    several_seeds = len({curve.seed for curve in curves}) > 1
    add_top_legend(figure, _explain_curves(several_seeds))
    return figure


def _errors(curve: Curve, metric: str) -> ErrorByEpoch:
    """The errors of a run at the epochs at which it was evaluated."""
    found = {record.epoch: getattr(record, metric) for record in curve.records}
    return {epoch: error for epoch, error in found.items() if error is not None}


def _highest_late(errors: ErrorByEpoch) -> float:
    """The highest error after the first quarter of the epochs; 0 where there are none."""
    late = max(errors, default=0) / 4
    return max((error for epoch, error in errors.items() if epoch >= late), default=0.0)


def _draw_group(ax: Axes, group: Sequence[Curve], color: str) -> None:
    """Draws the curves of one variant and depth, and their means."""
    label = f'{group[0].variant} {group[0].depth}'
    for metric, line_style in CURVE_STYLES.items():
        runs = [_errors(curve, metric) for curve in group]
        line = {'color': color, 'linestyle': line_style}
        for curve, errors in zip(group, runs, strict=True):
            thin = {'linewidth': THIN_LINE_WIDTH, 'alpha': 0.45, **line}
            _draw_curve(ax, errors, label=f'{label} {metric} seed {curve.seed}', **thin)
        shared = [epoch for epoch in runs[0] if all(epoch in errors for errors in runs)]
        mean = {epoch: fmean(errors[epoch] for errors in runs) for epoch in shared}
        thick = {'linewidth': LINE_WIDTH, 'zorder': 3, **line}
        _draw_curve(ax, mean, label=f'{label} {metric} mean', **thick)


def _draw_curve(ax: Axes, errors: ErrorByEpoch, **line: Any) -> None:
    dot = 'o' if len(errors) == 1 else ''  # a line through one point does not show
    ax.plot(list(errors), list(errors.values()), marker=dot, markersize=3, **line)


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
    """Sets the error axis from 0 to `top`, with room for markers that stand on either end."""
    top = top or 1.0
    ax.set_ylim(-0.03 * top, 1.06 * top)
    ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
