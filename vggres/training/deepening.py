"""Starts a deep plain network from a trained shallower one: see `networks.deepening`."""

import functools
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from vggres.config import Config, network_spec
from vggres.data import batches
from vggres.networks import deepening, torch_weights
from vggres.networks.deepening import Moments
from vggres.networks.network import Network, Stage
from vggres.networks.spec import NetworkSpec
from vggres.training.loops import DeviceData
from vggres.training.programs import Images, evaluation_batch_size


def read(config: Config, data: Images) -> dict:
    """The variables of a network that computes what the trained one in a file does.

    Args:
        config: a configuration whose `init.deepened_from` is a .safetensors file.
        data: the data set on which the trained network was trained.

    Raises:
        UserError: where the file is missing, does not say which network it belongs to, or holds one
            that the wanted network is no deepening of.
    """
    path, channels = config.init.deepened_from, data.image_shape[2]
    shallow, deep = torch_weights.described_network(path), network_spec(config)
    deepening.check(deep, shallow)
    variables = torch_weights.read(path, shallow, data.num_classes, channels)
    size = evaluation_batch_size(config, data.image_shape)
    moments = moments_of_stages(shallow, variables, data, size)
    return deepening.deepened(variables, shallow, deep, moments)


def moments_of_stages(
    shallow: NetworkSpec, variables: dict, data: Images, batch_size: int
) -> list[Moments]:
    """The statistics of the features at the end of each stage, over the clean training set.

    Args:
        shallow: the trained network, which is in evaluation mode.
        variables: its weights and running averages.
        data: the data set.
        batch_size: the number of images that `data` evaluates at once.
    """
    variables = jax.tree.map(jnp.asarray, variables)
    of_batch = _sums(shallow, data.num_classes, batch_size)
    sums: list[np.ndarray] = []
    for images, start, stop in data.evaluation('train'):
        for first in range(start, stop, batch_size):
            found = of_batch(variables, images, first, stop)
            wide = [np.asarray(each, np.float64) for each in found]
            sums = [a + b for a, b in zip(sums, wide, strict=True)] if sums else wide
    moments = []
    for count, total, squares in sums:
        mean = total / count
        variance = np.maximum(0, squares / count - np.square(mean))
        moments.append(Moments(mean.astype(np.float32), variance.astype(np.float32)))
    return moments


@functools.lru_cache(maxsize=1)
def _sums(
    shallow: NetworkSpec, num_classes: int, batch_size: int
) -> Callable[..., list[jax.Array]]:
    """A compiled (variables, data, start, stop) → of each stage [3, channels].

    The three rows are the number of pixels, the sum of the features over them, and the sum of their
    squares, of up to `batch_size` images from `start` on, before `stop`.
    """
    network = Network(shallow, num_classes)

    def of_batch(
        variables: dict, data: DeviceData, start: jax.Array, stop: jax.Array
    ) -> list[jax.Array]:
        positions = start + jnp.arange(batch_size)
        index = data.index_of(jnp.minimum(positions, stop - 1))
        images = batches.normalise(data.images[index], data.mean, data.deviation)
        _, state = network.apply(
            variables,
            images,
            train=False,
            capture_intermediates=lambda module, _: isinstance(module, Stage),
            mutable=['intermediates'],
        )
        counts = (positions < stop).astype(jnp.float32).reshape(-1, 1, 1, 1)
        found = []
        for i in range(len(shallow.stages)):
            (features,) = cast('dict', state)['intermediates'][f'stage{i + 1}']['__call__']
            kept = features * counts
            pixels = jnp.full(features.shape[-1], features.shape[1] * features.shape[2] * 1.0)
            pixels = pixels * counts.sum()
            axes = (0, 1, 2)
            found.append(jnp.stack([pixels, kept.sum(axes), (kept * features).sum(axes)]))
        return found

    return jax.jit(of_batch)
