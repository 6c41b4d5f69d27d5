"""One file from one of several mirrors: checked, and resumed where it was cut. No TensorFlow."""

import contextlib
import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import rich.progress as bars
from rich.console import Console

TIMEOUT = 30.0  # seconds without a byte
SECONDS_BETWEEN_LINES = 30.0  # where the console is no terminal
_ATTEMPTS = 5  # at one mirror, as long as each of them changes what is there
_AT_ONCE = 2**18  # bytes
_HEADERS = {'User-Agent': 'Mozilla/5.0 (compatible; vggres)', 'Accept-Encoding': 'identity'}


@dataclass(frozen=True)
class Archive:
    """A published file, and where to get it.

    Attributes:
        name: its file name.
        sha256: its checksum, in hexadecimal.
        size: bytes.
        mirrors: URLs, those to try first in front.
        holds: what a builder calls its content ('': as the file); of archives that hold the same,
            one is enough.
        contents: the checksum of what gzip unpacks from it, by which a file that was packed anew or
            is not packed is known; '' for none.
        folder: where a package of a Linux distribution installs it; '' for nowhere.
    """

    name: str
    sha256: str
    size: int
    mirrors: tuple[str, ...]
    holds: str = ''
    contents: str = ''
    folder: str = ''

    @property
    def key(self) -> str:
        """What a builder calls its content."""
        return self.holds or self.name


class MirrorError(Exception):
    """Why a mirror did not give the file, in a few words."""


class UnreachableError(MirrorError):
    """The mirror did not answer at all."""


class UnavailableError(Exception):
    """No mirror gave the file.

    Attributes:
        reasons: why, by URL.
    """

    def __init__(self, reasons: dict[str, MirrorError]) -> None:
        """Keeps the reasons, by URL."""
        super().__init__(reasons)
        self.reasons = reasons


def part_of(archive: Archive, folder: Path) -> Path:
    """The file in which a download grows until it is whole."""
    return folder / f'{archive.name}.part'


def download(archive: Archive, folder: Path, console: Console | None) -> Path:
    """Downloads an archive from the first mirror that gives it, and goes on where one was cut.

    Only a file with the right checksum gets its name. What came before a failure is kept, and the
    next call goes on from there.

    Args:
        archive: what to download.
        folder: it exists, and no other process downloads the same archive to it.
        console: shows the progress; None for nobody.

    Returns:
        The path of the file.

    Raises:
        UnavailableError: where no mirror gave it.
        OSError: where it cannot be written.
    """
    part, reasons = part_of(archive, folder), {}
    _keep_longer(part)  # a process may have been killed between the two
    with _progress(archive, console) as show:
        for url in archive.mirrors:
            try:
                _from_mirror(url, archive, part, show)
            except MirrorError as reason:
                reasons[url] = reason
            else:
                return part.replace(folder / archive.name)
    raise UnavailableError(reasons)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _from_mirror(url: str, archive: Archive, part: Path, show: Callable[[int], None]) -> None:
    for attempt in range(_ATTEMPTS):
        before = _size(part)
        try:
            return _attempt(url, archive, part, show)
        except MirrorError:
            # Worth another attempt: more of the file came, or a part that was wrong is gone.
            if attempt == _ATTEMPTS - 1 or _size(part) == before:
                raise
    raise AssertionError('the last attempt returns or raises')


def _attempt(url: str, archive: Archive, part: Path, show: Callable[[int], None]) -> None:
    start = _size(part)
    if start > archive.size:
        part.unlink()
        start = 0
    if start < archive.size:
        with _opened(url, start) as response:
            if _first_byte(response, start, archive.size) == start:
                _write(response, part, start, archive.size, show)
            else:
                _start_over(response, archive, part, show)
    _check_whole(part, archive)


def _start_over(
    response: http.client.HTTPResponse, archive: Archive, part: Path, show: Callable[[int], None]
) -> None:
    """Writes an answer from the first byte on beside what is there; the longer file stays."""
    anew = _anew(part)
    try:
        _write(response, anew, 0, archive.size, show)
        _check_whole(anew, archive)
    finally:
        _keep_longer(part)


def _anew(part: Path) -> Path:
    """The file for an answer from the first byte on, where a part of the file is there already."""
    return part.with_name(f'{part.name}.anew')


def _keep_longer(part: Path) -> None:
    anew = _anew(part)
    if _size(anew) > _size(part):
        anew.replace(part)
    anew.unlink(missing_ok=True)


def _check_whole(path: Path, archive: Archive) -> None:
    """Raises MirrorError where a file is cut short or another one, which is then removed."""
    if _size(path) < archive.size:
        raise MirrorError(f'broke off after {_size(path)} of {archive.size} bytes')
    if sha256(path) != archive.sha256:
        path.unlink()
        raise MirrorError('sent a file with another checksum')


def _opened(url: str, start: int) -> http.client.HTTPResponse:
    headers = _HEADERS | ({'Range': f'bytes={start}-'} if start else {})
    try:
        request = urllib.request.Request(url, headers=headers)
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return _opened(url, 0)
        raise MirrorError(f'HTTP error {error.code}') from None
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(_in_short(error)) from None


def _in_short(error: Exception) -> str:
    reason = getattr(error, 'reason', error)
    return getattr(reason, 'strerror', None) or str(reason) or type(reason).__name__


def _first_byte(response: http.client.HTTPResponse, start: int, size: int) -> int:
    """The position of the first byte of an answer in the file: 0 where all of it is sent."""
    if response.headers.get_content_type() == 'text/html':
        raise MirrorError('answered with a web page')
    offered = response.headers.get('Content-Length')
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        content_range = response.headers.get('Content-Range', '')
        match = re.fullmatch(r'bytes (\d+)-\d+/(\d+|\*)', content_range)
        if not match or int(match[1]) != start:
            raise MirrorError(f'sent the bytes {content_range!r} instead of those from {start}')
        offered = match[2]
    else:
        start = 0
    if offered not in (None, '*', str(size)):
        raise MirrorError(f'offers {offered} bytes instead of {size}')
    return start


def _write(
    response: http.client.HTTPResponse,
    part: Path,
    start: int,
    size: int,
    show: Callable[[int], None],
) -> None:
    """Writes what an answer holds, from `start` on, up to `size` bytes in all."""
    chunk = _read(response, size - start)
    if not start and chunk.lstrip().startswith(b'<'):  # before the part that is there is lost
        raise MirrorError('answered with a web page')
    with part.open('ab' if start else 'wb') as file:
        while chunk:
            file.write(chunk)
            start += len(chunk)
            show(start)
            chunk = _read(response, size - start)


def _read(response: http.client.HTTPResponse, limit: int) -> bytes:
    """The next bytes; none at the end, or where there is no need for more."""
    try:
        # `read` would lose what came before a timeout.
        return response.read1(min(_AT_ONCE, limit)) if limit else b''
    except (OSError, http.client.HTTPException) as error:
        raise MirrorError(_in_short(error)) from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextlib.contextmanager
def _progress(archive: Archive, console: Console | None) -> Iterator[Callable[[int], None]]:
    """Shows how many bytes of a download are there, whenever it is told."""
    if console is None:
        yield lambda size: None
    elif console.is_terminal:
        columns = (
            bars.TextColumn('{task.description}', markup=False),
            bars.BarColumn(),
            bars.DownloadColumn(),
            bars.TransferSpeedColumn(),
            bars.TimeRemainingColumn(),
        )
        with bars.Progress(*columns, console=console, transient=True) as display:
            task = display.add_task(archive.name, total=archive.size)
            yield lambda size: display.update(task, completed=size)
    else:
        yield _lines(archive, console)


def _lines(archive: Archive, console: Console) -> Callable[[int], None]:
    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    total, last = f'{archive.size / 1e6:.1f} MB', time.monotonic()
    say(f'downloading {archive.name} ({total})')

    def show(size: int) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            say(f'{archive.name}: {size / 1e6:.1f} of {total}')

    return show
