"""Measures the local Jacobian of each block for single images, and the chain of all Jacobians.

The network is looked at as it is evaluated: batch norm uses fixed statistics and nothing is
dropped, so that a block maps each image by itself. The statistics are the running averages. Before
the first update these are still 0 and 1, which belong to no network that anybody evaluates; the
statistics of the batch of the next update then stand in for them (see `frozen_statistics`).

The Jacobian of a block with at most `LARGEST_MATRIX` inputs and outputs for each image is written
down, so that its Frobenius norms are exact. Those of larger blocks are estimated from products with
random vectors, since the first stage at 32×32 pixels already has 16,384 inputs. The spectral norm
is a lower bound in both cases; a singular value decomposition of 1,024 columns would take longer
than the rest of an observation.

In training, batch norm makes every image depend on the others. That is a property of the batch and
not of the map that is evaluated, so it is measured apart (see `coupling`).
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from vggres.networks.batch_norm import MOMENTUM
from vggres.networks.blocks import Block
from vggres.networks.network import Network, Stage
from vggres.probes import layers
from vggres.training.train_step import TrainState

IMAGES = 4  # the most images of a batch whose Jacobians are measured and averaged
LARGEST_MATRIX = 1024  # inputs or outputs; a matrix of 4 MiB fits into the caches of a processor
_ROWS_AT_ONCE = 128  # rows of such a matrix that are computed together
_STEPS = 24  # the most steps of the bidiagonalisation
_SAMPLES = 4  # the number of vectors of random signs for each estimate
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
    """Measures the Jacobians of the blocks at the images of the update that comes next.

    Args:
        state: the state before the update.
        images: [batch, height, width, channels] float32, normalised and augmented. The first
            `IMAGES` of them are looked at; all of them give the statistics of the batch.
        labels: [batch] int32; they are not used.
        key: the random key of what dropout drops, which every step has for itself. The keys of the
            random vectors are derived from it: each block and each image has its own.
        network: the network to observe.

    Returns:
        Each quantity that needs Jacobians (see `quantities`) by the path of a block: a float32
        scalar, or [blocks] where blocks are stacked.
    """
    of_batch, of_images, of_chain = jax.random.split(jax.random.fold_in(key, 1), 3)
    coupled, batch_statistics = _in_training(network, state, images, key, of_batch)
    variables = {
        'params': state.params,
        'batch_stats': frozen_statistics(state.batch_stats, batch_statistics),
        'jacobians': _keys(state.params, of_images),
    }

    def last_output(taps: dict) -> tuple[jax.Array, dict]:
        with nn.intercept_methods(_measure_block):
            _, updated = network.apply(
                variables | {'taps': taps},
                images[:IMAGES],
                train=False,
                mutable=('activations', 'jacobians', 'outputs'),
            )
        (output,) = updated['outputs'].values()
        return output['value'], layers.by_path(updated['jacobians'], 'values')

    output, pull, measured = jax.vjp(last_output, layers.taps(state.params), has_aux=True)
    reached = layers.by_path(_root_mean_squares(pull, output, of_chain))
    by_quantity: layers.Stacked = {'chain_gain': {path: reached[path] for path in measured}}
    for path, values in measured.items():
        for name, value in (values | coupled[path]).items():
            by_quantity.setdefault(name, {})[path] = value
    return by_quantity


def frozen_statistics(running: dict, of_batch: dict) -> dict:
    """Chooses the statistics by which batch norm normalises while the network is looked at.

    They are the running averages, which evaluation uses. Where all of these are still those of a
    fresh network, 0 and 1, the statistics of the batch take their place. Weights that were loaded
    bring running averages of their own, which are used before the first update too.

    Args:
        running: the collection `batch_stats` of the network; empty without batch norm.
        of_batch: the same for the batch of the next update.
    """
    flat = traverse_util.flatten_dict(running)
    at_start = [jnp.all(leaf == (path[-1] == 'var')) for path, leaf in flat.items()]
    is_fresh = jnp.all(jnp.array(at_start))
    return jax.tree.map(lambda mine, other: jnp.where(is_fresh, other, mine), running, of_batch)


def evaluated_variables(
    network: Network, state: TrainState, images: jax.Array, key: jax.Array
) -> dict:
    """The variables by which a network maps each image by itself (see `frozen_statistics`).

    Args:
        network: the network.
        state: its variables.
        images: the batch that gives the statistics of a fresh network.
        key: the random key of what dropout drops while they are taken.
    """
    _, updated = network.apply(
        {'params': state.params, 'batch_stats': jax.tree.map(jnp.zeros_like, state.batch_stats)},
        images,
        train=True,
        rngs={'dropout': key},
        mutable=('batch_stats',),
    )
    statistics = frozen_statistics(state.batch_stats, _of_batch(updated))
    return {'params': state.params, 'batch_stats': statistics}


def _of_batch(updated: dict) -> dict:
    """The statistics of a batch, from the running averages that it made out of zeros."""
    return jax.tree.map(lambda leaf: leaf / (1 - MOMENTUM), updated.get('batch_stats', {}))


def _in_training(
    network: Network, state: TrainState, images: jax.Array, dropout: jax.Array, key: jax.Array
) -> tuple[dict[layers.Path, Measured], dict]:
    """Runs the network in training mode on a batch.

    Args:
        network: the network.
        state: its variables.
        images: the batch.
        dropout: the random key of what dropout drops.
        key: the random key of the coupling.

    Returns:
        The coupling of the images by the path of a block, and the statistics of the batch as a
        collection `batch_stats`.
    """
    zeros = jax.tree.map(jnp.zeros_like, state.batch_stats)
    keys = _keys(state.params, key)
    with nn.intercept_methods(_couple_block):
        _, updated = network.apply(
            {'params': state.params, 'batch_stats': zeros, 'jacobians': keys},
            images,
            train=True,
            rngs={'dropout': dropout},
            mutable=('batch_stats', 'jacobians'),
        )
    return layers.by_path(updated['jacobians'], 'values'), _of_batch(updated)


def _root_mean_squares(pull: Callable, output: jax.Array, key: jax.Array) -> dict:
    """The root mean square of what vectors of random signs become by `pull`."""

    def square(sample_key: jax.Array) -> dict:
        (reaching,) = pull(_signs(sample_key, output.shape).astype(output.dtype))
        return jax.tree.map(jnp.square, reaching)

    squares = jax.lax.map(square, jax.random.split(key, _SAMPLES))
    return jax.tree.map(lambda each: jnp.sqrt(each.mean(axis=0)), squares)


def _signs(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Random signs: the mean of ‖J v‖² over them is ‖J‖² in Frobenius norm (Hutchinson 1990)."""
    return jax.random.rademacher(key, shape, jnp.float32)


def _keys(params: dict, key: jax.Array) -> dict:
    """The collection `jacobians` before the measurement: a random key of its own for each block."""
    taps = layers.by_path(layers.taps(params))
    shapes = {path: tap.shape for path, tap in taps.items() if path[-1].startswith('block')}
    keys = jax.random.split(key, len(shapes))
    split = {
        (*path, 'key'): jax.random.split(each, shape) if shape else each
        for each, (path, shape) in zip(keys, shapes.items(), strict=True)
    }
    return traverse_util.unflatten_dict(split)


def largest_singular_value(push: Linear, pull: Linear, start: jax.Array, steps: int) -> jax.Array:
    """Computes a lower bound of the largest singular value of a linear map.

    The method is that of Golub & Kahan 1965, §2: bidiagonalisation from a random vector. Every
    vector is orthogonalised against all vectors before it, since otherwise the orthogonality that
    Paige showed to be lost would bring ghost values. The bound is approached fast, and is reached
    after as many steps as there are different singular values.

    Args:
        push: x [n] → J x [m].
        pull: y [m] → Jᵀ y [n].
        start: [n], a random vector.
        steps: the most steps; fewer are done where the space is exhausted.

    Returns:
        The bound, a float32 scalar.
    """
    steps = min(steps, start.size)
    first = start / jnp.linalg.norm(start)
    outputs = jax.eval_shape(push, first).size
    zeros = jnp.zeros(steps)
    bases = jnp.zeros((steps, start.size)), jnp.zeros((steps, outputs))
    carry = *bases, first, zeros, zeros, jnp.array(True)

    def step(i: int, carry: tuple) -> tuple:
        right, left, v, diagonal, above, alive = carry
        right = right.at[i].set(v)
        u, alpha = _unit(_orthogonal(push(v), left))
        alpha = jnp.where(alive, alpha, 0)  # where the last step left nothing
        left = left.at[i].set(u)
        w, beta = _unit(_orthogonal(pull(u), right))
        largest = jnp.maximum(diagonal.max(), alpha)
        alive &= beta > _EXHAUSTED * largest
        beta, w = jnp.where(alive, beta, 0), jnp.where(alive, w, 0)
        return right, left, w, diagonal.at[i].set(alpha), above.at[i].set(beta), alive

    _, _, _, diagonal, above, _ = jax.lax.fori_loop(0, steps, step, carry)
    bidiagonal = jnp.diag(diagonal) + jnp.diag(above[:-1], 1)
    return jnp.linalg.svd(bidiagonal, compute_uv=False)[0]


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


def measure(f: Callable, images: jax.Array, key: jax.Array, relu: bool = False) -> Measured:
    """Measures the Jacobians of a function of one image at some images.

    Norms are means over the images. The distances are roots of mean squares, so that their squares
    may be added up along a network.

    Args:
        f: an image → its output.
        images: [n, ...], the inputs at which the Jacobians are taken.
        key: the random key of the random vectors.
        relu: whether the output is that of a ReLU.

    Returns:
        Four quantities (see `quantities`), float32 scalars. The two distances are NaN where the
        shape changes, and the one from the ReLU also where it is closed everywhere.
    """

    def of_image(given: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, ...]:
        image, image_key = given
        return _norms(f, image, image_key, relu)

    each = jax.lax.map(of_image, (images, jax.random.split(key, len(images))))
    largest, square, from_identity, from_relu, is_open = (values.mean() for values in each)
    inputs = images[0].size
    return {
        'spectral_norm': largest,
        'mean_square_gain': square / inputs,
        'identity_distance': jnp.sqrt(from_identity / inputs),
        'relu_distance': jnp.sqrt(from_relu / is_open),
    }


def _norms(f: Callable, x: jax.Array, key: jax.Array, relu: bool) -> tuple[jax.Array, ...]:
    """The norms of the Jacobian J of f at x.

    Returns:
        The spectral norm, and the squared Frobenius norms of J, J − I, J − D and D, where D is the
        diagonal matrix of what the last ReLU lets through: the identity where there is none.
    """
    y = f(x)
    push, pull = products(f, x)
    start_key, vectors_key = jax.random.split(key)
    # The squares are those of the transpose: summed over all unit vectors, or estimated.
    if max(x.size, y.size) <= LARGEST_MATRIX:
        vectors, weight = jnp.eye(y.size), 1.0
        reached = jax.lax.map(pull, vectors, batch_size=_ROWS_AT_ONCE)
        push, pull = (lambda v: reached @ v), (lambda u: u @ reached)
    else:
        vectors, weight = _signs(vectors_key, (_SAMPLES, y.size)), 1 / _SAMPLES
        reached = jax.lax.map(pull, vectors)
    start = jax.random.normal(start_key, (x.size,))
    largest = largest_singular_value(push, pull, start, _STEPS)
    square = weight * jnp.sum(jnp.square(reached))
    if y.shape != x.shape:
        return largest, square, *[jnp.full((), jnp.nan)] * 3
    is_open = (y > 0).ravel().astype(jnp.float32) if relu else jnp.ones(y.size)
    from_identity = weight * jnp.sum(jnp.square(reached - vectors))
    from_relu = weight * jnp.sum(jnp.square(reached - vectors * is_open[None]))
    return largest, square, from_identity, from_relu, is_open.sum()


def coupling(f: Callable, batch: jax.Array, key: jax.Array) -> jax.Array:
    """Measures how much the images of a batch influence each other's outputs.

    The Jacobian of the whole batch consists of blocks, one for each output image and input image.
    Without anything between the images, all blocks off the diagonal are zero.

    Args:
        f: [batch, ...] → [batch, ...].
        batch: the inputs at which the Jacobian is taken.
        key: the random key of the images and vectors that are drawn.

    Returns:
        The Frobenius norm of all blocks off the diagonal over that of the blocks on it, a float32
        scalar, estimated from random signs in the outputs of `_SAMPLES` images.
    """
    y, pull = jax.vjp(f, batch)

    def sample(sample_key: jax.Array) -> tuple[jax.Array, jax.Array]:
        of_image, of_vector = jax.random.split(sample_key)
        image = jax.random.randint(of_image, (), 0, len(y))
        vector = _signs(of_vector, y.shape[1:]).astype(y.dtype)
        (reached,) = pull(jnp.zeros_like(y).at[image].set(vector))
        energy = jnp.square(reached.astype(jnp.float32)).sum(range(1, reached.ndim))
        is_own = jnp.arange(len(batch)) == image
        return jnp.where(is_own, energy, 0).sum(), jnp.where(is_own, 0, energy).sum()

    own, others = jax.lax.map(sample, jax.random.split(key, _SAMPLES))
    return jnp.sqrt(others.sum() / own.sum())


def _couple_block(
    call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext
) -> object:
    """Measures the coupling of each block's images around its call in training mode.

    It is an interceptor of Flax, as is `_measure_block`.
    """
    module = context.module
    if _is_looked_at(context) and isinstance(module, Block):
        key = module.get_variable('jacobians', 'key')
        block = _function(module, train=True, key=key)
        values = {'image_coupling': coupling(block, args[0], key)}
        module.put_variable('jacobians', 'values', values)
    return call(*args, **kwargs)


def _measure_block(
    call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext
) -> object:
    """Measures and taps each block, and keeps the last stage's output, around a module's call."""
    module = context.module
    if not _is_looked_at(context):
        return call(*args, **kwargs)
    if isinstance(module, Block):
        images, key = jax.lax.stop_gradient(args[0]), module.get_variable('jacobians', 'key')
        block = _function(module, train=False, key=key)
        has_relu = not module.spec.preactivation and module.spec.activation.kind == 'relu'
        values = measure(lambda image: block(image[None])[0], images, key, has_relu)
        module.put_variable('jacobians', 'values', values)
    result = layers.tap_input(call, args, kwargs, context)
    if isinstance(module, Stage) and module.name == f'stage{len(module.parent.spec.stages)}':
        module.put_variable('outputs', 'value', result)
    return result


def _is_looked_at(context: nn.module.InterceptorContext) -> bool:
    """Whether a call belongs to the network that is looked at.

    The calls that measuring itself makes do not; in them, the collection `jacobians` is not
    mutable.
    """
    return context.method_name == '__call__' and context.module.is_mutable_collection('jacobians')


def _function(module: Block, train: bool, key: jax.Array) -> Callable[[jax.Array], jax.Array]:
    """A block with its variables: [batch, ...] → [batch, ...].

    Args:
        module: the block.
        train: whether batch norm uses the statistics of the batch, and dropout drops.
        key: the random key of what dropout drops.
    """
    collections = ('params', 'batch_stats')
    variables = {name: module.variables[name] for name in collections if name in module.variables}
    mutable = ('batch_stats',) if train else ()

    def block(x: jax.Array) -> jax.Array:
        fresh = Block(module.spec, module.dtype)
        y, _ = fresh.apply(variables, x, train, rngs={'dropout': key}, mutable=mutable)
        return y

    return block
