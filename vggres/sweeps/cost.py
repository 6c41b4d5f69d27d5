"""What a sweep would run and what that would cost, as tables. No JAX: `estimate_here` and
`estimate_tpu` find the costs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ml_collections import ConfigDict, FrozenConfigDict
from rich.console import Group
from rich.table import Table

from vggres import config as configuration
from vggres.data.tfds import DatasetInfo
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep


@dataclass(frozen=True)
class Cost:
    """Of one network under one protocol, on one device.

    Attributes:
        memory_mb: what a step holds, temporaries included.
        compile_seconds: of all its programs; on a TPU only those of this machine's core.
        step_seconds: of an update.
        batch_seconds: of evaluating a batch.
        batch_size: images in that batch.
    """

    memory_mb: float
    compile_seconds: float
    step_seconds: float
    batch_seconds: float
    batch_size: int

    def run_seconds(self, config: ConfigDict, info: DatasetInfo) -> float:
        """Of a whole cell, compilation left out: its updates and its evaluations."""
        images = info.num_images
        per_epoch, steps = configuration.steps(config, images['train'])
        evaluations = -(-steps // (per_epoch * config.evaluation.every_epochs))
        batches = {name: -(-n // self.batch_size) for name, n in images.items()}
        evaluated = evaluations * (batches['train'] + batches['validation']) + batches['test']
        return steps * self.step_seconds + evaluated * self.batch_seconds


def of_cells(
    cells: Sequence[Cell],
    estimate: Callable[[FrozenConfigDict], Cost],
    on_cost: Callable[[Cell, Cost], object],
) -> dict[str, Cost]:
    """Estimates the cost of each cell; cells of one network share it.

    Args:
        cells: what would run.
        estimate: the part of a configuration that `vggres.config.program` selects → its cost: see
            `estimate_here` and `estimate_tpu`.
        on_cost: called with the first cell of each network as soon as its cost is known.

    Returns:
        The costs, by the cells' ids.
    """
    known: dict[FrozenConfigDict, Cost] = {}
    for cell in cells:
        program = configuration.program(cell.config)
        if program not in known:
            known[program] = estimate(program)
            on_cost(cell, known[program])
    return {cell.id: known[configuration.program(cell.config)] for cell in cells}


def plan_table(sweep: Sweep, flops: dict[str, float]) -> Group:
    """The cells, whether they are done, and what they cost."""
    table = Table('cell', 'status', 'TFLOPs')
    table.columns[-1].justify = 'right'
    missing = {cell.id for cell in sweep.missing()}
    for cell in sweep.cells:
        table.add_row(
            cell.id, 'to run' if cell.id in missing else 'done', f'{flops[cell.id] / 1e12:,.2f}'
        )
    left = sum(flops[cell] for cell in missing)
    total = (
        f'{_count(sweep.cells)}, {len(missing)} to run: {left / 1e12:,.1f} of '
        f'{sum(flops.values()) / 1e12:,.1f} TFLOPs'
    )
    return Group(table, total)


def cost_line(cell: Cell, cost: Cost) -> str:
    """What is known of a network as soon as it is known."""
    model = cell.config.model
    return (
        f'{model.family} of depth {model.depth}: {1e3 * cost.step_seconds:,.2f} ms an update, '
        f'{cost.memory_mb:,.0f} MB, compiled in {cost.compile_seconds:,.0f} s'
    )


def cost_table(
    cells: Sequence[Cell],
    info: DatasetInfo,
    flops: dict[str, float],
    costs: dict[str, Cost],
    target: str,
    workers: int,
) -> Group:
    """What the cells will cost, each and together, `workers` of them at a time."""
    table = Table('cell', 'TFLOPs', 'memory [MB]', 'update [ms]', 'time')
    for column in table.columns[1:]:
        column.justify = 'right'
    total = 0.0
    for cell in cells:
        cost = costs[cell.id]
        seconds = cost.run_seconds(cell.config, info)
        total += seconds
        table.add_row(
            cell.id,
            f'{flops[cell.id] / 1e12:,.2f}',
            f'{cost.memory_mb:,.0f}',
            f'{1e3 * cost.step_seconds:,.2f}',
            _duration(seconds),
        )
    work = f'{_count(cells)} to run, {sum(flops[c.id] for c in cells) / 1e12:,.1f} TFLOPs: '
    if target != 'here':
        return Group(
            table,
            f'{work}at least {_duration(total)} on one {target}: its compiler knows what is '
            'computed, not what else takes time.',
        )
    workers = min(workers, len(cells))
    networks = {id(cost): cost for cost in (costs[cell.id] for cell in cells)}
    compiling = sum(cost.compile_seconds for cost in networks.values())
    return Group(
        table,
        f'{work}{_duration((total + compiling) / workers)} on this machine, {workers} at a time, '
        f'{_duration(compiling)} of {_duration(total + compiling)} for compilation.',
    )


def _count(cells: Sequence[Cell]) -> str:
    return '1 cell' if len(cells) == 1 else f'{len(cells)} cells'


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f'{1e3 * seconds:,.0f} ms'
    if seconds < 100:
        return f'{seconds:,.1f} s'
    return f'{seconds / 60:,.1f} min' if seconds < 6000 else f'{seconds / 3600:,.1f} h'
