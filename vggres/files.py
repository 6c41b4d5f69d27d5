"""Files that appear whole or not at all."""

import json
import os
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes beside the target, then renames: a reader or a crash never sees half a file."""
    beside = path.with_name(f'.{path.name}.{os.getpid()}')
    with beside.open('wb') as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def write_json(path: Path, value: object) -> None:
    """`write_atomically` of indented JSON; a value that is not finite is an error."""
    write_atomically(path, json.dumps(value, indent=2, allow_nan=False) + '\n')


def read_json(path: Path) -> dict:
    """The parsed content of a JSON file."""
    return json.loads(path.read_text())
