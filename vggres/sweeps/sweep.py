"""A sweep: its cells, its directory, what is done and what is left.

WORKDIR/<sweep>/sweep.json     the grid, the configuration, and every launch that added cells
                cells/<id>/    one folder per cell: see `cell.py`
                logs/          what the workers' libraries printed

A grid may grow: a later launch adds seeds, depths or families, and keeps what is there. Within a
launch, the cells of an experiment's later stages are added when results have decided which.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict, FrozenConfigDict

from vggres import environment
from vggres.config import (
    Config,
    data_identity,
    differences,
    from_format_1,
    looks_identity,
    with_added_knobs,
)
from vggres.errors import UserError
from vggres.files import read_json, write_json
from vggres.results import Curve, Observation, Result
from vggres.sweeps.cell import CONFIG_FILE, FORMAT, RELEASES, RESULT_FILE, Cell, check_format
from vggres.sweeps.grid import changes
from vggres.sweeps.records import PROBES_FILE, read_observations, read_records

SWEEP_FILE = 'sweep.json'
REPORT_FILE, VERDICT_FILE = 'report.html', 'verdict.json'
# Files and folders that a launch writes, and what they have to be.
_FOLDERS, _FILES = ('cells', 'figures', 'logs'), (REPORT_FILE, VERDICT_FILE, 'results.csv')


@dataclass(frozen=True)
class Launch:
    """A launch, or a later stage of one, that added cells to a sweep.

    Attributes:
        when: the local time, as in '2026-01-31 14:05'.
        cells: the number of cells that it added.
        vggres: the release of this package.
        git_commit: the commit of the code; None outside of a checkout.
    """

    when: str
    cells: int
    vggres: str
    git_commit: str | None


@dataclass(frozen=True)
class Sweep:
    """A named grid of cells in a directory of its own.

    Attributes:
        name: the name of the experiment; '' for cells that belong to none.
        config: what the cells share; the knobs of the grid are those of the last launch.
        directory: the place of its files.
        cells: the cells, in the order of variants, depths and seeds.
        launches: the launches that added cells, the oldest first.
    """

    name: str
    config: Config
    directory: Path
    cells: tuple[Cell, ...]
    launches: tuple[Launch, ...] = ()

    def __post_init__(self) -> None:
        """Freezes the configuration: nothing changes it after it was checked."""
        object.__setattr__(self, 'config', FrozenConfigDict(self.config.to_dict()))

    def missing(self) -> list[Cell]:
        """The cells without a result."""
        return [cell for cell in self.cells if cell.result() is None]

    def unobserved(self) -> list[Cell]:
        """The cells that are done, but without the probes that they ask for now."""
        return [
            cell
            for cell in self.cells
            if cell.config.probes.every_epochs
            and cell.result()
            and not (cell.directory / PROBES_FILE).exists()
        ]

    def results(self) -> list[Result]:
        """The results that are there, in the order of the cells."""
        return [result for cell in self.cells if (result := cell.result())]

    def depths(self) -> dict[str, set[int]]:
        """The depths that each variant is planned at."""
        depths: dict[str, set[int]] = {}
        for cell in self.cells:
            at = cell.coordinates()
            depths.setdefault(at['variant'], set()).add(at['depth'])
        return depths

    def curves(self) -> list[Curve]:
        """The epochs of each finished cell, except where their file is missing or damaged."""
        return [
            Curve(**cell.coordinates(), records=tuple(read_records(cell.directory)))
            for cell in self.cells
            if cell.result() and not _damage(read_records, cell)
        ]

    def observed(self) -> list[tuple[Cell, Result, list[Observation]]]:
        """Each finished cell that was observed, with its result and its observations."""
        return [
            (cell, result, _observations(cell.directory))
            for cell in self.cells
            if (result := cell.result())
            and (cell.directory / PROBES_FILE).exists()
            and not _damage(_observations, cell)
        ]

    def damages(self) -> list[str]:
        """What is wrong with files of its cells and what follows, two sentences each."""
        found = []
        for cell in self.cells:
            if damage := cell.damage():
                found.append(f'{damage} The cell counts as not done.')
            elif cell.result():
                readers = [read_records]
                readers += [_observations] * (cell.directory / PROBES_FILE).exists()
                damages = [_damage(read, cell) for read in readers]
                found += [f'{each} It is left out of the figures.' for each in damages if each]
        return found


def cells_in_words(count: int) -> str:
    """A number of cells in words: '1 cell', '2 cells', …"""
    return '1 cell' if count == 1 else f'{count} cells'


def _observations(directory: Path) -> list[Observation]:
    """The observations of a finished cell that was observed, at least one."""
    if found := read_observations(directory):
        return found
    raise UserError(f'{directory / PROBES_FILE} holds no observation.')


def _damage(read: Callable[[Path], list], cell: Cell) -> str | None:
    try:
        read(cell.directory)
    except UserError as error:
        return str(error)
    return None


def assemble(
    name: str, config: Config, workdir: Path, grid: Iterable[tuple[str, ConfigDict]]
) -> Sweep:
    """The sweep of some cells; nothing is read or written.

    Args:
        name: the name of the experiment; '' for cells that belong to none and lie in
            `workdir/cells`.
        config: what the cells share.
        workdir: the place of all sweeps.
        grid: the variant and the checked configuration of each cell.
    """
    directory = workdir / name
    cells = tuple(Cell(each, directory, name, variant) for variant, each in grid)
    return Sweep(name, config, directory, cells)


def load(directory: Path) -> Sweep:
    """The sweep in a directory, by its `sweep.json`; formats 1 and 2 are read.

    Raises:
        UserError: where there is none, or it is damaged or of a later format.
    """
    path = directory / SWEEP_FILE
    try:
        stored = read_json(path)
    except FileNotFoundError:
        raise UserError(f'there is no sweep in {directory}: run it first.') from None
    except UserError as error:
        raise UserError(f'{error} Move it away, or choose another --workdir.') from None
    is_old = check_format(path, stored) == 1
    try:
        config = from_format_1(stored['config']) if is_old else stored['config']
        config = ConfigDict(_with_tuples(with_added_knobs(config)))
        cells = [_stored_cell(at, config, directory, stored['sweep']) for at in stored['grid']]
        launches = tuple(Launch(**launch) for launch in stored.get('launches', ()))
        return Sweep(stored['sweep'], config, directory, tuple(cells), launches)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f'{path} is damaged ({type(error).__name__}: {error}): move it away, or choose another '
            '--workdir.'
        ) from None


def _with_tuples(value: Any) -> Any:
    """What JSON holds of a configuration, its lists as the tuples that they were."""
    if isinstance(value, Mapping):
        return {key: _with_tuples(each) for key, each in value.items()}
    return tuple(value) if isinstance(value, list) else value


def _stored_cell(at: Mapping, config: ConfigDict, directory: Path, name: str) -> Cell:
    """A cell of a stored grid: by its changes or, in format 1, by its own configuration."""
    path = directory / 'cells' / at['cell'] / CONFIG_FILE
    own = ConfigDict(config.to_dict()).lock()  # a knob that it lacks is a damage
    place = {'model.family': at['family'], 'model.depth': at['depth'], 'seed': at['seed']}
    if 'changes' in at:
        own.update_from_flattened_dict(_with_tuples(at['changes']) | place)
    elif path.exists():
        own = ConfigDict(_with_tuples(with_added_knobs(from_format_1(read_json(path)))))
    else:
        own.update_from_flattened_dict(place)
    return Cell(own, directory, name, at['variant'], at['cell'])


def check_directory(sweep: Sweep) -> None:
    """Raises UserError where a launch could not write to the directory, or another sweep holds it.

    Nothing is written.
    """
    above = next(path for path in (sweep.directory, *sweep.directory.parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UserError(f'cannot write to {sweep.directory}: choose another --workdir.')
    check_outputs(sweep)
    if sweep.name and (sweep.directory / SWEEP_FILE).exists():
        _check_same_protocol(load(sweep.directory), sweep)


def check_outputs(sweep: Sweep) -> None:
    """Raises UserError where a folder stands in the place of a file, or a file in that of one."""
    for name in _FOLDERS:
        if (path := sweep.directory / name).exists() and not path.is_dir():
            raise UserError(f'{path} is a file where a directory belongs: move it away.')
    results = [cell.directory / RESULT_FILE for cell in sweep.cells]
    for path in (*(sweep.directory / name for name in _FILES), *results):
        if path.is_dir():
            raise UserError(f'{path} is a directory where a file belongs: move it away.')
    if sweep.directory.exists() and not os.access(sweep.directory, os.W_OK):
        raise UserError(f'cannot write to {sweep.directory}: it is read-only.')


def _check_same_protocol(stored: Sweep, sweep: Sweep) -> None:
    number = check_format(sweep.directory / SWEEP_FILE, read_json(sweep.directory / SWEEP_FILE))
    if number < FORMAT:
        raise UserError(
            f'{sweep.directory} was written by {RELEASES[number]} (format {number}): this release '
            'reports on it (--report_only) and does not add to it; choose another --workdir.'
        )
    changed = differences(_protocol(stored.config), _protocol(sweep.config))
    if changed:
        raise UserError(
            f'{sweep.directory} holds another sweep ({"; ".join(changed[:3])}): choose another '
            '--workdir. Only seeds, depths and families may be added.'
        )


def _protocol(config: Config) -> dict:
    """What all cells of a grid share, as JSON has it: tuples compare as lists."""
    parts = config.to_dict()
    model = {k: v for k, v in parts['model'].items() if k not in ('name', 'family', 'depth')}
    rest = {key: parts[key] for key in ('init', 'train', 'optimizer', 'probes')}
    rest |= looks_identity(config)
    return json.loads(json.dumps({'model': model, 'data': data_identity(config)} | rest))


def joined(sweep: Sweep) -> Sweep:
    """The sweep with the cells of earlier launches, after it was written to `sweep.json`.

    Raises:
        UserError: as `check_directory`.
    """
    check_directory(sweep)
    path = sweep.directory / SWEEP_FILE
    stored = load(sweep.directory) if path.exists() else None
    kept = {cell.id: cell for cell in stored.cells} if stored else {}
    new = [cell for cell in sweep.cells if cell.id not in kept]
    _check_no_other_network(sweep.directory, list(kept.values()), new)
    cells = sorted((*kept.values(), *new), key=_order([*kept.values(), *new]))
    launches = stored.launches if stored else ()
    if new or stored is None:
        now = datetime.now().strftime('%Y-%m-%d %H:%M')
        launch = Launch(now, len(new), version('vggres'), environment.git_commit())
        launches = (*launches, launch)
    whole = dataclasses.replace(sweep, cells=tuple(cells), launches=launches)
    if new or stored is None:
        write_json(path, _description(whole))
    return whole


def _check_no_other_network(directory: Path, kept: Iterable[Cell], new: Iterable[Cell]) -> None:
    """Raises UserError where a new cell stands at the place of a stored one in the grid."""
    places = {tuple(cell.coordinates().values())[1:] for cell in kept}
    for cell in new:
        variant, _, depth, seed = place = tuple(cell.coordinates().values())[1:]
        if place in places:
            raise UserError(
                f'{directory} holds another network as {variant}, depth {depth}, seed {seed}: '
                'choose another --workdir.'
            )


def _order(cells: Iterable[Cell]) -> Callable[[Cell], tuple[int, int, int]]:
    variants = list(dict.fromkeys(cell.coordinates()['variant'] for cell in cells))

    def place(cell: Cell) -> tuple[int, int, int]:
        at = cell.coordinates()
        return variants.index(at['variant']), at['depth'], at['seed']

    return place


def _description(sweep: Sweep) -> dict:
    return {
        'format': FORMAT,
        'sweep': sweep.name,
        'grid': [
            cell.coordinates() | {'changes': changes(cell.config, sweep.config)}
            for cell in sweep.cells
        ],
        'config': sweep.config.to_dict(),
        'launches': [dataclasses.asdict(launch) for launch in sweep.launches],
        'versions': environment.versions(),
    }
