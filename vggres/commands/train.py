"""Runs what is left of a sweep, or trains one network, with progress."""

import contextlib
import dataclasses
import functools
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console

import experiments
from vggres.commands import again, conclude, planning
from vggres.commands.index import Index
from vggres.config import Config
from vggres.data import datasets
from vggres.data.source import DatasetInfo
from vggres.errors import UserError
from vggres.executors import local, ray, slurm
from vggres.executors.options import Options, RayOptions, SlurmOptions
from vggres.executors.orders import Event
from vggres.executors.placement import default_workers, fallen_back
from vggres.executors.progress import Progress
from vggres.files import write_atomically
from vggres.results import Failure
from vggres.sweeps import cost, mirroring
from vggres.sweeps import sweep as sweeps
from vggres.sweeps.cell import Cell
from vggres.sweeps.images import check_images
from vggres.sweeps.lock import LOCK_FILE, locked
from vggres.sweeps.status import cell_status
from vggres.sweeps.sweep import SWEEP_FILE, Sweep, cells_in_words
from vggres.tracking import fragments, modes, run_ids

Execute = Callable[..., None]  # what runs cells: see `executors.local.run`


def run(
    sweep: Sweep,
    info: DatasetInfo,
    options: Options,
    console: Console,
    execute: Execute | None = None,
) -> list[Failure]:
    """Runs the cells that have no result yet, then concludes with all that the directory holds.

    Where the experiment has cells that depend on results, these run as well, in this launch. Slurm
    gets what is known so far, and nothing waits for it.

    Args:
        sweep: as `planning.checked_sweep` returns it.
        info: of its data set.
        options: of the executor that runs the cells, which they choose.
        console: gets progress, verdict and the places of the files.
        execute: the executor, with the arguments of `local.run`; None for that one.

    Returns:
        The cells that failed.

    Raises:
        UserError: where the directory cannot be used, or no worker can start.
        KeyboardInterrupt: what is done is kept.
    """
    sweep = _with_resolved_mode(sweep, console)
    datasets.prepare(sweep.config.data, console)
    with locked(sweep.directory), _undone_if_refused(sweep.directory):
        whole = sweeps.joined(sweep) if sweep.name else sweep
        _say_what_is_there(sweep, whole, console)
        failed: list[Failure] = []
        if has_run := bool(sweep.missing()):
            check_images(whole, console)
            if sweep.config.wandb.mode != 'disabled':
                with contextlib.suppress(OSError):  # W&B alone needs it, and tells of what fails
                    run_ids.draw_id(sweep.directory)
        if has_run and isinstance(options, SlurmOptions):
            _submit(sweep, info, options, console)
            Index(_workdir(sweep)).write()
            return []
        while missing := sweep.missing():
            cells = _with_commands(sweep, missing)
            failed = _run_missing(sweep, cells, info, options, console, execute)
            if sweep.missing():
                break
            sweep, whole = _with_next_stage(sweep, whole, info, console)
        _complete_online(_with_commands(sweep, sweep.cells), console)
        if whole.results() and sweep.name:
            conclude.conclude(whole, experiments.load(sweep.name), failed, console)
        elif whole.results():
            conclude.print_cells(whole, console)
        Index(_workdir(sweep)).write()
    if has_run and (command := fragments.upload_command(sweep.directory)):
        console.print(f'upload to W&B: {command}', soft_wrap=True)
    if failed:
        console.print(f'{cells_in_words(len(failed))} failed; the same command tries again.')
    if has_run and (others := len(sweep.missing()) - len(failed)) > 0:
        console.print(f'{cells_in_words(others)} left alone; the same command looks again.')
    if more := planning.undecided(sweep):
        console.print(more, soft_wrap=True)
    return failed


def _submit(sweep: Sweep, info: DatasetInfo, options: SlurmOptions, console: Console) -> None:
    """Submits the cells that nobody runs or is about to run, and leaves."""
    queue = slurm.queue(sweep.directory)
    missing = sweep.missing()
    left = [
        cell
        for cell in missing
        if cell.id not in queue and cell_status(cell.directory).state != 'running'
    ]
    if held := len(missing) - len(left):
        console.print(f'{cells_in_words(held)} already queued or running: not submitted again.')
    if left:
        costs = {cell.id: cost.flops(cell, info) for cell in left}
        left = _with_commands(sweep, left)
        jobs = slurm.submit(left, costs, options, sweep.directory)
        console.print(
            f'{sweep.directory}: {len(left)} of {cells_in_words(len(sweep.cells))} submitted to '
            f'Slurm as job {", ".join(jobs)}',
            soft_wrap=True,
        )
    if sweep.name:
        console.print('How far they are: --status in the place of --executor and its flags.')
    console.print(
        'When they are done, the same command writes the report; what failed it submits again.',
        soft_wrap=True,
    )
    if more := planning.undecided(sweep):
        console.print(f'{more} The same command submits them.', soft_wrap=True)


def _with_next_stage(
    sweep: Sweep, whole: Sweep, info: DatasetInfo, console: Console
) -> tuple[Sweep, Sweep]:
    """The cells of this launch and those of the directory, with the cells that now follow."""
    grown = planning.with_next_cells(sweep, info)
    more = len(grown.cells) - len(sweep.cells)
    if not more:
        return sweep, whole
    console.print(f'By these results, {cells_in_words(more)} more will run.')
    return grown, sweeps.joined(grown)


@contextlib.contextmanager
def _undone_if_refused(directory: Path) -> Iterator[None]:
    """Leaves a sweep's directory as it was where no worker can start, or the launch is refused.

    The launch holds the lock of the directory, and with it made the directory where there was none.
    Once the directory of a cell has appeared, a cell has begun, and everything stays.
    """
    path, is_new = directory / SWEEP_FILE, {*os.listdir(directory)} <= {LOCK_FILE}
    before = path.read_bytes() if path.is_file() else None
    begun = _begun(directory)
    try:
        yield
    except UserError:
        if _begun(directory) != begun:
            raise
        if is_new:
            shutil.rmtree(directory, ignore_errors=True)
        elif before is not None:
            write_atomically(path, before)
        raise


def _begun(directory: Path) -> set[Path]:
    """The directories of the cells that some worker has begun."""
    return set(directory.glob('cells/*'))


def _run_missing(
    sweep: Sweep,
    missing: list,
    info: DatasetInfo,
    options: Options,
    console: Console,
    execute: Execute | None,
) -> list[Failure]:
    usual, setting, how_many = _executor(options, missing, info)
    saved = sum(bool(cell.saved()) for cell in missing)
    flops = {cell.id: cost.flops(cell, info) for cell in missing}
    progress, index = Progress(missing, flops, len(sweep.cells), console), Index(_workdir(sweep))

    def on_event(event: Event) -> None:
        index.write_if_due()
        if event.kind != 'ready':
            progress(event)
            return
        console.print(
            f'{sweep.directory}: {len(missing)} of {cells_in_words(len(sweep.cells))} to run, '
            f'{how_many}, on {event.values["hardware"]}',
            soft_wrap=True,
        )
        if saved:
            goes = 'goes' if saved == 1 else 'go'
            console.print(f'{cells_in_words(saved)} {goes} on from a checkpoint.')
        console.print(f'how far they are: {index.path}', soft_wrap=True)
        if warning := fallen_back(event.values['platform']):
            console.print(warning, soft_wrap=True)

    try:
        with progress:
            (execute or usual)(missing, flops, setting, sweep.directory / 'logs', on_event)
    except KeyboardInterrupt:
        index.write()
        with contextlib.suppress(OSError, SystemExit):  # the terminal may be gone
            console.print(
                f'stopped with {len(sweep.results())} of {cells_in_words(len(sweep.cells))} done; '
                'the same command goes on from there.'
            )
        raise
    return progress.failed


def _workdir(sweep: Sweep) -> Path:
    """Where the sweep is, beside others; a single network lies in it."""
    return sweep.directory.parent if sweep.name else sweep.directory


def _executor(options: Options, cells: list, info: DatasetInfo) -> tuple[Execute, object, str]:
    """What runs some cells, its setting, and how many of them run at a time, in words."""
    if isinstance(options, RayOptions):
        return ray.run, options, 'as many at a time as Ray has room for'
    workers = options.workers or default_workers(cost.are_for_all_chips(cells, info))
    return local.run, workers, f'{min(workers, len(cells))} at a time'


def _say_what_is_there(asked: Sweep, whole: Sweep, console: Console) -> None:
    for damage in whole.damages():
        console.print(damage, soft_wrap=True)
    if others := len(whole.cells) - len(asked.cells):
        console.print(
            f'{asked.directory} holds {cells_in_words(others)} of earlier launches as well: they '
            'are kept and reported on.',
            soft_wrap=True,
        )
    if unobserved := [cell.id for cell in asked.unobserved()]:
        console.print(
            'these cells are done without the probes that are asked for now: '
            f'{", ".join(unobserved[:3])}{" and more" * (len(unobserved) > 3)}; in another '
            '--workdir they would be observed.',
            soft_wrap=True,
        )


def _complete_online(cells: Iterable[Cell], console: Console) -> None:
    """Sends W&B what its server lacks of cells that are done, as far as it answers by now."""
    lacking = [cell for cell in cells if mirroring.is_cut_off(cell)]
    if not lacking or lacking[0].config.wandb.mode == 'disabled':
        return
    say = functools.partial(console.print, soft_wrap=True)
    while lacking and mirroring.complete(lacking[0], say):
        lacking = lacking[1:]
    if lacking:
        console.print(
            f'W&B lacks the end of {cells_in_words(len(lacking))}: when its server answers again, '
            'the same command sends it.',
            soft_wrap=True,
        )


def _with_commands(sweep: Sweep, cells: Iterable[Cell]) -> list[Cell]:
    """The cells, each with the command that makes it again, which only W&B shows."""
    is_off = sweep.config.wandb.mode == 'disabled'
    return [*cells] if is_off else again.with_commands(sweep, cells)


def _with_resolved_mode(sweep: Sweep, console: Console) -> Sweep:
    """The sweep with one mode of W&B for all its cells, chosen once."""
    say = functools.partial(console.print, soft_wrap=True)
    mode = modes.resolve_mode(sweep.config.wandb.mode, say)

    def resolved(config: Config) -> ConfigDict:
        copy = ConfigDict(config.to_dict())
        copy.wandb.mode = mode
        return copy

    cells = [dataclasses.replace(cell, config=resolved(cell.config)) for cell in sweep.cells]
    return dataclasses.replace(sweep, config=resolved(sweep.config), cells=tuple(cells))


def results_directory(config_file: str | Path) -> Path:
    """The default place of results: `runs/` and the name of the configuration file."""
    return Path('runs') / Path(config_file).stem
