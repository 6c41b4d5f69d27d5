"""Runs cells in this process, one after another.

That is for a network that trains in several processes, each of which was started by somebody else:
its devices belong to this process.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vggres.executors.orders import Event, Telling
from vggres.executors.placement import found_devices
from vggres.sweeps.cell import Cell


def run(
    cells: Sequence[Cell],
    costs: Mapping[str, float],
    num_workers: int,
    log_dir: Path,
    on_event: Callable[[Event], None],
    on_begin: Callable[[Callable[[float], bool]], object],
) -> None:
    """As `local.run`, in this process; the first error ends it, and is passed on.

    Args:
        cells: what to run.
        costs: ignored.
        num_workers: ignored.
        log_dir: ignored.
        on_event: called with each event.
        on_begin: called with a function that saves the run: see `sweeps.run.run`.
    """
    from vggres.sweeps.run import run as run_cell  # imports jax, which reads its surroundings once

    on_event(Event('ready', '', found_devices()))
    for cell in cells:
        tell = Telling(cell, on_event)
        tell.say('started')
        tell.finished(run_cell(cell, tell.record, tell.progress, tell.notice, on_begin))
