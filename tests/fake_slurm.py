"""Stands in for the commands of Slurm: notes how they are called, and says what a test wants."""

import stat
from pathlib import Path

_PROGRAM = """#!/bin/sh
name=$(basename "$0")
cd "{folder}"
( printf %s "$name"; printf '|%s' "$@"; echo ) >> calls
env > "$name.env"
if [ -f "$name.error" ]; then cat "$name.error" >&2; exit 1; fi
if [ -f "$name.says" ]; then cat "$name.says"; exit; fi
if [ "$name" = sbatch ]; then echo $((100 + $(grep -c ^sbatch calls))); fi
"""


class FakeSlurm:
    """Commands in a folder, which a test puts in front of PATH.

    Submitted jobs get the ids 101, 102, …; the queue is empty, and nothing ever runs.
    """

    def __init__(self, folder: Path) -> None:
        self.programs = folder / 'bin'
        self._folder = folder
        self.programs.mkdir(parents=True)
        for name in ('sbatch', 'squeue', 'scancel', 'scontrol'):
            path = self.programs / name
            path.write_text(_PROGRAM.format(folder=folder))
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def says(self, name: str, text: str) -> None:
        """From now on, a command prints this."""
        (self._folder / f'{name}.says').write_text(text)

    def refuses(self, name: str, text: str) -> None:
        """From now on, a command fails and prints this as its error."""
        (self._folder / f'{name}.error').write_text(text)

    def calls(self, name: str) -> list[list[str]]:
        """The arguments of each call of a command."""
        path = self._folder / 'calls'
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split('|')[1:] for line in lines if line.split('|')[0] == name]

    def environment(self, name: str) -> dict[str, str]:
        """The environment of the last call of a command."""
        lines = (self._folder / f'{name}.env').read_text().splitlines()
        return dict(line.split('=', 1) for line in lines if '=' in line)
