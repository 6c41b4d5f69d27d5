"""Keeps `index.html` of a directory of sweeps up to date: what is done, running and found."""

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import experiments
from vggres.errors import UserError
from vggres.files import read_json
from vggres.findings import index_page
from vggres.findings.index_page import INDEX_FILE, ListedCell, ListedClaims, ListedSweep
from vggres.findings.languages import ENGLISH
from vggres.findings.remains import PAGE as REMAINS_FILE
from vggres.findings.remains import TITLE as REMAINS_TITLE
from vggres.sweeps.cell import CHECKPOINTS_FOLDER, CONFIG_FILE
from vggres.sweeps.records import METRICS_FILE
from vggres.sweeps.status import STATES, CellStatus, cell_status, sweep_status
from vggres.sweeps.sweep import REPORT_FILE, SWEEP_FILE, VERDICT_FILE

_SECONDS_BETWEEN = 5.0  # two writings while cells run
_PART = 0.02  # of the time of one core that writing may take
_SECONDS_UNATTENDED = 60.0  # between two looks at a page that no launch writes
_TAIL_BYTES = 4096  # of a file of records: more than a line of it
_SHOWN = 1000  # cells of a sweep
_GOES_ON = 'the next launch goes on from its checkpoint'
_SINGLE = 'cells'  # the directory of single networks, which is no sweep

Known = Mapping[str, Sequence[CellStatus]]


class Index:
    """The page of a directory, which is written from its files and from nothing else.

    Attributes:
        path: of the page.
    """

    def __init__(self, workdir: Path, known: Known = MappingProxyType({})) -> None:
        """Nothing is read before it is written.

        Args:
            workdir: where the sweeps are.
            known: what somebody has just found out about cells, by the name of their sweep.
        """
        self.path = workdir / INDEX_FILE
        self._workdir, self._known = workdir, known
        self._done: dict[Path, dict[str, CellStatus]] = {}
        self._next = 0.0

    def write(self, is_attended: bool = False) -> None:
        """Writes the page; where that is not possible, everything else goes on.

        Args:
            is_attended: whether a launch goes on writing it, so that it loads itself again soon.
        """
        begin = time.monotonic()
        with contextlib.suppress(Exception):  # a page is worth no cell
            sweeps = [self._sweep(directory) for directory in self._directories()]
            runs = is_attended or any(sweep.counts['running'] for sweep in sweeps)
            every = self._every(begin) if is_attended else _SECONDS_UNATTENDED if runs else 0.0
            index_page.write(self._workdir, STATES, sweeps, list(_claims(self._workdir)), every)
        self._next = time.monotonic() + self._every(begin)

    def write_if_due(self) -> None:
        """Writes the page while cells run, every few seconds at most."""
        if time.monotonic() >= self._next:
            self.write(is_attended=True)

    def _every(self, begin: float) -> float:
        return max(_SECONDS_BETWEEN, (time.monotonic() - begin) / _PART)

    def _directories(self) -> list[Path]:
        found = sorted(path.parent for path in self._workdir.glob(f'*/{SWEEP_FILE}'))
        single = self._workdir / _SINGLE
        return [*found, *([single] if single.is_dir() else [])]

    def _sweep(self, directory: Path) -> ListedSweep:
        name = directory.name
        if directory == self._workdir / _SINGLE:
            cells = self._found(directory)
            return ListedSweep('', 'Single networks', **self._about_cells(cells, directory))
        title, question = _asked(name)
        try:
            found = self._known.get(name) or self._found(directory)
        except UserError as error:
            return ListedSweep(name, title, question, damage=str(error))
        return ListedSweep(
            name=name,
            title=title,
            question=question,
            in_short=_in_short(directory / VERDICT_FILE),
            report=f'{name}/{REPORT_FILE}' if (directory / REPORT_FILE).exists() else '',
            **self._about_cells(found, directory / 'cells'),
        )

    def _found(self, directory: Path) -> list[CellStatus]:
        """How far all cells are; those that were done before are not looked at again."""
        done = self._done.setdefault(directory, {})
        if directory == self._workdir / _SINGLE:
            found = [done.get(cell) or cell_status(directory / cell) for cell in _cells(directory)]
        else:
            found = sweep_status(directory, {}, done)
        done.update((each.cell, each) for each in found if each.state == 'done')
        return found

    def _about_cells(self, found: Sequence[CellStatus], cells: Path) -> dict[str, Any]:
        """The fields of a `ListedSweep` that are about its cells."""
        notable = [each for each in found if each.state not in ('done', 'waiting')]

        def listed(some: Sequence[CellStatus]) -> list[ListedCell]:
            return [_listed_cell(each, cells / each.cell, self._workdir) for each in some[:_SHOWN]]

        counts = Counter(each.state for each in found)
        return {'counts': counts, 'notable': listed(notable), 'cells': listed(found)}


def _listed_cell(status: CellStatus, directory: Path, workdir: Path) -> ListedCell:
    return ListedCell(
        name=status.cell,
        network='' if status.cell.startswith(f'{status.network}-') else status.network,
        state=status.state,
        errors=status.errors,
        about=_about(status, directory),
        files=dict(_files(status, directory.relative_to(workdir))),
    )


def _cells(directory: Path) -> list[str]:
    return sorted(name for name in os.listdir(directory) if (directory / name).is_dir())


def _asked(name: str) -> tuple[str, str]:
    """The title of an experiment and what it asks; a directory may have any name."""
    try:
        experiment = experiments.load(name)
    except UserError:
        return name, ''
    return experiment.TITLE, experiment.CLAIM


def _in_short(path: Path) -> Mapping[str, str]:
    """The verdict in short; those of earlier releases are not told."""
    try:
        found = read_json(path).get('in_short')
    except (OSError, UserError):
        return {}
    return found if isinstance(found, dict) else {}


def _about(status: CellStatus, directory: Path) -> str:
    if status.state == 'waiting' and CHECKPOINTS_FOLDER in status.files:
        return '; '.join(filter(None, (_GOES_ON, status.about)))
    if status.state != 'running' or METRICS_FILE not in status.files:
        return status.about
    record = _last_record(directory / METRICS_FILE)
    said = f'epoch {record["epoch"]}' if 'epoch' in record else ''
    if isinstance(error := record.get('train/error'), int | float):
        said += f', training error {error:.2f} %'
    return '; '.join(filter(None, (said, status.about)))


def _last_record(path: Path) -> dict:
    """The last whole record of a file that a run appends to; empty where there is none."""
    with contextlib.suppress(OSError, ValueError), path.open('rb') as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
        *_, last, _ = ('\n' + file.read().decode(errors='replace')).split('\n')
        record = json.loads(last)
        return record if isinstance(record, dict) else {}
    return {}


def _files(status: CellStatus, at: Path) -> Iterator[tuple[str, str]]:
    """What can be looked at of a cell: a label, and where it is from the page."""
    for name in (CONFIG_FILE, METRICS_FILE):
        if name in status.files:
            yield name, (at / name).as_posix()
    if status.log:
        yield 'log', (at.parents[1] / 'logs' / Path(status.log).name).as_posix()


def _claims(workdir: Path) -> Iterator[ListedClaims]:
    """The pages of claims that are there, with what became of each claim."""
    for page, title in ENGLISH.titles.items():
        if (workdir / f'{page}.html').exists():
            yield ListedClaims(title, f'{page}.html', _statuses(workdir / f'{page}.json'))
    if (workdir / REMAINS_FILE).exists():
        yield ListedClaims(REMAINS_TITLE, REMAINS_FILE)


def _statuses(path: Path) -> list[tuple[str, str]]:
    try:
        return [(sentence, status) for sentence, status, *_ in read_json(path)[ENGLISH.code]]
    except (OSError, UserError, KeyError, TypeError, ValueError):
        return []
