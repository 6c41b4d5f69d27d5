"""The one loop: steps, evaluation, records. Divergence is a result, not a crash."""

import math
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

from vggres.training.checkpoint import Checkpoints
from vggres.training.programs import DeviceData, Programs
from vggres.training.train_step import TrainState, with_weights

SECONDS_PER_DISPATCH = 2.0  # about as often progress can be shown
_FIRST_DISPATCH = 4  # steps, to learn how long one takes
_SEEDS_PER_DRAW = 100_000  # far from the seeds of a sweep


def train(
    programs: Programs,
    device_data: DeviceData,
    seed: int,
    every_epochs: int,
    checkpoints: Checkpoints,
    weights: dict | None = None,
    scheme: str = 'he',
    draws: int = 1,
    on_record: Callable[[dict], None] = lambda record: None,
    on_observation: Callable[[dict], None] = lambda observation: None,
    on_progress: Callable[[int, int], None] = lambda step, total: None,
) -> tuple[dict, TrainState]:
    """Trains one network from its seed, or from its newest checkpoint, to the end.

    Args:
        programs: the compiled network and protocol.
        device_data: what they train on and evaluate.
        seed: of initialisation, order and augmentation.
        every_epochs: epochs between two evaluations; after the last step there always is one.
        checkpoints: where to go on from, and where to save at the ends of epochs.
        weights: variables to start from (see `train_step.with_weights`).
        scheme: of random weights (see `initialisation.rescaled`).
        draws: random weights, with an order of the data each, to observe before the first update;
            the run's own are the first.
        on_record: called after each epoch with a record: `epoch` (fractional where training ends
            within one), `step`, `learning_rate` of the last update; `gradient_norm`, `batch/loss`
            and `batch/error`, means over the epoch's batches as trained on; `images_per_second` of
            training; and where evaluated, in evaluation mode on whole clean splits, `train/loss`,
            `train/error`, `validation/loss` and `validation/error`. Errors are in percent.
        on_observation: called before the first update, every so many epochs and, unless it
            diverges, after the last update, where the programs observe: with `epoch`, `step`,
            `draw` (0 for the run's own weights) and what they found.
        on_progress: called with (updates done, updates in all) every few seconds.

    Returns:
        The outcome and the last state. The outcome: `status` 'finished' or 'diverged',
        `diverged_at_step` (None or updates done when the loss or the gradient was no longer
        finite), and of the final weights `train_error`, `validation_error`, `test_error` in percent
        with `train_loss`, `validation_loss` and `test_loss`. Diverged, the errors are those of
        guessing, 100·(1 − 1/classes), and the losses None.
    """
    per_epoch, total = programs.steps_per_epoch, programs.total_steps
    state, zeros, order_key = programs.init(seed, scheme)
    state = with_weights(state, weights) if weights else state
    state = checkpoints.restore(state)
    step, chunk = int(state.step), _FIRST_DISPATCH

    def observe(state: TrainState, order_key: jax.Array, draw: int = 0) -> None:
        found = programs.observe(state, order_key, *device_data.arrays)
        on_observation({'epoch': _epoch(step, per_epoch), 'step': step, 'draw': draw} | found)

    if programs.observe and step == 0:
        observe(state, order_key)
        for draw in range(1, draws):
            other, _, other_key = programs.init(seed + draw * _SEEDS_PER_DRAW, scheme)
            observe(other, other_key, draw)
    while step < total:
        epoch_start, epoch_stop = step, min(step + per_epoch, total)
        sums, seconds = {name: jnp.copy(zero) for name, zero in zeros.items()}, 0.0
        while step < epoch_stop:
            stop = min(step + chunk, epoch_stop)
            started = time.perf_counter()
            state, sums = programs.train(state, sums, order_key, *device_data.arrays, stop)
            done, step = int(state.step) - step, int(state.step)
            elapsed = time.perf_counter() - started
            seconds += elapsed
            chunk = max(1, int(SECONDS_PER_DISPATCH * done / elapsed))
            on_progress(step, total)
            if step < stop:
                return _diverged(step, device_data.num_classes), state

        epoch = _epoch(step, per_epoch)
        means = {name: float(value) / (step - epoch_start) for name, value in sums.items()}
        if not math.isfinite(means['loss'] + means['gradient_norm']):
            return _diverged(step, device_data.num_classes), state
        record = {
            'epoch': epoch,
            'step': step,
            'learning_rate': float(programs.learning_rate(step - 1)),
            'gradient_norm': means['gradient_norm'],
            'batch/loss': means['loss'],
            'batch/error': means['error'],
            'images_per_second': (step - epoch_start) * programs.batch_size / seconds,
        }
        if step == total or epoch % every_epochs == 0:
            for split in ('train', 'validation'):
                loss, error = _evaluate(programs, device_data, state, split)
                record |= {f'{split}/loss': loss, f'{split}/error': error}
        on_record(record)
        if programs.observe and (step == total or epoch % programs.observe_every == 0):
            observe(state, order_key)
        if step < total:
            checkpoints.save_now_and_then(state)

    test_loss, test_error = _evaluate(programs, device_data, state, 'test')
    if not math.isfinite(record['train/loss'] + record['validation/loss'] + test_loss):
        return _diverged(step, device_data.num_classes), state  # by the last update
    outcome = {
        'status': 'finished',
        'diverged_at_step': None,
        'train_error': record['train/error'],
        'validation_error': record['validation/error'],
        'test_error': test_error,
        'train_loss': record['train/loss'],
        'validation_loss': record['validation/loss'],
        'test_loss': test_loss,
    }
    return outcome, state


def _epoch(step: int, per_epoch: int) -> int | float:
    epoch = step / per_epoch
    return int(epoch) if epoch.is_integer() else epoch


def _evaluate(
    programs: Programs, device_data: DeviceData, state: TrainState, split: str
) -> tuple[float, float]:
    start, stop = device_data.ranges[split]
    loss, wrong = programs.evaluate(state, *device_data.arrays, start, stop)
    return float(loss) / (stop - start), 100 * int(wrong) / (stop - start)


def _diverged(step: int, num_classes: int) -> dict:
    guessing = 100 * (1 - 1 / num_classes)
    return {
        'status': 'diverged',
        'diverged_at_step': step,
        'train_error': guessing,
        'validation_error': guessing,
        'test_error': guessing,
        'train_loss': None,
        'validation_loss': None,
        'test_loss': None,
    }
