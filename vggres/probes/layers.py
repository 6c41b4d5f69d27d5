"""Measures each layer in the update that comes next: the scale of its input, gradients and update.

The measurements leave the scanned stages as stacked arrays. The input of each layer and block
passes through an identity function that is called a tap. On the way forward it stores the scale of
the input in the collection `activations`; on the way back it delivers the scale of the gradient, as
the gradient of a number in the collection `taps`.

A gradient that shrinks by 40 decades falls below the smallest float32, and the sooner the larger
the batch, by which the loss is divided. The loss is therefore multiplied by a power of two, which
changes no digit, such that the gradient in the input of the head is about 2 to the power of
`_HEAD`. What is fetched from the device is divided by it again, in double precision.
"""

import math
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from vggres.networks import spec
from vggres.networks.blocks import Block, Convolution
from vggres.networks.network import Network
from vggres.training.train_step import TrainState, training_loss

Path = tuple[str, ...]  # of a module in the tree of parameters
Stacked = dict[str, dict[Path, jax.Array]]

# log2 of the root mean square that the gradient in the input of the head is brought to. Gradients
# shrink further than they grow on their way back: below it float32 has 47 decades, above it 28.
_HEAD = 32
_LARGEST = 126  # so that neither the factor nor its inverse leaves float32
# The path under which quantities that are proportional to the loss keep log2 of its factor.
_EXPONENT: Path = ('log2 of the factor',)


def observe(
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    *,
    network: Network,
    optimizer: optax.GradientTransformation,
) -> Stacked:
    """Measures the update that `train_step` would do.

    The six parameters are those of `train_step`.

    Args:
        state: the state before the update.
        images: [batch, height, width, channels] float32, normalised and augmented.
        labels: [batch] int32.
        key: the random key of what dropout drops.
        network: the network to observe.
        optimizer: it holds schedule, momentum and weight decay.

    Returns:
        Each quantity of `quantities.names(jacobians=False)` by the path of the parameters of a
        layer or block: a float32 scalar, or [blocks] where the parameters are stacked. Blocks have
        an activation and an input gradient only. Gradients are those of the loss times a power of
        two, whose logarithm stands beside them; `by_name` divides by it.
    """
    mutable = ('batch_stats', 'activations')

    def loss_fn(params: dict, taps: dict) -> tuple[jax.Array, dict]:
        variables = {'params': params, 'batch_stats': state.batch_stats, 'taps': taps}
        with nn.intercept_methods(tap_input):
            loss, _, updated = training_loss(network, variables, images, labels, key, mutable)
        return loss, updated['activations']

    loss, pull, inputs = jax.vjp(loss_fn, state.params, taps(state.params), has_aux=True)
    exponent = _exponent(pull(jnp.ones_like(loss))[1]['head']['input'])
    factor = jnp.ldexp(jnp.ones_like(loss), exponent)
    scaled, reaching = pull(factor)
    gradients = jax.tree.map(lambda each: each / factor, scaled)
    kernels = _kernels(state.params)
    updates, _ = optimizer.update(gradients, state.opt_state, state.params)
    return {
        'activation': by_path(inputs),
        'input_gradient': by_path(reaching) | {_EXPONENT: exponent},
        'weight_gradient': {p: _of_kernel(p, kernel) for p, kernel in _kernels(scaled).items()}
        | {_EXPONENT: exponent},
        'update_ratio': {
            path: _of_kernel(path, update) / _of_kernel(path, kernels[path])
            for path, update in _kernels(updates).items()
        },
    }


def by_name(
    observed: Stacked, network_spec: spec.NetworkSpec, names: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Fetches measurements from the device, by the names of layers and blocks.

    Args:
        observed: the measurements, by the paths of parameters.
        network_spec: the network that was observed.
        names: the layers and blocks to fetch; a quantity leaves out those that it does not have.

    Returns:
        The values of each quantity by layer or block.
    """
    observed = jax.device_get(observed)
    places = {name: spec.place(network_spec, name) for name in names}
    return {
        quantity: {
            name: math.ldexp(values[path] if index is None else values[path][index], -exponent)
            for name, (path, index) in places.items()
            if path in values
        }
        for quantity, values in observed.items()
        for exponent in [int(values.get(_EXPONENT, 0))]
    }


def _exponent(head: jax.Array) -> jax.Array:
    """log2 of the factor that brings the gradient in the input of the head to 2^`_HEAD`, an int32.

    It is 0 where that gradient is zero or not finite. Nothing else has to be pulled back for it:
    the compiler leaves out the blocks.

    Args:
        head: the root mean square of that gradient.
    """
    usable = (head > 0) & jnp.isfinite(head)
    _, exponent = jnp.frexp(jnp.where(usable, head, 1))
    return jnp.where(usable, jnp.clip(_HEAD - exponent, -_LARGEST, _LARGEST), 0)


def root_mean_square(x: jax.Array, axes: Sequence[int]) -> jax.Array:
    """√mean(x²) over some axes, float32, where no square leaves the range of float32."""
    x = x.astype(jnp.float32)
    largest = jnp.max(jnp.abs(x), axes, keepdims=True)
    scaled = x / jnp.where(largest > 0, largest, 1)
    return jnp.squeeze(largest, axes) * jnp.sqrt(jnp.mean(jnp.square(scaled), axes))


@jax.custom_vjp
def _identity(x: jax.Array, tap: jax.Array) -> jax.Array:
    return x


def _forward(x: jax.Array, tap: jax.Array) -> tuple[jax.Array, None]:
    return x, None


def _backward(_: None, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    return gradient, root_mean_square(gradient, range(gradient.ndim))


_identity.defvjp(_forward, _backward)


def tap_input(
    call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext
) -> object:
    """Measures the input of a layer with a kernel, or of a block, around the call of a module.

    It is an interceptor of Flax (see `flax.linen.intercept_methods`).
    """
    module = context.module
    if context.method_name != '__call__' or not isinstance(module, Block | Convolution | nn.Dense):
        return call(*args, **kwargs)
    x, *others = args
    scale = root_mean_square(jax.lax.stop_gradient(x), range(x.ndim))
    module.put_variable('activations', 'input', scale)
    return call(_identity(x, module.get_variable('taps', 'input')), *others, **kwargs)


def taps(params: dict) -> dict:
    """The collection `taps`: a zero for each layer and block, in their places.

    Args:
        params: the parameters of the network.
    """
    zeros = {}
    for path, kernel in _kernels(params).items():
        for place in (path, path[:2]):  # the layer, and the block that it belongs to
            stack = kernel.shape[:1] if _is_stacked(path) else ()
            zeros[(*place, 'input')] = jnp.zeros(stack)
    return traverse_util.unflatten_dict(zeros)


def over_blocks(network_spec: spec.NetworkSpec, leaf: str, values: jax.Array) -> dict:
    """The collection `taps` that gives each block an entry of an array.

    Args:
        network_spec: the network.
        leaf: the name under which a block finds its entry.
        values: [blocks, ...], in the order of the forward pass.
    """
    collection, first = {}, 0
    for i, stage in enumerate(network_spec.stages, start=1):
        last = first + len(stage.blocks)
        collection[f'stage{i}', 'block1', leaf] = values[first]
        if stage.is_stacked:
            collection[f'stage{i}', 'blocks', leaf] = values[first + 1 : last]
        else:
            for j in range(2, len(stage.blocks) + 1):
                collection[f'stage{i}', f'block{j}', leaf] = values[first + j - 1]
        first = last
    return traverse_util.unflatten_dict(collection)


def by_path(collection: dict, leaf: str = 'input') -> dict[Path, jax.Array]:
    """Gathers what layers or blocks keep in a collection, by their paths.

    Args:
        collection: a collection of variables, as Flax nests them.
        leaf: the name under which they keep it.
    """
    flat = traverse_util.flatten_dict(collection, is_leaf=lambda path, _: path[-1:] == (leaf,))
    return {path[:-1]: value for path, value in flat.items() if path[-1] == leaf}


def _kernels(params: dict) -> dict[Path, jax.Array]:
    flat = traverse_util.flatten_dict(params)
    return {path[:-1]: leaf for path, leaf in flat.items() if path[-1] == 'kernel'}


def _of_kernel(path: Path, kernel: jax.Array) -> jax.Array:
    return root_mean_square(kernel, range(_is_stacked(path), kernel.ndim))


def _is_stacked(path: Path) -> bool:
    return 'blocks' in path
