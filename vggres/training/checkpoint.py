"""Saves what an interrupted run goes on from, so that it comes to the same numbers to the last bit.

Order and augmentation are functions of (seed, step), so that the state and what was summed up since
the epoch began are all that is needed. A checkpoint is one file, which appears whole and carries
its own checksum; the newest two are kept, so that a damaged one costs one interval and no more.
"""

import hashlib
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, BinaryIO

import jax
import jax.numpy as jnp
import numpy as np

from vggres.errors import UserError
from vggres.files import is_damage, opened_atomically
from vggres.results import Look
from vggres.training import devices
from vggres.training.train_step import TrainState

_FORMAT = 2  # of a file: another one for other fields, or another state
_KEPT = 2
_NAME = re.compile(r'step-(\d+)\.ckpt')
_DIGEST_BYTES = 64  # of a SHA-256 in hexadecimal digits
Notes = Mapping[str, Any]  # JSON


@dataclass(frozen=True)
class Snapshot:
    """Where a run stands between two dispatches, or at the end of an epoch.

    Attributes:
        state: the state after the last update.
        sums: the sums of the epoch's metrics so far.
        begin: the number of updates done when the epoch began.
        seconds: the time that the updates of the epoch have taken so far.
        looks: what was seen of the training error since the run began.
        occasion: the number of updates done when the training error could last be looked at.
        wrong: the sum of the batches' errors at that time.
    """

    state: TrainState
    sums: dict[str, jax.Array]
    begin: int = 0
    seconds: float = 0.0
    looks: tuple[Look, ...] = ()
    occasion: int = 0
    wrong: float = 0.0

    @property
    def step(self) -> int:
        """The number of updates done."""
        return int(self.state.step)


_ARRAYS = ('state', 'sums')
_NUMBERS = tuple(field.name for field in fields(Snapshot) if field.name not in _ARRAYS)


class Checkpoints:
    """The checkpoints of a run: now and then, between two dispatches, and on request.

    A request comes from another thread. While the run only reads the state that it last offered,
    that thread saves this state. Updates use the arrays of the state up: while some run, the thread
    waits for them, and saves a copy of the state before them where they take too long.
    """

    def __init__(
        self,
        directory: Path,
        every_seconds: float,
        notes: Callable[[int], Notes] = lambda begin: {},
        is_allowed: Callable[[], object] = lambda: None,
    ) -> None:
        """Remembers where checkpoints go; nothing is read or written yet.

        Args:
            directory: a directory for nothing but checkpoints; it need not exist.
            every_seconds: the least time between two saves now and then, in seconds.
            notes: gives what else belongs to a checkpoint, as JSON, by the number of updates done
                when its epoch began.
            is_allowed: called before each save; what it raises keeps the save from happening.
        """
        self._directory = directory
        self._every_seconds = every_seconds
        self._notes = notes
        self._is_allowed = is_allowed
        self._last_save = time.monotonic()
        self._saved: dict[str, Any] | None = None  # the numbers of the snapshot saved last
        self._chosen: tuple[Path, bytes] | None = None
        self._has_chosen = False
        self._state = threading.Condition()
        self._offered: Snapshot | None = None
        self._is_updating = False

    def choose(
        self,
        refusal: Callable[[Notes], str | None] = lambda notes: None,
        on_damage: Callable[[str], object] = lambda sentence: None,
    ) -> Notes | None:
        """Chooses the newest checkpoint that is whole and fits, for `restore`.

        Args:
            refusal: says of the notes of a checkpoint why it does not fit; None where it does.
            on_damage: called with a sentence for each checkpoint that cannot be used.

        Returns:
            The notes of the one that was chosen; None where there is none.

        Raises:
            OSError: where one cannot be read for the moment; all of them stay.
        """
        self._has_chosen = True
        if self._directory.exists() and not self._directory.is_dir():
            on_damage(f'{self._directory.name} is no directory: the run begins anew.')
        for path in reversed(self._files()):
            try:
                notes, content = _read(path)
                problem = refusal(notes)
            except OSError as error:
                if not is_damage(error):
                    raise
                problem = error.strerror or str(error)
            except (ValueError, KeyError, TypeError) as error:
                problem = str(error)
            if problem is None:
                self._chosen = path, content
                return notes
            on_damage(f'the checkpoint {path.name} cannot be used: {problem}.')
            _remove(path)  # or it would count as newer than what the run saves from now on
        return None

    def restore(self, state: TrainState, sums: dict[str, jax.Array]) -> Snapshot | None:
        """The snapshot in the checkpoint that was chosen; None where none was.

        Where nobody has chosen, it is the newest one that is whole.

        Args:
            state: a state with the shapes of the one that was saved.
            sums: sums of the metrics that were saved.

        Raises:
            UserError: where it is whole, and has other arrays or numbers: it is of other code.
        """
        if not self._has_chosen:
            self.choose()
        if self._chosen is None:
            return None
        (path, content), self._chosen = self._chosen, None
        try:
            arrays, numbers = _decoded(content, {'state': state, 'sums': sums})
            numbers['looks'] = tuple((step, error) for step, error in numbers['looks'])
            snapshot = Snapshot(**arrays, **numbers)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f'{path} does not fit this network with this code ({error}): where its folder is '
                'removed, the run begins anew.'
            ) from None
        self._saved = _progress(snapshot)
        return snapshot

    def save_now_and_then(self, snapshot: Snapshot) -> None:
        """Saves a snapshot if the last save is long enough ago."""
        if time.monotonic() - self._last_save >= self._every_seconds:
            with self._state:
                self._save(snapshot)

    def offer(self, snapshot: Snapshot) -> None:
        """Gives the snapshot to save on request, whose arrays stay until `begin_update`."""
        with self._state:
            self._offered, self._is_updating = snapshot, False
            self._state.notify_all()

    def begin_update(self, snapshot: Snapshot) -> None:
        """Offers a copy of the snapshot, because the next updates use its arrays up."""
        arrays = {name: getattr(snapshot, name) for name in _ARRAYS}
        with self._state:
            self._offered = replace(snapshot, **devices.copied(arrays))
            self._is_updating = True

    def save_on_request(self, timeout: float) -> bool:
        """Saves what is offered, or what will be after the updates that run now.

        It may be called in another thread than that of the run.

        Args:
            timeout: the time to wait for these updates, in seconds; after it, what was there before
                them is saved.

        Returns:
            Whether what was offered is saved now. Nothing is before the first update.
        """
        deadline = time.monotonic() + timeout
        with self._state:  # while something is saved now and then, this takes until it is
            self._state.wait_for(lambda: not self._is_updating, deadline - time.monotonic())
            if self._offered is None or self._offered.step == 0:
                return False
            is_there = self._file(self._offered).is_file()
            if not is_there or self._saved != _progress(self._offered):
                self._save(self._offered)
            return True

    def remove(self) -> None:
        """Deletes the checkpoints, which a finished run no longer needs."""
        with self._state:
            self._offered, self._is_updating = None, False
            if self._directory.is_dir():
                shutil.rmtree(self._directory, ignore_errors=True)
            else:
                self._directory.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        """The files of checkpoints, the newest last."""
        found = self._directory.glob('step-*.ckpt')
        return sorted(path for path in found if _NAME.fullmatch(path.name))

    def _save(self, snapshot: Snapshot) -> None:
        self._is_allowed()
        if self._directory.exists() and not self._directory.is_dir():
            self._directory.unlink()  # whatever it was, it was no checkpoint
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._file(snapshot)
        if path.is_dir():
            shutil.rmtree(path)
        with opened_atomically(path) as file:
            _write(file, snapshot, self._notes(snapshot.begin))
        for old in self._files()[:-_KEPT]:
            _remove(old)
        self._last_save, self._saved = time.monotonic(), _progress(snapshot)

    def _file(self, snapshot: Snapshot) -> Path:
        return self._directory / f'step-{snapshot.step:012d}.ckpt'


def _progress(snapshot: Snapshot) -> dict[str, Any]:
    """What differs wherever a run has come further, be it by a look at the error alone."""
    return {'step': snapshot.step} | {name: getattr(snapshot, name) for name in _NUMBERS}


def _write(file: BinaryIO, snapshot: Snapshot, notes: Notes) -> None:
    """A line of JSON, the arrays as they lie in memory, and a checksum.

    On a CPU nothing is copied on the way: a gigabyte has to be saved within seconds.
    """
    tree = devices.on_host({name: getattr(snapshot, name) for name in _ARRAYS})
    arrays = {name: np.asarray(leaf) for name, leaf in _by_name(jax.device_get(tree))}
    values = {
        'format': _FORMAT,
        'numbers': {name: getattr(snapshot, name) for name in _NUMBERS},
        'notes': notes,
        'arrays': {name: [array.dtype.name, array.shape] for name, array in arrays.items()},
    }
    digest = hashlib.sha256()
    in_bytes = (np.ravel(array).view(np.uint8) for array in arrays.values())
    for part in (json.dumps(values).encode() + b'\n', *in_bytes):
        digest.update(part)
        file.write(part)
    file.write(digest.hexdigest().encode())


def _read(path: Path) -> tuple[Notes, bytes]:
    """The notes and the content of a file; ValueError where it is damaged."""
    stored = path.read_bytes()
    content, digest = stored[:-_DIGEST_BYTES], stored[-_DIGEST_BYTES:]
    if stored[:_DIGEST_BYTES] == hashlib.sha256(stored[_DIGEST_BYTES:]).hexdigest().encode():
        raise ValueError(f'it is of format 1, and this release reads {_FORMAT}')
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise ValueError('its checksum is another one')
    values, _ = _first_line(content)
    if values['format'] != _FORMAT:
        raise ValueError(f'it is of format {values["format"]}, and this release reads {_FORMAT}')
    return values['notes'], content


def _decoded(content: bytes, like: dict) -> tuple[dict, dict]:
    """The arrays, in a tree like the given one, and the numbers of a file's content.

    Raises:
        ValueError: where the arrays are others.
    """
    values, at = _first_line(content)
    leaves = []
    wanted = {name: [leaf.dtype.name, [*leaf.shape]] for name, leaf in _by_name(like)}
    if values['arrays'] != wanted or [*values['arrays']] != [*wanted]:
        raise ValueError('it has other arrays')
    for _, leaf in _by_name(like):
        array = np.frombuffer(content, leaf.dtype, leaf.size, at)
        leaves.append(jnp.array(array.reshape(leaf.shape)))
        at += array.nbytes
    if at != len(content):
        raise ValueError('its arrays are longer')
    return jax.tree.unflatten(jax.tree.structure(like), leaves), values['numbers']


def _first_line(content: bytes) -> tuple[dict, int]:
    """The JSON at the beginning of a file's content, and where the arrays begin."""
    end = content.index(b'\n')
    return json.loads(content[:end]), end + 1


def _by_name(tree: dict) -> list[tuple[str, Any]]:
    """The arrays of a tree, always in the same order, with their names."""
    found, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in found]


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
