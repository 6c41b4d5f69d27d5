"""What is compiled once for a network and serves each of its seeds, rates and budgets."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import FrozenConfigDict

from vggres.config import Config, network_spec, steps_per_epoch
from vggres.data import batches
from vggres.data.resident import ResidentData
from vggres.data.stream import Stream
from vggres.networks import initialisation, spec
from vggres.networks.network import Network
from vggres.training import devices
from vggres.training.compiling import compile_quickly, compile_well
from vggres.training.loops import Batching, DeviceData, Metrics, evaluate_range, train_until
from vggres.training.optimizer import OptimizerConfig, Schedule, optimizer, some_schedule
from vggres.training.train_step import TrainState, eval_step, init_state, train_step

Images = ResidentData | Stream  # a data set, as it reaches the device
# What is evaluated at once where the device does not tell its memory: a CPU's caches like it.
_EVALUATED_AT_ONCE = 256
_MOST_EVALUATED_AT_ONCE = 4096
_OUTPUTS_IN_MEMORY = 16  # of the largest layer, float32, while a batch is evaluated


@dataclass(frozen=True)
class Programs:
    """The compiled functions of one network, and what the host must know.

    Attributes:
        init: (seed, scheme='he') → (state, zero sums, order key), where the scheme of the weights
            is one of `initialisation.SCHEMES`, and the order key decides order, augmentation and
            dropout.
        train: (state, sums, order key, data, schedule, stop) → (state, sums): see `train_run`. The
            state and the sums given are used up.
        evaluate: (state, data, start, stop) → (summed loss, number of wrong images): see
            `loops.evaluate_range`.
        steps_per_epoch: the number of updates in a pass over the training set.
        batch_size: the number of images in an update.
        parameters: the number of learnable parameters.
    """

    init: Callable[..., tuple[TrainState, Metrics, jax.Array]]
    train: jax.stages.Compiled
    evaluate: jax.stages.Compiled
    steps_per_epoch: int
    batch_size: int
    parameters: int


class Functions(NamedTuple):
    """The functions of `Programs`, not compiled yet; `init` is `init_run`."""

    init: Callable[..., tuple[TrainState, Metrics, jax.Array]]
    train: Callable[..., tuple[TrainState, Metrics]]
    evaluate: Callable[..., tuple[jax.Array, jax.Array]]


def build(config: FrozenConfigDict, data: Images) -> Programs:
    """Compiles the programs of a network; seed, learning rate and length of the run stay open.

    Args:
        config: the part of a configuration that `vggres.config.program` selects.
        data: the data set whose images the programs will be called with.

    Raises:
        UserError: for batches that the devices cannot share evenly.
    """
    devices.check_batch(config.train.batch_size)
    init, train, evaluate = functions(config, data)
    state, sums, order_key = devices.shapes(jax.eval_shape(init, 0, 0))
    train_on, evaluate_on = data.training_shapes(), data.evaluation_shapes()
    schedule = some_schedule(config.optimizer)
    jitted = devices.jit(train, donate_argnums=(0, 1))
    lowered = jitted.lower(state, sums, order_key, train_on, schedule, 0)
    return Programs(
        init=_with_scheme(compile_quickly(devices.jit(init).lower(0, 0))),
        train=compile_well(lowered),
        evaluate=compile_well(devices.jit(evaluate).lower(state, evaluate_on, 0, 1)),
        steps_per_epoch=steps_per_epoch(config, data.num_train),
        batch_size=config.train.batch_size,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
    )


def evaluate_split(
    evaluate: Callable[..., tuple[jax.Array, jax.Array]],
    data: Images,
    state: TrainState,
    split: str,
) -> tuple[float, int]:
    """Evaluates a whole split.

    Args:
        evaluate: as `Programs.evaluate`.
        data: the data set.
        state: the state to evaluate.
        split: one of the names in `source.SPLITS`.

    Returns:
        The summed loss and the number of images that are classified wrongly. They are the same to
        the last bit, whether the images are on the device or come in batches.
    """
    loss, wrong = np.float32(0), 0
    for images, start, stop in data.evaluation(split):
        of_images, wrong_images = evaluate(state, images, start, stop)
        loss, wrong = loss + np.float32(of_images), wrong + int(wrong_images)
    return float(loss), wrong


def _with_scheme(
    init: Callable[[int, int], tuple[TrainState, Metrics, jax.Array]],
) -> Callable[..., tuple[TrainState, Metrics, jax.Array]]:
    """`Programs.init`: it knows schemes by name, and one compiled program serves all of them.

    What it draws by He's scheme is given the structure of the other schemes on the host.
    """

    def init_scheme(seed: int, scheme: str = 'he') -> tuple[TrainState, Metrics, jax.Array]:
        if scheme not in initialisation.STRUCTURED:
            return init(seed, initialisation.index(scheme))
        state, sums, order_key = init(seed, initialisation.index('he'))
        drawn = jax.tree.map(np.asarray, state.params)
        params = jax.tree.map(jnp.array, initialisation.structured(drawn, scheme))
        return state.replace(params=devices.replicate(params)), sums, order_key

    return init_scheme


def functions(config: FrozenConfigDict, data: Images) -> Functions:
    """The functions that `build` compiles (its arguments are the same)."""
    network = described_network(config, data.num_classes)
    sgd = optimizer(config.optimizer, some_schedule(config.optimizer), network.spec)
    return Functions(
        init=partial(init_run, network=network, optimizer=sgd, image_shape=data.image_shape),
        train=partial(
            train_run,
            network=network,
            optimizer_config=config.optimizer,
            batching=batching(config),
        ),
        evaluate=partial(
            evaluate_range,
            step=partial(eval_step, network=network),
            batch_size=evaluation_batch_size(config, data.image_shape),
        ),
    )


def described_network(config: Config, num_classes: int) -> Network:
    """The network that a configuration describes.

    Args:
        config: the part of a configuration that `vggres.config.program` selects.
        num_classes: the number of labels.
    """
    dtype = jnp.dtype(config.model.compute_dtype)
    return Network(network_spec(config), num_classes, dtype, config.model.remat)


def batching(config: FrozenConfigDict) -> Batching:
    """How a configuration cuts the training set into batches and augments them."""
    augment = partial(
        batches.augment,
        crop_padding=config.data.crop_padding,
        flip=config.data.flip,
        color_noise=config.data.color_noise,
    )
    return Batching(config.train.batch_size, augment)


def evaluation_batch_size(config: Config, image_shape: tuple[int, int, int]) -> int:
    """The number of images that are evaluated at once.

    It is the configured number or, where that is 0, one that suits the default device: 256 on a
    CPU, and elsewhere a power of two up to 4096 for which sixteen float32 outputs of the largest
    layer fit into the device's memory. Several devices share the images evenly, for which the
    number is rounded up; the results do not depend on it.
    """
    return devices.rounded_up(_evaluated_at_once(config, image_shape))


def _evaluated_at_once(config: Config, image_shape: tuple[int, int, int]) -> int:
    if config.evaluation.batch_size:
        return config.evaluation.batch_size
    device = jax.local_devices()[0]
    memory = (device.memory_stats() or {}).get('bytes_limit') if device.platform != 'cpu' else None
    if not memory:
        return _EVALUATED_AT_ONCE
    layers = spec.layers(network_spec(config), image_shape, num_classes=1)
    largest = max(layer.pixels * layer.shape[-1] for layer in layers)
    float32_bytes = 4
    fitting = memory // (_OUTPUTS_IN_MEMORY * float32_bytes * largest)
    power_of_two = 2 ** max(0, fitting.bit_length() - 1)
    return min(power_of_two, _MOST_EVALUATED_AT_ONCE)


def init_run(
    seed: jax.Array | int,
    scheme: jax.Array | int,
    *,
    network: Network,
    optimizer: optax.GradientTransformation,
    image_shape: tuple[int, int, int],
) -> tuple[TrainState, Metrics, jax.Array]:
    """Draws a fresh state; with it come metric sums of zero and the order key.

    Args:
        seed: it decides the weights and the order key.
        scheme: the `initialisation.index` of the scheme of the weights; it may be traced.
        network: the network to train.
        optimizer: the optimiser whose state is created; the state does not depend on its rate.
        image_shape: [height, width, channels].
    """
    init_key, order_key = jax.random.split(jax.random.key(seed))
    sums = {name: jnp.zeros(()) for name in ('loss', 'error', 'gradient_norm')}
    state = init_state(init_key, network, optimizer, image_shape)
    params = initialisation.rescaled(state.params, scheme)
    return state.replace(params=params), sums, order_key


def train_run(
    state: TrainState,
    sums: Metrics,
    order_key: jax.Array,
    data: DeviceData,
    schedule: Schedule,
    stop: jax.Array | int,
    *,  # a program is called with the six above; the three below are fixed before it is compiled
    network: Network,
    optimizer_config: OptimizerConfig,
    batching: Batching,
) -> tuple[TrainState, Metrics]:
    """Does updates by SGD: see `loops.train_until`.

    Args:
        state: the state before the first update.
        sums: the sums of the epoch's metrics so far.
        order_key: the random key that decides order, augmentation and dropout.
        data: the training set, and more.
        schedule: the learning rate against updates done.
        stop: the number of updates to have done, in the same epoch.
        network: the network to train.
        optimizer_config: the `optimizer` part of a configuration.
        batching: how the training set is cut into batches.

    Returns:
        The state and the sums after the last update.
    """
    sgd = optimizer(optimizer_config, schedule, network.spec)
    update = partial(train_step, network=network, optimizer=sgd)
    return train_until(state, sums, order_key, data, stop, update=update, batching=batching)
