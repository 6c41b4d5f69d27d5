"""Decomposes the gradient in the input of the first block by the length of its paths.

A residual network of n blocks is a collection of 2ⁿ paths: in every block, each of them goes either
through the shortcut or through the residual branch (Veit, Wilber & Belongie 2016, arXiv 1605.06431,
§3). With a factor λ on every branch, and the activations kept as they are, the gradient in the
input of the first block is a polynomial in λ of degree n. Its k-th coefficient is the sum over the
C(n, k) paths of length k, that is, through exactly k branches. The coefficients are computed
exactly and not by interpolation: n + 1 gradients travel back together, and in each block

    new[k] = shortcutᵀ g[k] + branchᵀ g[k − 1],

after the last ReLU of the block where it has one, which is linear as its mask is fixed. To this end
the network computes n + 1 copies of each image, which are all the same on the way forward; on the
way back, what comes out of a branch moves on to the next copy (`_longer`). All else is the
network's own: scanned stages, projections, scaled shortcuts, pools.

The network is looked at as it is evaluated, one image at a time, with the fixed statistics of
`jacobian.frozen_statistics`: batch norm is then linear too. Before the first update the statistics
are those of the batch, so that activations are those of training; the part of the gradient that
flows through the statistics of the batch is left out before training as after it.

What passes a gate on its way back counts as the shortcut. A plain block or a layer of a vgg has no
shortcut: there is one path, through all blocks.
"""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from ml_collections import FrozenConfigDict

from vggres.networks.blocks import Block
from vggres.networks.network import Network
from vggres.probes import jacobian, layers
from vggres.probes.layers import root_mean_square
from vggres.training import devices, programs
from vggres.training.compiling import compile_well
from vggres.training.loops import DeviceData, next_batch
from vggres.training.optimizer import Schedule
from vggres.training.programs import Images
from vggres.training.train_step import TrainState

IMAGES = 16  # the most images of a batch whose gradients are decomposed
# What happens on the way back to what comes out of a branch, or into a shortcut, of a block.
_Rule = Callable[[jax.Array, Block], jax.Array]


def build(
    config: FrozenConfigDict, data: Images
) -> Callable[[TrainState, jax.Array, Schedule], dict[str, dict[str, float]]]:
    """Compiles the probe of a network; the arguments are those of `observation.build`.

    Returns:
        (state, order key, schedule) → the three quantities of `observe` by the length of the path,
        '0', '1', … up to the number of blocks.
    """
    init = programs.functions(config, data).init
    state, _, order_key = devices.shapes(jax.eval_shape(init, 0, 0))
    lowered = devices.jit(_function(config, data)).lower(state, order_key, data.training_shapes())
    compiled = compile_well(lowered)

    def measure(
        state: TrainState, order_key: jax.Array, schedule: Schedule
    ) -> dict[str, dict[str, float]]:
        step = int(state.step)
        images, _ = data.training(order_key, step, step + 1)
        found = jax.device_get(compiled(state, order_key, images))
        return {
            quantity: {str(length): float(value) for length, value in enumerate(values)}
            for quantity, values in found.items()
        }

    return measure


def _function(
    config: FrozenConfigDict, data: Images
) -> Callable[[TrainState, jax.Array, DeviceData], dict[str, jax.Array]]:
    """(state, order key, images) → what `observe` finds in the update that comes next."""
    network = programs.described_network(config, data.num_classes)
    batching = programs.batching(config)

    def observe_next(
        state: TrainState, order_key: jax.Array, images: DeviceData
    ) -> dict[str, jax.Array]:
        batch = next_batch(state.step, order_key, images, batching)
        return observe(state, *batch, network=network)

    return observe_next


def observe(
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    *,
    network: Network,
) -> dict[str, jax.Array]:
    """Measures the gradient by the length of the path.

    Args:
        state: the state before the update.
        images: [batch, height, width, channels] float32, normalised and augmented. The gradient is
            that of the first `IMAGES` of them; all of them give the statistics of the batch.
        labels: [batch] int32.
        key: the random key of what dropout drops, from which those of the sampled paths follow.
        network: the network to observe.

    Returns:
        Three quantities, [blocks + 1] float32 each, at index k of paths through k branches; they
        are not numbers where the whole gradient is zero:

        - `path_norm`: the Euclidean norm of the sum over all paths of this length, relative to that
          of the whole gradient;
        - `path_share`: the inner product of that sum with the whole gradient, relative to the
          squared norm of the latter. The shares add up to 1, and those of paths that work against
          the others are negative;
        - `path_single`: the norm of a single path, likewise relative, as the root mean square over
          one random path for each image (Veit et al. 2016, Fig. 6b).
    """
    variables = jacobian.evaluated_variables(network, state, images, key)
    images, labels = images[:IMAGES], labels[:IMAGES]
    keys = jax.random.split(jax.random.fold_in(key, 2), len(images))

    def of_image(given: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        *one, image_key = given
        taken = random_routes(image_key, _blocks(network))
        return terms(network, variables, *one), routes(network, variables, *one, taken)

    by_length, single = jax.lax.map(of_image, (images, labels, keys))
    return _relative(by_length.astype(jnp.float32), single.astype(jnp.float32))


def _relative(by_length: jax.Array, single: jax.Array) -> dict[str, jax.Array]:
    """The quantities of `observe` from gradients [images, blocks + 1, height, width, channels]."""
    axes = (0, *range(2, by_length.ndim))
    whole = by_length.sum(axis=1, keepdims=True)
    largest = jnp.max(jnp.abs(whole))
    unit = whole / largest  # so that no square leaves the range of float32
    norm = root_mean_square(whole, range(whole.ndim))
    return {
        'path_norm': root_mean_square(by_length, axes) / norm,
        'path_share': jnp.sum(by_length / largest * unit, axes) / jnp.sum(jnp.square(unit)),
        'path_single': root_mean_square(single, axes) / norm,
    }


def first_input(network: Network, variables: dict, image: jax.Array) -> jax.Array:
    """The input of the first block, in evaluation mode; for a vgg, the image itself.

    Args:
        network: the network.
        variables: its 'params' and 'batch_stats'.
        image: [height, width, channels] float32, normalised.

    Returns:
        [h, w, channels].
    """

    def keep(
        call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext
    ) -> object:
        if _is_first(context):
            context.module.put_variable('outputs', 'value', args[0])
        return call(*args, **kwargs)

    with nn.intercept_methods(keep):
        _, updated = network.apply(variables, image[None], train=False, mutable=('outputs',))
    (found,) = jax.tree.leaves(updated['outputs'])
    return found[0]


def terms(network: Network, variables: dict, image: jax.Array, label: jax.Array) -> jax.Array:
    """Decomposes the gradient of one image by the length of the path.

    Args:
        network: the network.
        variables: its 'params' and 'batch_stats'.
        image: [height, width, channels] float32, normalised.
        label: an int32 scalar.

    Returns:
        [blocks + 1, h, w, channels]: at index k the sum over all paths through k branches. Their
        sum is the gradient of the cross-entropy with respect to the input of the first block.
    """
    copies = _blocks(network) + 1

    def longer(y: jax.Array, block: Block) -> jax.Array:
        return _longer(y)

    def unchanged(x: jax.Array, block: Block) -> jax.Array:
        return x

    def loss(inputs: jax.Array) -> jax.Array:
        logits = _logits(network, variables, image, inputs, longer, unchanged)
        # Only the first copy is pulled back from the loss: no branch has been passed there.
        return optax.softmax_cross_entropy_with_integer_labels(logits[0], label)

    x = first_input(network, variables, image)
    return jax.grad(loss)(jnp.broadcast_to(x, (copies, *x.shape)))


def routes(
    network: Network, variables: dict, image: jax.Array, label: jax.Array, taken: jax.Array
) -> jax.Array:
    """Computes the gradient of one image along single paths.

    Args:
        network: the network.
        variables: its 'params' and 'batch_stats'.
        image: [height, width, channels] float32, normalised.
        label: an int32 scalar.
        taken: [paths, blocks] bool: whether a path goes through the branch of a block, and not
            through its shortcut.

    Returns:
        [paths, h, w, channels].
    """

    def branch(y: jax.Array, block: Block) -> jax.Array:
        return _pulled_back_where(block.get_variable('taps', 'taken'), y)

    def shortcut(x: jax.Array, block: Block) -> jax.Array:
        return _pulled_back_where(~block.get_variable('taps', 'taken'), x)

    tapped = variables | {'taps': layers.over_blocks(network.spec, 'taken', taken.T)}

    def loss(inputs: jax.Array) -> jax.Array:
        logits = _logits(network, tapped, image, inputs, branch, shortcut)
        labels = jnp.broadcast_to(label, len(logits))
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).sum()

    x = first_input(network, variables, image)
    return jax.grad(loss)(jnp.broadcast_to(x, (len(taken), *x.shape)))


def random_routes(key: jax.Array, blocks: int) -> jax.Array:
    """Draws one path of each length: [blocks + 1, blocks] bool, with k branches in row k."""
    ranks = jnp.argsort(jax.random.uniform(key, (blocks + 1, blocks)), axis=1).argsort(axis=1)
    return ranks < jnp.arange(blocks + 1)[:, None]


def _logits(
    network: Network,
    variables: Mapping,
    image: jax.Array,
    inputs: jax.Array,
    branch: _Rule,
    shortcut: _Rule,
) -> jax.Array:
    """The logits [copies, classes] where the first block is given the inputs of some copies.

    Args:
        network: the network.
        variables: all collections that it and the rules read.
        image: [height, width, channels]; what the stem makes of it is not used.
        inputs: of the first block, [copies, h, w, channels].
        branch: what happens on the way back to what comes out of a branch.
        shortcut: what happens on the way back to what comes out of a shortcut.
    """

    def ruled(
        call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext
    ) -> object:
        block = context.module
        if not isinstance(block, Block):
            return call(*args, **kwargs)
        if context.method_name == '_joined':
            described, x, y, train = args
            return call(described, shortcut(x, block), branch(y, block), train)
        if context.method_name != '__call__':
            return call(*args, **kwargs)
        given, train = args
        result = call(inputs if _is_first(context) else given, train)
        return result if block.spec.shortcut else branch(result, block)

    with nn.intercept_methods(ruled):
        return network.apply(variables, image[None], train=False)


def _is_first(context: nn.module.InterceptorContext) -> bool:
    """Whether a call is that of the first block."""
    return context.method_name == '__call__' and context.module.path == ('stage1', 'block1')


@jax.custom_vjp
def _longer(y: jax.Array) -> jax.Array:
    """Leaves y [copies, …] as it is; on the way back, gradients move on to the next copy.

    What the last copy held is dropped: it is zero, because no path is longer than the network.
    """
    return y


def _forward(y: jax.Array) -> tuple[jax.Array, None]:
    return y, None


def _backward(_: None, gradient: jax.Array) -> tuple[jax.Array]:
    return (jnp.concatenate([jnp.zeros_like(gradient[:1]), gradient[:-1]]),)


_longer.defvjp(_forward, _backward)


def _pulled_back_where(is_open: jax.Array, x: jax.Array) -> jax.Array:
    """Leaves x [paths, …] as it is; on the way back, gradients pass where a path is open."""
    return jnp.where(is_open.reshape(-1, 1, 1, 1), x, jax.lax.stop_gradient(x))


def _blocks(network: Network) -> int:
    return sum(len(stage.blocks) for stage in network.spec.stages)
