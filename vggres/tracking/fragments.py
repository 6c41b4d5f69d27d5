"""The files of runs that W&B keeps below a sweep's directory, and the command that uploads them.

Each process that logs a run leaves a folder `wandb/offline-run-<when>-<id>`, a fragment of the run,
with a log `run-<id>.wandb`. One that was killed at once leaves a log without a record, and a single
such log keeps `wandb sync` from uploading any other.
"""

import contextlib
import shlex
import time
from collections.abc import Iterable
from pathlib import Path

_HEADER = 7  # bytes of a log that holds no record
_EMPTY = '.empty'  # behind the name of a log that was set aside
_YOUNG = 60.0  # seconds in which a process may not have written its first record yet


def upload_command(directory: Path) -> str | None:
    """What uploads the offline runs below a directory; None where none is left to upload.

    Logs without a record are set aside first, unless a process may just be about to write them.
    """
    logs = [*directory.glob('wandb/offline-run-*/*.wandb')]
    old = [log for log in directory.glob('wandb/*run-*/*.wandb') if _age(log) > _YOUNG]
    _set_aside(old)
    if not any(log.exists() and not log.with_suffix('.wandb.synced').exists() for log in logs):
        return None
    return f'wandb sync {shlex.quote(str(directory))}/wandb'


def set_aside_empty(directory: Path, run_id: str) -> bool:
    """Sets aside the logs without a record that earlier processes left of a run.

    Returns:
        Whether they left nothing else. Where there is no log at all, as after an upload that tidies
        up, the run may have records.
    """
    logs = f'wandb/*run-*-{run_id}*/*.wandb'
    _set_aside(directory.glob(logs))
    return any(directory.glob(f'{logs}{_EMPTY}')) and not any(directory.glob(logs))


def _set_aside(logs: Iterable[Path]) -> None:
    """Renames the logs that hold no record, so that W&B does not look at them."""
    for log in logs:
        with contextlib.suppress(OSError):  # it is gone, or the folder is read-only
            if log.stat().st_size <= _HEADER:
                log.rename(log.with_suffix(f'.wandb{_EMPTY}'))


def _age(log: Path) -> float:
    """The seconds since a log was written; 0 where it cannot be read."""
    try:
        return time.time() - log.stat().st_mtime
    except OSError:
        return 0.0
