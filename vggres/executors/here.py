"""Runs cells in this process, one after another.

That is for a network that trains in several processes, each of which was started by somebody else:
its devices belong to this process.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vggres.executors.orders import Event
from vggres.executors.placement import found_devices
from vggres.results import Record
from vggres.sweeps.cell import Cell


def run(
    cells: Sequence[Cell],
    costs: Mapping[str, float],
    num_workers: int,
    log_dir: Path,
    on_event: Callable[[Event], None],
) -> None:
    """As `local.run`, in this process; the first error ends it, and is passed on.

    Args:
        cells: what to run.
        costs: ignored.
        num_workers: ignored.
        log_dir: ignored.
        on_event: called with each event.
    """
    on_event(Event('ready', '', found_devices()))
    for cell in cells:
        _run(cell, on_event)


def _run(cell: Cell, on_event: Callable[[Event], None]) -> None:
    from vggres.sweeps.run import run as run_cell  # imports jax, which reads its surroundings once

    def say(kind: str, values: dict) -> None:
        on_event(Event(kind, cell.id, values))

    def on_record(record: Record) -> None:
        say('record', dataclasses.asdict(record))

    def on_progress(step: int, total: int) -> None:
        say('progress', {'step': step, 'total': total})

    def on_notice(sentence: str) -> None:
        say('notice', {'message': sentence})

    say('started', {})
    say('finished', dataclasses.asdict(run_cell(cell, on_record, on_progress, on_notice)))
