"""What a sweep would run and what that would cost, as tables.

The costs themselves are found by `estimate_here` and `estimate_tpu`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ml_collections import FrozenConfigDict
from rich.console import Group
from rich.table import Table

from vggres.config import Config, program, steps
from vggres.data.source import DatasetInfo
from vggres.networks import spec
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep, cells_in_words

_LARGE_UPDATE = 1e12  # floating-point operations


@dataclass(frozen=True)
class Cost:
    """What one network costs under one protocol, on one device.

    Attributes:
        memory_mb: the memory that a step holds, temporaries included, in MB.
        compile_seconds: the time to compile all its programs, on a core of this machine.
        step_seconds: the time of an update.
        batch_seconds: the time to evaluate a batch.
        batch_size: the images in that batch.
    """

    memory_mb: float
    compile_seconds: float
    step_seconds: float
    batch_seconds: float
    batch_size: int

    def run_seconds(self, config: Config, info: DatasetInfo) -> float:
        """The time of a whole cell without compilation: its updates and its evaluations.

        A run that may stop by its training error is counted to the end, with all its looks.
        """
        images = info.num_images
        _, updates = steps(config, images['train'])
        batches = {name: -(-n // self.batch_size) for name, n in images.items()}
        evaluated = sum(batches[name] * times for name, times in _passes(config, info).items())
        return updates * self.step_seconds + evaluated * self.batch_seconds


def flops(cell: Cell, info: DatasetInfo) -> float:
    """The floating-point operations of a cell's convolutions and dense layers.

    Training and evaluation are counted: an update costs three forward passes, and a
    multiply-accumulate two operations. A run that may stop by its training error is counted to the
    end, with all its looks.

    Raises:
        UserError: for images too small for the network.
    """
    macs = spec.count_macs(cell.network_spec, info.image_shape, info.num_classes)
    _, updates = steps(cell.config, info.num_images['train'])
    passes = _passes(cell.config, info)
    evaluated = sum(info.num_images[name] * times for name, times in passes.items())
    trained = 3 * updates * cell.config.train.batch_size
    return 2.0 * macs * (trained + evaluated)


def are_for_all_chips(cells: Sequence[Cell], info: DatasetInfo) -> bool:
    """Whether all chips of a TPU had better work on one cell at a time, and not on one each.

    They had for a cell that is alone, and for large ones: an update of 10¹² operations takes one
    TPU v5e about 10 ms at half of its speed. Chips that shared a smaller one would mostly wait for
    one another.
    """
    return len(cells) == 1 or any(_update_flops(cell, info) > _LARGE_UPDATE for cell in cells)


def _update_flops(cell: Cell, info: DatasetInfo) -> float:
    macs = spec.count_macs(cell.network_spec, info.image_shape, info.num_classes)
    return 3 * 2.0 * macs * cell.config.train.batch_size


def _passes(config: Config, info: DatasetInfo) -> dict[str, int]:
    """How often each split is evaluated, if training goes on to its end and always looks."""
    per_epoch, updates = steps(config, info.num_images['train'])
    epochs = -(-updates // (per_epoch * config.evaluation.every_epochs))
    looks = 0
    if config.train.until_error:
        ends = {min(step, updates) for step in range(per_epoch, updates + per_epoch, per_epoch)}
        every = config.evaluation.every_steps or updates
        looks = len(ends | {*range(every, updates, every)}) - epochs
    return {'train': epochs + looks, 'validation': epochs, 'test': 1}


def of_cells(
    cells: Sequence[Cell],
    estimate: Callable[[Config], Cost],
    on_cost: Callable[[Cell, Cost], object],
) -> dict[str, Cost]:
    """Estimates the cost of each cell; cells of one network share it.

    Args:
        cells: what would run.
        estimate: the configuration of a cell → its cost: see `estimate_here` and `estimate_tpu`.
        on_cost: called with the first cell of each network as soon as its cost is known.

    Returns:
        The costs, by the cells' ids.
    """
    known: dict[FrozenConfigDict, Cost] = {}
    for cell in cells:
        shared = program(cell.config)
        if shared not in known:
            known[shared] = estimate(cell.config)
            on_cost(cell, known[shared])
    return {cell.id: known[program(cell.config)] for cell in cells}


def grid_table(sweep: Sweep, info: DatasetInfo) -> Group:
    """The cells, whether they are done, and what they cost."""
    table = Table('cell', 'network', 'seed', 'status', 'TFLOPs')
    for column in (table.columns[2], table.columns[-1]):
        column.justify = 'right'
    missing = {cell.id for cell in sweep.missing()}
    operations = {cell.id: flops(cell, info) for cell in sweep.cells}
    for cell in sweep.cells:
        at = cell.coordinates()
        table.add_row(
            cell.id,
            f'{at["variant"]}, depth {at["depth"]}',
            str(at['seed']),
            'to run' if cell.id in missing else 'done',
            f'{operations[cell.id] / 1e12:,.2f}',
        )
    left = sum(operations[cell] for cell in missing)
    total = (
        f'{cells_in_words(len(sweep.cells))}, {len(missing)} to run: {_at_most(sweep.cells)}'
        f'{left / 1e12:,.1f} of '
        f'{sum(operations.values()) / 1e12:,.1f} TFLOPs'
    )
    return Group(table, total)


def cost_line(cell: Cell, cost: Cost) -> str:
    """The cost of one network, in a line."""
    at = cell.coordinates()
    return (
        f'{at["variant"]} of depth {at["depth"]}: {1e3 * cost.step_seconds:,.2f} ms an update, '
        f'{cost.memory_mb:,.0f} MB, compiled in {cost.compile_seconds:,.0f} s'
    )


def cost_table(
    cells: Sequence[Cell], info: DatasetInfo, costs: dict[str, Cost], target: str, workers: int
) -> Group:
    """What the cells will cost, each and all together.

    Args:
        cells: what would run.
        info: of their data set.
        costs: of each cell, by its id.
        target: 'here' or the name of a TPU.
        workers: cells run at a time.
    """
    table = Table('cell', 'TFLOPs', 'memory [MB]', 'update [ms]', 'time')
    for column in table.columns[1:]:
        column.justify = 'right'
    operations = {cell.id: flops(cell, info) for cell in cells}
    total = 0.0
    for cell in cells:
        cost = costs[cell.id]
        seconds = cost.run_seconds(cell.config, info)
        total += seconds
        table.add_row(
            cell.id,
            f'{operations[cell.id] / 1e12:,.2f}',
            f'{cost.memory_mb:,.0f}',
            f'{1e3 * cost.step_seconds:,.2f}',
            _duration(seconds),
        )
    work = f'{cells_in_words(len(cells))} to run, {sum(operations.values()) / 1e12:,.1f} TFLOPs: '
    if target != 'here':
        return Group(
            table,
            f'{work}at least {_duration(total)} on one {target}. Its compiler estimates the '
            'computation, and nothing else that takes time.',
        )
    workers = min(workers, len(cells))
    networks = {id(cost): cost for cost in (costs[cell.id] for cell in cells)}
    compiling = sum(cost.compile_seconds for cost in networks.values())
    return Group(
        table,
        f'{work}{_at_most(cells)}{_duration((total + compiling) / workers)} on this machine, '
        f'{workers} at a time, '
        f'{_duration(compiling)} of {_duration(total + compiling)} for compilation. The memory is '
        'that of the arrays of an update; on a CPU, each worker takes some 500 MB or more besides.',
    )


def _at_most(cells: Sequence[Cell]) -> str:
    """What stands before a cost that is less where runs stop by their training error."""
    return 'at most ' if any(cell.config.train.until_error for cell in cells) else ''


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f'{1e3 * seconds:,.0f} ms'
    if seconds < 100:
        return f'{seconds:,.1f} s'
    return f'{seconds / 60:,.1f} min' if seconds < 6000 else f'{seconds / 3600:,.1f} h'
