"""Measures the local Jacobian of each block, and the chain of all Jacobians behind it.

A block maps a batch to a batch. Under batch norm every image depends on the others, so that the
Jacobian is that of the whole batch, in training mode, at the inputs that the network gives to the
block. It is never written down, since 8 images of 8×8 pixels and 16 channels already make 8,192²
numbers; everything is computed from products with vectors.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from vggres.networks.blocks import Block
from vggres.networks.network import Network, Stage
from vggres.probes import layers
from vggres.training.train_step import TrainState

IMAGES = 8  # the most images of a batch that are looked at
_STEPS = 20  # the most steps of the bidiagonalisation
_SAMPLES = 4  # the number of random vectors for each mean
_EXHAUSTED = 1e-5  # relative to the largest value: what is smaller is rounding error

Linear = Callable[[jax.Array], jax.Array]  # a product of a matrix with a flat vector
Measured = dict[str, jax.Array]  # quantities by name, each a scalar


def observe(
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    *,
    network: Network,
) -> layers.Stacked:
    """Measures the Jacobians of the blocks in the update that comes next.

    Args:
        state: the state before the update.
        images: [batch, height, width, channels] float32, normalised and augmented; the first
            `IMAGES` of them are looked at.
        labels: [batch] int32; they are not used.
        key: the random key of what dropout drops, and of the random vectors.
        network: the network to observe.

    Returns:
        Each quantity that needs Jacobians (see `quantities`) by the path of a block: a float32
        scalar, or [blocks] where blocks are stacked.
    """
    collections = ('batch_stats', 'activations', 'jacobians', 'outputs')

    def last_output(taps: dict) -> tuple[jax.Array, dict]:
        with nn.intercept_methods(_measure):
            _, updated = network.apply(
                state.variables | {'taps': taps},
                images[:IMAGES],
                train=True,
                rngs={'dropout': key},
                mutable=collections,
            )
        (output,) = updated['outputs'].values()
        return output['value'], updated['jacobians']

    output, pull, jacobians = jax.vjp(last_output, layers.taps(state.params), has_aux=True)

    def pulled_back(sample_key: jax.Array) -> dict:
        direction = jax.random.normal(sample_key, output.shape)
        (reaching,) = pull(direction.astype(output.dtype))
        scale = layers.root_mean_square(direction, range(direction.ndim))
        return jax.tree.map(lambda each: jnp.square(each / scale), reaching)

    squares = jax.lax.map(pulled_back, jax.random.split(key, _SAMPLES))
    chain = layers.by_path(jax.tree.map(lambda each: jnp.sqrt(each.mean(axis=0)), squares))
    measured = layers.by_path(jacobians, 'values')
    by_quantity: layers.Stacked = {'chain': {path: chain[path] for path in measured}}
    for path, values in measured.items():
        for name, value in values.items():
            by_quantity.setdefault(name, {})[path] = value
    return by_quantity


def singular_values(
    push: Linear, pull: Linear, start: jax.Array, steps: int
) -> tuple[jax.Array, jax.Array]:
    """Computes the largest singular value of a linear map, and an upper bound of the smallest.

    The method is that of Golub & Kahan 1965, §2: bidiagonalisation from a random vector. Every
    vector is orthogonalised against all vectors before it, since otherwise the orthogonality that
    Paige showed to be lost would bring ghost values. Both ends of the spectrum are approached from
    within: the largest value fast, the smallest one slowly where the lowest values stand close
    together. Both are exact after as many steps as there are different singular values.

    Args:
        push: x [n] → J x [m].
        pull: y [m] → Jᵀ y [n].
        start: [n], a random vector.
        steps: the most steps; fewer are done where the space is exhausted.

    Returns:
        The largest singular value and the upper bound of the smallest, float32 scalars.
    """
    steps = min(steps, start.size)
    first = start / jnp.linalg.norm(start)
    outputs = jax.eval_shape(push, first).size
    zeros = jnp.zeros(steps)
    carry = (
        jnp.zeros((steps, start.size)),
        jnp.zeros((steps, outputs)),
        first,
        zeros,
        zeros,
        jnp.array(True),
    )

    def step(i: int, carry: tuple) -> tuple:
        right, left, v, diagonal, above, alive = carry
        right = right.at[i].set(v)
        u, alpha = _unit(_orthogonal(push(v), left))
        # Where the last step left nothing, the space is exhausted. The rest of the diagonal is then
        # filled with a value that lies between the two ends.
        alpha = jnp.where(alive, alpha, diagonal[0])
        left = left.at[i].set(u)
        w, beta = _unit(_orthogonal(pull(u), right))
        largest = jnp.maximum(diagonal.max(), alpha)
        alive &= beta > _EXHAUSTED * largest
        beta, w = jnp.where(alive, beta, 0), jnp.where(alive, w, 0)
        return right, left, w, diagonal.at[i].set(alpha), above.at[i].set(beta), alive

    _, _, _, diagonal, above, _ = jax.lax.fori_loop(0, steps, step, carry)
    bidiagonal = jnp.diag(diagonal) + jnp.diag(above[:-1], 1)
    found = jnp.linalg.svd(bidiagonal, compute_uv=False)
    return found[0], found[-1]


def _orthogonal(vector: jax.Array, basis: jax.Array) -> jax.Array:
    for _ in range(2):  # "twice is enough" (Parlett)
        vector = vector - (basis @ vector) @ basis
    return vector


def _unit(vector: jax.Array) -> tuple[jax.Array, jax.Array]:
    norm = jnp.linalg.norm(vector)
    return vector / jnp.where(norm > 0, norm, 1), norm


def products(f: Callable, x: jax.Array) -> tuple[Linear, Linear]:
    """The products J v and Jᵀ u with the Jacobian of a function at x.

    Both take and return flat float32 vectors. They also work for functions that know only their
    reverse-mode derivative.
    """
    y, vjp = jax.vjp(f, x)
    _, transposed = jax.vjp(lambda cotangent: vjp(cotangent)[0], jnp.zeros_like(y))
    return (
        lambda v: transposed(v.reshape(x.shape).astype(x.dtype))[0].ravel().astype(jnp.float32),
        lambda u: vjp(u.reshape(y.shape).astype(y.dtype))[0].ravel().astype(jnp.float32),
    )


def measure(f: Callable, x: jax.Array, key: jax.Array, relu: bool = False) -> Measured:
    """Measures the Jacobian of one function: all quantities but `chain`, which needs a network.

    Args:
        f: x → y.
        x: the input at which the Jacobian is taken.
        key: the random key of the random vectors.
        relu: whether y is the output of a ReLU.

    Returns:
        Each quantity, a float32 scalar; the two distances are NaN where the shape changes.
    """
    push, pull = products(f, x)
    largest, smallest = singular_values(push, pull, jax.random.normal(key, (x.size,)), _STEPS)
    y = f(x)
    same_shape = y.shape == x.shape
    is_open = (y > 0).ravel() if relu else True

    def sample(sample_key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        v = jax.random.normal(sample_key, (x.size,))
        pushed = push(v)
        if not same_shape:
            return jnp.vdot(pushed, pushed), jnp.nan, jnp.nan
        away, beyond = pushed - v, pushed - jnp.where(is_open, v, 0)
        return jnp.vdot(pushed, pushed), jnp.vdot(away, away), jnp.vdot(beyond, beyond)

    squares, away, beyond = (
        each.mean() / x.size for each in jax.lax.map(sample, jax.random.split(key, _SAMPLES))
    )
    return {
        'largest_singular_value': largest,
        'smallest_singular_value': smallest,
        'mean_squared_singular_value': squares,
        'distance_from_identity': jnp.sqrt(away),
        'distance_from_relu': jnp.sqrt(beyond),
    }


def _measure(
    call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext
) -> object:
    """Measures and taps each block, and keeps the last stage's output, around a module's call.

    It is an interceptor of Flax. The calls that measuring itself makes are left alone; one knows
    them by the collection `jacobians`, which is not mutable in them.
    """
    module = context.module
    if context.method_name != '__call__' or not module.is_mutable_collection('jacobians'):
        return call(*args, **kwargs)
    if isinstance(module, Block):
        x, train = args
        values = _of_block(module, jax.lax.stop_gradient(x), train)
        module.put_variable('jacobians', 'values', values)
    result = layers.tap_input(call, args, kwargs, context)
    if isinstance(module, Stage) and module.name == f'stage{len(module.parent.spec.stages)}':
        module.put_variable('outputs', 'value', result)
    return result


def _of_block(module: Block, x: jax.Array, train: bool) -> Measured:
    collections = ('params', 'batch_stats')
    variables = {name: module.variables[name] for name in collections if name in module.variables}

    def block(x: jax.Array) -> jax.Array:
        y, _ = Block(module.spec, module.dtype).apply(
            variables, x, train, mutable=('batch_stats',), rngs={'dropout': jax.random.key(0)}
        )
        return y

    return measure(block, x, jax.random.key(1), relu=not module.spec.preactivation)
