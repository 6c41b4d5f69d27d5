"""From a configuration to a checked, frozen sweep: every check stands here, in its order."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from ml_collections import ConfigDict

import experiments
from configs import base
from vggres import checks
from vggres.config import Config, resolve_name, set_defaults
from vggres.data import datasets
from vggres.data.source import DatasetInfo
from vggres.errors import UserError
from vggres.sweeps import sweep as sweeps
from vggres.sweeps.grid import changes
from vggres.sweeps.sweep import Sweep, cells_in_words


def checked_sweep(
    name: str,
    config: Config,
    workdir: Path,
    given: Iterable[str] = (),
    overrides: Iterable[str] = (),
) -> tuple[Sweep, DatasetInfo]:
    """The sweep of an experiment, or the one cell of a configuration, and its data set.

    Where results that are there decide which cells follow, the sweep has these cells as well.

    Nothing is written, and the configuration is left as it is.

    Args:
        name: the name of the experiment; '' for the one network that the configuration describes.
        config: a configuration built like `configs/base.py`.
        workdir: the place of all sweeps.
        given: dotted names of knobs whose values the experiment's defaults do not replace.
        overrides: dotted names of the knobs given on the command line. Neither defaults nor a
            network's name replace them, and they have to change something.

    Raises:
        UserError: one line, for the first thing that makes no sense.
    """
    config = checked_structure(config)
    if name:
        _set_up(name, config, given, overrides)
        experiment = experiments.load(name)
        checks.check_given(overrides, config.sweep.families)
        checks.check_effect(overrides, config, experiment.VARIES)
        grid = experiment.cells(config)
    else:
        config = checked_network(config, overrides)
        grid = [('', config)]
    sweep = sweeps.assemble(name, config, workdir, grid)
    sweeps.check_directory(sweep)
    info = datasets.describe(config.data)
    for cell in sweep.cells:
        checks.check_data(cell.config, info)
    return with_next_cells(sweep, info), info


def with_next_cells(sweep: Sweep, info: DatasetInfo) -> Sweep:
    """The sweep with the cells that its results call for, as far as these are decided.

    Nothing is decided by a part of the results: while a cell has none, no cell is added.

    Args:
        sweep: the cells of a launch.
        info: of their data set.

    Raises:
        UserError: for a cell that makes no sense, or where the results leave no choice.
    """
    if not sweep.name:
        return sweep
    experiment = experiments.load(sweep.name)
    while not sweep.missing():
        grid = experiment.next_cells(sweep)
        named = sweeps.assemble(sweep.name, sweep.config, sweep.directory.parent, grid).cells
        known = {cell.id for cell in sweep.cells}
        new = [cell for cell in named if cell.id not in known]
        if not new:
            break
        for cell in new:
            checks.check_data(cell.config, info)
        sweep = dataclasses.replace(sweep, cells=(*sweep.cells, *new))
    return sweep


def undecided(sweep: Sweep) -> str:
    """What keeps the cells that follow from being known, in a line; '' where none may follow.

    Args:
        sweep: as `with_next_cells` returns it.
    """
    missing = sweep.missing()
    if not missing or not sweep.name or not experiments.has_stages(experiments.load(sweep.name)):
        return ''
    return (
        f'More cells may follow: the results decide which, and {len(missing)} of the '
        f'{cells_in_words(len(sweep.cells))} that are known so far have none yet.'
    )


def checked_structure(config: Config) -> ConfigDict:
    """A copy of a configuration that has every knob of `configs/base.py` and no other.

    Raises:
        UserError: where it has not, or a value is of another type.
    """
    checks.check_structure(config, base.get_config())
    return ConfigDict(config.to_dict()).lock()


def checked_network(config: ConfigDict, overrides: Iterable[str] = ()) -> ConfigDict:
    """The configuration of one network, with the name of a published one resolved.

    Args:
        config: is changed in place.
        overrides: the dotted names of the knobs given on the command line (see `checked_sweep`).

    Raises:
        UserError: for the first knob that makes no sense or changes nothing.
    """
    resolve_name(config, overrides)
    checks.check_given(overrides, (config.model.family,))
    checks.check_effect(overrides, config)
    checks.check(config)
    return config


def given(config: Config) -> set[str]:
    """The dotted knobs of a configuration that differ from `configs/base.py`."""
    return set(changes(config, base.get_config()))


def _set_up(name: str, config: ConfigDict, given: Iterable[str], overrides: Iterable[str]) -> None:
    """Gives a configuration what its experiment wants."""
    experiment = experiments.load(name)
    if config.model.name:
        raise UserError(f'--sweep {name} varies family and depth: leave model.name empty.')
    if refused := sorted({'model.family', 'model.depth', *experiment.VARIES} & {*overrides}):
        raise UserError(f'--sweep {name} sets {", ".join(refused)} itself: leave it out.')
    if 'sweep.rates' in overrides and 'optimizer.learning_rate' not in experiment.VARIES:
        raise UserError(f'sweep.rates changes nothing in --sweep {name}, which has one rate.')
    if 'sweep.tuning_seeds' in overrides and not experiments.has_stages(experiment):
        raise UserError(f'sweep.tuning_seeds changes nothing in --sweep {name}: see sweep.seeds.')
    defaults = experiment.defaults(config)
    if 'sweep.thorough' in overrides and 'sweep.thorough' not in defaults:
        raise UserError(f'sweep.thorough changes nothing in --sweep {name}, which has one size.')
    set_defaults(config, defaults, {*given, *overrides})
    config.train.protocol = 'given'  # that of one network's paper would not be fair to the others
