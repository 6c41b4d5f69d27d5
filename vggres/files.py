"""Files that appear whole or not at all."""

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vggres.errors import UserError


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file that appears whole or not at all: see `opened_atomically`."""
    with opened_atomically(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextlib.contextmanager
def opened_atomically(path: Path) -> Iterator[BinaryIO]:
    """Writes beside the target, then renames: neither a reader nor a crash ever sees half a file.

    What was written beside the target is removed where the disk is full or the name is taken.
    """
    beside = path.with_name(f'.{path.name}.{secrets.token_hex(4)}')  # of no other machine's
    try:
        with beside.open('wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def is_damage(error: OSError) -> bool:
    """Whether a file could not be read because of what it is, rather than for a moment."""
    return error.errno in (errno.ENOENT, errno.EISDIR, errno.ENOTDIR)


def clear_unfinished(directory: Path) -> None:
    """Deletes what killed processes left of files to write atomically.

    Nobody else may write to that directory meanwhile.
    """
    for path in directory.glob('.*.' + '[0-9a-f]' * 8):
        path.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Writes indented JSON atomically; a number that is not finite is an error."""
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False) + '\n')


def read_json(path: Path) -> dict:
    """The object in a JSON file.

    Raises:
        FileNotFoundError: where there is no such file.
        UserError: naming the file, where it is cut short or holds something else.
    """
    try:
        value = json.loads(path.read_text())
    except (IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise UserError(f'{path} cannot be read: {error.strerror}.') from None
    except ValueError:  # JSON or UTF-8
        raise UserError(f'{path} is damaged: it holds no JSON.') from None
    if not isinstance(value, dict):
        raise UserError(f'{path} is damaged: it holds a {type(value).__name__}, not an object.')
    return value
