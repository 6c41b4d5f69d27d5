"""What the rest of a sweep will cost, before it is paid for."""

import os
from collections.abc import Callable
from functools import partial

from rich.console import Console

from vggres.commands import planning
from vggres.config import Config
from vggres.data.source import DatasetInfo
from vggres.executors.placement import (
    check_devices,
    default_environment,
    default_workers,
    gpus_each,
    placement,
    take_cores,
)
from vggres.sweeps import cost
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep


def dry_run(sweep: Sweep, info: DatasetInfo, console: Console) -> None:
    """Prints the cells, whether they are done, and their operations.

    Args:
        sweep: as `planning.checked_sweep` returns it.
        info: of its data set.
        console: where to print.
    """
    console.print(cost.grid_table(sweep, info))
    if more := planning.undecided(sweep):
        console.print(more, soft_wrap=True)


def estimate(
    sweep: Sweep, info: DatasetInfo, target: str, workers: int | None, console: Console
) -> None:
    """Prints memory and time of the cells without a result, and trains nothing.

    Args:
        sweep: as `planning.checked_sweep` returns it.
        info: of its data set.
        target: 'here', by timing a few steps of each network, or 'v5e', by the TPU's compiler.
        workers: cells that would run at once; None for what suits the machine.
        console: where to print.

    Raises:
        UserError: where the TPU's compiler is not installed.
    """
    cells = sweep.missing()
    if not cells:
        console.print('all cells are done: nothing is left to do.')
        return
    workers = workers or default_workers(cost.are_for_all_chips(cells, info))
    gpus = gpus_each(min(workers, len(cells)), (cell.config.train.batch_size for cell in cells))
    environment = default_environment() | placement(0, workers, gpus)
    if target != 'here':  # only the compiler is asked
        environment = {'JAX_PLATFORMS': 'cpu', 'JAX_ENABLE_COMPILATION_CACHE': 'false'}
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    take_cores()
    check_devices()

    def show(cell: Cell, found: cost.Cost) -> None:
        console.print(cost.cost_line(cell, found), soft_wrap=True)

    costs = cost.of_cells(cells, _estimator(info, target), show)
    console.print(cost.cost_table(cells, info, costs, target, workers))
    if more := planning.undecided(sweep):
        console.print(f'This is the time of these cells alone. {more}', soft_wrap=True)


def _estimator(info: DatasetInfo, target: str) -> Callable[[Config], cost.Cost]:
    """The function that estimates the cost of a cell; its modules import jax."""
    if target == 'here':
        from vggres.sweeps import estimate_here

        return estimate_here.estimate
    from vggres.sweeps import estimate_tpu

    return partial(estimate_tpu.estimate, info=info)
