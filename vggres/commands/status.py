"""Says how far a sweep is, and cancels what Slurm still holds of it."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

from vggres.commands.index import Index
from vggres.errors import UserError
from vggres.executors import slurm
from vggres.sweeps.status import STATES, CellStatus, Queued, sweep_status
from vggres.sweeps.sweep import cells_in_words

_SHOWN = 10  # cells of a state
_LINES, _TAIL_BYTES = 5, 4096  # of a log


def show(directory: Path, console: Console) -> None:
    """Prints the cells of a sweep by their state, and what is known of those that are not done.

    Everything is read off files; Slurm is asked as well where jobs were submitted and it answers.
    The page of all sweeps is written as well.

    Args:
        directory: of the sweep.
        console: gets the counts, and then the details.

    Raises:
        UserError: where there is no sweep.
    """
    queue, silence = _queue(directory)
    found = sweep_status(directory, queue)
    counts = Counter(status.state for status in found)
    said = ', '.join(f'{counts[state]} {state}' for state in STATES)
    console.print(f'{directory}: {cells_in_words(len(found))}: {said}', soft_wrap=True)
    for state in ('running', 'failed', 'lost'):
        _show_state([status for status in found if status.state == state], directory, console)
    if silence:
        console.print(f'Slurm was not asked: {silence}', soft_wrap=True)
    elif follows := _what_follows(found, queue):
        console.print(follows, soft_wrap=True)
    Index(directory.parent, {directory.name: found}).write()


def cancel(directory: Path, console: Console) -> None:
    """Cancels the jobs of a sweep that wait or run in Slurm, and says which.

    Raises:
        UserError: where there is no sweep, or Slurm does not answer.
    """
    sweep_status(directory, {})  # there is a sweep
    cancelled = slurm.cancel(directory)
    for job, cells in cancelled.items():
        console.print(f'cancelled job {job}: {cells_in_words(len(cells))} not done.')
    if not cancelled:
        console.print(f'Slurm holds no job of {directory}: nothing to cancel.', soft_wrap=True)
    console.print('What is done or saved stays; the same sweep goes on from there.')


def _queue(directory: Path) -> tuple[dict[str, Queued], str]:
    """What Slurm holds of a sweep, and why it does not say so."""
    try:
        return slurm.queue(directory), ''
    except UserError as error:
        return {}, str(error)


def _show_state(found: list[CellStatus], directory: Path, console: Console) -> None:
    for status in found[:_SHOWN]:
        line = f'  {status.state:<8} {status.cell}  {status.about}'
        console.print(line.rstrip(), soft_wrap=True)
        if status.log:
            log = directory / 'logs' / Path(status.log).name
            for said in (f'see {log}:', *_last_lines(log)):
                console.print(f'           {said}', soft_wrap=True)
    if len(found) > _SHOWN:
        console.print(f'  {found[0].state:<8} and {len(found) - _SHOWN} more')


def _last_lines(log: Path) -> list[str]:
    try:
        with log.open('rb') as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = file.read().decode(errors='replace')
    except OSError as error:
        return [f'(not readable: {error.strerror})']
    return [line.rstrip() for line in text.splitlines() if line.strip()][-_LINES:]


def _what_follows(found: Iterable[CellStatus], queue: dict[str, Queued]) -> str:
    """What a user does next; '' where somebody is at work on the sweep, or will be."""
    left = [status for status in found if status.state != 'done']
    if not left:
        return 'All cells are done: --report_only writes the report.'
    idle = [status for status in left if status.cell not in queue]
    if not idle or any(status.state == 'running' for status in idle):
        return ''
    return f'{cells_in_words(len(idle))} will run when the sweep is launched again.'
