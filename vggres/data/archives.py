"""The files out of which a data set is prepared: the user's own, found here, or downloaded."""

import gzip
import hashlib
import urllib.parse
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from vggres.data.download import (
    Archive,
    MirrorError,
    UnavailableError,
    UnreachableError,
    download,
    part_of,
    sha256,
)
from vggres.data.source import DataConfig
from vggres.errors import UserError

_GZIP = b'\x1f\x8b'  # how a file that gzip packed begins


def obtain(
    archives: Sequence[Archive], config: DataConfig, downloads: Path, console: Console | None
) -> dict[str, Path]:
    """Finds or downloads the archives of a data set.

    In this order: what `config.archive` names, what lies in `downloads` below the name of the data
    set, what a package of a Linux distribution installed, and what a mirror gives.

    Args:
        archives: what the data set consists of; of those that hold the same, one is enough.
        config: the `data` part of a configuration.
        downloads: where downloads are kept.
        console: shows the progress of downloads; None for nobody.

    Returns:
        The path of a file with a known checksum (with any, where `config.checksum` says so) by
        what it holds.

    Raises:
        UserError: for an archive that is missing or another one, or cannot be had or kept.
    """
    groups = {archive.key: [] for archive in archives}
    for archive in archives:
        groups[archive.key].append(archive)
    if config.archive:
        return _given(groups, config)
    folder = downloads / config.name
    try:
        return {
            key: _present(group, folder) or _downloaded(group, groups, folder, console)
            for key, group in groups.items()
        }
    except OSError as error:
        raise UserError(
            f'cannot keep downloads in {folder} ({error.strerror or error}): make room there, or '
            'give --config.data.dir.'
        ) from None


def are_known(files: Mapping[str, Path], archives: Sequence[Archive]) -> bool:
    """Whether files have the checksums of the archives that hold the same.

    Args:
        files: as `obtain` returns them.
        archives: as `obtain` takes them.
    """
    return all(
        any(_is_known(path, archive) for archive in archives if archive.key == key)
        for key, path in files.items()
    )


def unpacked(path: Path) -> bytes:
    """The content of a file, which gzip may have packed.

    Raises:
        EOFError, gzip.BadGzipFile, zlib.error: where it was packed and is damaged.
        OSError: where it cannot be read.
    """
    content = path.read_bytes()
    return gzip.decompress(content) if content.startswith(_GZIP) else content


def _given(groups: dict[str, list[Archive]], config: DataConfig) -> dict[str, Path]:
    """The user's own files."""
    path = Path(config.archive).expanduser()
    names = ', '.join(group[0].name for group in groups.values())
    if not groups:
        raise UserError(f'data.archive is given, but {config.name} is made of no archive.')
    if not path.exists():
        raise UserError(f'data.archive {config.archive!r} does not exist.')
    if len(groups) > 1 and not path.is_dir():
        raise UserError(f'data.archive {config.archive!r} must be a folder that holds {names}.')
    try:
        files = {
            key: _inside(path, group) if path.is_dir() else path for key, group in groups.items()
        }
        if config.checksum != 'any':
            for key, group in groups.items():
                _check(files[key], group)
    except OSError as error:
        raise UserError(f'{path} cannot be read: {error.strerror or error}.') from None
    return files


def _inside(folder: Path, group: list[Archive]) -> Path:
    names = [name for each in group for name in (each.name, each.name.removesuffix('.gz'))]
    for path in (folder / name for name in names):
        if path.is_file():
            return path
    raise UserError(f'{folder} holds no {" or ".join(each.name for each in group)}.')


def _check(path: Path, group: list[Archive]) -> None:
    if not any(_is_known(path, archive) for archive in group):
        expected = ' or '.join(f'{each.sha256} ({each.name})' for each in group)
        raise UserError(
            f'{path} has another checksum (SHA-256) than expected: found {sha256(path)}, expected '
            f'{expected}; --config.data.checksum=any takes it all the same.'
        )


def _is_known(path: Path, archive: Archive) -> bool:
    if path.stat().st_size == archive.size and sha256(path) == archive.sha256:
        return True
    if not archive.contents:
        return False
    try:
        return hashlib.sha256(unpacked(path)).hexdigest() == archive.contents
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return False


def _present(group: list[Archive], folder: Path) -> Path | None:
    for archive in group:
        for place in (folder, *([Path(archive.folder)] if archive.folder else [])):
            path = place / archive.name
            if path.is_file() and _is_known(path, archive):
                return path
    return None


def _downloaded(
    group: list[Archive], groups: dict[str, list[Archive]], folder: Path, console: Console | None
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    reasons = {}
    # What was begun is continued, before an archive that holds the same is begun.
    for archive in sorted(group, key=lambda each: not part_of(each, folder).exists()):
        try:
            return download(archive, folder, console)
        except UnavailableError as error:
            reasons |= error.reasons
    names = ', '.join(each[0].name for each in groups.values())
    how = f'the folder that holds {names}' if len(groups) > 1 else 'the file'
    begun = any(part_of(archive, folder).exists() for archive in group)
    kept = ' What came is kept, and the next start goes on from there.' if begun else ''
    raise UserError(
        f'cannot download {group[0].name}: {_in_words(reasons)}. Download {group[0].mirrors[0]} '
        f'elsewhere, and give {how} as --config.data.archive.{kept}'
    )


def _in_words(reasons: dict[str, MirrorError]) -> str:
    if all(isinstance(reason, UnreachableError) for reason in reasons.values()):
        texts = ', '.join(sorted({str(reason) for reason in reasons.values()}))
        return f'no mirror can be reached ({texts}), as where there is no network'
    hosts = {urllib.parse.urlsplit(url).netloc: reason for url, reason in reasons.items()}
    return '; '.join(f'{host}: {reason}' for host, reason in hosts.items())
