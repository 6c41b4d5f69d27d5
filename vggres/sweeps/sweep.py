"""A sweep: its grid of cells, its directory, what is done and what is left.

WORKDIR/<sweep>/sweep.json     the grid, the configuration, versions, commit
                cells/<id>/    one folder a cell: see `cell.py`
                logs/          what the workers' libraries printed
"""

import contextlib
import dataclasses
import fcntl
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ml_collections import ConfigDict

from vggres import config as configuration
from vggres import environment
from vggres.data.tfds import DatasetInfo
from vggres.errors import UserError
from vggres.files import read_json, write_json
from vggres.networks import spec, torch_weights
from vggres.results import Curve, Observation, Record, Result
from vggres.sweeps.cell import Cell
from vggres.tracking import wandb_run
from vggres.tracking.wandb_run import PROBES_FILE

SWEEP_FILE = 'sweep.json'
_EXAMPLES = {'families': "('plain', 'resnet')", 'depths': '(8, 20)'}


@dataclass(frozen=True)
class Sweep:
    """A named grid of cells in a directory of its own."""

    name: str
    config: ConfigDict
    directory: Path
    cells: tuple[Cell, ...]

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
        """The results there are, in the grid's order."""
        return [_result(cell, result) for cell in self.cells if (result := cell.result())]

    def depths(self) -> dict[str, set[int]]:
        """The depths planned for each variant."""
        depths: dict[str, set[int]] = {}
        for cell in self.cells:
            at = cell.describe()
            depths.setdefault(at['variant'], set()).add(at['depth'])
        return depths

    def observed(self) -> list[tuple[Cell, Result, list[Observation]]]:
        """Of each finished cell that was observed: itself, its result, its observations."""
        return [
            (
                cell,
                _result(cell, result),
                [
                    _observation(row)
                    for row in wandb_run.read_metrics(cell.directory, PROBES_FILE)
                ],
            )
            for cell in self.cells
            if (result := cell.result()) and (cell.directory / PROBES_FILE).exists()
        ]

    def curves(self) -> list[Curve]:
        """The epochs of each finished cell."""
        return [
            Curve(
                **cell.coordinates(),
                records=tuple(map(_record, wandb_run.read_metrics(cell.directory))),
            )
            for cell in self.cells
            if cell.result()
        ]


def _result(cell: Cell, stored: dict) -> Result:
    names = [field.name for field in dataclasses.fields(Result)]
    values = {name: stored.get(name) for name in names} | cell.coordinates()
    return Result(**values | {'image_shape': tuple(stored.get('image_shape') or ())})


def _record(stored: dict) -> Record:
    names = [field.name for field in dataclasses.fields(Record)]
    values = {key.replace('/', '_'): value for key, value in stored.items()}
    return Record(**{name: values.get(name) for name in names})


def _observation(stored: dict) -> Observation:
    place = {name: stored[name] for name in ('epoch', 'step', 'draw')}
    return Observation(**place, values={k: v for k, v in stored.items() if k not in place})


def grid(
    config: ConfigDict, variants: Mapping[str, Mapping[str, object]]
) -> Iterator[tuple[str, ConfigDict]]:
    """Each variant at each depth of `config.sweep`, once a seed: its name and the configuration.

    Args:
        config: what the cells share.
        variants: of each by name the dotted knobs that make it, {'plain': {'model.family': …}}.

    Raises:
        UserError: for a cell that makes no sense, or a depth that is named twice.
    """
    depths = _axis(config, 'depths', int)
    seeds = range(config.seed, config.seed + config.sweep.seeds)
    for (name, knobs), depth, seed in itertools.product(variants.items(), depths, seeds):
        cell_config = config.copy_and_resolve_references()
        with cell_config.unlocked():
            cell_config.update_from_flattened_dict(dict(knobs))
            cell_config.model.depth, cell_config.seed = depth, seed
        configuration.check(cell_config)
        yield name, cell_config


def families(config: ConfigDict) -> dict[str, dict[str, object]]:
    """The variants that are the families of `config.sweep`.

    Raises:
        UserError: for none, or one that is named twice.
    """
    return {family: {'model.family': family} for family in _axis(config, 'families', str)}


def _axis(config: ConfigDict, axis: str, kind: type) -> tuple:
    values = tuple(config.sweep[axis])
    if not values or len(set(values)) < len(values) or {type(v) for v in values} != {kind}:
        raise UserError(
            f'sweep.{axis} names one or more {axis}, each once, as in {_EXAMPLES[axis]}, '
            f'not {values}.'
        )
    return values


def plan(
    name: str, config: ConfigDict, workdir: Path, configs: Iterable[tuple[str, ConfigDict]]
) -> Sweep:
    """The sweep of some cells; nothing is written.

    Args:
        name: the sweep's; '' for cells that belong to none, which lie in `workdir/cells`.
        config: the base configuration.
        workdir: where sweeps go.
        configs: of each cell its variant and its configuration, checked.
    """
    directory = workdir / name
    cells = tuple(Cell(each, directory, name, variant) for variant, each in configs)
    return Sweep(name, config, directory, cells)


assemble = plan


def base_config(name: str, workdir: Path) -> ConfigDict:
    """The configuration that a sweep was launched with, from its directory.

    Raises:
        UserError: where there is no such sweep.
    """
    path = workdir / name / SWEEP_FILE
    if not path.exists():
        raise UserError(f'no sweep in {path.parent}: run it without --report_only first.')
    return ConfigDict(read_json(path)['config'])


def check_data(config: ConfigDict, info: DatasetInfo) -> None:
    """Raises UserError where a cell's batch, normalisation or weights do not fit its data set."""
    if config.train.batch_size > info.num_images['train']:
        raise UserError(
            f'train.batch_size {config.train.batch_size} is more than the '
            f'{info.num_images["train"]} training images of {config.data.name}.'
        )
    channels = info.image_shape[2]
    if config.data.normalisation == 'imagenet' and channels != 3:
        raise UserError(
            "data.normalisation='imagenet' is for images of 3 channels; those of "
            f'{config.data.name} have {channels}.'
        )
    if config.init.weights:
        network_spec, new_head = configuration.network_spec(config), config.init.new_head
        torch_weights.read(config.init.weights, network_spec, info.num_classes, channels, new_head)


def flops(config: ConfigDict, info: DatasetInfo) -> float:
    """Floating-point operations of a cell's convolutions and dense layers.

    Training and evaluation: an update costs three forward passes, a multiply-accumulate two.

    Raises:
        UserError: for images too small for the network.
    """
    network_spec = configuration.network_spec(config)
    macs = spec.count_macs(network_spec, info.image_shape, info.num_classes)
    per_epoch, steps = configuration.steps(config, info.num_images['train'])
    evaluations = -(-steps // (per_epoch * config.evaluation.every_epochs))
    evaluated = info.num_images['train'] + info.num_images['validation']
    trained = 3 * steps * config.train.batch_size
    return 2.0 * macs * (trained + evaluations * evaluated + info.num_images['test'])


@contextlib.contextmanager
def claim(sweep: Sweep) -> Iterator[None]:
    """Makes the directory this sweep's alone while its cells run.

    Raises:
        UserError: where it cannot be written, holds another grid, or another launch is at work.
    """
    refuse(sweep)
    with contextlib.ExitStack() as stack:
        try:
            sweep.directory.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((sweep.directory / '.lock').open('w'))
        except OSError as error:
            raise UserError(
                f'cannot write to {sweep.directory} ({error.strerror}): choose another --workdir.'
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f'another launch is running in {sweep.directory}.') from None
        refuse(sweep)
        if sweep.name and not (sweep.directory / SWEEP_FILE).exists():
            write_json(sweep.directory / SWEEP_FILE, _description(sweep))
        yield


def _description(sweep: Sweep) -> dict:
    return {
        'sweep': sweep.name,
        'grid': [cell.describe() for cell in sweep.cells],
        'config': sweep.config.to_dict(),
        'versions': environment.versions(),
        'git_commit': environment.git_commit(),
    }


def refuse(sweep: Sweep) -> None:
    """Raises UserError where `claim` would because of what is there; writes nothing."""
    above = next(path for path in (sweep.directory, *sweep.directory.parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise UserError(f'cannot write to {sweep.directory}: choose another --workdir.')
    path = sweep.directory / SWEEP_FILE
    if not sweep.name or not path.exists():
        return
    stored = read_json(path)
    if [at['cell'] for at in stored['grid']] != [cell.id for cell in sweep.cells]:
        old, new = (_decisive(ConfigDict(c)) for c in (stored['config'], sweep.config.to_dict()))
        changed = configuration.differences(old, new)
        raise UserError(
            f'{sweep.directory} holds another grid ({"; ".join(changed[:3])}): choose another '
            '--workdir.'
        )


def _decisive(config: ConfigDict) -> dict:
    """What decides a grid, as JSON has it: tuples compare as the lists they are stored as."""
    whole = {'model': config.model.to_dict(), 'sweep': config.sweep.to_dict()}
    return json.loads(json.dumps(configuration.identity(config) | whole))
