"""Measures the curvature of the training loss: the largest eigenvalue λ of its Hessian, by Lanczos.

The loss is the one that the updates minimise, without weight decay: the mean over the batches of
the first `BATCHES` updates, in training mode, where batch norm normalises by the statistics of each
batch. It is a function of the parameters alone. Evaluation mode would freeze the running averages,
which lag behind while the weights move, and which belong to no network before the first update.
The batches stay the same at every look. The loss over all images is at most as sharp as that over
some of them is on average, because the largest eigenvalue is a convex function of the matrix.

*Why it matters.* Near a minimum with curvature λ along an eigenvector, gradient descent with the
rate η multiplies the distance from it by 1 − ηλ, and diverges where λ > 2/η. With momentum β, the
distance x follows x' = x + β (x − x₋) − ηλ x, whose characteristic polynomial z² − (1 + β − ηλ) z +
β has both roots inside the unit circle just where 0 < ηλ < 2 (1 + β): the product of the roots is
β < 1, and at ηλ = 2 (1 + β) one of them is −1. Cohen et al. 2021 (arXiv 2103.00065), §2 and §3,
find that training with all images at once settles at this edge of stability. The noise of small
batches keeps networks below it, once they have left the start, which may lie far above.

*How.* Products of the Hessian with vectors are exact: the gradient of the inner product of gradient
and vector. A ReLU counts as linear on both sides, as it does everywhere but on a set of measure
zero. Differences of gradients at two points would measure something else, because the gradient
jumps where a ReLU opens or closes: in float32 and with a batch of images, they are off by more than
the product itself in a network of 20 layers before training, and the more so the smaller the step.
Lanczos' method with full orthogonalisation then gives a Ritz value, which is never above the
largest eigenvalue and rises towards it with each product. Vectors live on the host in double
precision.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from ml_collections import FrozenConfigDict

from vggres.networks.blocks import Convolution
from vggres.networks.convolution import convolve_twice
from vggres.networks.network import Network
from vggres.training import devices, programs
from vggres.training.compiling import compile_well
from vggres.training.loops import Batch, DeviceData, next_batch
from vggres.training.optimizer import Schedule
from vggres.training.programs import Images
from vggres.training.train_step import TrainState, training_loss

BATCHES = 2  # the most batches over which the loss is the mean
MOST_PRODUCTS = 24  # at each look
TOLERANCE = 0.02  # of the largest Ritz value: the residual at which the iteration stops
_SEED = 16  # of the vector that the iteration starts from
_EXHAUSTED = 1e-7  # of the largest Ritz value: what is smaller is rounding error

Product = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Largest:
    """The largest Ritz value of a symmetric matrix.

    Attributes:
        value: at most the largest eigenvalue.
        residual: some eigenvalue lies no further than this from it.
    """

    value: float
    residual: float


def build(
    config: FrozenConfigDict, data: Images
) -> Callable[[TrainState, jax.Array, Schedule], Mapping[str, Mapping[str, float]]]:
    """Compiles the probe of a network, which serves each of its seeds, rates and budgets.

    Args:
        config: the part of a configuration that `vggres.config.program` selects.
        data: the data set that the network trains on.

    Returns:
        (state, order key, schedule) → 'curvature' by name: 'largest' and 'residual' as in
        `Largest`, the learning 'rate' of the update that comes next, and the 'norm' of all
        parameters.
    """
    network = programs.described_network(config, data.num_classes)
    batching = programs.batching(config)

    def of_batch(
        state: TrainState, order_key: jax.Array, images: DeviceData, step: int, vector: jax.Array
    ) -> jax.Array:
        batch = next_batch(jnp.asarray(step), order_key, images, batching)
        return product(state, vector, batch, network=network)

    init = programs.functions(config, data).init
    state, _, order_key = devices.shapes(jax.eval_shape(init, 0, 0))
    size = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    vector = devices.shapes(jax.ShapeDtypeStruct((size,), jnp.float32))
    arguments = state, order_key, data.training_shapes(), 0, vector
    compiled = compile_well(devices.jit(of_batch).lower(*arguments))
    batches = min(BATCHES, data.num_train // config.train.batch_size)
    start = np.random.default_rng(_SEED).normal(size=size)

    def measure(
        state: TrainState, order_key: jax.Array, schedule: Schedule
    ) -> dict[str, dict[str, float]]:
        taken = [data.training(order_key, step, step + 1)[0] for step in range(batches)]

        def hessian(vector: np.ndarray) -> np.ndarray:
            given = devices.replicate(jnp.asarray(vector, jnp.float32))
            products = [
                compiled(state, order_key, images, step, given) for step, images in enumerate(taken)
            ]
            return np.mean([np.asarray(each, np.float64) for each in products], axis=0)

        found = largest(hessian, start, MOST_PRODUCTS)
        squares = [np.sum(np.square(leaf, dtype=float)) for leaf in _leaves(state)]
        return {
            'curvature': {
                'largest': found.value,
                'residual': found.residual,
                'rate': float(schedule(state.step)),
                'norm': float(np.sqrt(sum(squares))),
            }
        }

    return measure


def _leaves(state: TrainState) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(state.params)]


def product(state: TrainState, vector: jax.Array, batch: Batch, *, network: Network) -> jax.Array:
    """Multiplies the Hessian of a batch's loss in training mode with a vector.

    Args:
        state: its parameters are where the Hessian is taken.
        vector: [parameters] float32, in the order of `ravel_pytree`.
        batch: images, labels and the random key of what dropout drops.
        network: the network.

    Returns:
        [parameters] float32.
    """
    weights, unravel = ravel_pytree(state.params)
    images, labels, key = batch

    def loss(flat: jax.Array) -> jax.Array:
        variables = {'params': unravel(flat), 'batch_stats': state.batch_stats}
        return training_loss(network, variables, images, labels, key)[0]

    with nn.intercept_methods(_twice):
        return jax.grad(lambda flat: jax.grad(loss)(flat) @ vector)(weights)


def _twice(
    call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext
) -> object:
    """Convolves by `convolve_twice`: an interceptor of Flax (see `nn.intercept_methods`)."""
    module = context.module
    if not isinstance(module, Convolution) or context.method_name != '__call__':
        return call(*args, **kwargs)
    x, kernel = args[0], module.get_variable('params', 'kernel')
    x, kernel = x.astype(module.dtype), kernel.astype(module.dtype)
    y = convolve_twice(x, kernel, module.spec.stride, padding=module.spec.kernel_size // 2)
    if module.use_bias:
        y += module.get_variable('params', 'bias').astype(module.dtype).reshape(1, 1, 1, -1)
    return y


def largest(multiply: Product, start: np.ndarray, steps: int) -> Largest:
    """Computes the largest Ritz value of a symmetric matrix by Lanczos' method.

    Every vector is made orthogonal to all vectors before it, twice, since rounding errors would
    bring copies of the largest eigenvalue otherwise. The iteration stops where the residual is
    below `TOLERANCE` of a positive value, and where the space is exhausted, which makes the value
    exact.

    >>> matrix = np.diag([3.0, -5.0, 2.0])
    >>> round(largest(lambda vector: matrix @ vector, np.ones(3), steps=3).value, 6)
    3.0

    Args:
        multiply: x [n] → A x [n]; x has norm 1.
        start: [n], not zero.
        steps: the most products, at least one.

    Returns:
        NaN where a product is not finite.
    """
    basis: list[np.ndarray] = []
    diagonal: list[float] = []
    beside: list[float] = []
    vector = start / np.linalg.norm(start)
    found = Largest(float('nan'), float('nan'))
    for _ in range(min(steps, len(start))):
        basis.append(vector)
        image = multiply(vector)
        diagonal.append(float(vector @ image))
        for _ in range(2):
            image = image - sum((each @ image) * each for each in basis)
        beside.append(float(np.linalg.norm(image)))
        if not np.isfinite(diagonal[-1] + beside[-1]):
            return Largest(float('nan'), float('nan'))
        tridiagonal = np.diag(diagonal) + np.diag(beside[:-1], 1) + np.diag(beside[:-1], -1)
        values, vectors = np.linalg.eigh(tridiagonal)
        found = Largest(float(values[-1]), float(abs(beside[-1] * vectors[-1, -1])))
        is_exhausted = beside[-1] <= _EXHAUSTED * np.abs(values).max()
        if is_exhausted or found.residual < TOLERANCE * found.value:
            break
        vector = image / beside[-1]
    return found
