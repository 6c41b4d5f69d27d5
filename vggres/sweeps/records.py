"""The files of records that a cell leaves: one JSON object a line, on disk as soon as it is known.

metrics.jsonl   a `Record` for each epoch; keys such as 'train/error' and 'batch/loss'
probes.jsonl    an `Observation` for each look into the layers; a key for each quantity
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vggres.errors import UserError
from vggres.files import is_damage, write_atomically
from vggres.results import Observation, Record, parsed

METRICS_FILE = 'metrics.jsonl'
PROBES_FILE = 'probes.jsonl'

_KEYS = {  # of each field of a `Record` the key in its JSON object
    'epoch': 'epoch',
    'step': 'step',
    'learning_rate': 'learning_rate',
    'gradient_norm': 'gradient_norm',
    'batch_loss': 'batch/loss',
    'batch_error': 'batch/error',
    'images_per_second': 'images_per_second',
    'train_loss': 'train/loss',
    'train_error': 'train/error',
    'validation_loss': 'validation/loss',
    'validation_error': 'validation/error',
    'looks': 'looks',
}
_NOT_QUANTITIES = ('epoch', 'step', 'draw')
_SHOWN = 100  # characters of what is wrong with a line


@dataclass(frozen=True)
class Mark:
    """How far a file of records is whole, and what it holds so far.

    Attributes:
        size: bytes.
        sha256: of these bytes, in hexadecimal digits.
    """

    size: int
    sha256: str


class RecordsFile:
    """A file of a cell's records or observations, to which its run appends."""

    def __init__(
        self,
        path: Path,
        mark: Mark | None = None,
        is_allowed: Callable[[], object] = lambda: None,
    ) -> None:
        """Begins the file, or cuts off what an interrupted attempt wrote after its checkpoint.

        Args:
            path: the file, in a directory that exists.
            mark: of a checkpoint, which the file has to fit (see `mismatch`); None begins afresh.
            is_allowed: called before each entry is written; what it raises keeps it from that.
        """
        self._path, self._is_allowed = path, is_allowed
        kept = path.read_bytes()[: mark.size] if mark else b''
        write_atomically(path, kept)
        self._digest, self._size = hashlib.sha256(kept), len(kept)
        self._marks = [(0, self._mark())]

    def append(self, entry: Record | Observation) -> None:
        """Appends a record or an observation; a number that is not finite becomes null."""
        line = (json.dumps(_finite(to_dict(entry)), allow_nan=False) + '\n').encode()
        self._is_allowed()
        with self._path.open('ab') as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._digest.update(line)
        self._size += len(line)
        self._marks.append((entry.step, self._mark()))

    def mark_at(self, step: int) -> Mark:
        """How far the file goes up to so many updates."""
        return [mark for at, mark in self._marks if at <= step][-1]

    def _mark(self) -> Mark:
        return Mark(self._size, self._digest.hexdigest())


def mismatch(path: Path, mark: Mark) -> str | None:
    """Why a file is not the one of which a checkpoint took a mark; None where it is.

    Raises:
        OSError: where it cannot be read for the moment.
    """
    try:
        kept = path.read_bytes()[: mark.size]
    except OSError as error:
        if not is_damage(error):
            raise
        return f'{path.name} cannot be read ({error.strerror})'
    if len(kept) < mark.size:
        return f'{path.name} is shorter than it was'
    if hashlib.sha256(kept).hexdigest() != mark.sha256:
        return f'{path.name} is damaged'
    return None


def to_dict(entry: Record | Observation) -> dict:
    """The JSON object that stands for a record or an observation.

    Args:
        entry: the record or the observation.

    Returns:
        For a record its values, under keys such as 'train/error', without those that are None.
        For an observation 'epoch', 'step', 'draw', and of each quantity a dict of its values by
        layer or block.
    """
    if isinstance(entry, Observation):
        place = {'epoch': entry.epoch, 'step': entry.step, 'draw': entry.draw}
        return place | {quantity: dict(values) for quantity, values in entry.values.items()}
    values = {key: getattr(entry, field) for field, key in _KEYS.items()}
    return {key: value for key, value in values.items() if value is not None}


def to_record(values: dict) -> Record:
    """The record that a JSON object stands for; the inverse of `to_dict`.

    Raises:
        ValueError: for an object that stands for no record; the message says why.
    """
    found = {field: values.get(key) for field, key in _KEYS.items()}
    if isinstance(looks := found['looks'], list):
        found['looks'] = [tuple(look) if isinstance(look, list) else look for look in looks]
    return parsed(Record, found)


def to_observation(values: dict) -> Observation:
    """The observation that a JSON object stands for; the inverse of `to_dict`.

    Raises:
        ValueError: for an object that stands for no observation; the message says why.
    """
    place = {key: values.get(key) for key in _NOT_QUANTITIES}
    quantities = {key: value for key, value in values.items() if key not in _NOT_QUANTITIES}
    for quantity, by_name in quantities.items():
        if not (isinstance(by_name, dict) and all(map(_is_number_or_none, by_name.values()))):
            raise ValueError(f'{quantity!r} does not hold numbers by layer')
    return parsed(Observation, place | {'values': quantities})


def read_records(directory: Path) -> list[Record]:
    """Reads the records of a cell, the oldest first.

    Args:
        directory: the cell's.

    Returns:
        A record for each whole line of `metrics.jsonl`; a last line that a kill cut off is left
        out.

    Raises:
        UserError: where the file cannot be read, or a line is no record, with its number.
    """
    return [entry for _, entry in _entries(directory / METRICS_FILE) if isinstance(entry, Record)]


def read_observations(directory: Path) -> list[Observation]:
    """Reads the observations of a cell, the oldest first.

    Args:
        directory: the cell's.

    Returns:
        An observation for each whole line of `probes.jsonl`; a last line that a kill cut off is
        left out.

    Raises:
        UserError: where the file cannot be read, or a line is no observation, with its number.
    """
    entries = _entries(directory / PROBES_FILE)
    return [entry for _, entry in entries if isinstance(entry, Observation)]


def _entries(path: Path) -> Iterator[tuple[str, Record | Observation]]:
    """Each whole line of a file, and what it stands for."""
    of_probes = path.name == PROBES_FILE
    try:
        *lines, _ = path.read_bytes().split(b'\n')  # the last part is empty, or cut off by a kill
    except OSError as error:
        raise UserError(f'cannot read {path} ({error.strerror}).') from None
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode()
            values = json.loads(text, parse_constant=_refuse)
            if not isinstance(values, dict):
                raise ValueError(f'it holds a {type(values).__name__}, not an object')
            yield text, to_observation(values) if of_probes else to_record(values)
        except ValueError as error:  # that of JSON and of UTF-8 among them
            raise UserError(
                f'{path}, line {number}, is no {"observation" if of_probes else "record"} '
                f'({str(error)[:_SHOWN]}).'
            ) from None


def _refuse(constant: str) -> None:
    raise ValueError(f'{constant} is no number')


def _is_number_or_none(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or is_number


def _finite(value: object) -> object:
    """The value, with None for each number in it that is not finite."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
