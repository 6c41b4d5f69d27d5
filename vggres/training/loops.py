"""What runs inside jit: updates in a loop, evaluation in a loop, and the batch of an update.

Steps run on the device in a while loop, so that one dispatch holds up to an epoch, and nothing is
fetched inside. The sums of an epoch's metrics travel with the state: the number of dispatches into
which an epoch is cut changes no result.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from vggres.data import batches
from vggres.data.resident import ResidentData, TakeBatch
from vggres.data.stream import Chunk
from vggres.training import devices
from vggres.training.train_step import TrainState

Metrics = dict[str, jax.Array]
Augment = Callable[[jax.Array, jax.Array], jax.Array]  # (images, key) → images
Batch = tuple[jax.Array, jax.Array, jax.Array]
DeviceData = ResidentData | Chunk  # what a program computes with


@dataclass(frozen=True)
class Batching:
    """How the training set is cut into batches.

    Attributes:
        size: the number of images in an update.
        augment: (images, key) → images.
    """

    size: int
    augment: Augment


def train_until(
    state: TrainState,
    sums: Metrics,
    order_key: jax.Array,
    data: DeviceData,
    stop: jax.Array | int,
    *,  # a program is called with the five above; the two below are fixed before it is compiled
    update: Callable[..., tuple[TrainState, Metrics]],
    batching: Batching,
) -> tuple[TrainState, Metrics]:
    """Does updates until `state.step` is `stop` or a metric is no longer finite.

    Args:
        state: the state before the first update.
        sums: the sums of the epoch's metrics so far, 'loss' and 'gradient_norm' among them.
        order_key: the random key that decides order, augmentation and dropout.
        data: the training set, and more.
        stop: the number of updates to have done, in the same epoch.
        update: (state, images, labels, key) → (state, metrics).
        batching: how the training set is cut into batches.

    Returns:
        The state and the sums after the last update.
    """
    take = data.in_order(order_key, state.step, batching.size)

    def unfinished(carry: tuple[TrainState, Metrics]) -> jax.Array:
        state, sums = carry
        return (state.step < stop) & jnp.isfinite(sums['loss'] + sums['gradient_norm'])

    def one_step(carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
        state, sums = carry
        batch = _batch(state.step, take, order_key, data, batching)
        state, metrics = update(state, *batch)
        return state, jax.tree.map(jnp.add, sums, metrics)

    return jax.lax.while_loop(unfinished, one_step, (state, sums))


def next_batch(
    step: jax.Array, order_key: jax.Array, data: DeviceData, batching: Batching
) -> Batch:
    """Gathers the batch of the update that comes after `step` updates.

    Returns:
        Images [batch, height, width, channels] float32, normalised and augmented; labels [batch]
        int32; and the random key of what dropout drops.
    """
    take = data.in_order(order_key, step, batching.size)
    return _batch(step, take, order_key, data, batching)


def evaluate_range(
    state: TrainState,
    data: DeviceData,
    start: jax.Array | int,
    stop: jax.Array | int,
    *,
    step: Callable[..., tuple[jax.Array, jax.Array]],
    batch_size: int,
) -> tuple[jax.Array, jax.Array]:
    """Sums the cross-entropy of the images from `start` to `stop`, and counts the wrong ones.

    Args:
        state: the state to evaluate.
        data: the images and labels.
        start: the position of the first image.
        stop: one past the position of the last image.
        step: (state, images, labels) → (loss [batch], wrong [batch]).
        batch_size: the number of images evaluated at once; the result does not depend on it.

    Returns:
        The summed loss, float32, and the number of images that are classified wrongly, int32.
    """

    def add_batch(i: jax.Array, sums: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        positions = start + i * batch_size + jnp.arange(batch_size)
        index = data.index_of(jnp.minimum(positions, stop - 1))
        images = devices.divided(data.images[index])
        batch = batches.normalise(images, data.mean, data.deviation)
        loss, wrong = step(state, batch, devices.divided(data.labels[index]))
        counts = positions < stop  # the last batch is filled up by repeating an image
        return sums[0] + jnp.sum(loss * counts), sums[1] + jnp.sum(wrong & counts, dtype=jnp.int32)

    num_batches = (stop - start + batch_size - 1) // batch_size
    zeros = (jnp.zeros(()), jnp.zeros((), jnp.int32))
    return jax.lax.fori_loop(0, num_batches, add_batch, zeros)


def _batch(
    step: jax.Array, take: TakeBatch, order_key: jax.Array, data: DeviceData, batching: Batching
) -> Batch:
    images, labels = devices.divided(take(step))
    keys = batches.keys(order_key)
    crop, drop = (jax.random.fold_in(key, step) for key in (keys.augment, keys.dropout))
    normal = batches.normalise(images, data.mean, data.deviation)
    return devices.divided(batching.augment(normal, crop)), labels, drop
