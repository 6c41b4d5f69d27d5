"""Whether files are the same as before: by their contents, or quickly by their states."""

import contextlib
import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np

from vggres.data import cache
from vggres.data.source import Split
from vggres.data.threads import in_threads
from vggres.errors import UserError

_READ = 2**34  # bytes: it takes minutes to read more
_KEPT = 2**28  # bytes: it takes a second to hash more, and every worker process would do it

# The name of a file, its size in bytes, and the times of change of its content and of itself.
State = tuple[str, int, int, int]


def state(path: Path) -> tuple[int, int, int]:
    """Size and times of change of a file; no program can set the last one of them back."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0, 0
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_large(states: tuple[State, ...]) -> bool:
    """Whether it would take minutes to read the files."""
    return _size(states) > _READ


@lru_cache(maxsize=4)
def of_contents(root: Path, states: tuple[State, ...]) -> np.ndarray:
    """The SHA-256 of the content of each file; it is taken anew where a state is another one.

    Args:
        root: the folder that the files are in.
        states: of each file.

    Returns:
        [n, 32] uint8; zeros for a file that cannot be read.
    """

    def hashed() -> Split:
        digests = in_threads(_of_file, [root / name for name, *_ in states])
        return Split(np.frombuffer(b''.join(digests), np.uint8).reshape(-1, 32), np.zeros(0, int))

    if _size(states) > _KEPT:
        with contextlib.suppress(UserError):  # the cache cannot be written
            return cache.cached(cache.entry('digests', str(root.resolve()), states), hashed).images
    return hashed().images


def _of_file(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:  # decoding tells which
        return bytes(32)


def _size(states: tuple[State, ...]) -> int:
    return sum(size for _, size, *_ in states)
