"""What a network costs on this machine, found by timing a few of its steps."""

import math
import time

import jax

from vggres import environment
from vggres.config import Config, program
from vggres.data import datasets
from vggres.probes import observation
from vggres.sweeps.cost import Cost
from vggres.training import devices, inputs, programs
from vggres.training.compiling import megabytes
from vggres.training.programs import Images, Programs
from vggres.training.trainer import Observer, Run, described_run

_LONG_ENOUGH_SECONDS = 1.0  # of updates in one dispatch, to time one of them
_EVALUATED_BATCHES = 4  # enough to time one of them


def estimate(config: Config) -> Cost:
    """Times some updates, evaluations and observations of a network on this machine's device.

    Args:
        config: the configuration of a cell.
    """
    shared = program(config)
    data = inputs.load(shared, datasets.key(shared.data))
    started = time.perf_counter()
    compiled = programs.build(shared, data)
    observer = observation.build(shared, data)
    compile_seconds = time.perf_counter() - started
    run = described_run(config, data.num_train)
    batch_size = programs.evaluation_batch_size(config, data.image_shape)
    return Cost(
        memory_mb=megabytes(compiled.train),
        compile_seconds=compile_seconds,
        step_seconds=_step_seconds(compiled, data, run),
        batch_seconds=_batch_seconds(compiled, data, batch_size),
        batch_size=batch_size,
        observation_seconds=_observation_seconds(compiled, observer, run) if observer else 0.0,
        process_mb=environment.peak_memory_mb(),
    )


def _step_seconds(compiled: Programs, data: Images, run: Run) -> float:
    """Times updates of the first epoch, twice as many each time, until they take long enough."""
    state, sums, order_key = compiled.init(0)
    epoch_stop = min(compiled.steps_per_epoch, run.steps)
    step, count, seconds = 0, 1, 0.0
    while step < epoch_stop:
        kept = jax.block_until_ready(devices.copied(state))  # training keeps one, too
        started = time.perf_counter()
        images, stop = data.training(order_key, step, min(step + count, epoch_stop))
        state, sums = compiled.train(state, sums, order_key, images, run.schedule, stop)
        done, step = int(state.step) - step, int(state.step)
        elapsed = time.perf_counter() - started
        seconds = elapsed / max(1, done)
        has_diverged = step < stop
        del kept
        if elapsed > _LONG_ENOUGH_SECONDS or has_diverged:
            break
        count *= 2
    return seconds


def _observation_seconds(compiled: Programs, observer: Observer, run: Run) -> float:
    """Times an observation; a first one warms up."""
    state, _, order_key = compiled.init(0)
    observer.observe(state, order_key, run.schedule)
    started = time.perf_counter()
    observer.observe(state, order_key, run.schedule)
    return time.perf_counter() - started


def _batch_seconds(compiled: Programs, data: Images, batch_size: int) -> float:
    """Times the evaluation of a few batches of the training set; a first time warms up."""
    state, _, _ = compiled.init(0)
    images, start, stop = next(iter(data.evaluation('train')))
    batches = min(_EVALUATED_BATCHES, math.ceil((stop - start) / batch_size))
    stop = min(stop, start + batches * batch_size)
    jax.block_until_ready(compiled.evaluate(state, images, start, stop))
    started = time.perf_counter()
    jax.block_until_ready(compiled.evaluate(state, images, start, stop))
    return (time.perf_counter() - started) / batches
