"""What W&B is told of a cell, besides what the files of its directory hold."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from matplotlib.figure import Figure

from vggres.errors import UserError
from vggres.figures import layers
from vggres.probes.quantities import QUANTITIES
from vggres.results import Observation, Record, Result
from vggres.sweeps.cell import WEIGHTS_FILE, Cell
from vggres.sweeps.records import read_observations, read_records, to_dict
from vggres.tracking import run_config, run_ids
from vggres.tracking.wandb_run import Label, Mirror

T = TypeVar('T')

_MOST_CURVES = 150  # values of an observation that are drawn, each in a panel: of 29 plain layers
_NOT_DRAWN = (
    'in the pictures and in probes.jsonl; --config.wandb.all_curves=True draws each value as well'
)


def begin(cell: Cell, on_failure: Callable[[str], object]) -> Mirror:
    """Starts or continues the run of a cell.

    Args:
        cell: the cell; its configuration has a resolved `wandb.mode`.
        on_failure: as in `Mirror`.
    """
    marker = cell.directory / run_ids.ID_FILE
    return Mirror(cell.config, cell.workdir, partial(_label, cell), marker, on_failure)


def is_cut_off(cell: Cell) -> bool:
    """Whether the server may lack the end of a cell that is done, since it failed meanwhile."""
    try:
        return run_ids.is_cut_off(cell.directory / run_ids.ID_FILE) and cell.result() is not None
    except OSError:  # another launch may read it
        return False


def complete(cell: Cell, on_failure: Callable[[str], object]) -> bool:
    """Sends what the server lacks of a cell that is done, from its files; says whether it did.

    Args:
        cell: the cell.
        on_failure: called with a sentence where a file of the cell is damaged.
    """
    result, marker = cell.result(), cell.directory / run_ids.ID_FILE
    given = {'marker': marker, 'on_failure': on_failure, 'falls_back': False}
    with Mirror(cell.config, cell.workdir, partial(_label, cell), **given) as mirror:
        if mirror.run and result:
            tell_earlier(mirror, cell)
            tell_result(mirror, result, cell)
            keep_weights(mirror, cell)
    return not is_cut_off(cell)


def tell_earlier(mirror: Mirror, cell: Cell) -> None:
    """Tells what an interrupted attempt had recorded and the run lacks."""
    if not mirror.run:
        return
    with mirror.guard():
        told = [*_read(mirror, cell, read_records), *_observations(mirror, cell)]
        for entry in sorted(told, key=lambda entry: entry.step):  # W&B takes no earlier step
            if entry.step < mirror.first_step:
                continue
            if isinstance(entry, Record):
                tell(mirror, entry, cell)
            else:
                tell_observation(mirror, entry, cell)


def tell(mirror: Mirror, record: Record, cell: Cell) -> None:
    """Tells the numbers of a record, which are drawn against the epoch.

    Where the cell is observed, an observation may follow that belongs to the same step.
    """
    numbers = to_dict(replace(record, looks=None))
    mirror.log(numbers, record.step, is_last=not cell.config.probes.every_epochs)


def tell_observation(mirror: Mirror, entry: Observation, cell: Cell) -> None:
    """Tells the values of the run's own weights, as 'activation/stage1/block1', where they are few.

    Quantities with names of their own are left out: some have hundreds of values.
    """
    if entry.draw:
        return
    curves = _curves(entry)
    if _are_drawn(curves, cell):
        mirror.log(curves, entry.step, is_last=True)


def _curves(entry: Observation) -> dict[str, object]:
    """The values along the layers, by the names of their curves."""
    of_others = {name for name, quantity in QUANTITIES.items() if not quantity.of}
    along = {name: found for name, found in entry.values.items() if name not in of_others}
    return dict(_flat(to_dict(replace(entry, values=along))))


def _are_drawn(curves: Mapping[str, object], cell: Cell) -> bool:
    return len(curves) <= _MOST_CURVES or cell.config.wandb.all_curves


def tell_result(mirror: Mirror, result: Result, cell: Cell) -> None:
    """Tells the result of a cell, and shows its observations."""
    mirror.summarise(asdict(result))
    with mirror.guard():
        if not mirror.run:
            return
        own = [entry for entry in _observations(mirror, cell) if entry.draw == 0]
        if own and not _are_drawn(_curves(own[0]), cell):
            mirror.summarise({'probes': _NOT_DRAWN})
        if own:
            mirror.log_pictures(_pictures(own), own[-1].epoch)


def keep_weights(mirror: Mirror, cell: Cell) -> None:
    """Keeps the final weights of a cell, if saved and asked for, as a version of their own."""
    with mirror.guard():
        path = cell.directory / WEIGHTS_FILE
        if mirror.run and cell.config.wandb.weights and path.exists():
            mirror.keep([path], cell.id, 'weights', run_ids.version(cell.workdir))


def _label(cell: Cell) -> Label:
    if cell.config.wandb.mode == 'disabled':
        return Label(cell.id, '', 'cell', ())
    at, data = cell.coordinates(), cell.config.data.name
    return Label(
        name=cell.id,
        group=run_ids.group(cell.workdir, cell.sweep, data),
        job_type='cell',
        tags=(*[cell.sweep] * bool(cell.sweep), data, at['family'], f'depth{at["depth"]}'),
        notes=cell.command,
        config=run_config.nested(run_config.of_cell(cell.config))
        | {'variant': at['variant'], 'experiment': cell.sweep},
    )


def _flat(values: Mapping[str, object], prefix: str = '') -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f'{prefix}{key}/')
        else:
            yield f'{prefix}{key}', value


def _observations(mirror: Mirror, cell: Cell) -> list[Observation]:
    return _read(mirror, cell, read_observations) if cell.config.probes.every_epochs else []


def _read(mirror: Mirror, cell: Cell, read: Callable[[Path], list[T]]) -> list[T]:
    """What a file of a cell holds; nothing where it is damaged, of which the user is told."""
    try:
        return read(cell.directory)
    except UserError as error:
        mirror.say_lack(error)
        return []


def _pictures(observations: Sequence[Observation]) -> dict[str, Figure]:
    """A heat map of each quantity, layer by epoch, and its curves over the layers."""
    drawn = {}
    for name, quantity in QUANTITIES.items():
        if not quantity.of or not observations or name not in observations[0].values:
            continue
        with contextlib.suppress(ValueError):  # nothing of it was observed along the main path
            given = {'name': name, 'title': quantity.title, 'of': quantity.of}
            drawn[f'heat_map/{name}'] = layers.layer_heat_map(observations, **given)
            drawn[f'by_layer/{name}'] = layers.quantity_by_layer(observations, **given)
    return drawn
