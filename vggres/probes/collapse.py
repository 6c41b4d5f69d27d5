"""Measures whether the features of different images become alike along the layers.

The features are the inputs of each block, and those of the dense layers: in postactivation networks
they come from a ReLU and are not negative, so that independent images have a positive cosine (1/π
where the numbers before the ReLU are independent and normal). The network is looked at as it is
evaluated, with fixed statistics of batch norm.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
from ml_collections import FrozenConfigDict

from vggres.networks.network import Network
from vggres.probes import gram, layers
from vggres.training.optimizer import Schedule
from vggres.training.programs import Images
from vggres.training.train_step import TrainState

IMAGES = 32  # the most images of a batch whose features are compared


def build(
    config: FrozenConfigDict, data: Images
) -> Callable[[TrainState, jax.Array, Schedule], dict[str, dict[str, float]]]:
    """Compiles the probe of a network; the arguments are those of `observation.build`.

    Returns:
        (state, order key, schedule) → the two quantities of the probe `collapse` (see
        `quantities`), of the input of each block; the stem's are the images, and the head's are the
        features that it classifies.
    """
    cosines = gram.compiled_look(config, data, feature_cosines)

    def measure(
        state: TrainState, order_key: jax.Array, schedule: Schedule
    ) -> dict[str, dict[str, float]]:
        found = cosines(state, order_key, schedule)
        return {
            'feature_cosine': {name: gram.between_images(each) for name, each in found.items()},
            'feature_rank': {name: gram.effective_rank(each) for name, each in found.items()},
        }

    return measure


def feature_cosines(
    network: Network, variables: dict, images: jax.Array, key: jax.Array
) -> dict[layers.Path, jax.Array]:
    """Computes the cosines between the features of images in the input of each block.

    Args:
        network: the network.
        variables: with fixed statistics of batch norm.
        images: [batch, height, width, channels]; the first `IMAGES` of them are compared.
        key: is not used.

    Returns:
        [n, n] by path, or [blocks, n, n] where blocks are stacked.
    """
    taps = gram.taps(variables['params'], min(len(images), IMAGES))
    with nn.intercept_methods(gram.tap_input):
        _, updated = network.apply(
            variables | {'taps': taps}, images[:IMAGES], train=False, mutable=('activations',)
        )
    return layers.by_path(updated['activations'])
