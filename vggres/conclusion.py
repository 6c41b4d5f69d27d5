"""How a sweep ends: verdict, figures, report, W&B summary, and a table on the console."""

import statistics
from itertools import groupby
from pathlib import Path
from types import ModuleType

from rich.console import Console, Group
from rich.table import Table

from vggres import environment, report, tracking, verdict
from vggres.data import SPLITS
from vggres.files import read_json, write_json
from vggres.sweep import Sweep

VERDICT_FILE = 'verdict.json'


def conclude(sweep: Sweep, experiment: ModuleType, failed: list[dict], console: Console) -> Path:
    """Writes `verdict.json`, figures, `results.csv` and `report.html` from what is finished.

    Args:
        sweep: with at least one finished cell.
        experiment: gives the words, the analysis and the figures.
        failed: of each cell that failed: cell and message.
        console: gets the table and the verdict.

    Returns:
        The report's path.
    """
    results = sweep.results()
    decision = experiment.analyse(results)
    write_json(sweep.directory / VERDICT_FILE, decision)
    words = verdict.in_words(decision)
    path = report.write(
        sweep.directory,
        title=experiment.TITLE,
        claim=experiment.CLAIM,
        source=experiment.SOURCE,
        verdict_words=words,
        verdict=decision,
        results=results,
        figures=experiment.figures(results, sweep.metrics()),
        protocol=_protocol(sweep),
        environment=_environment(results),
        failed=failed,
    )
    console.print(_table(results))
    console.print(words)
    console.print(f'report: {path}', soft_wrap=True)
    return path


def mirror(sweep: Sweep) -> None:
    """One W&B run for the sweep: error against depth, the figures, the verdict."""
    tracking.mirror_sweep(
        sweep.config,
        sweep.directory,
        sweep.name,
        sweep.results(),
        read_json(sweep.directory / VERDICT_FILE),
        sorted((sweep.directory / 'figures').glob('*.png')),
    )


def print_cells(sweep: Sweep, console: Console) -> None:
    """The errors of each finished cell, and where its files are."""
    for cell in sweep.cells:
        if result := cell.result():
            errors = ', '.join(f'{s} {result[f"{s}_error"]:.2f} %' for s in SPLITS)
            console.print(f'{cell.id} {result["status"]}: error {errors}', soft_wrap=True)
            console.print(f'files: {cell.directory}', soft_wrap=True)


def plan_table(sweep: Sweep, flops: dict[str, float]) -> Group:
    """The cells, whether they are done, and what they cost."""
    table = Table('cell', 'status', 'TFLOPs')
    table.columns[-1].justify = 'right'
    missing = {cell.id for cell in sweep.missing()}
    for cell in sweep.cells:
        table.add_row(
            cell.id, 'to run' if cell.id in missing else 'done', f'{flops[cell.id] / 1e12:,.2f}'
        )
    left = sum(flops[cell] for cell in missing)
    total = (
        f'{len(sweep.cells)} cells, {len(missing)} to run: {left / 1e12:,.1f} of '
        f'{sum(flops.values()) / 1e12:,.1f} TFLOPs'
    )
    return Group(table, total)


def _protocol(sweep: Sweep) -> dict:
    """The configuration without what the grid replaces in each cell."""
    protocol = sweep.config.to_dict()
    del protocol['seed'], protocol['model']['family'], protocol['model']['depth']
    return protocol


def _environment(results: list[dict]) -> dict:
    return {
        'hardware': ', '.join(sorted({result['hardware'] for result in results})),
        'hours of training': sum(result['seconds'] for result in results) / 3600,
        'git commit': environment.git_commit(),
        **environment.versions(),
    }


def _table(results: list[dict]) -> Table:
    table = Table('family', 'depth', 'train error [%]', 'validation error [%]', 'n')
    for (family, depth), group in groupby(results, key=lambda r: (r['family'], r['depth'])):
        runs = list(group)
        errors = [
            _spread([run[f'{split}_error'] for run in runs]) for split in ('train', 'validation')
        ]
        table.add_row(family, str(depth), *errors, str(len(runs)))
    return table


def _spread(values: list[float]) -> str:
    spread = f' ± {statistics.stdev(values):.2f}' if len(values) > 1 else ''
    return f'{statistics.fmean(values):.2f}{spread}'
