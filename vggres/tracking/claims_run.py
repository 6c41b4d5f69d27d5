"""The run of Weights & Biases that says what became of the claims of a directory."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vggres.config import Config
from vggres.tracking import run_ids
from vggres.tracking.summary import report_of
from vggres.tracking.wandb_run import Label, Mirror


def mirror_claims(
    configs: Mapping[str, Config],
    workdir: Path,
    statuses: Mapping[str, str],
    pages: Sequence[Path],
    on_failure: Callable[[str], object],
) -> str | None:
    """Logs the status of each claim, with the reports that it rests on and the pages that say so.

    Nothing is logged where no sweep was.

    Args:
        configs: of the sweeps that the claims rest on, by their names, with resolved modes.
        workdir: the place of the sweeps.
        statuses: of the claims, by their keys.
        pages: the files to keep.
        on_failure: as in `Mirror`.

    Returns:
        The address of the run; None where it is not online.
    """
    logged = {name: each for name, each in configs.items() if each.wandb.mode != 'disabled'}
    if not logged:
        return None
    config = next(iter(logged.values()))

    def label() -> Label:
        data = config.data.name
        group = run_ids.group(workdir, 'claims', data)
        return Label(group, group, 'claims', ('claims', data), 'python launch.py --claims')

    with Mirror(config, workdir, label, on_failure=on_failure) as mirror:
        if not mirror.run:
            return None
        with mirror.guard():
            import wandb

            rows = [[key, status] for key, status in statuses.items()]
            mirror.log({'claims': wandb.Table(['claim', 'status'], rows)})
        mirror.summarise({'claims': dict(statuses)})
        with mirror.guard():
            mirror.use([report_of(name, workdir / name) for name in logged])
        with mirror.guard():
            mirror.keep(pages, 'claims', 'claims', run_ids.version(workdir))
    return mirror.run.url if mirror.run and not mirror.run.offline else None
