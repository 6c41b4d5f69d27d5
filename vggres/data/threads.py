"""Work on many files at once, in threads of this process."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from vggres import environment

_AT_ONCE = 16  # files for a thread: to hand over one takes as long as to read its header

S = TypeVar('S')
T = TypeVar('T')


def in_threads(function: Callable[[S], T], values: Sequence[S]) -> list[T]:
    """Calls a function with each value; Pillow, hashing and reading let threads work at once."""

    def some(start: int) -> list[T]:
        return [function(value) for value in values[start : start + _AT_ONCE]]

    with ThreadPoolExecutor(len(environment.cores())) as pool:
        results = pool.map(some, range(0, len(values), _AT_ONCE))
        return [each for chunk in results for each in chunk]
