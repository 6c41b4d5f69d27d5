"""The run of Weights & Biases that stands for a whole sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vggres.config import Config
from vggres.results import Result
from vggres.tracking import run_config, run_ids
from vggres.tracking.wandb_run import Label, Mirror

_REPORT = ('report.html', 'results.csv')


def mirror_sweep(
    config: Config,
    directory: Path,
    name: str,
    results: Sequence[Result],
    verdict: Mapping,
    figures: Sequence[Path],
    notes: str = '',  # the seventh: each is one thing that the run shows
) -> str | None:
    """The one W&B run that stands for a whole sweep: error against depth and the verdict.

    Args:
        config: the sweep's, with a resolved wandb.mode.
        directory: of the sweep.
        name: of the sweep.
        results: one per finished cell.
        verdict: as in `verdict.json`; it becomes the run's summary.
        figures: PNG files.
        notes: the command that makes the sweep again.

    Returns:
        The address of the run; None where it is not online.
    """
    if config.wandb.mode == 'disabled':
        return None
    mirror = Mirror(config, directory, _label(config, directory, name, notes))
    with mirror, mirror.guard():
        if mirror.run:
            mirror.log(_sweep_record(results, figures))
            mirror.summarise({'verdict': verdict})
            _keep_report(mirror, config, directory, name, results)
    return mirror.run.url if mirror.run and not mirror.run.offline else None


def _keep_report(
    mirror: Mirror, config: Config, directory: Path, name: str, results: Sequence[Result]
) -> None:
    """Keeps the report and its table, made from the weights of the cells."""
    alias = run_ids.version(directory)
    if config.checkpoint.save_weights:
        mirror.use([f'{result.cell}:{alias}' for result in results if result.status == 'finished'])
    files = [path for path in (directory / each for each in _REPORT) if path.exists()]
    if files:
        mirror.keep(files, report_of(name, directory).partition(':')[0], 'report', alias)


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


def _sweep_record(results: Sequence[Result], figures: Sequence[Path]) -> dict[str, object]:
    import wandb

    columns = ['variant', 'depth', 'seed', 'train_error', 'validation_error', 'test_error']
    rows = [[getattr(result, key) for key in columns] for result in results]
    cells = wandb.Table(columns, rows)
    record: dict[str, object] = {'error_by_cell': cells}
    for metric in ('train_error', 'validation_error'):
        means = wandb.Table(['depth', 'error', 'variant'], _means(results, metric))
        title = f'{metric.replace("_", " ")} [%] against depth'
        record[f'{metric}_against_depth'] = wandb.plot.line(
            means, 'depth', 'error', stroke='variant', title=title
        )
    return record | {f'figures/{path.stem}': wandb.Image(str(path)) for path in figures}


def _means(results: Sequence[Result], metric: str) -> list[list]:
    """[depth, mean over seeds, variant] for each network, ordered by depth within a variant."""
    errors: dict[tuple[str, int], list[float]] = {}
    for result in results:
        errors.setdefault((result.variant, result.depth), []).append(getattr(result, metric))
    return [
        [depth, sum(values) / len(values), variant]
        for (variant, depth), values in sorted(errors.items())
    ]
