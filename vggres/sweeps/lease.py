"""One owner a cell: a numbered lease, which holds on folders that machines share as well.

<cell id>/lease-<attempt>.json   who trains the cell; it changes every few seconds

Whoever wants to train a cell creates the file of the next number, which of several processes only
one can do on any file system. From then on the owner of a lower number has lost the cell: it finds
out before it writes next. A lease whose owner is dead is taken over at once on the machine of the
owner. Elsewhere it is watched, and taken over where it does not change for a while. Clocks of
machines are not compared.
"""

import contextlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vggres.errors import UserError

_NAME = re.compile(r'lease-(\d+)\.json')
_HEARTBEAT = 5.0  # seconds between two changes of a lease that is held
STALE = 60.0  # seconds without a change, after which the owner is taken for dead
_LAST_WORDS = 3.0  # seconds that a process of this machine gets to end, as when its launcher died


class TakenError(UserError):
    """Another process trains the cell."""


class LostError(Exception):
    """The cell has another owner by now; this process must not write to it."""


class Lease:
    """The right to write to the directory of a cell.

    Attributes:
        attempt: 1 for the first process that trains the cell, 2 for the next one, …
    """

    def __init__(self, directory: Path, attempt: int) -> None:
        """Creates the lease; `take` is the way to get one.

        Raises:
            FileExistsError: where another process was faster.
        """
        self.attempt = attempt
        self._directory, self._path = directory, _file(directory, attempt)
        self._beats, self._is_released = 0, False
        try:
            self._write('x')
        except FileExistsError:
            raise
        except OSError:  # a full disk: an empty lease would be watched before it is taken over
            self._path.unlink(missing_ok=True)
            raise
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raises LostError where the cell was given back, or has another owner."""
        if self._is_released or _numbers(self._directory)[-1:] != [self.attempt]:
            raise LostError(f'{self._directory.name} is no longer trained by this process')

    def release(self) -> None:
        """Gives the cell back; the number of the attempt stays known."""
        self._ends.set()
        self._thread.join()
        self._is_released = True
        with contextlib.suppress(OSError):
            self._write('r+')

    def _beat(self) -> None:
        while not self._ends.wait(_HEARTBEAT):
            self._beats += 1
            with contextlib.suppress(OSError):  # a full disk, or the lease is another's
                self._write('r+')

    def _write(self, mode: str) -> None:
        values = _machine() | {
            'owner': f'process {os.getpid()} on {socket.gethostname()}',
            'attempt': self.attempt,
            'beats': self._beats,
            'released': self._is_released,
        }
        with self._path.open(mode) as file:
            file.write(json.dumps(values))
            file.truncate()


@contextlib.contextmanager
def held(
    directory: Path, on_notice: Callable[[str], object] = lambda sentence: None
) -> Iterator[Lease]:
    """Takes the lease of a cell, and gives it back in the end.

    Args:
        directory: the cell's, which must exist.
        on_notice: called with a sentence where the lease of another machine has to be watched.

    Raises:
        TakenError: where another process holds it.
    """
    lease = _take(directory, on_notice)
    try:
        yield lease
    finally:
        lease.release()


def latest(names: Iterable[str]) -> int:
    """The number of the last attempt by the names of a cell's files; 0 where there was none."""
    return max((int(name[1]) for name in map(_NAME.fullmatch, names) if name), default=0)


def read(directory: Path, attempt: int) -> tuple[dict, float]:
    """What a lease says, and when it changed last, in seconds of `time.time`.

    What it says is empty where the lease is gone, or is being written.
    """
    path = _file(directory, attempt)
    try:
        return _read(path), path.stat().st_mtime
    except OSError:
        return {}, 0.0


def _take(directory: Path, on_notice: Callable[[str], object]) -> Lease:
    while True:
        numbers = _numbers(directory)
        last = numbers[-1] if numbers else 0
        if last and not _is_over(path := _file(directory, last), on_notice):
            raise TakenError(f'{directory.name} is trained by {_owner(path)}.')
        try:
            lease = Lease(directory, last + 1)
        except FileExistsError:
            continue
        if _numbers(directory)[-1] > lease.attempt:  # others came and went since it was listed
            lease.release()
            continue
        for number in numbers:  # the lowest first, so that its owner never seems to be the last
            _file(directory, number).unlink(missing_ok=True)
        return lease


def _file(directory: Path, number: int) -> Path:
    return directory / f'lease-{number}.json'


def _numbers(directory: Path) -> list[int]:
    names = map(_NAME.fullmatch, os.listdir(directory))
    return sorted(int(name[1]) for name in names if name)


def _is_over(path: Path, on_notice: Callable[[str], object]) -> bool:
    """Whether the owner of a lease gave it back or is dead."""
    values = _read(path)
    if values.get('released'):
        return True
    here = _machine()
    if values and all(values.get(key) == here[key] for key in ('host', 'boot', 'namespace')):
        return _ends_soon(values)
    on_notice(
        f'{_owner(path)} may still train it: if that changes nothing within {STALE:g} s, the cell '
        'is taken over.'
    )
    return _does_not_change(path)


def _ends_soon(values: dict) -> bool:
    deadline = time.monotonic() + _LAST_WORDS
    while _is_alive(values):
        if time.monotonic() > deadline or values['pid'] == os.getpid():
            return False
        time.sleep(0.1)
    return True


def _does_not_change(path: Path) -> bool:
    before, deadline = _read(path), time.monotonic() + STALE
    while time.monotonic() < deadline:
        time.sleep(min(1.0, STALE / 10))
        if (now := _read(path)) != before:
            return bool(now.get('released')) or not path.exists()
    return True


def _read(path: Path) -> dict:
    """What a lease says; nothing while it is being written."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _owner(path: Path) -> str:
    return _read(path).get('owner', 'another process')


def _machine() -> dict[str, object]:
    """This process, and what tells its machine and its container from others."""
    return {
        'host': socket.gethostname(),
        'boot': _text('/proc/sys/kernel/random/boot_id'),
        'namespace': _link('/proc/self/ns/pid'),
        'pid': os.getpid(),
        'started': _started(os.getpid()),
    }


def _is_alive(values: dict) -> bool:
    """Whether the process that wrote a lease on this machine still runs."""
    pid = values.get('pid')
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return values.get('started') == _started(pid)


def _started(pid: int) -> str:
    """When a process was started, since its number may be another's by now.

    It is '' for a process that has ended and was not waited for, and without Linux.
    """
    state, *_, started = _text(f'/proc/{pid}/stat').rpartition(')')[2].split()[:20] or ('Z', '')
    return '' if state == 'Z' else started


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ''


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ''
