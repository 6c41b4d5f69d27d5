"""Runs a cell: one training run, from its configuration to its directory."""

import contextlib
import functools
import time
from collections.abc import Callable

from flax import traverse_util
from matplotlib.figure import Figure
from ml_collections import ConfigDict, FrozenConfigDict

from vggres import config as configuration
from vggres import environment
from vggres.data import tfds
from vggres.figures import layers
from vggres.files import write_json
from vggres.networks import torch_weights
from vggres.networks.network import Network
from vggres.probes.quantities import QUANTITIES
from vggres.results import Observation
from vggres.sweeps.cell import CONFIG_FILE, RESULT_FILE, WEIGHTS_FILE, Cell
from vggres.tracking import wandb_run
from vggres.training import programs, trainer
from vggres.training.checkpoint import Checkpoints


def run(
    cell: Cell,
    on_record: Callable[[dict], None] = lambda record: None,
    on_progress: Callable[[int, int], None] = lambda step, total: None,
) -> dict:
    """Trains what the cell describes and leaves the result in its directory.

    In one process, cells of one network share its compiled programs, and all share the data.

    Args:
        cell: its configuration checked and with a resolved wandb.mode.
        on_record: called with each record of `trainer.train`.
        on_progress: called with (updates done, updates in all).

    Returns:
        The content of `result.json`: see `trainer.train`, and what ran where for how long.
    """
    started = time.perf_counter()
    config, directory = cell.config, cell.directory
    directory.mkdir(parents=True, exist_ok=True)
    write_json(directory / CONFIG_FILE, config.to_dict())
    checkpoints = Checkpoints(directory / 'checkpoints', config.checkpoint.every_seconds)
    step = checkpoints.latest_step()
    metrics_file = wandb_run.MetricsFile(directory, step)
    if config.probes.every_epochs:
        probes_file = wandb_run.MetricsFile(directory, step, wandb_run.PROBES_FILE)
    mirror = wandb_run.Mirror(
        config,
        cell.workdir,
        name=cell.id,
        group=cell.sweep,
        job_type='cell',
        tags=(config.data.name, config.model.family, f'depth{config.model.depth}'),
    )

    def record(values: dict) -> None:
        metrics_file.log(values)
        mirror.log(values)
        on_record(values)

    def observe(values: dict) -> None:
        probes_file.log(values)
        mirror_observation(values)

    def mirror_observation(values: dict) -> None:
        if values['draw'] == 0:
            mirror.log(traverse_util.flatten_dict(values, sep='/'))

    with mirror:
        for earlier in wandb_run.read_metrics(directory):
            mirror.log(earlier)
        if config.probes.every_epochs:
            for earlier in wandb_run.read_metrics(directory, wandb_run.PROBES_FILE):
                mirror_observation(earlier)
        shared = configuration.program(config)
        device_data = _device_data(shared.data)
        compile_started = time.perf_counter()
        compiled = _programs(shared)
        compile_seconds = time.perf_counter() - compile_started
        outcome, state = trainer.train(
            compiled,
            device_data,
            config.seed,
            config.evaluation.every_epochs,
            checkpoints,
            weights=_initial_weights(config, device_data),
            scheme=config.init.scheme,
            draws=config.probes.draws,
            on_record=record,
            on_observation=observe,
            on_progress=on_progress,
        )
        result = {
            **cell.describe(),
            **outcome,
            'steps': compiled.total_steps,
            'parameters': compiled.parameters,
            'image_shape': list(device_data.images.shape[1:]),
            'seconds': time.perf_counter() - started,
            'compile_seconds': compile_seconds,
            'peak_memory_mb': environment.peak_memory_mb(),
            'hardware': environment.hardware(),
            'git_commit': environment.git_commit(),
            'versions': environment.versions(),
        }
        mirror.summarise(result)
        if config.probes.every_epochs and mirror.run:
            with mirror.guard():
                rows = wandb_run.read_metrics(directory, wandb_run.PROBES_FILE)
                mirror.log_pictures(_pictures([row for row in rows if row['draw'] == 0]))
        if config.checkpoint.save_weights and outcome['status'] == 'finished':
            network = Network(configuration.network_spec(config), device_data.num_classes)
            variables = {'params': state.params, 'batch_stats': state.batch_stats}
            torch_weights.save(directory / WEIGHTS_FILE, torch_weights.to_torch(network, variables))
        write_json(directory / RESULT_FILE, result)
        checkpoints.remove()
    return result


def _pictures(observations: list[dict]) -> dict[str, Figure]:
    """Of each quantity a heat map, layer × epoch, and its curves over the layers."""
    drawn = {}
    rows = [Observation(each['epoch'], each['step'], each['draw'], each) for each in observations]
    for name, quantity in QUANTITIES.items():
        with contextlib.suppress(ValueError):  # nothing to draw of it
            shown = (rows, name, quantity.title, quantity.of)
            drawn[f'heat_map/{name}'] = layers.layer_heat_map(*shown)
            drawn[f'by_layer/{name}'] = layers.quantity_by_layer(*shown)
    return drawn


@functools.lru_cache(maxsize=1)
def _device_data(config: FrozenConfigDict) -> programs.DeviceData:
    num_classes = tfds.describe(config).num_classes
    return programs.to_device(tfds.load(config), num_classes, config.normalisation)


@functools.lru_cache(maxsize=1)
def _programs(config: FrozenConfigDict) -> programs.Programs:
    return programs.build(config, _device_data(config.data))


def _initial_weights(config: ConfigDict, device_data: programs.DeviceData) -> dict | None:
    if not config.init.weights:
        return None
    return torch_weights.read(
        config.init.weights,
        configuration.network_spec(config),
        device_data.num_classes,
        channels=device_data.images.shape[3],
        new_head=config.init.new_head,
    )
