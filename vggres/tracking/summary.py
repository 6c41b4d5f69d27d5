"""The run of Weights & Biases that stands for a whole sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vggres.config import Config
from vggres.figures.charts import Chart, RunTable
from vggres.findings import chart_page
from vggres.tracking.wandb_run import Label, Mirror


def mirror_sweep(
    config: Config,
    directory: Path,
    name: str,
    charts: Sequence[Chart],
    verdict: Mapping,
    figures: Sequence[Path],
) -> str | None:
    """The one W&B run that stands for a whole sweep: its charts, its figures and the verdict.

    The runs that charts show are logged as tables, of which charts of W&B draw what they are told
    to (see `workspace`), and as one page that draws them without any.

    Args:
        config: the sweep's, with a resolved wandb.mode.
        directory: of the sweep.
        name: of the sweep.
        charts: those of the report.
        verdict: as in `verdict.json`; it becomes the run's summary.
        figures: PNG files.

    Returns:
        The address of the run; None where it is not online.
    """
    label = Label(f'{name} summary', name, 'summary', (config.data.name, 'summary'))
    mirror = Mirror(config, directory, label)
    with mirror, mirror.guard():
        if mirror.run:
            mirror.log(_record(name, charts, figures))
            mirror.summarise({'verdict': verdict})
    return mirror.run.url if mirror.run and not mirror.run.offline else None


def table_key(table: RunTable) -> str:
    """What W&B calls the table of a chart."""
    return f'{table.name}_by_run'


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
