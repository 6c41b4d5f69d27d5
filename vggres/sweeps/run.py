"""Runs a cell: one training run, from its configuration to its directory."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from ml_collections import ConfigDict, FrozenConfigDict

from vggres import environment
from vggres.config import Config, network_spec, program
from vggres.data import datasets
from vggres.data.source import Content
from vggres.networks import torch_weights
from vggres.networks.network import Network
from vggres.probes import observation
from vggres.results import Observation, Outcome, Record, Result
from vggres.sweeps import lease, mirroring
from vggres.sweeps.attempt import Attempt, begin_attempt
from vggres.sweeps.cell import WEIGHTS_FILE, Cell
from vggres.sweeps.records import (
    METRICS_FILE,
    PROBES_FILE,
)
from vggres.tracking.wandb_run import Mirror
from vggres.training import deepening, inputs, programs, trainer
from vggres.training.checkpoint import Checkpoints
from vggres.training.programs import Images, Programs
from vggres.training.trainer import Listeners, Observer


@dataclass(frozen=True)
class Trained:
    """What a training run in this process came to.

    Attributes:
        outcome: how it ended.
        variables: the final weights, as `Network.apply` takes them: 'params' and 'batch_stats'.
        num_classes: the number of labels of its data set.
        image_shape: [height, width, channels] of the images.
        num_images: the number of images in each split.
        contents: the classes and the fingerprint of each split.
        steps: as in `results.Result`.
        validated_and_trained: the number of validation images that were trained on as well.
        parameters: the number of learnable parameters.
        compile_seconds: the time that compilation took; 0 where an earlier run of this process had
            compiled the same programs.
    """

    outcome: Outcome
    variables: dict
    num_classes: int
    image_shape: tuple[int, int, int]
    num_images: dict[str, int]
    contents: dict[str, Content]
    validated_and_trained: int
    steps: int
    parameters: int
    compile_seconds: float


def _ignore(*values: object) -> None:
    """Does nothing with what a cell tells."""


def run(
    cell: Cell,
    on_record: Callable[[Record], object] = _ignore,
    on_progress: Callable[[int, int], object] = _ignore,
    on_notice: Callable[[str], object] = _ignore,
    on_begin: Callable[[Callable[[float], bool]], object] = _ignore,
) -> Result:
    """Trains what a cell describes, and leaves the result in its directory.

    Cells of one network share its compiled programs within a process, whatever their seeds,
    learning rates and lengths. All cells share the data.

    Args:
        cell: the cell; its configuration is checked and has a resolved `wandb.mode`.
        on_record: called with a record after each epoch.
        on_progress: called with the number of updates done and that of the whole run, every few
            seconds.
        on_notice: called with a sentence about a file that is damaged, about mixed digits, or about
            another machine's lease that is watched.
        on_begin: called with a function that saves the run where it stands and gives the cell back:
            see `Checkpoints.save_on_request`. It may be called in another thread.

    Returns:
        What `result.json` says.

    Raises:
        TakenError: where another process trains the cell.
        LostError: where it was given back, or another process has taken it over, because this one
            seemed to be dead.
    """
    started = time.perf_counter()
    cell.directory.mkdir(parents=True, exist_ok=True)
    with lease.held(cell.directory, on_notice) as mine:
        if result := cell.result():  # another process was at work until now
            return result
        attempt = begin_attempt(cell, mine, on_notice)

        def save(timeout: float) -> bool:
            try:
                return attempt.checkpoints.save_on_request(timeout)
            finally:
                mine.release()  # whoever continues the cell need not wait for this process to end

        on_begin(save)
        with mirroring.begin(cell, on_notice) as mirror:
            mirroring.tell_earlier(mirror, cell)
            listeners = _listeners(cell, attempt, mirror, on_record, on_progress)
            with _saved_in_any_case(attempt.checkpoints):
                trained = train_in_process(_with_source(cell), listeners, attempt.checkpoints)
            result = _result(cell, trained, attempt, started)
            mirroring.tell_result(mirror, result, cell)
            mine.check()
            _save_weights(cell, trained)
            mine.check()
            cell.finish(result)  # the last file: the cell is done
            mine.check()
            attempt.checkpoints.remove()
            mirroring.keep_weights(mirror, cell)
    return result


@contextlib.contextmanager
def _saved_in_any_case(checkpoints: Checkpoints) -> Iterator[None]:
    """Saves where the run stands, as far as that is known, whatever ends it before its end."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            checkpoints.save_on_request(0.0)
        raise


def train_in_process(
    config: Config,
    listeners: Listeners | None = None,
    checkpoints: Checkpoints | None = None,
) -> Trained:
    """Trains what a configuration describes, in this process and without a directory.

    Args:
        config: a checked configuration.
        listeners: who is told what happens; None for nobody.
        checkpoints: where to go on from, and where to save; None saves nothing.

    Returns:
        The outcome and the final weights, with what they were measured on.

    Raises:
        UserError: for data or initial weights that are missing, or do not fit the network, and for
            a class without an image to train on.
    """
    shared = program(config)
    key = datasets.key(shared.data)
    data, contents = inputs.load(shared, key), inputs.contents(shared.data, key)
    datasets.check_classes(contents, shared.data)
    compile_started = time.perf_counter()
    compiled, observer = _programs(shared, key), _observer(shared, key)
    compile_seconds = time.perf_counter() - compile_started
    start = trainer.described_run(config, data.num_train, _weights(config, data))
    outcome, state = trainer.train(compiled, data, start, checkpoints, observer, listeners)
    return Trained(
        outcome,
        state.variables,
        data.num_classes,
        data.image_shape,
        data.num_images,
        contents,
        inputs.validated_and_trained(shared.data, key),
        int(state.step) if outcome.status == 'finished' else start.steps,
        compiled.parameters,
        compile_seconds,
    )


def _with_source(cell: Cell) -> Config:
    """The configuration of a cell; one that starts from another cell gets the file of that one."""
    source = cell.config.init.deepened_from
    if not source or source.endswith('.safetensors'):
        return cell.config
    config = ConfigDict(cell.config.to_dict())
    config.init.deepened_from = str(cell.workdir / 'cells' / source / WEIGHTS_FILE)
    return config


@functools.lru_cache(maxsize=1)
def _programs(config: FrozenConfigDict, key: str) -> Programs:
    return programs.build(config, inputs.load(config, key))


@functools.lru_cache(maxsize=1)
def _observer(config: FrozenConfigDict, key: str) -> Observer | None:
    return observation.build(config, inputs.load(config, key))


def _weights(config: Config, data: Images) -> dict | None:
    """The variables that the configuration starts from; None for random ones."""
    if config.init.deepened_from:
        return deepening.read(config, data)
    if not config.init.weights:
        return None
    return torch_weights.read(
        config.init.weights,
        network_spec(config),
        data.num_classes,
        channels=data.image_shape[2],
        new_head=config.init.new_head,
    )


def _listeners(
    cell: Cell,
    attempt: Attempt,
    mirror: Mirror,
    on_record: Callable[[Record], object],
    on_progress: Callable[[int, int], object],
) -> Listeners:
    """Writes down and mirrors what happens during training, and passes it on."""

    def record(entry: Record) -> None:
        attempt.records[METRICS_FILE].append(entry)
        mirroring.tell(mirror, entry, cell)
        on_record(entry)

    def observe(entry: Observation) -> None:
        if PROBES_FILE in attempt.records:
            attempt.records[PROBES_FILE].append(entry)
        mirroring.tell_observation(mirror, entry, cell)

    return Listeners(record, observe, on_progress)


def _result(cell: Cell, trained: Trained, attempt: Attempt, started: float) -> Result:
    """The result of a cell that began at `started`, by the clock of `time.perf_counter`."""
    return Result(
        **asdict(trained.outcome),
        **cell.coordinates(),
        steps=trained.steps,
        parameters=trained.parameters,
        num_classes=trained.num_classes,
        image_shape=trained.image_shape,
        num_images=trained.num_images,
        class_counts={name: list(each.class_counts) for name, each in trained.contents.items()},
        fingerprints={name: each.fingerprint for name, each in trained.contents.items()},
        validated_and_trained=trained.validated_and_trained,
        unknown_archive=datasets.unknown_archive(cell.config.data),
        seconds=time.perf_counter() - started,
        compile_seconds=trained.compile_seconds,
        peak_memory_mb=environment.peak_memory_mb(),
        hardware=environment.hardware(),
        git_commit=environment.git_commit(),
        versions=environment.versions(),
        attempts=attempt.number,
        mixed_with=attempt.mixed_with,
    )


def _save_weights(cell: Cell, trained: Trained) -> None:
    """Writes the final weights of a finished run, where the configuration asks for them."""
    if not cell.config.checkpoint.save_weights or trained.outcome.status != 'finished':
        return
    network = Network(cell.network_spec, trained.num_classes)
    state_dict = torch_weights.to_torch(network, trained.variables)
    description = torch_weights.describe(network, channels=trained.image_shape[2])
    torch_weights.save(cell.directory / WEIGHTS_FILE, state_dict, description)
