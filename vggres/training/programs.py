"""What is compiled once for a network and serves each of its seeds.

Steps run on the device in a while loop, so that one dispatch holds up to an epoch; nothing is
fetched inside. The sums of an epoch's metrics travel with the state: into how many dispatches an
epoch is cut changes no number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import FrozenConfigDict

from vggres import config as configuration
from vggres import environment
from vggres.data import batches, tfds
from vggres.networks import spec
from vggres.networks.network import Network
from vggres.probes import jacobian, layers
from vggres.training.optimizer import learning_rate_schedule, optimizer
from vggres.training.train_step import TrainState, eval_step, init_state, train_step

Metrics = dict[str, jax.Array]


@dataclass(frozen=True)
class DeviceData:
    """All splits in one device array, so that one program evaluates each of them.

    Attributes:
        images: [n, height, width, channels] uint8, the splits one after another, `train` first.
        labels: [n] int32.
        mean: [height, width, channels] float32, subtracted from images in [0, 1].
        deviation: [1, 1, channels] float32, what is left is divided by it.
        ranges: of each split, its first image and one past its last.
        num_classes: number of labels.
    """

    images: jax.Array
    labels: jax.Array
    mean: jax.Array
    deviation: jax.Array
    ranges: dict[str, tuple[int, int]]
    num_classes: int

    @property
    def arrays(self) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """What the programs take."""
        return self.images, self.labels, self.mean, self.deviation


def to_device(
    splits: dict[str, tfds.Split], num_classes: int, normalisation: str = 'mean_image'
) -> DeviceData:
    """Puts the splits on the default device; `normalisation` as in `batches.statistics`."""
    mean, deviation = batches.statistics(splits['train'].images, normalisation)
    ends = np.cumsum([len(splits[name].labels) for name in tfds.SPLITS]).tolist()
    return DeviceData(
        images=jnp.asarray(np.concatenate([splits[name].images for name in tfds.SPLITS])),
        labels=jnp.asarray(np.concatenate([splits[name].labels for name in tfds.SPLITS])),
        mean=jnp.asarray(mean),
        deviation=jnp.asarray(deviation),
        ranges=dict(zip(tfds.SPLITS, zip([0, *ends[:-1]], ends, strict=True), strict=True)),
        num_classes=num_classes,
    )


@dataclass(frozen=True)
class Programs:
    """Compiled functions of one network under one protocol, and what the host must know of it.

    Attributes:
        init: (seed, scheme='he') → (state, zero sums, order key).
        train: (state, sums, order key, images, labels, mean, deviation, stop) → (state, sums).
        evaluate: (state, images, labels, mean, deviation, start, stop) → (summed loss, number
            wrong).
        observe: (state, order key, images, labels, mean, deviation) → of each of
            `layers.QUANTITIES`, and of `jacobian.QUANTITIES` where `config.probes` asks for them,
            the values by layer, in the update that comes next; None where it asks for none.
        observe_every: epochs between two observations.
        learning_rate: updates done → learning rate.
        steps_per_epoch: updates in a pass over the training set.
        total_steps: updates in the whole run.
        batch_size: images in an update.
        parameters: learnable ones.
    """

    init: Callable
    train: Callable
    evaluate: Callable
    observe: Callable[..., dict[str, dict[str, float]]] | None
    observe_every: int
    learning_rate: optax.Schedule
    steps_per_epoch: int
    total_steps: int
    batch_size: int
    parameters: int


def build(config: FrozenConfigDict, device_data: DeviceData) -> Programs:
    """Compiles what `config.program` says of a network and its protocol; the seed stays open."""
    init, train, evaluate, learning_rate = functions(config, device_data)
    state, sums, order_key = jax.eval_shape(init, 0)
    arrays = device_data.arrays
    lowered = jax.jit(train, donate_argnums=(0, 1)).lower(state, sums, order_key, *arrays, 0)
    per_epoch, total_steps = configuration.steps(config, device_data.ranges['train'][1])
    compiled_init = compile_quickly(jax.jit(init).lower(0, 0))
    every = config.probes.every_epochs

    def init_scheme(seed: int, scheme: str = 'he') -> tuple[TrainState, Metrics, jax.Array]:
        return compiled_init(seed, configuration.INIT_SCHEMES.index(scheme))

    return Programs(
        init=init_scheme,
        train=compile_well(lowered),
        evaluate=compile_well(jax.jit(evaluate).lower(state, *arrays, 0, 1)),
        observe=_observe(config, device_data, state, order_key) if every else None,
        observe_every=every,
        learning_rate=learning_rate,
        steps_per_epoch=per_epoch,
        total_steps=total_steps,
        batch_size=config.train.batch_size,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
    )


def _observe(
    config: FrozenConfigDict, device_data: DeviceData, state: TrainState, order_key: jax.Array
) -> Callable[..., dict[str, dict[str, float]]]:
    described, names = configuration.network_spec(config), configuration.observed_names(config)
    observe = jax.jit(observation(config, device_data))
    compiled = compile_well(observe.lower(state, order_key, *device_data.arrays))
    return lambda *arguments: layers.by_name(compiled(*arguments), described, names)


def compile_well(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    """Compiles what runs often.

    One library of XLA:CPU computes convolutions faster than the other, but on one core only; where
    there are more, convolutions are left to the other.
    """
    if jax.default_backend() == 'cpu' and len(environment.cores()) > 1:
        kinds = 'LIBRARY_FUSION_TYPE_DOT,LIBRARY_FUSION_TYPE_REDUCE'
        return _compile(lowered, {'xla_cpu_experimental_ynn_fusion_type': kinds})
    return lowered.compile()


def compile_quickly(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    """Compiles what runs once: random numbers take XLA:CPU long to optimise, not to compute."""
    options = {'xla_backend_optimization_level': 0} if jax.default_backend() == 'cpu' else {}
    return _compile(lowered, options)


def _compile(lowered: jax.stages.Lowered, options: dict) -> jax.stages.Compiled:
    try:
        return lowered.compile(options)
    except jax.errors.JaxRuntimeError as error:
        if 'INVALID_ARGUMENT' not in str(error):
            raise
        return lowered.compile()  # another release of XLA, without these options


def functions(
    config: FrozenConfigDict, device_data: DeviceData
) -> tuple[Callable, Callable, Callable, optax.Schedule]:
    """`init`, `train`, `evaluate` and `learning_rate` of `Programs`, not compiled yet."""
    num_train = device_data.ranges['train'][1]
    network, sgd, schedule = parts(config, device_data.num_classes, num_train)
    init = partial(
        init_run, network=network, optimizer=sgd, image_shape=device_data.images.shape[1:]
    )
    train = partial(
        train_until,
        update=partial(train_step, network=network, optimizer=sgd),
        num_train=num_train,
        batch_size=config.train.batch_size,
        augment=augmentation(config),
    )
    evaluate = partial(
        evaluate_range,
        step=partial(eval_step, network=network),
        batch_size=evaluation_batch_size(config, device_data.images.shape[1:]),
    )
    return init, train, evaluate, schedule


def observation(config: FrozenConfigDict, device_data: DeviceData) -> Callable:
    """(state, order key, images, labels, mean, deviation) → what `probes` and `jacobian` find."""
    num_train, batch_size = device_data.ranges['train'][1], config.train.batch_size
    network, sgd, _ = parts(config, device_data.num_classes, num_train)
    augment = augmentation(config)

    def observe_next(state: TrainState, order_key: jax.Array, *arrays: jax.Array) -> layers.Stacked:
        order = _order(order_key, state.step, num_train, batch_size)
        batch = _batch(state.step, order, order_key, *arrays, batch_size, augment)
        found = layers.observe(state, *batch, network=network, optimizer=sgd)
        if config.probes.jacobians:
            found |= jacobian.observe(state, *batch, network=network)
        return found

    return observe_next


def evaluation_batch_size(config: FrozenConfigDict, image_shape: tuple[int, int, int]) -> int:
    """Images evaluated at once: as configured, or for 0 what suits the default device.

    On a CPU 256, which its caches like; elsewhere a power of two up to 4096, so that sixteen
    outputs of the largest layer fit into the device's memory.
    """
    if config.evaluation.batch_size:
        return config.evaluation.batch_size
    device = jax.local_devices()[0]
    memory = (device.memory_stats() or {}).get('bytes_limit') if device.platform != 'cpu' else None
    if not memory:
        return 256
    layers = spec.layers(configuration.network_spec(config), image_shape, num_classes=1)
    largest = max(layer.pixels * layer.shape[-1] for layer in layers)
    fitting = memory // (16 * 4 * largest)
    return 2 ** max(0, min(12, fitting.bit_length() - 1))


def parts(
    config: FrozenConfigDict, num_classes: int, num_train: int
) -> tuple[Network, optax.GradientTransformation, optax.Schedule]:
    """The network, its optimizer, and the learning rate in it."""
    described = configuration.network_spec(config)
    dtype = jnp.dtype(config.model.compute_dtype)
    _, total_steps = configuration.steps(config, num_train)
    schedule = learning_rate_schedule(config.optimizer, total_steps, described.depth)
    network = Network(described, num_classes, dtype, config.model.remat)
    return network, optimizer(config.optimizer, schedule), schedule


def augmentation(config: FrozenConfigDict) -> Callable:
    """(images, key) → images, as `config.data` has it."""
    return partial(batches.augment, crop_padding=config.data.crop_padding, flip=config.data.flip)


def init_run(
    seed: jax.Array,
    scheme: int | jax.Array = 0,
    *,
    network: Network,
    optimizer: optax.GradientTransformation,
    image_shape: tuple[int, int, int],
) -> tuple[TrainState, Metrics, jax.Array]:
    """A fresh state, metric sums of zero, and the key of order, augmentation and dropout."""
    init_key, order_key = jax.random.split(jax.random.key(seed))
    sums = {name: jnp.zeros(()) for name in ('loss', 'error', 'gradient_norm')}
    state = init_state(init_key, network, optimizer, image_shape, scheme)
    return state, sums, order_key


def train_until(
    state: TrainState,
    sums: Metrics,
    order_key: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    mean: jax.Array,
    deviation: jax.Array,
    stop: jax.Array,
    *,
    update: Callable,
    num_train: int,
    batch_size: int,
    augment: Callable,
) -> tuple[TrainState, Metrics]:
    """Updates until `state.step` is `stop`, in the same epoch, or a metric is not finite.

    Args:
        state: before the first update.
        sums: of the epoch's metrics so far.
        order_key: decides order, augmentation and dropout.
        images: [n, height, width, channels] uint8, the first `num_train` of them to train on.
        labels: [n] int32.
        mean: [height, width, channels], subtracted.
        deviation: [1, 1, channels], divided by.
        stop: updates to have done.
        update: (state, images, labels, key) → (state, metrics).
        num_train: size of the training set.
        batch_size: images in an update.
        augment: (images, key) → images.
    """
    order = _order(order_key, state.step, num_train, batch_size)

    def unfinished(carry: tuple[TrainState, Metrics]) -> jax.Array:
        state, sums = carry
        return (state.step < stop) & jnp.isfinite(sums['loss'] + sums['gradient_norm'])

    def one_step(carry: tuple[TrainState, Metrics]) -> tuple[TrainState, Metrics]:
        state, sums = carry
        arrays = (images, labels, mean, deviation)
        batch = _batch(state.step, order, order_key, *arrays, batch_size, augment)
        state, metrics = update(state, *batch)
        return state, jax.tree.map(jnp.add, sums, metrics)

    return jax.lax.while_loop(unfinished, one_step, (state, sums))


def _order(order_key: jax.Array, step: jax.Array, num_train: int, batch_size: int) -> jax.Array:
    shuffle_key = jax.random.split(order_key, 3)[0]
    return batches.epoch_order(shuffle_key, step // (num_train // batch_size), num_train)


def _batch(
    step: jax.Array,
    order: jax.Array,
    order_key: jax.Array,
    images: jax.Array,
    labels: jax.Array,
    mean: jax.Array,
    deviation: jax.Array,
    batch_size: int,
    augment: Callable,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Images, labels and dropout key of the update that comes after `step` of them."""
    per_epoch = order.size // batch_size
    indices = jax.lax.dynamic_slice(order, (step % per_epoch * batch_size,), (batch_size,))
    _, augment_key, dropout_key = jax.random.split(order_key, 3)
    crop, drop = (jax.random.fold_in(key, step) for key in (augment_key, dropout_key))
    batch = augment(batches.normalise(images[indices], mean, deviation), crop)
    return batch, labels[indices], drop


def evaluate_range(
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    mean: jax.Array,
    deviation: jax.Array,
    start: jax.Array,
    stop: jax.Array,
    *,
    step: Callable,
    batch_size: int,
) -> tuple[jax.Array, jax.Array]:
    """Summed cross-entropy, and how many are classified wrongly, of images start…stop.

    Args:
        state: what to evaluate.
        images: [n, height, width, channels] uint8.
        labels: [n] int32.
        mean: [height, width, channels], subtracted.
        deviation: [1, 1, channels], divided by.
        start: the first image.
        stop: one past the last image.
        step: (state, images, labels) → (loss [batch], wrong [batch]).
        batch_size: images evaluated at once; the result does not depend on it.
    """

    def add_batch(i: jax.Array, sums: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        positions = start + i * batch_size + jnp.arange(batch_size)
        indices = jnp.minimum(positions, stop - 1)
        batch = batches.normalise(images[indices], mean, deviation)
        loss, wrong = step(state, batch, labels[indices])
        counts = positions < stop  # the last batch is filled up by repeating an image
        return sums[0] + jnp.sum(loss * counts), sums[1] + jnp.sum(wrong & counts)

    num_batches = (stop - start + batch_size - 1) // batch_size
    zeros = (jnp.zeros(()), jnp.zeros((), jnp.int32))
    return jax.lax.fori_loop(0, num_batches, add_batch, zeros)
