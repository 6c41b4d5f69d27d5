"""How a sweep ends: verdict, figures, report, W&B summary, and a table on the console."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Column, Table

from experiments import Experiment
from vggres.data.tfds import SPLITS
from vggres.files import read_json, write_json
from vggres.findings import report
from vggres.findings.report import LostRun, Report
from vggres.results import Result
from vggres.sweeps.sweep import Sweep
from vggres.tracking import wandb_run

VERDICT_FILE = 'verdict.json'


def conclude(sweep: Sweep, experiment: Experiment, failures: list[dict], console: Console) -> None:
    """Writes figures, `results.csv`, `report.html` and, last, `verdict.json`.

    A verdict that is new, or differs from the one that was there, goes to W&B as well.

    Args:
        sweep: with at least one finished cell.
        experiment: gives the words, the analysis and the figures.
        failures: of each cell that failed just now: cell, message and log.
        console: gets the table and the verdict.
    """
    results = sweep.results()
    verdict = experiment.analyse(sweep)
    words = experiment.words(verdict)
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
            environment=_environment(results),
            lost=_without_result(sweep, failures),
        ),
    )
    verdict_path = sweep.directory / VERDICT_FILE
    stored = json.loads(json.dumps(dataclasses.asdict(verdict)))  # tuples become lists
    if not verdict_path.exists() or read_json(verdict_path) != stored:
        pictures = sorted((sweep.directory / 'figures').glob('*.png'))
        summary = {key: value for key, value in stored.items() if key != 'networks'}
        wandb_run.mirror_sweep(
            sweep.config,
            sweep.directory,
            sweep.name,
            [vars(result) for result in results],
            summary | {'words': words},
            pictures,
        )
        write_json(verdict_path, stored)
    console.print(_table(results))
    if len(results) < len(sweep.cells):
        console.print(f'{len(results)} of {len(sweep.cells)} cells are finished.')
    console.print(words, soft_wrap=not console.is_terminal)
    console.print(f'report: {path}', soft_wrap=True)


def print_cells(sweep: Sweep, console: Console) -> None:
    """The errors of each finished cell, and where its files are."""
    for cell in sweep.cells:
        if result := cell.result():
            errors = ', '.join(f'{s} {result[f"{s}_error"]:.2f} %' for s in SPLITS)
            console.print(f'{cell.id} {result["status"]}: error {errors}', soft_wrap=True)
            console.print(f'files: {cell.directory}', soft_wrap=True)


def _protocol(sweep: Sweep) -> dict:
    """The configuration without what the grid varies."""
    return _shared([cell.config.to_dict() for cell in sweep.cells])


def _shared(parts: list[dict]) -> dict:
    return {
        key: _shared([part[key] for part in parts]) if isinstance(value, dict) else value
        for key, value in parts[0].items()
        if isinstance(value, dict) or all(part[key] == value for part in parts)
    }


def _without_result(sweep: Sweep, failures: list[dict]) -> list[LostRun]:
    failed = {failure['cell']: failure for failure in failures}
    lost = []
    for cell in sweep.missing():
        what = 'failed' if cell.id in failed else 'not finished'
        details = {k: str(v) for k, v in failed.get(cell.id, {}).items() if k != 'cell'}
        lost.append(LostRun(cell.id, what, details))
    return lost


def _environment(results: Sequence[Result]) -> dict:
    """Where and with what the cells ran; more than one value where they differ."""

    def distinct(values: Iterable[object]) -> str:
        return ', '.join(sorted({str(value) for value in values}))

    packages = results[0].versions
    return {
        'hardware': distinct(result.hardware for result in results),
        'hours of training': sum(result.seconds for result in results) / 3600,
        'peak memory of a worker (MB)': max(result.peak_memory_mb for result in results),
        'git commit': distinct(result.git_commit for result in results),
    } | {name: distinct(result.versions.get(name) for result in results) for name in packages}


def _table(results: Sequence[Result]) -> Table:
    table = Table(
        Column('network', no_wrap=True), 'depth', 'train error [%]', 'validation error [%]', 'n'
    )
    for (variant, depth), group in groupby(results, key=lambda r: (r.variant, r.depth)):
        runs = list(group)
        errors = [
            report.mean_and_spread([getattr(run, f'{split}_error') for run in runs])
            for split in ('train', 'validation')
        ]
        table.add_row(variant, str(depth), *errors, str(len(runs)))
    return table
