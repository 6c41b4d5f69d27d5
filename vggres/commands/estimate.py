"""What the rest of a sweep will cost, before it is paid for."""

import os

from rich.console import Console

from vggres.data.tfds import DatasetInfo
from vggres.executors.placement import (
    default_environment,
    default_workers,
    placement,
    take_cores,
)
from vggres.sweeps import cost
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep, in_words


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
        console.print(f'all {in_words(len(sweep.cells))} are done: nothing is left to pay for.')
        return
    workers = workers or default_workers()
    environment = default_environment() | placement(0, workers)
    if target != 'here':  # only the compiler is asked
        environment = {'JAX_PLATFORMS': 'cpu', 'JAX_ENABLE_COMPILATION_CACHE': 'false'}
    for name, value in environment.items():
        os.environ.setdefault(name, value)
    take_cores()

    def show(cell: Cell, found: cost.Cost) -> None:
        console.print(cost.cost_line(cell, found), soft_wrap=True)
