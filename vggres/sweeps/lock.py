"""A lock on the directory of a sweep, so that two launches of a machine never write to it at once.

Machines that share a folder may not share its locks; there, the leases of cells keep order.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from vggres.errors import UserError

LOCK_FILE = '.lock'


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Makes the directory and holds it alone.

    Raises:
        UserError: where it cannot be written, or another launch is at work in it.
    """
    with contextlib.ExitStack() as stack:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((directory / LOCK_FILE).open('w'))
        except OSError as error:
            raise UserError(
                f'cannot write to {directory} ({error.strerror}): choose another --workdir.'
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f'another launch is running in {directory}.') from None
        except OSError:  # a network folder that knows no locks
            pass
        yield
