"""The figures of a report: plain data in, a matplotlib `Figure` out.

Nothing here goes through pyplot or changes rcParams, so figures may be drawn in any thread and
without a display. The house style is the block of constants below and the helpers after it.
"""

import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation, Transform, blended_transform_factory

SVG = 'http://www.w3.org/2000/svg'
ElementTree.register_namespace('', SVG)
ElementTree.register_namespace('xlink', 'http://www.w3.org/1999/xlink')

Rows = Sequence[Mapping[str, Any]]

INK = '#24292f'
QUIET_INK = '#59626d'
GRID = '#dfe3e8'
FONT_SIZE = 9.5
FONT = {'family': 'DejaVu Sans', 'size': FONT_SIZE}
PANEL_WIDTH = 4.3  # inches
PANEL_HEIGHT = 3.3  # inches
PANELS_PER_ROW = 3
MAXIMUM_WIDTH = 9.0  # inches: the text column of the report
PNG_DOTS_PER_INCH = 200

# After Okabe and Ito 2008, told apart with any colour vision; some darkened to show on white.
COLORS = ('#d55e00', '#0072b2', '#00866a', '#a3508a', '#8a6d00', '#3f4a55')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'h')
LINE_STYLES = ('-', (0, (5, 2)), (0, (7, 2, 1.5, 2)), (0, (1.5, 1.5)), (0, (10, 3)))
# Runs of one depth stand this far apart, in points: less than a marker, so that they overlap but
# each shows an edge.
MINIMUM_SLOT, MAXIMUM_SLOT = 1.2, 3.4
FAMILY_ORDER = ('plain', 'resnet', 'vgg')


@dataclass(frozen=True)
class FamilyStyle:
    """How one family is drawn: marker and line style tell it from others without the colour."""

    color: str
    marker: str
    line_style: str | tuple


def order_families(families: Iterable[str]) -> list[str]:
    """The distinct families, the known ones first, then by name."""

    def rank(family: str) -> tuple[int, str]:
        known = family in FAMILY_ORDER
        return (FAMILY_ORDER.index(family) if known else len(FAMILY_ORDER), family)

    return sorted(set(families), key=rank)


def family_styles(families: Iterable[str]) -> dict[str, FamilyStyle]:
    """A style for each family; those of plain, resnet and vgg are the same in every figure."""
    families = order_families(families)
    known = [*FAMILY_ORDER, *(family for family in families if family not in FAMILY_ORDER)]
    styles = zip(cycle(COLORS), cycle(MARKERS), cycle(LINE_STYLES), strict=False)
    return {
        family: FamilyStyle(*style)
        for family, style in zip(known, styles, strict=False)
        if family in families
    }


def depth_colors(depths: Iterable[int]) -> dict[int, str]:
    """A colour for each depth: deeper is darker, in even steps that survive a grey print."""
    depths = sorted(set(depths))
    ramp = matplotlib.colormaps['viridis'](np.linspace(0.74, 0.0, max(len(depths), 2)))
    return dict(zip(depths, map(to_hex, ramp[len(ramp) - len(depths) :]), strict=True))


def new_figure(panels: int, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    """An empty figure with that many panels in the house style, left to right, then down."""
    columns = min(panels, PANELS_PER_ROW)
    rows = math.ceil(panels / columns)
    width = min(PANEL_WIDTH * columns + 0.6, MAXIMUM_WIDTH)
    figure = Figure(figsize=(width, PANEL_HEIGHT * rows + 0.3), layout='constrained')
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.06, wspace=0.03, hspace=0.04)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=share_y)
    axes = list(grid.flat)
    for unused in axes[panels:]:
        unused.remove()
    for ax in axes[:panels]:
        ax.set_facecolor('none')
        ax.spines[['top', 'right']].set_visible(False)
        ax.spines[['left', 'bottom']].set_color(QUIET_INK)
        ax.grid(axis='y', color=GRID, linewidth=0.8)
        ax.set_axisbelow(True)
        ax.tick_params(
            color=QUIET_INK, labelcolor=INK, labelsize=FONT_SIZE, labelfontfamily=FONT['family']
        )
    return figure, axes[:panels]


def label_panel(ax: Axes, title: str, x: str, y: str) -> None:
    """Writes the title of a panel and the names, with units, of its axes."""
    ax.set_title(title, loc='left', color=INK, fontdict=FONT | {'weight': 'bold'}, pad=8)
    ax.set_xlabel(x, color=INK, fontdict=FONT)
    ax.set_ylabel(y, color=INK, fontdict=FONT)


def add_legend(figure: Figure, handles: Sequence[Line2D], place: str, title: str = '') -> None:
    """Puts a legend outside the panels, `place` as in matplotlib's `loc='outside …'`."""
    labels = [str(handle.get_label()) for handle in handles]
    on_top = place.startswith('outside upper')
    legend = figure.legend(
        handles=handles,
        loc=place,
        title=title or None,
        ncols=_columns(labels, 72 * figure.get_figwidth()) if on_top else 1,
        alignment='left',
        frameon=False,
        prop=FONT,
        labelcolor=INK,
        handlelength=2.8,
        columnspacing=1.8,
        borderaxespad=0.3,
    )
    legend.get_title().set(color=INK, fontfamily=FONT['family'], fontsize=FONT_SIZE)


def _columns(labels: Sequence[str], width: float) -> int:
    """The number of legend columns that fits into the width, in points, in the fewest rows."""
    widths = [FONT_SIZE * (0.58 * len(label) + 5.4) for label in labels]
    for rows in range(1, len(labels)):
        columns = math.ceil(len(labels) / rows)
        if sum(max(column) for column in np.array_split(widths, columns)) < width:
            return columns
    return 1


def error_against_depth(
    results: Rows,
    panels: Sequence[tuple[str, str]] = (
        ('train_error', 'Training error'),
        ('validation_error', 'Validation error'),
    ),
) -> Figure:
    """Error in % against depth: one line a family, one marker a run.

    The line is the mean over seeds and has a gap where a run has no error, so that it never
    is the mean of the runs that survived. The runs of one depth stand side by side. A diverged run
    is crossed out, and stands on the upper edge if it has no error.

    Args:
        results: dicts with family, depth, seed, status and the error of each panel, in %; an
            error may be absent, None or NaN.
        panels: (key of the error, title of its panel), left to right.

    Raises:
        ValueError: no results.
    """
    if not results:
        raise ValueError('no results to draw')
    families = order_families(result['family'] for result in results)
    seeds = sorted({result['seed'] for result in results})
    depths = sorted({result['depth'] for result in results})
    styles = family_styles(families)
    figure, axes = new_figure(len(panels))
    axis_points = 72 * 0.8 * figure.get_figwidth() / min(len(panels), PANELS_PER_ROW)
    slots = len(families) * (len(seeds) + 1) - 1  # an empty one parts the families

    for ax, (metric, title) in zip(axes, panels, strict=True):
        slot = _depth_axis(ax, depths, slots, axis_points)
        size = 5.5 if slot > 2 else 4.0
        for i, family in enumerate(families):
            shifts = slot * (i * (len(seeds) + 1) + np.arange(len(seeds)) - (slots - 1) / 2)
            rows = [result for result in results if result['family'] == family]
            means = [
                (depth, _mean([r.get(metric) for r in rows if r['depth'] == depth]))
                for depth in sorted({r['depth'] for r in rows})
            ]
            style = styles[family]
            ax.plot(
                *zip(*means, strict=True),
                color=style.color,
                linestyle=style.line_style,
                linewidth=1.7,
                transform=ax.transData + _shift(ax, float(np.mean(shifts))),
                label=f'{family} mean',
            )
            for seed, shift in zip(seeds, shifts, strict=True):
                runs = [r for r in rows if r['seed'] == seed]
                _draw_runs(ax, runs, metric, style, size, shift, f'{family} seed {seed}')
        label_panel(ax, title, 'depth (weighted layers)', 'error (%)')
    _start_error_axes_at_zero(
        axes, [_largest(result.get(metric) for result in results) for metric, _ in panels]
    )

    handles = [_family_handle(family, styles[family]) for family in families]
    if len(seeds) > 1:
        handles.append(Line2D([], [], color=QUIET_INK, linewidth=1.7, label='mean over seeds'))
        handles.append(Line2D([], [], **_marker('o', QUIET_INK), label='one run'))
    diverged = [result for result in results if result.get('status') == 'diverged']
    if diverged:
        lost = any(math.isnan(_number(r.get(metric))) for r in diverged for metric, _ in panels)
        label = 'diverged (on the upper edge: no error)' if lost else 'diverged'
        cross = {'marker': 'x', 'linestyle': '', 'markersize': 5.5, 'color': QUIET_INK}
        handles.append(Line2D([], [], **cross, label=label))
    add_legend(figure, handles, 'outside upper left')
    return figure


def learning_curves(cells: Rows) -> Figure:
    """Error in % against epoch, a panel a family, a colour a depth (He et al. 2015, Fig. 6).

    Training error is dashed, validation error solid. Thick: the mean over seeds, where every seed
    has a value; thin: every seed. The axis ends above what each curve does after the first quarter
    of its epochs: before, curves fall from chance.

    Args:
        cells: dicts with family, depth, seed and metrics, a list of dicts with epoch,
            train/error and validation/error, in %. Any of these values may be absent, None or NaN;
            of values at the same epoch the last counts.

    Raises:
        ValueError: no cells.
    """
    if not cells:
        raise ValueError('no cells to draw')
    families = order_families(cell['family'] for cell in cells)
    colors = depth_colors(cell['depth'] for cell in cells)
    curves = (('train/error', (0, (3.2, 1.6))), ('validation/error', '-'))
    figure, axes = new_figure(len(families), share_y=True)
    drawn = []
    for i, (ax, family) in enumerate(zip(axes, families, strict=True)):
        label_panel(ax, family, 'epoch', '' if i % PANELS_PER_ROW else 'error (%)')
        for depth, color in colors.items():
            group = [c for c in cells if (c['family'], c['depth']) == (family, depth)]
            for metric, line_style in curves:
                series = {c['seed']: _series(c['metrics'], metric) for c in group}
                drawn += series.values()
                _draw_curves(ax, series, f'{family} {depth} {metric}', color, line_style)
    _epoch_axes(axes, [epoch for values in drawn for epoch in values] or [0.0, 1.0])
    largest = _largest(value for values in drawn for value in _after_first_quarter(values))
    _start_error_axes_at_zero(axes, [largest] * len(axes))

    deepest_first = sorted(colors.items(), reverse=True)
    add_legend(
        figure,
        [Line2D([], [], color=color, linewidth=2.4, label=str(d)) for d, color in deepest_first],
        'outside right upper',
        title='depth',
    )
    explain = [
        Line2D([], [], color=QUIET_INK, linewidth=1.8, linestyle=style, label=label)
        for (_, style), label in zip(curves, ('training', 'validation'), strict=True)
    ]
    if len({cell['seed'] for cell in cells}) > 1:
        label = 'thin: one run; thick: mean over seeds'
        explain.append(Line2D([], [], color=QUIET_INK, linewidth=0.7, label=label))
    add_legend(figure, explain, 'outside upper left')
    return figure


def to_png(figure: Figure) -> bytes:
    """The figure as a PNG on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=PNG_DOTS_PER_INCH, facecolor='white')
    return buffer.getvalue()


def to_svg(figure: Figure, name: str, label: str, background: str = 'none') -> str:
    """The figure as one `<svg>` element that can stand in an HTML page beside others.

    Text becomes outlines, so it looks the same where the font is missing. The same figure gives
    the same bytes, and every id in it starts with `fig-<name>-`.

    Args:
        label: what a screen reader says in place of the figure.
        background: a colour; 'none' lets the page shine through.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format='svg', facecolor=background, metadata={'Date': None})
    svg = ElementTree.fromstring(buffer.getvalue())
    # matplotlib's style sheet says `*{…}`, which in a page would reach beyond the figure.
    for parent in list(svg.iter()):
        for child in list(parent):
            if child.tag in (f'{{{SVG}}}metadata', f'{{{SVG}}}style'):
                parent.remove(child)
    ids = [element.get('id') for element in svg.iter() if element.get('id')]
    renamed = {old: f'fig-{name}-{i}' for i, old in enumerate(dict.fromkeys(ids))}
    for element in svg.iter():
        for key, value in element.items():
            element.set(key, _rename_ids(key, value, renamed))
            if key in ('d', 'x', 'y'):
                element.set(key, re.sub(r'-?\d+\.\d{3,}', _round, value))
    svg.set('role', 'img')
    svg.set('aria-label', label)
    svg.set('style', 'stroke-linejoin: round; stroke-linecap: butt')
    return ElementTree.tostring(svg, encoding='unicode')


def _round(number: re.Match[str]) -> str:
    return f'{float(number[0]):.2f}'


def _rename_ids(key: str, value: str, renamed: Mapping[str, str]) -> str:
    if key == 'id':
        return renamed[value]
    if key.endswith('href') and value.startswith('#'):
        return '#' + renamed[value[1:]]
    return re.sub(r'url\(#([^)]+)\)', lambda match: f'url(#{renamed[match[1]]})', value)


def _depth_axis(ax: Axes, depths: Sequence[int], slots: int, axis_points: float) -> float:
    """Ticks at the depths, labelled where there is room for it.

    The axis is logarithmic where the deepest net is more than 16 times as deep as the shallowest.

    Returns:
        The distance in points at which `slots` runs of one depth stand side by side.
    """
    logarithmic = depths[-1] > 16 * depths[0]
    place = np.log10(depths) if logarithmic else np.asarray(depths, float)
    span = (place[-1] - place[0]) or 1.0
    gap = min((b - a for a, b in pairwise(place)), default=span) / span * axis_points
    slot = float(np.clip(0.6 * gap / slots, MINIMUM_SLOT, MAXIMUM_SLOT))
    margin = min(slot * slots / 2 + 8, axis_points / 4)
    unit = span / (axis_points - 2 * margin)
    limits = np.array([place[0] - unit * margin, place[-1] + unit * margin])
    ax.set_xscale('log' if logarithmic else 'linear')
    ax.set_xlim(10**limits if logarithmic else limits)
    points = place / unit

    def width(depth: int) -> float:
        return FONT_SIZE * (0.64 * len(str(depth)) + 0.4)

    labelled = [len(depths) - 1]
    for i in range(len(depths) - 1):
        others = [labelled[0], labelled[-1]]
        if all(
            abs(points[i] - points[j]) > (width(depths[i]) + width(depths[j])) / 2 for j in others
        ):
            labelled.append(i)
    labels = [str(depth) if i in labelled else '' for i, depth in enumerate(depths)]
    ax.xaxis.set_major_locator(FixedLocator(depths))
    ax.xaxis.set_major_formatter(FixedFormatter(labels))
    ax.xaxis.set_minor_locator(NullLocator())
    return slot


def _epoch_axes(axes: Sequence[Axes], epochs: Sequence[float]) -> None:
    first, last = min(epochs), max(epochs)
    margin = 0.02 * (last - first) or 0.5
    for ax in axes:
        ax.set_xlim(first - margin, last + margin)
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def _start_error_axes_at_zero(axes: Sequence[Axes], largest: Sequence[float]) -> None:
    """Sets y from 0 to the largest value of each panel, alike in panels of similar range."""
    tops = [value if value > 0 else 1.0 for value in largest]
    if max(tops) < 2 * min(tops):
        tops = [max(tops)] * len(tops)
    for ax, top in zip(axes, tops, strict=True):
        # Room for the markers at 0 % and at the top, which are half outside otherwise.
        ax.set_ylim(-0.03 * top, 1.06 * top)
        ax.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def _marker(marker: str, color: str, size: float = 5.5) -> dict[str, Any]:
    return {
        'marker': marker,
        'linestyle': '',
        'markersize': size,
        'markerfacecolor': color,
        'markeredgecolor': 'white',
        'markeredgewidth': 0.6,
    }


def _family_handle(family: str, style: FamilyStyle) -> Line2D:
    keywords = _marker(style.marker, style.color, 6.5) | {'linestyle': style.line_style}
    return Line2D([], [], color=style.color, linewidth=1.7, label=family, **keywords)


def _shift(ax: Axes, points: float) -> Transform:
    return ScaledTranslation(points / 72, 0, ax.figure.dpi_scale_trans)


def _draw_runs(
    ax: Axes,
    runs: Rows,
    metric: str,
    style: FamilyStyle,
    size: float,
    shift: float,
    label: str,
) -> None:
    """One marker for each run, moved right by `shift` points."""
    move = _shift(ax, shift)
    at_value = ax.transData + move
    at_edge = blended_transform_factory(ax.transData, ax.transAxes) + move
    finished, crossed, edge = [], [], []
    for run in runs:
        error = _number(run.get(metric))
        if run.get('status') != 'diverged':
            finished.append((run['depth'], error))
        elif math.isnan(error):
            edge.append((run['depth'], 1.0))
        else:
            crossed.append((run['depth'], error))
    if finished:
        x, y = zip(*finished, strict=True)
        marker = _marker(style.marker, style.color, size)
        ax.plot(x, y, transform=at_value, label=label, zorder=3, **marker)
    _draw_crossed(ax, crossed, style, at_value, f'{label} diverged')
    _draw_crossed(ax, edge, style, at_edge, f'{label} diverged, no error')


def _draw_crossed(
    ax: Axes, points: list[tuple], style: FamilyStyle, transform: Transform, label: str
) -> None:
    if not points:
        return
    x, y = zip(*points, strict=True)
    hollow = _marker(style.marker, 'white', 8) | {'markeredgecolor': style.color}
    common = {'transform': transform, 'clip_on': False, 'in_layout': False, 'zorder': 4}
    ax.plot(x, y, label=label, **hollow | common)
    cross = {'marker': 'x', 'linestyle': '', 'markersize': 4.5, 'color': style.color}
    ax.plot(x, y, label=f'{label} cross', **cross | common)


def _draw_curves(
    ax: Axes, series: Mapping[int, dict[float, float]], label: str, color: str, line_style: Any
) -> None:
    """Thin lines for the seeds, a thick one for their mean where every one has a value."""
    if not series:
        return
    shared = set.intersection(*(set(values) for values in series.values()))
    mean = {e: float(np.mean([v[e] for v in series.values()])) for e in sorted(shared)}
    if len(series) > 1:
        alpha = min(0.45, 1.5 / len(series))
        for seed, values in series.items():
            _draw_curve(ax, values, f'{label} seed {seed}', color, line_style, 0.7, alpha)
    _draw_curve(ax, mean, f'{label} mean', color, line_style, 1.7, 1.0)


def _draw_curve(
    ax: Axes,
    values: Mapping[float, float],
    label: str,
    color: str,
    line_style: Any,
    width: float,
    alpha: float,
) -> None:
    ax.plot(
        list(values),
        list(values.values()),
        label=label,
        color=color,
        linestyle=line_style,
        linewidth=width,
        alpha=alpha,
        zorder=2 + alpha,
        marker='o' if len(values) == 1 else '',
        markersize=2.5 * width,
    )


def _series(metrics: Rows, metric: str) -> dict[float, float]:
    """epoch → value, in order of epochs, without the entries that lack one of the two."""
    pairs = [(_number(entry.get('epoch')), _number(entry.get(metric))) for entry in metrics]
    return dict(sorted({e: v for e, v in pairs if math.isfinite(e) and math.isfinite(v)}.items()))


def _after_first_quarter(values: Mapping[float, float]) -> list[float]:
    last = max(values, default=0.0)
    return [value for epoch, value in values.items() if epoch >= last / 4]


def _largest(values: Iterable[Any]) -> float:
    """The largest value that is there; 0 if none is."""
    return max((v for v in map(_number, values) if not math.isnan(v)), default=0.0)


def _number(value: Any) -> float:
    """The value as a float; NaN for None and for infinities."""
    return float(value) if value is not None and math.isfinite(value) else math.nan


def _mean(values: Sequence[Any]) -> float:
    """The mean; NaN if any value is missing."""
    return float(np.mean([_number(value) for value in values]))
