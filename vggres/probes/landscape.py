"""Measures the loss on a plane through the final weights: filter-normalised surfaces.

The method is that of Li et al. 2018, "Visualizing the loss landscape of neural nets" (arXiv
1712.09913), §4. Two random directions are drawn. Each filter of a direction, the part of a kernel
that belongs to one output channel, is scaled to the norm of the same filter of the weights, so that
networks whose weights differ by a factor that batch norm undoes have the same surface. Scales and
biases stay as they are. The loss is the mean cross-entropy of fixed images of the training set, as
the network is evaluated, with the running averages of the final weights.

The plane is looked at from the last change of the learning rate on, before which the weights are
not those that anybody keeps; earlier looks measure nothing.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util
from ml_collections import FrozenConfigDict

from vggres.data import batches
from vggres.networks.network import Network
from vggres.training import devices, programs
from vggres.training.compiling import compile_well
from vggres.training.loops import DeviceData
from vggres.training.optimizer import Schedule
from vggres.training.programs import Images
from vggres.training.train_step import TrainState

BATCHES = 2  # the most batches of training images on which the loss is measured
POINTS = 21  # along each side of the grid
REACH = 1.0  # the grid goes from −REACH to REACH, in units of the norm of the weights
_STREAM = 16  # of the random directions, apart from those that order the images

Surface = Callable[[TrainState, jax.Array, Schedule], Mapping[str, Mapping[str, float]]]


def build(config: FrozenConfigDict, data: Images) -> Surface:
    """Compiles the probe of a network, which serves each of its seeds, rates and budgets.

    Args:
        config: the part of a configuration that `vggres.config.program` selects.
        data: the data set that the network trains on.

    Returns:
        (state, order key, schedule) → 'surface' by the point, as `name` calls it; nothing before
        the last change of the learning rate, nor before the first update. Networks of one seed have
        directions from the same random key.
    """
    network = programs.described_network(config, data.num_classes)
    size = config.train.batch_size

    def losses(state: TrainState, order_key: jax.Array, images: DeviceData, step: int) -> jax.Array:
        raw, labels = devices.divided(images.in_order(order_key, step, size)(step))
        batch = batches.normalise(raw, images.mean, images.deviation), labels
        key = jax.random.fold_in(order_key, _STREAM)
        return surface(state, directions(key, state.params), batch, network=network)

    init = programs.functions(config, data).init
    state, _, order_key = devices.shapes(jax.eval_shape(init, 0, 0))
    lowered = devices.jit(losses).lower(state, order_key, data.training_shapes(), 0)
    compiled = compile_well(lowered)
    num_batches = min(BATCHES, data.num_train // size)

    def measure(
        state: TrainState, order_key: jax.Array, schedule: Schedule
    ) -> dict[str, dict[str, float]]:
        if int(state.step) < max([1, *np.asarray(schedule.decay_steps).tolist()]):
            return {}
        each = [
            compiled(state, order_key, data.training(order_key, step, step + 1)[0], step)
            for step in range(num_batches)
        ]
        mean = np.mean([np.asarray(found, np.float64) for found in each], axis=0)
        names = [name(*point) for point in grid().tolist()]
        return {'surface': dict(zip(names, mean.tolist(), strict=True))}

    return measure


def grid() -> np.ndarray:
    """The points of the grid, row by row: `[POINTS², 2]`."""
    line = np.linspace(-REACH, REACH, POINTS)
    return np.stack(np.meshgrid(line, line, indexing='ij'), axis=-1).reshape(-1, 2)


def name(first: float, second: float) -> str:
    """What a point is called: '0.5,-1' is half of the first direction less all of the second."""
    return f'{round(first, 6) + 0.0:g},{round(second, 6) + 0.0:g}'


def directions(key: jax.Array, params: dict) -> tuple[dict, dict]:
    """Draws two random directions, each filter of which has the norm of that of the weights.

    Args:
        key: a random key.
        params: the parameters of a network.

    Returns:
        Two trees of the shapes of `params`, which are zero but for kernels.
    """
    first, second = jax.random.split(key)
    return _direction(first, params), _direction(second, params)


def _direction(key: jax.Array, params: dict) -> dict:
    flat = traverse_util.flatten_dict(params)
    drawn = {}
    for i, (path, leaf) in enumerate(flat.items()):
        normal = jax.random.normal(jax.random.fold_in(key, i), leaf.shape, leaf.dtype)
        drawn[path] = _like_filters(normal, leaf, 'blocks' in path) * (path[-1] == 'kernel')
    return traverse_util.unflatten_dict(drawn)


def _like_filters(direction: jax.Array, kernel: jax.Array, is_stacked: bool) -> jax.Array:
    """Scales each filter [..., output] to the norm of the same filter of a kernel.

    The filters of stacked blocks have their block as the first axis.
    """
    axes = tuple(range(is_stacked, kernel.ndim - 1))
    drawn, wanted = (
        jnp.sqrt(jnp.sum(jnp.square(each), axes, keepdims=True)) for each in (direction, kernel)
    )
    return direction * (wanted / jnp.where(drawn > 0, drawn, 1))


def surface(
    state: TrainState,
    along: tuple[dict, dict],
    batch: tuple[jax.Array, jax.Array],
    *,
    network: Network,
) -> jax.Array:
    """Computes the loss of a batch at all points of `grid`, in evaluation mode.

    Args:
        state: the weights in the middle, and the running averages for all points.
        along: the two directions.
        batch: images [batch, height, width, channels] float32, normalised, and labels [batch].
        network: the network.

    Returns:
        [POINTS²] float32.
    """
    images, labels = batch

    def loss(point: jax.Array) -> jax.Array:
        params = jax.tree.map(
            lambda weight, one, two: weight + point[0] * one + point[1] * two, state.params, *along
        )
        variables = state.variables | {'params': params}
        logits = network.apply(variables, images, train=False)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    return jax.lax.map(loss, jnp.asarray(grid(), jnp.float32))
