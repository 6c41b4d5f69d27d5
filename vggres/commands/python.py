"""What the command line does, from Python: train a network, run a sweep, load one.

These functions stand in the package itself, as `vggres.train`, `vggres.run_sweep` and
`vggres.load_sweep`.
"""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.console import Console

import experiments
from vggres import checks
from vggres.commands import planning
from vggres.commands import train as command
from vggres.config import Config
from vggres.data import datasets
from vggres.errors import UserError
from vggres.executors.options import LocalOptions
from vggres.executors.orders import Event
from vggres.executors.progress import Progress
from vggres.results import Observation, Outcome
from vggres.sweeps import sweep as sweeps
from vggres.sweeps.cell import Cell
from vggres.sweeps.grid import changes
from vggres.sweeps.sweep import SWEEP_FILE, Sweep, cells_in_words


def train(config: Config, progress: bool = True) -> tuple[Outcome, dict]:
    """Trains the one network of a configuration in this process.

    >>> import vggres
    >>> from configs import digits
    >>> config = digits.get_config()
    >>> config.model.depth, config.train.epochs = 8, 1
    >>> outcome, variables = vggres.train(config, progress=False)
    >>> outcome.status
    'finished'
    >>> sorted(variables)
    ['batch_stats', 'params']

    Nothing is left on disk, except that a data set may be prepared.

    Args:
        config: built like `configs/base.py`. A published network's name in `model.name` sets all
            knobs of the model; leave it empty to set them yourself.
        progress: whether to show a bar in a terminal, or lines in a notebook.

    Returns:
        The outcome by the final weights on whole, clean splits, and the variables as
        `Network.apply` takes them: `params` and, with batch norm, `batch_stats`, of arrays.

    Raises:
        UserError: one line, for the first thing that makes no sense.
    """
    from vggres.sweeps.run import train_in_process  # imports jax
    from vggres.training.trainer import Listeners

    config = planning.checked_network(planning.checked_structure(config))
    checks.check_data(config, datasets.describe(config.data))
    cell = Cell(config, Path(), '')
    console = Console(markup=False, highlight=False, quiet=not progress)
    datasets.prepare(config.data, console)
    with Progress([cell], {cell.id: 1.0}, 1, console) as show:
        show(Event('started', cell.id, {}))
        listeners = Listeners(
            on_record=lambda record: show(Event('record', cell.id, dataclasses.asdict(record))),
            on_progress=lambda step, total: show(
                Event('progress', cell.id, {'step': step, 'total': total})
            ),
        )
        trained = train_in_process(cell.config, listeners)
        show(Event('finished', cell.id, dataclasses.asdict(trained.outcome)))
    return trained.outcome, trained.variables


@dataclass(frozen=True)
class LoadedSweep:
    """What a sweep has come to, as plain records.

    Attributes:
        name: the name of the experiment.
        title: what the experiment is about, in words.
        results: a dict per finished cell (`results.Result`): `pandas.DataFrame(sweep.results)`.
        curves: a dict per cell and epoch (`results.Record`), with the coordinates of its cell.
        verdict: what the experiment's analysis found, a frozen dataclass; None where no cell is
            finished.
        words: the verdict in sentences.
        damages: what could not be read, a line each.
    """

    name: str
    title: str
    results: list[dict]
    curves: list[dict]
    verdict: Any
    words: str
    damages: list[str]
    _sweep: Sweep

    def figures(self) -> dict[str, Figure]:
        """The figures of the report, drawn anew, by name."""
        if self.verdict is None:
            return {}
        drawn = experiments.load(self.name).figures(self._sweep, self.verdict)
        return {name: figure for name, (figure, _) in drawn.items()}

    def observations(self, variant: str, depth: int, seed: int = 0) -> list[Observation]:
        """The observations of one finished cell, oldest first; none where it was not observed.

        Args:
            variant: a family, or the name of a family with other options.
            depth: the number of weighted layers.
            seed: the seed of the run.
        """
        place = variant, depth, seed
        for _, result, observations in self._sweep.observed():
            if (result.variant, result.depth, result.seed) == place:
                return observations
        return []


def run_sweep(
    name: str,
    config: Config,
    workdir: str | Path,
    workers: int | None = None,
    progress: bool = True,
    overrides: Collection[str] = (),
) -> LoadedSweep:
    """Runs a sweep in worker processes, as `launch.py --sweep` does, and returns what it came to.

    >>> import tempfile, vggres
    >>> from configs import digits
    >>> config = digits.get_config()
    >>> config.sweep.depths, config.sweep.seeds, config.train.epochs = (8,), 1, 1
    >>> config.wandb.mode = 'disabled'
    >>> workdir = tempfile.mkdtemp()
    >>> sweep = vggres.run_sweep('depth', config, workdir, progress=False)
    >>> [(result['family'], result['depth']) for result in sweep.results]
    [('plain', 8), ('resnet', 8)]
    >>> vggres.load_sweep(workdir).results == sweep.results
    True

    Cells that have a result in the directory are kept, and only the others run. The experiment's
    own defaults replace the values of the configuration, except for those that differ from
    `configs/base.py` and those that `overrides` names. What they replace is printed.

    Args:
        name: the name of the experiment; `experiments.names()` lists them.
        config: a configuration built like `configs/base.py`.
        workdir: the place of all sweeps; the files of this one are in `workdir/name`.
        workers: the number of cells run at once; None for one per GPU or CPU core.
        progress: whether to show bars in a terminal, or lines in a notebook.
        overrides: dotted names of knobs that keep their values, as in ('train.epochs',); as if they
            were given on the command line, they have to change something.

    Raises:
        UserError: one line, for the first thing that makes no sense.
        RuntimeError: where cells failed; what is finished is kept.
    """
    if not name:
        raise UserError('run_sweep needs the name of an experiment; one network: vggres.train.')
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise UserError(f'workers has to be a whole number of at least 1, not {workers!r}.')
    config = planning.checked_structure(config)
    given = planning.given(config)
    sweep, info = planning.checked_sweep(name, config, Path(workdir), given, overrides)
    console = Console(markup=False, highlight=False, quiet=not progress)
    if replaced := changes(sweep.config, config):
        values = ', '.join(f'{knob} to {value}' for knob, value in replaced.items())
        console.print(f'{name} sets {values}; overrides=... keeps yours.', soft_wrap=True)
    if failed := command.run(sweep, info, LocalOptions(workers), console):
        raise RuntimeError(f'{cells_in_words(len(failed))} failed, the first: {failed[0].message}')
    return load_sweep(sweep.directory)


def load_sweep(workdir: str | Path) -> LoadedSweep:
    """What a sweep has come to so far, from its directory alone: the data set is not needed.

    >>> import pandas, vggres
    >>> sweep = vggres.load_sweep('runs/digits/depth')  # doctest: +SKIP
    >>> pandas.DataFrame(sweep.results).groupby('depth').train_error.mean()  # doctest: +SKIP

    Args:
        workdir: the directory of the sweep, or one that holds the directory of a single sweep.

    Raises:
        UserError: where there is no sweep, or several.
    """
    sweep = sweeps.load(_directory(Path(workdir)))
    experiment = experiments.load(sweep.name)
    verdict = experiment.analyse(sweep) if sweep.results() else None
    curves = [
        {key: value for key, value in vars(curve).items() if key != 'records'}
        | dataclasses.asdict(record)
        for curve in sweep.curves()
        for record in curve.records
    ]
    return LoadedSweep(
        name=sweep.name,
        title=experiment.TITLE,
        results=[dataclasses.asdict(result) for result in sweep.results()],
        curves=curves,
        verdict=verdict,
        words=experiment.words(verdict) if verdict else '',
        damages=sweep.damages(),
        _sweep=sweep,
    )


def _directory(workdir: Path) -> Path:
    if (workdir / SWEEP_FILE).exists():
        return workdir
    found = sorted(path.parent for path in workdir.glob(f'*/{SWEEP_FILE}'))
    if len(found) > 1:
        names = ', '.join(map(str, found))
        raise UserError(f'{workdir} holds several sweeps, choose one: {names}.')
    return found[0] if found else workdir
