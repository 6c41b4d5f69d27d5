"""The run of Weights & Biases that stands for a whole sweep."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vggres.config import Config
from vggres.figures.charts import Chart, RunTable
from vggres.findings import chart_page
from vggres.results import Result
from vggres.tracking import run_config, run_ids
from vggres.tracking.wandb_run import Label, Mirror

_REPORT = ('report.html', 'results.csv')


@dataclass(frozen=True)
class Summary:
    """What the run of a sweep holds.

    Attributes:
        results: one per finished cell, whose weights the report rests on.
        charts: those of the report.
        figures: PNG files.
        verdict: as in `verdict.json`; it becomes the run's summary.
        notes: the command that makes the sweep again.
    """

    results: Sequence[Result] = ()
    charts: Sequence[Chart] = ()
    figures: Sequence[Path] = ()
    verdict: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ''


def mirror_sweep(
    config: Config,
    directory: Path,
    name: str,
    summary: Summary,
    on_failure: Callable[[str], object] = lambda sentence: None,
) -> str | None:
    """Makes the one W&B run that stands for a whole sweep.

    The runs that charts show are logged as tables, of which charts of W&B draw what they are told
    to (see `workspace`), and as one page that draws them without any.

    Args:
        config: the sweep's, with a resolved wandb.mode.
        directory: of the sweep.
        name: of the sweep.
        summary: what the run holds.
        on_failure: as in `Mirror`.

    Returns:
        The address of the run; None where it is not online.
    """
    if config.wandb.mode == 'disabled':
        return None
    label = partial(_label, config, directory, name, summary.notes)
    mirror = Mirror(config, directory, label, on_failure=on_failure)
    with mirror, mirror.guard():
        if mirror.run:
            mirror.log(_record(name, summary.charts, summary.figures))
            mirror.summarise({'verdict': summary.verdict})
            _keep_report(mirror, config, directory, name, summary.results)
    return mirror.run.url if mirror.run and not mirror.run.offline else None


def table_key(table: RunTable) -> str:
    """What W&B calls the table of a chart."""
    return f'{table.name}_by_run'


def report_of(name: str, directory: Path) -> str:
    """The artifact that holds the report of a sweep, as 'depth-report:directory-3f9c1a'."""
    return f'{name}-report:{run_ids.version(directory)}'


def _label(config: Config, directory: Path, name: str, notes: str) -> Label:
    group = run_ids.group(directory, name, config.data.name)
    return Label(
        name=f'{group} summary',
        group=group,
        job_type='summary',
        tags=(name, config.data.name, 'summary'),
        notes=notes,
        config=run_config.nested(run_config.of_sweep(config)) | {'experiment': name},
    )


def _record(name: str, charts: Sequence[Chart], figures: Sequence[Path]) -> dict[str, object]:
    """What is logged; of what a reader of a chart chooses from, tables hold what is shown first."""
    import wandb

    record: dict[str, object] = {f'figures/{path.stem}': wandb.Image(str(path)) for path in figures}
    for table in {chart.table.name: chart.shown_at_first() for chart in charts}.values():
        rows = [list(row) for row in table.rows]
        record[table_key(table)] = wandb.Table(list(table.columns), rows)
    if charts:
        record['charts'] = wandb.Html(chart_page.page(name, charts), inject=False)
    return record


def _keep_report(
    mirror: Mirror, config: Config, directory: Path, name: str, results: Sequence[Result]
) -> None:
    """Keeps the report and its table, made from the weights of the cells."""
    alias = run_ids.version(directory)
    if config.checkpoint.save_weights and config.wandb.weights:
        mirror.use([f'{result.cell}:{alias}' for result in results if result.status == 'finished'])
    files = [path for path in (directory / each for each in _REPORT) if path.exists()]
    if files:
        mirror.keep(files, report_of(name, directory).partition(':')[0], 'report', alias)
