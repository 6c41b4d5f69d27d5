"""The end of a process that trains, when a signal asks for it."""

import os
import signal
import threading
from collections.abc import Callable, Iterable

TERMINATED = 128 + signal.SIGTERM  # the exit code of a process that was told to end
# A save at a signal waits so long for the updates that run; with it, it has to end within
# `process.SECONDS_TO_END`.
SECONDS_OF_UPDATES = 3.0


def when_told_to_end(end: Callable[[int], object], signals: Iterable[int]) -> None:
    """Calls a function with the number of each of these signals that arrives, in another thread.

    Python calls handlers of signals between two steps of the main thread, which may be in a long
    computation; the number of the signal reaches another thread through a pipe at once.
    """
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    numbers = {*signals}
    for number in numbers:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writes)

    def wait() -> None:
        while True:
            for number in numbers.intersection(os.read(reads, 64)):
                threading.Thread(target=end, args=(number,), daemon=True).start()

    threading.Thread(target=wait, daemon=True).start()
