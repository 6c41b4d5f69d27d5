"""Calls that are given up where they take too long: what they began ends with the process."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar('T')


class HangsError(Exception):
    """A call has not come back within its time."""


def within(seconds: float, function: Callable[[], T]) -> T:
    """Calls a function in a thread of its own, and gives it up where it takes too long.

    Args:
        seconds: that the function may take.
        function: what to call.

    Returns:
        What the function returns.

    Raises:
        HangsError: where it was given up; its thread is left behind.
        Exception: what the function raises.
    """
    return all_within(seconds, [function])[0]


def all_within(seconds: float, functions: Sequence[Callable[[], T]]) -> list[T]:
    """Calls functions at once, each in a thread of its own, and gives them up as `within` does."""
    returned: dict[int, T] = {}
    raised: list[Exception] = []

    def call(at: int, function: Callable[[], T]) -> None:
        try:
            returned[at] = function()
        except Exception as error:
            raised.append(error)

    threads = [
        threading.Thread(target=call, args=each, daemon=True) for each in enumerate(functions)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        raise HangsError(f'no answer within {seconds:.0f} s')
    if raised:
        raise raised[0]
    return [returned[at] for at in range(len(threads))]
