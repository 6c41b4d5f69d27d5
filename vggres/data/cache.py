"""Decoded images, kept on disk as arrays that are mapped into memory, shared by all processes."""

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from vggres import environment
from vggres.data.source import Split
from vggres.errors import UserError

_IMAGES, _LABELS = 'images.npy', 'labels.npy'
_UNUSABLE = (FileNotFoundError, NotADirectoryError, EOFError, ValueError)  # missing or damaged
_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


def directory() -> Path:
    """Where decoded images are kept: `data` in the cache of vggres."""
    return environment.cache_directory() / 'data'


def entry(name: str, *what: object) -> str:
    """The key of an entry: a name, and a hash of all that decides its arrays."""
    return f'{name}-{hashlib.sha256(repr(what).encode()).hexdigest()[:16]}'


def cached(key: str, make: Callable[[], Split]) -> Split:
    """The arrays that were kept under a key or, the first time, those that are made and kept now.

    Of several processes that ask at once, one makes them and the others wait. They appear whole or
    not at all; an entry that was damaged later is made again.

    Args:
        key: the name of the entry; it has to change whenever the arrays would.
        make: reads and decodes the images; what it raises is passed on.

    Returns:
        Arrays that are mapped into memory and cannot be written.

    Raises:
        UserError: where the entry cannot be written, or not be read although it was just written.
    """
    place = directory() / key
    with contextlib.suppress(*_UNUSABLE):
        return _mapped(place)
    return _made(place, make)


def _mapped(place: Path) -> Split:
    return Split(*(np.load(place / name, mmap_mode='r') for name in (_IMAGES, _LABELS)))


def _made(place: Path, make: Callable[[], Split]) -> Split:
    """Makes and keeps an entry, unless another process was faster."""
    lock = place.with_name(f'.{place.name}.lock')
    with _writing(place.parent):
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    with alone(lock):
        with contextlib.suppress(*_UNUSABLE):
            return _mapped(place)
        with _writing(place.parent):
            _clear(place)
        split = make()
        with _writing(place.parent):
            _keep(place, split)
        try:
            return _mapped(place)
        except (OSError, EOFError, ValueError) as error:
            raise UserError(
                f'what was just written to {place} cannot be read ({error}): set XDG_CACHE_HOME to '
                'a directory on another disk.'
            ) from None


def _clear(place: Path) -> None:
    """Removes a damaged entry, and what killed processes left beside it."""
    for left in place.parent.iterdir():
        if left.name.startswith(f'.{place.name}.') and left.is_dir():
            shutil.rmtree(left)
    if place.exists():
        shutil.rmtree(place)


def _keep(place: Path, split: Split) -> None:
    beside = place.with_name(f'.{place.name}.{uuid.uuid4().hex}')
    try:
        beside.mkdir()
        np.save(beside / _IMAGES, split.images)
        np.save(beside / _LABELS, split.labels)
        # Else, after a loss of power, the entry may be there without all of its bytes.
        for path in (beside / _IMAGES, beside / _LABELS, beside):
            _sync(path)
        os.replace(beside, place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _sync(path: Path) -> None:
    """Waits until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Reports a failure to write as the user's, who can make room."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f'cannot keep decoded images in {folder} ({error.strerror or error}): make room there, '
            'or set XDG_CACHE_HOME to another directory.'
        ) from None


@contextlib.contextmanager
def alone(lock: Path, remedy: str = 'set XDG_CACHE_HOME to a local directory') -> Iterator[None]:
    """Waits until no other process holds a lock file, and holds it.

    Args:
        lock: the file, which is made where it is missing.
        remedy: what the user can do where the file system has no locks.

    Raises:
        UserError: where the file system has no locks.
        OSError: where the file cannot be written.
    """
    with lock.open('w') as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _WITHOUT_LOCKS:
                raise
            raise UserError(
                f'files in {lock.parent} cannot be locked ({error.strerror}), as on some network '
                f'drives: {remedy}.'
            ) from None
        yield
