"""Compares what different images leave in each block: cosines, and the effective rank.

The input of the stem, of each block and of each dense layer passes through an identity function, a
tap as in `layers`. On the way forward it keeps the cosines between the images' features; on the way
back it delivers the cosines between their gradients, as the gradient of a matrix in the collection
`taps`. The network is looked at with fixed statistics of batch norm, so that no image influences
another one's features or gradient.

What is fetched from the device are matrices of cosines; the numbers made of them are computed in
double precision on the host.
"""

from collections.abc import Callable, Mapping, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util
from ml_collections import FrozenConfigDict

from vggres.config import network_spec, observed_names
from vggres.networks import spec
from vggres.networks.network import Network
from vggres.probes import jacobian, layers
from vggres.training import devices, programs
from vggres.training.compiling import compile_quickly
from vggres.training.loops import DeviceData, next_batch
from vggres.training.optimizer import Schedule
from vggres.training.programs import Images
from vggres.training.train_step import TrainState

# (network, variables, images, key) → matrices of cosines [..., n, n] by the path of what they
# belong to, stacked where blocks are stacked: [..., blocks, n, n].
Look = Callable[[Network, dict, jax.Array, jax.Array], dict[layers.Path, jax.Array]]


def cosines(rows: jax.Array) -> jax.Array:
    """The cosines of the angles between arrays, of which there is one for each image.

    Args:
        rows: [n, ...]; no square leaves the range of float32.

    Returns:
        [n, n] float32; NaN in the row and the column of an image whose array is zero.
    """
    flat = rows.reshape(len(rows), -1).astype(jnp.float32)
    flat = flat / jnp.max(jnp.abs(flat), axis=1, keepdims=True)
    unit = flat / jnp.linalg.norm(flat, axis=1, keepdims=True)
    return jnp.matmul(unit, unit.T, precision='highest')


@jax.custom_vjp
def _identity(x: jax.Array, tap: jax.Array) -> jax.Array:
    return x


def _forward(x: jax.Array, tap: jax.Array) -> tuple[jax.Array, None]:
    return x, None


def _backward(_: None, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    return gradient, cosines(gradient)


_identity.defvjp(_forward, _backward)


def tap_input(
    call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext
) -> object:
    """Compares the images at the input of a block, the stem or a dense layer.

    It is an interceptor of Flax (see `flax.linen.intercept_methods`).
    """
    module = context.module
    if context.method_name != '__call__' or not module.has_variable('taps', 'input'):
        return call(*args, **kwargs)
    x, *others = args
    module.put_variable('activations', 'input', cosines(jax.lax.stop_gradient(x)))
    return call(_identity(x, module.get_variable('taps', 'input')), *others, **kwargs)


def taps(params: dict, images: int) -> dict:
    """The collection `taps`: a matrix of zeros for the stem, each block and each dense layer.

    Args:
        params: the parameters of the network.
        images: their number n; matrices are [n, n].
    """
    tapped = layers.by_path(layers.taps(params))
    zeros = {
        (*path, 'input'): jnp.zeros((*tap.shape, images, images))
        for path, tap in tapped.items()
        if len(path) == 1 or path[-1].startswith('block')
    }
    return traverse_util.unflatten_dict(zeros)


def compiled_look(
    config: FrozenConfigDict, data: Images, look: Look
) -> Callable[[TrainState, jax.Array, Schedule], dict[str, np.ndarray]]:
    """Compiles what looks at the images of the update that comes next.

    Args:
        config: the part of a configuration that `vggres.config.program` selects.
        data: the data set that the network trains on.
        look: what is done with the images; its variables hold fixed statistics of batch norm
            (`jacobian.frozen_statistics`), and its random key belongs to the update.

    Returns:
        (state, order key, schedule) → the matrices of cosines [..., n, n] of each block that
        `probes.names` asks for, and of the stem and the dense layers, by their names.
    """
    network = programs.described_network(config, data.num_classes)
    batching = programs.batching(config)

    def look_next(
        state: TrainState, order_key: jax.Array, images: DeviceData
    ) -> dict[layers.Path, jax.Array]:
        batch, _, key = next_batch(state.step, order_key, images, batching)
        variables = jacobian.evaluated_variables(network, state, batch, key)
        return look(network, variables, batch, jax.random.fold_in(key, 2))

    init = programs.functions(config, data).init
    state, _, order_key = devices.shapes(jax.eval_shape(init, 0, 0))
    lowered = devices.jit(look_next).lower(state, order_key, data.training_shapes())
    compiled = compile_quickly(lowered)  # it runs a few times a cell
    described, names = network_spec(config), observed_names(config)

    def measure(
        state: TrainState, order_key: jax.Array, schedule: Schedule
    ) -> dict[str, np.ndarray]:
        step = int(state.step)
        images, _ = data.training(order_key, step, step + 1)
        return _by_name(compiled(state, order_key, images), described, names)

    return measure


def _by_name(
    found: Mapping[layers.Path, jax.Array], described: spec.NetworkSpec, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Fetches matrices from the device, by the names of blocks and of layers outside of blocks."""
    fetched = jax.device_get(dict(found))
    by_name = {}
    for name in names:
        path, index = spec.place(described, name)
        if path in fetched:
            matrices = np.asarray(fetched[path], np.float64)
            by_name[name] = matrices if index is None else matrices[..., index, :, :]
    return by_name


def between_images(matrices: np.ndarray) -> float:
    """The mean of matrices [..., n, n] off the diagonal: over all pairs of different images."""
    n = matrices.shape[-1]
    return float(matrices[..., ~np.eye(n, dtype=bool)].mean()) if n > 1 else float('nan')


def effective_rank(matrices: np.ndarray) -> float:
    """The effective rank of Gram matrices, the mean over all of them.

    It is exp(−Σ p log p), where p are the eigenvalues of the Gram matrix over their sum: n for n
    orthogonal vectors of one length, and 1 for multiples of one vector. Roy & Vetterli 2007 ("The
    effective rank", §2) have the singular values of the vectors in the place of p, which are the
    roots of these eigenvalues; the eigenvalues are the shares of the energy.

    Args:
        matrices: [..., n, n], positive semidefinite.

    Returns:
        From 1 to n; NaN where a value is not finite or a matrix is zero.
    """
    if not np.isfinite(matrices).all():
        return float('nan')
    eigenvalues = np.maximum(np.linalg.eigvalsh(matrices), 0)
    total = eigenvalues.sum(-1, keepdims=True)
    if not total.all():
        return float('nan')
    shares = eigenvalues / total
    entropy = -np.sum(shares * np.log(np.where(shares > 0, shares, 1)), axis=-1)
    return float(np.exp(entropy).mean())


def at_lag(matrices: np.ndarray, lag: int) -> float:
    """The mean of the cosines between points of a line that are `lag` points apart.

    Args:
        matrices: [..., n, n], whose rows and columns follow the line.
        lag: from 0 to n − 1.
    """
    return float(np.diagonal(matrices, lag, -2, -1).mean())
