"""Measures how fast kernels turn, and whether the loss depends on their norms.

A batch norm undoes any factor of the kernel w before it, so that the loss L is the same function of
c·w for all c > 0. By Euler's theorem on homogeneous functions, such a kernel is orthogonal to its
gradient g. Plain SGD with the learning rate η, without momentum and weight decay, then makes ‖w‖²
larger by exactly η²‖g‖² with each update, and as the gradient at c·w is g / c, it turns the kernel
as an update of a kernel of norm 1 at the rate η/‖w‖² would: the effective rate (van Laarhoven 2017,
arXiv 1706.05350, §2; Hoffer et al. 2018, arXiv 1803.01814, §2). So the effective rate can but fall
without weight decay (Li & Arora 2020, arXiv 1910.07454).

Batch norm divides by √(variance + ε) and not by the standard deviation, so that the loss is not
quite free of the scale. Over the output channels, with the norm's scale γ,

    ⟨w, g⟩ = Σ ε / (variance + ε) · γ · ∂L/∂γ,

which is of the order of ε / variance, relative to the parts of the sum.
"""

from collections.abc import Callable
from itertools import pairwise

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util
from ml_collections import FrozenConfigDict

from vggres.config import network_spec, observed_names
from vggres.networks import spec
from vggres.networks.network import Network
from vggres.probes import layers
from vggres.training import devices, programs
from vggres.training.compiling import compile_well
from vggres.training.loops import DeviceData, next_batch
from vggres.training.optimizer import Schedule, optimizer, some_schedule
from vggres.training.programs import Images
from vggres.training.train_step import TrainState, training_loss

Values = dict[str, dict[str, float]]


def build(
    config: FrozenConfigDict, data: Images
) -> Callable[[TrainState, jax.Array, Schedule], Values]:
    """Compiles the probe of a network; the arguments are those of `observation.build`.

    Returns:
        (state, order key, schedule) → the quantities of the probe `effective_rate` by layer (see
        `quantities`), in the update that comes next. The effective rate is that of `scale_free`
        layers alone, for nothing makes η/‖w‖² a rate of the others. It holds for the plain update:
        momentum β multiplies all of them by 1/(1 − β), and where the update is rescaled or clipped
        only `turn` tells how fast a kernel turns.
    """
    described, observed = network_spec(config), observed_names(config)
    names = [each for each in scale_free(described) if each in observed]
    init = programs.functions(config, data).init
    state, _, order_key = devices.shapes(jax.eval_shape(init, 0, 0))
    arguments = state, order_key, data.training_shapes(), some_schedule(config.optimizer)
    compiled = compile_well(devices.jit(_function(config, data)).lower(*arguments))

    def measure(state: TrainState, order_key: jax.Array, schedule: Schedule) -> Values:
        step = int(state.step)
        images, _ = data.training(order_key, step, step + 1)
        found = compiled(state, order_key, images, schedule)
        values = layers.by_name(found, described, observed)
        rate = float(schedule(step))
        norms = values['weight_norm']
        return values | {'effective_rate': {name: rate / norms[name] ** 2 for name in names}}

    return measure


def _function(
    config: FrozenConfigDict, data: Images
) -> Callable[[TrainState, jax.Array, DeviceData, Schedule], layers.Stacked]:
    """The function that measures, not compiled yet; the arguments are those of `build`."""
    network = programs.described_network(config, data.num_classes)
    batching = programs.batching(config)

    def observe_next(
        state: TrainState, order_key: jax.Array, images: DeviceData, schedule: Schedule
    ) -> layers.Stacked:
        batch = next_batch(state.step, order_key, images, batching)
        sgd = optimizer(config.optimizer, schedule, network.spec)
        return observe(state, *batch, network=network, optimizer=sgd)

    return observe_next


def observe(
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    *,
    network: Network,
    optimizer: optax.GradientTransformation,
) -> layers.Stacked:
    """Measures each kernel beside its gradient and the update that `train_step` would do.

    The six parameters are those of `train_step`.

    Args:
        state: the state before the update.
        images: [batch, height, width, channels] float32, normalised and augmented.
        labels: [batch] int32.
        key: the random key of what dropout drops.
        network: the network to observe.
        optimizer: it holds schedule, momentum and weight decay.

    Returns:
        `weight_norm`, `weight_gradient_cosine` and `turn` by the path of a layer: a float32 scalar,
        or [blocks] where the parameters are stacked. The gradient is that of the loss, without
        weight decay; the cosine of a gradient of zero is not a number.
    """

    def loss_fn(params: dict) -> jax.Array:
        variables = {'params': params, 'batch_stats': state.batch_stats}
        return training_loss(network, variables, images, labels, key)[0]

    gradients = jax.grad(loss_fn)(state.params)
    updates, _ = optimizer.update(gradients, state.opt_state, state.params)
    weights, slopes, moves = map(_kernels, (state.params, gradients, updates))
    return {
        'weight_norm': {path: _norm(weight) for path, weight in weights.items()},
        'weight_gradient_cosine': {path: _cosine(weights[path], slopes[path]) for path in weights},
        'turn': {path: _angle(weights[path], moves[path]) for path in weights},
    }


def scale_free(network: spec.NetworkSpec) -> list[str]:
    """Names the layers directly behind which a norm stands, in the order of the forward pass.

    The loss does not depend on the norms of their kernels. It does on that of the head; of a gate;
    of every kernel in a network without norms; and, with preactivation, of the last convolution of
    a block with a shortcut and of a projection, whose output is added before it is normalised.
    Preactivation may have more such kernels than are named: where the norm of the next block alone
    sees an output, as that of the stem in front of a block whose shortcut starts after the norm.
    """
    size = network.smallest_image  # the names depend neither on the images nor on the classes
    listed = list(spec.layers(network, (size, size, 1), 1))
    return [
        layer.name
        for layer, following in pairwise(listed)
        if (layer.kind, following.kind) == ('convolution', 'norm')
        and layer.name.rpartition('/')[0] == following.name.rpartition('/')[0]
    ]


def _kernels(tree: dict) -> dict[layers.Path, jax.Array]:
    """Each kernel as one row, [weights] or [blocks, weights], by the path of its layer."""
    flat = traverse_util.flatten_dict(tree)
    return {
        path[:-1]: leaf.reshape(*(leaf.shape[:1] if 'blocks' in path else ()), -1)
        for path, leaf in flat.items()
        if path[-1] == 'kernel'
    }


def _norm(rows: jax.Array) -> jax.Array:
    """The Euclidean norm of each row, where no square leaves the range of float32."""
    return layers.root_mean_square(rows, (rows.ndim - 1,)) * rows.shape[-1] ** 0.5


def _direction(rows: jax.Array) -> jax.Array:
    return rows / _norm(rows)[..., None]


def _cosine(rows: jax.Array, others: jax.Array) -> jax.Array:
    return jnp.sum(_direction(rows) * _direction(others), axis=-1)


def _angle(rows: jax.Array, moves: jax.Array) -> jax.Array:
    """The angle between a row and the sum of both, in radians.

    The arccosine of its cosine would lose angles below 10⁻³ in the rounding of float32.
    """
    directions = _direction(rows)
    along = jnp.sum(directions * moves, axis=-1)
    across = moves - along[..., None] * directions
    return jnp.arctan2(_norm(across), _norm(rows) + along)
