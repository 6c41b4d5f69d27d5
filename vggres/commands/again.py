"""The command that makes a run or a sweep again, as the notes of a run in W&B have it."""

import dataclasses
import functools
import importlib
import pkgutil
import shlex
from collections.abc import Iterable, Mapping, Sequence

from ml_collections import ConfigDict

import configs
import experiments
from vggres.config import Config, dotted_keys, get, set_defaults
from vggres.sweeps.cell import Cell
from vggres.sweeps.sweep import Sweep
from vggres.tracking import run_config

_DEFAULT = 'digits'  # what a launch takes that names no file
# What a launch needs besides what decides a run: where data lie, and 0 for the other length.
_BESIDE = ('data.dir', 'data.archive', 'data.checksum', 'train.epochs', 'train.steps')


def of_sweep(sweep: Sweep) -> str:
    """The command that makes a sweep again, in another directory."""
    experiment = experiments.load(sweep.name)
    known = run_config.of_sweep(sweep.config) | _rest(sweep.config, 'seed', 'sweep.', *_BESIDE)
    name = _nearest(known)
    base = ConfigDict(_files()[name].to_dict())
    set_defaults(base, experiment.defaults(ConfigDict(base.to_dict())), ())
    given = {key: value for key, value in known.items() if key not in experiment.VARIES}
    return _command(name, [f'--sweep {sweep.name}'], _changed(given, _flat(base)))


def with_commands(sweep: Sweep, cells: Iterable[Cell]) -> list[Cell]:
    """The cells, each with the command that makes it again.

    One that starts from another cell of its sweep has the command of the sweep.
    """
    return [
        dataclasses.replace(
            cell,
            command=of_sweep(sweep) if cell.config.init.deepened_from else of_cell(cell.config),
        )
        for cell in cells
    ]


def of_cell(config: Config) -> str:
    """The command that trains one network again."""
    known = run_config.of_cell(config) | _rest(config, *_BESIDE)
    name = _nearest(known)
    return _command(name, [], _changed(known, _knobs(name)))


def _rest(config: Config, *prefixes: str) -> dict[str, object]:
    """Further knobs, by the beginnings of their names."""
    return {
        key: get(config, key) for key in dotted_keys(config.to_dict()) if key.startswith(prefixes)
    }


def _nearest(known: Mapping[str, object]) -> str:
    """The configuration file from which the fewest knobs differ."""
    return min(_files(), key=lambda name: len(_changed(known, _knobs(name))))


@functools.cache
def _knobs(name: str) -> dict[str, object]:
    """What a configuration file says, knob by knob."""
    return _flat(_files()[name])


def _flat(config: Config) -> dict[str, object]:
    return {key: get(config, key) for key in dotted_keys(config.to_dict())}


@functools.cache
def _files() -> dict[str, ConfigDict]:
    """The configurations of `configs/` by the names of their files, the default first."""
    found = sorted(each.name for each in pkgutil.iter_modules(configs.__path__))
    names = [_DEFAULT, *(name for name in found if name not in (_DEFAULT, 'base'))]
    return {name: importlib.import_module(f'configs.{name}').get_config() for name in names}


def _changed(known: Mapping[str, object], base: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in known.items() if value != base[key]}


def _command(name: str, flags: Sequence[str], knobs: Mapping[str, object]) -> str:
    file = [] if name == _DEFAULT else [f'--config configs/{name}.py']
    given = [f'--config.{key}={shlex.quote(str(value))}' for key, value in knobs.items()]
    return ' '.join(['python launch.py', *file, *flags, *given])
