"""Draws which interventions cure at which depth, as a table: numbers in, a `Figure` out."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vggres.figures.arms import STATUS_COLORS, UNDECIDED
from vggres.figures.style import (
    FIGURE_WIDTH,
    FONT,
    INK,
    QUIET_INK,
    new_figure,
)

_ROW = 0.3  # inches
_SHADE = 0.16  # opacity of the colour of a status behind a text


class NetworkUpdates(NamedTuple):
    """A network at one depth.

    Attributes:
        name: of the network, without its depth.
        depth: weighted layers.
        updates: to the error, the median over runs; None where most runs did not reach it.
        reached: the runs that reached it.
        runs: all of them.
        status: what became of the intervention, or 'reference' for what it is compared with.
    """

    name: str
    depth: int
    updates: float | None
    reached: int
    runs: int
    status: str


def cure_by_depth(sweeps: Mapping[str, Sequence[NetworkUpdates]]) -> Figure:
    """Draws a row for each network and a column for each depth, with updates and status in them.

    The colour of a field is that of its status, which it also says in words. A network that was not
    run at a depth has no field there.

    Args:
        sweeps: the networks of each sweep, in the order of their rows, by the sweep's name. Each
            sweep has runs of its own of the networks that it compares with.

    Raises:
        ValueError: where there is no network.
    """
    depths = sorted({each.depth for networks in sweeps.values() for each in networks})
    if not depths:
        raise ValueError('no networks to draw')
    figure, (ax,) = new_figure(1)
    labels: list[str] = []
    for sweep, networks in sweeps.items():
        ax.text(-0.48, len(labels) + 0.1, sweep, va='center', color=INK, **_font('bold'))
        labels.append('')
        names = list(dict.fromkeys(each.name for each in networks))
        for each in networks:
            _draw(ax, each, depths.index(each.depth), len(labels) + names.index(each.name))
        labels += names
    figure.set_size_inches(FIGURE_WIDTH, 0.7 + _ROW * len(labels))
    ax.set_xticks(range(len(depths)), [f'depth {depth}' for depth in depths])
    ax.xaxis.tick_top()
    ax.set_yticks(range(len(labels)), labels)
    ax.set_xlim(-0.5, len(depths) - 0.5)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.grid(visible=False, axis='both')
    ax.tick_params(length=0, labelsize=FONT['size'])
    ax.spines[:].set_visible(False)
    return figure


def _draw(ax: Axes, each: NetworkUpdates, column: int, row: int) -> None:
    color = STATUS_COLORS.get(each.status, UNDECIDED)
    left, top = column - 0.48, row - 0.43
    ax.add_patch(Rectangle((left, top), 0.96, 0.86, facecolor=color, alpha=_SHADE, linewidth=0))
    ax.add_patch(Rectangle((left, top), 0.012, 0.86, facecolor=color, linewidth=0))
    many = f'{each.reached} of {each.runs} runs'
    said = many if each.updates is None else f'{each.updates:,.0f}'
    ax.text(left + 0.04, row, said, va='center', color=INK, **_font())
    ax.text(left + 0.93, row, each.status, va='center', ha='right', color=QUIET_INK, **_font())


def _font(weight: str = 'normal') -> dict:
    return {'fontfamily': FONT['family'], 'fontsize': FONT['size'], 'fontweight': weight}
