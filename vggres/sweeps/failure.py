"""Why the last attempt at a cell failed: `<cell id>/failure.json`, until the next one begins."""

import contextlib
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from vggres.errors import UserError
from vggres.files import read_json, write_json
from vggres.sweeps import lease

FAILURE_FILE = 'failure.json'


@dataclass(frozen=True)
class FailedAttempt:
    """An attempt that failed.

    Attributes:
        message: what happened, in one line.
        log: the file that says more.
        when: the local time, as in '2026-01-31 14:05'.
        attempt: its number, from 1 on.
    """

    message: str
    log: str
    when: str
    attempt: int


def write_failure(directory: Path, message: str, log: str) -> None:
    """Leaves the trace of a failed attempt in the directory of its cell, as far as it can.

    Args:
        directory: of the cell; it is made where the attempt did not come as far as that.
        message: what happened, in one line.
        log: the file that says more.
    """
    with contextlib.suppress(OSError):  # a full disk fails this cell, and not the launch
        directory.mkdir(parents=True, exist_ok=True)
        attempt = lease.latest(os.listdir(directory)) or 1
        failure = FailedAttempt(message, log, time.strftime('%Y-%m-%d %H:%M'), attempt)
        write_json(directory / FAILURE_FILE, asdict(failure))


def read_failure(directory: Path) -> FailedAttempt | None:
    """The trace of a failed attempt; None where there is none, or it is damaged."""
    try:
        return FailedAttempt(**read_json(directory / FAILURE_FILE))
    except (FileNotFoundError, UserError, TypeError):
        return None


def clear_failure(directory: Path) -> None:
    """Removes the trace of an earlier attempt: another one begins."""
    (directory / FAILURE_FILE).unlink(missing_ok=True)
