"""The ids of runs in Weights & Biases, by which whoever continues a run continues it there too."""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from pathlib import Path

from vggres.files import is_damage, write_atomically

ID_FILE = 'wandb_id'  # of a directory
_CUT_OFF = 'cut off'  # what the file says behind the id of a run that the server may not have whole
_ID_LENGTH = 32  # hexadecimal digits


def run_of_agent(group: str) -> str:
    """The id of the run that `wandb agent` has asked for and waits for; '' for none.

    A launch of a sweep has runs of its own in any case, one for each cell.
    """
    is_asked = os.environ.get('WANDB_SWEEP_ID') and not group
    return os.environ.get('WANDB_RUN_ID', '') if is_asked else ''


def is_of(marker: Path, run: str) -> bool:
    """Whether a file says that a run was begun before."""
    return text(marker).split()[:1] == [run]


def is_cut_off(marker: Path) -> bool:
    """Whether a file says that the server may lack a part of the run."""
    return text(marker).strip().endswith(_CUT_OFF)


def mark(marker: Path, run: str, is_whole: bool = True) -> None:
    """Leaves a file that says that a run was begun; where that fails, it might log twice."""
    with contextlib.suppress(OSError):
        write_atomically(marker, run + ('\n' if is_whole else f' {_CUT_OFF}\n'))


def group(directory: Path, sweep: str, data: str) -> str:
    """What the runs of a sweep's directory are part of, as 'depth-digits-3f9c1a'.

    Sweeps of one name in other directories, at another rate for example, have other groups. A
    network that belongs to no sweep has none.
    """
    if not sweep:
        return ''
    return '-'.join((sweep, data.replace('/', '-'), _directory_id(directory)[:6]))


def version(directory: Path) -> str:
    """The alias by which the artifacts of a sweep's directory are found among others of a name."""
    return f'directory-{_directory_id(directory)[:6]}'


def run_id(directory: Path, name: str) -> str:
    """The id of a run: it follows from the id of its directory and from its name."""
    return hashlib.sha256(f'{_directory_id(directory)} {name}'.encode()).hexdigest()[:16]


def _directory_id(directory: Path) -> str:
    """What tells a directory from all others: see `draw_id`."""
    found = _read_id(directory / ID_FILE)
    return found or draw_id(directory)


def draw_id(directory: Path) -> str:
    """Draws what tells a directory from all others, unless it is there.

    A path would not do: it is the same in another container, and in a new directory of an old name.
    A launch calls this before its workers start, so that they find one id. In the place of a file
    that holds none, two processes at once would draw two.
    """
    path = directory / ID_FILE
    with contextlib.suppress(FileExistsError), path.open('x') as file:
        file.write(secrets.token_hex(_ID_LENGTH // 2))
    if not _read_id(path):
        if path.is_dir():
            shutil.rmtree(path)
        write_atomically(path, secrets.token_hex(_ID_LENGTH // 2))
    return _read_id(path)


def _read_id(path: Path) -> str:
    """The id in a file; '' where it holds none.

    Raises:
        OSError: where it cannot be read for the moment, as on a network folder.
    """
    found = text(path)
    return found if re.fullmatch(f'[0-9a-f]{{{_ID_LENGTH}}}', found) else ''


def text(path: Path) -> str:
    """What a file says; '' where there is none."""
    try:
        return path.read_text(errors='replace')
    except OSError as error:
        if not is_damage(error):
            raise
        return ''
