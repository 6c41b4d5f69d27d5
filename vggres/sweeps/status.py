"""How far a sweep is, read off its files alone: it may run anywhere, or nowhere any more.

A cell is done when its result is there and can be read. Whoever trains a cell holds its lease (see
`lease.py`) and changes that file every few seconds: a lease that nobody gave back and nobody
changes belongs to an attempt that was lost. Here the clocks of machines are compared, which decides
nothing.
"""

import dataclasses
import os
import time
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from vggres.errors import UserError
from vggres.files import read_json
from vggres.sweeps import lease
from vggres.sweeps.cell import RESULT_FILE, check_format
from vggres.sweeps.failure import FAILURE_FILE, read_failure
from vggres.sweeps.sweep import SWEEP_FILE

STATES = ('done', 'running', 'waiting', 'failed', 'lost')


@dataclass(frozen=True)
class Queued:
    """What a queue says of a cell.

    Attributes:
        started: when the attempt that runs now started, in seconds of `time.time`; None where the
            cell waits for its turn.
    """

    started: float | None


@dataclass(frozen=True)
class CellStatus:
    """How far a cell is.

    Attributes:
        cell: its id.
        state: one of `STATES`.
        about: what more is known, in words; '' for nothing.
        log: the file that says why it failed; '' for none.
        network: the variant that it is a run of; '' where nobody asked its sweep.
        errors: on training and validation images, in percent, of a cell that is done.
        files: the names of what is in its directory.
    """

    cell: str
    state: str
    about: str = ''
    log: str = ''
    network: str = ''
    errors: tuple[float, float] | None = None
    files: frozenset[str] = frozenset()


def sweep_status(
    directory: Path,
    queue: Mapping[str, Queued],
    done: Mapping[str, CellStatus] = MappingProxyType({}),
) -> list[CellStatus]:
    """How far each cell of a sweep is, in the order of its grid.

    Args:
        directory: of the sweep.
        queue: the cells that a queue holds, by id, as far as somebody knows.
        done: cells that are known to be done, by id: they are not looked at again.

    Raises:
        UserError: where there is no sweep, or its `sweep.json` is damaged or of a later format.
    """
    path = directory / SWEEP_FILE
    try:
        stored = read_json(path)
        check_format(path, stored)
        cells = {at['cell']: at.get('variant', '') for at in stored['grid']}
    except FileNotFoundError:
        raise UserError(f'there is no sweep in {directory}: run it first.') from None
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f'{path} is damaged ({type(error).__name__}: {error}).') from None
    return [
        done.get(cell)
        or dataclasses.replace(
            cell_status(directory / 'cells' / cell, queue.get(cell)), network=network
        )
        for cell, network in cells.items()
    ]


def cell_status(directory: Path, queued: Queued | None = None) -> CellStatus:
    """How far a cell is.

    Args:
        directory: of the cell; it need not exist.
        queued: what a queue says of it; None where it is in none.
    """
    try:
        files = frozenset(os.listdir(directory))
    except FileNotFoundError:
        files = frozenset()
    return dataclasses.replace(_status(directory, files, queued), files=files)


def _status(directory: Path, files: Set[str], queued: Queued | None) -> CellStatus:
    errors, damage = _result(directory / RESULT_FILE) if RESULT_FILE in files else (None, '')
    if RESULT_FILE in files and not damage:
        return CellStatus(directory.name, 'done', errors=errors)
    held = _held(directory, lease.latest(files), queued)
    if held and held.state == 'running':
        return held
    if FAILURE_FILE in files and not queued and (failure := read_failure(directory)):
        about = f'attempt {failure.attempt}, {failure.when}: {failure.message}'
        return CellStatus(directory.name, 'failed', about, failure.log)
    if held:
        return held
    if queued:
        return CellStatus(directory.name, *_in_the_queue(queued))
    if damage:
        return CellStatus(directory.name, 'failed', damage)
    return CellStatus(directory.name, 'waiting')


def _result(path: Path) -> tuple[tuple[float, float] | None, str]:
    """The errors in the file of a result, and what is wrong with it; '' where it is an object."""
    try:
        result = read_json(path)
    except UserError as error:
        return None, str(error)
    except FileNotFoundError:
        return None, f'{path} is gone.'
    train, validation = result.get('train_error'), result.get('validation_error')
    if isinstance(train, int | float) and isinstance(validation, int | float):
        return (train, validation), ''
    return None, ''


def _held(directory: Path, attempt: int, queued: Queued | None) -> CellStatus | None:
    """What a lease says; None where it was given back, or is older than the attempt in a queue."""
    values, changed = lease.read(directory, attempt)
    if not values or values.get('released'):
        return None
    where = f'attempt {attempt} on {values.get("host")}'
    silent = time.time() - changed
    if abs(silent) < lease.STALE:  # a clock may have been set back
        return CellStatus(directory.name, 'running', where)
    if queued and (queued.started is None or queued.started > changed):
        return None
    return CellStatus(directory.name, 'lost', f'{where}, silent for {silent:.0f} s')


def _in_the_queue(queued: Queued) -> tuple[str, str]:
    return ('waiting', 'queued') if queued.started is None else ('running', 'starting')
