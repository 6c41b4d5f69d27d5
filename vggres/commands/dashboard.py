"""Makes the dashboards of sweeps in Weights & Biases, or prints them."""

import json
from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console

import experiments
from vggres.commands.conclude import charts_of
from vggres.config import Config, set_defaults
from vggres.errors import UserError
from vggres.figures.charts import Chart
from vggres.findings.languages import ENGLISH
from vggres.probes.quantities import QUANTITIES, Quantity
from vggres.sweeps import sweep as sweeps
from vggres.sweeps.sweep import SWEEP_FILE
from vggres.tracking import run_ids, workspace
from vggres.tracking.workspace import View


def show(name: str, workdir: Path, config: Config, is_dry: bool, console: Console) -> None:
    """Makes or replaces a view of the project for each sweep, and prints its address.

    Args:
        name: of the sweep; '' for all that the directory holds.
        workdir: where the sweeps are. One that is named need not be there.
        config: says which project is meant, and what a sweep that is not there probes.
        is_dry: prints what W&B would be sent, as JSON, and does without credential and network.
        console: where to print.

    Raises:
        UserError: where no sweep is named or there, and what `workspace.save` raises.
    """
    if name:
        experiments.load(name)  # or it is unknown
    names = [name] if name else sorted(path.parent.name for path in workdir.glob(f'*/{SWEEP_FILE}'))
    if not names:
        raise UserError(f'there is no sweep in {workdir}: name one by --sweep.')
    views = {each: _view(each, workdir / each, config) for each in names}
    if is_dry:
        specified = {each: workspace.specification(view) for each, view in views.items()}
        console.print(json.dumps(specified, indent=2, ensure_ascii=False), soft_wrap=True)
        return
    for each, view in views.items():
        address = workspace.save(view, config.wandb.entity, config.wandb.project)
        console.print(f'{each}: {address}', soft_wrap=True)


def _view(name: str, directory: Path, config: Config) -> View:
    experiment = experiments.load(name)
    charts: list[Chart] = []
    group = ''
    if (directory / SWEEP_FILE).exists():
        sweep = sweeps.load(directory)
        config, charts = sweep.config, charts_of(sweep, experiment.judged(sweep))
        if (directory / run_ids.ID_FILE).exists():
            group = run_ids.group(directory, name, config.data.name)
    else:
        config = ConfigDict(config.to_dict())
        set_defaults(config, experiment.defaults(config), ())
    code = ENGLISH.code
    told = [f'- {claim.sentence[code]} ({claim.source[code]})' for claim in experiment.CLAIMS]
    return View(
        sweep=name,
        group=group,
        title=experiment.TITLE,
        text='\n'.join([f'{experiment.CLAIM} ({experiment.SOURCE})', '', *told]),
        figures=sorted(path.stem for path in (directory / 'figures').glob('*.png')),
        quantities=[each for each in QUANTITIES.values() if _is_drawn(each, config)],
        charts=charts,
    )


def _is_drawn(quantity: Quantity, config: Config) -> bool:
    """Whether runs have its courses along the layers."""
    asked = ('', *config.probes.also, *['jacobians'] * config.probes.jacobians)
    return bool(config.probes.every_epochs and quantity.of) and quantity.probe in asked
