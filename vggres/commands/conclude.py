"""Concludes a sweep: verdict, figures, report, W&B summary, and a table on the console."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table

import experiments
from experiments import Experiment
from vggres.commands import again
from vggres.commands.index import Index
from vggres.data.source import SPLITS
from vggres.errors import UserError
from vggres.figures.charts import Chart
from vggres.files import read_json, write_json
from vggres.findings import report, run_charts
from vggres.findings.outcomes import failing_error, has_failed
from vggres.findings.report import LostRun, Report
from vggres.results import Failure, Result
from vggres.sweeps import sweep as sweeps
from vggres.sweeps.sweep import VERDICT_FILE, Sweep, cells_in_words, check_outputs
from vggres.tracking import fragments, modes
from vggres.tracking.summary import Summary, mirror_sweep


def conclude(
    sweep: Sweep, experiment: Experiment, failures: Sequence[Failure], console: Console
) -> None:
    """Writes figures, `results.csv`, `report.html` and, last, `verdict.json`.

    A verdict that is new, or differs from the one that was there, goes to W&B as well.

    Args:
        sweep: with at least one finished cell.
        experiment: gives the words, the analysis and the figures.
        failures: the cells that failed just now.
        console: gets the table and the verdict.

    Raises:
        UserError: where a file or a folder stands in the way, or nothing can be written.
    """
    check_outputs(sweep)
    results = sweep.results()
    verdict = experiment.analyse(sweep)
    judged = experiment.judged(sweep)
    charts = charts_of(sweep, judged)
    words, in_short = experiment.words(verdict), dict(experiment.in_short(verdict))
    path = report.write(
        sweep.directory,
        Report(
            title=experiment.TITLE,
            claim=experiment.CLAIM,
            source=experiment.SOURCE,
            words=words,
            tables=experiment.tables(verdict),
            results=results,
            figures=experiment.figures(sweep, verdict),
            protocol=_protocol(sweep),
            environment=_environment(sweep, results),
            lost=_without_result(sweep, failures),
            charts=charts,
            in_short=in_short,
        ),
    )
    verdict_path = sweep.directory / VERDICT_FILE
    stored = dataclasses.asdict(verdict) | {'in_short': in_short}
    stored = json.loads(json.dumps(stored))  # tuples become lists
    address = None
    if _stored_verdict(verdict_path) != stored:
        pictures = sorted((sweep.directory / 'figures').glob('*.png'))
        summary = {key: value for key, value in stored.items() if key != 'networks'}
        address = mirror_sweep(
            *(sweep.config, sweep.directory, sweep.name),
            Summary(
                results=results,
                charts=charts,
                figures=pictures,
                verdict=summary | {'words': words},
                notes=again.of_sweep(sweep),
            ),
            partial(console.print, soft_wrap=True),
        )
        write_json(verdict_path, stored)
    console.print(_table(judged or results))
    if 0 < len(judged) < len(results):
        console.print(f'The verdict is about these runs. The report shows all {len(results)}.')
    if len(results) < len(sweep.cells):
        console.print(f'finished: {len(results)} of {cells_in_words(len(sweep.cells))}')
    console.print(words, soft_wrap=not console.is_terminal)
    console.print(f'report: {path}', soft_wrap=True)
    if address:
        console.print(f'W&B: {address}', soft_wrap=True)


def charts_of(sweep: Sweep, judged: Sequence[Result]) -> list[Chart]:
    """The charts of a sweep: of the runs that its verdict is about or, without any, of all."""
    observed = [(run, cell.network_spec, looks) for cell, run, looks in sweep.observed()]
    return run_charts.of_sweep(judged or sweep.results(), observed)


def report_again(directory: Path, console: Console) -> None:
    """Rebuilds verdict and report of a sweep from the results in its directory.

    Raises:
        UserError: where there is no sweep, no finished cell, or nothing can be written.
    """
    sweep = sweeps.load(directory)
    for damage in sweep.damages():
        console.print(damage, soft_wrap=True)
    if not sweep.results():
        raise UserError(f'there is no finished cell in {directory}: run it without --report_only.')
    config = modes.resolved_again(sweep.config, partial(console.print, soft_wrap=True))
    sweep = dataclasses.replace(sweep, config=config)
    conclude(sweep, experiments.load(sweep.name), [], console)
    if config.wandb.mode != 'disabled' and (command := fragments.upload_command(directory)):
        console.print(f'upload to W&B: {command}', soft_wrap=True)
    Index(directory.parent).write()


def print_cells(sweep: Sweep, console: Console) -> None:
    """Prints the errors of each finished cell, and the place of its files."""
    for cell in sweep.cells:
        if result := cell.result():
            errors = ', '.join(f'{s} {getattr(result, f"{s}_error"):.2f} %' for s in SPLITS)
            console.print(f'{cell.id} {result.status}: error {errors}', soft_wrap=True)
            console.print(f'files: {cell.directory}', soft_wrap=True)


def _stored_verdict(path: Path) -> dict | None:
    """The verdict of an earlier conclusion; None where there is none that can be read."""
    try:
        return read_json(path)
    except (FileNotFoundError, UserError):
        return None


def _protocol(sweep: Sweep) -> dict:
    """The configuration without what the grid varies."""
    return _shared([cell.config.to_dict() for cell in sweep.cells])


def _shared(parts: list[dict]) -> dict:
    return {
        key: _shared([part[key] for part in parts]) if isinstance(value, dict) else value
        for key, value in parts[0].items()
        if isinstance(value, dict) or all(part[key] == value for part in parts)
    }


def _without_result(sweep: Sweep, failures: Sequence[Failure]) -> list[LostRun]:
    failed = {failure.cell: failure for failure in failures}
    lost = []
    for cell in sweep.missing():
        if failure := failed.get(cell.id):
            lost.append(
                LostRun(cell.id, 'failed', {'message': failure.message, 'log': failure.log})
            )
        elif damage := cell.damage():
            lost.append(LostRun(cell.id, 'damaged', {'message': damage}))
        else:
            lost.append(LostRun(cell.id, 'not finished'))
    return lost


def _environment(sweep: Sweep, results: Sequence[Result]) -> dict:
    """Where, when and with what the cells ran; more than one value where they differ."""

    def distinct(values: Iterable[object]) -> str:
        return ', '.join(sorted({str(value) for value in values}))

    packages = results[0].versions
    launches = [
        f'{launch.when}: {cells_in_words(launch.cells)} added by vggres {launch.vggres}'
        for launch in sweep.launches
    ]
    mixed = [f'{run.cell} ({"; ".join(run.mixed_with)})' for run in results if run.mixed_with]
    continued = {'runs with parts from elsewhere': ', '.join(mixed)} if mixed else {}
    return (
        continued
        | {
            'launches': launches,
            'hardware': distinct(result.hardware for result in results),
            'hours of training': sum(result.seconds for result in results) / 3600,
            'peak memory of a worker (MB)': max(result.peak_memory_mb for result in results),
            'git commit': distinct(result.git_commit for result in results),
        }
        | {name: distinct(result.versions.get(name) for result in results) for name in packages}
    )


def _table(results: Sequence[Result]) -> Table:
    at = failing_error(results[0].num_classes)
    table = Table(
        *('network', 'depth'),
        *(Column(f'{split} error [%]', overflow='fold') for split in ('train', 'validation')),
        *('failed', 'n'),
        caption='Errors: the median (lowest–highest) of n runs. Failed: runs that diverged or have '
        f'a train error of {at:g} % or more, half of that of guessing.',
        caption_justify='left',
    )
    for (variant, depth), group in groupby(results, key=lambda run: (run.variant, run.depth)):
        runs = list(group)
        errors = [
            report.median_and_range([getattr(run, f'{split}_error') for run in runs])
            for split in ('train', 'validation')
        ]
        failed = str(sum(map(has_failed, runs)))
        table.add_row(variant, str(depth), *errors, failed, str(len(runs)))
    return table
