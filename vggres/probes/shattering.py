"""Measures how much the gradients of different inputs have in common (Balduzzi et al. 2017).

"The Shattered Gradients Problem" (arXiv 1702.08591) looks at the gradient of a scalar output in the
input of the network. With depth it comes to change with the input like white noise, although its
size stays: a step that helps one input says nothing about the next one.

The scalar is the same linear function of the logits for every image: their sum with random signs,
as a mean over `OUTPUTS` draws of these. The gradient of the loss would not do, because images of
different labels have different gradients before any layer has done anything. At the input of the
head the gradients of all images are therefore the same (their cosine is 1), and everything that
parts them further down is the ReLUs that are open for one image and closed for the other.

The network is looked at as it is evaluated, with fixed statistics of batch norm, so that no image
influences another. Inputs of two kinds are compared: the first images of the batch, which are
independent, and points on straight lines between two of them, which are close together.
"""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from vggres.config import network_spec
from vggres.networks.network import Network
from vggres.networks.spec import first_convolution
from vggres.probes import gram, layers
from vggres.training.optimizer import Schedule
from vggres.training.programs import Images
from vggres.training.train_step import TrainState

IMAGES = 16  # the most images of a batch whose gradients are compared
LINES = 2  # from the first image to the second, and from the third to the fourth
STEPS = 32  # from one end of a line to the other
LAGS = (1, 2, 4, 8, 16, 32)  # steps of a line
OUTPUTS = 4  # draws of the random signs of the logits


def build(
    config: FrozenConfigDict, data: Images
) -> Callable[[TrainState, jax.Array, Schedule], dict[str, dict[str, float]]]:
    """Compiles the probe of a network; the arguments are those of `observation.build`.

    Returns:
        (state, order key, schedule) → the four quantities of the probe `shattering` (see
        `quantities`). Those of blocks are about the gradient in the input of the block, and in the
        images for the first name; the autocorrelation is about the gradient in the images, by the
        distance of two points as a part of the line.
    """
    cosines = gram.compiled_look(config, data, gradient_cosines)
    at_image = '/'.join(first_convolution(network_spec(config)).split('/')[:2])

    def measure(
        state: TrainState, order_key: jax.Array, schedule: Schedule
    ) -> dict[str, dict[str, float]]:
        return summary(cosines(state, order_key, schedule), at_image)

    return measure


def gradient_cosines(
    network: Network, variables: dict, images: jax.Array, key: jax.Array
) -> dict[layers.Path, jax.Array]:
    """Computes the cosines between the gradients of inputs in the input of each block.

    Args:
        network: the network.
        variables: with fixed statistics of batch norm.
        images: [batch, height, width, channels], at least four.
        key: of the random signs.

    Returns:
        [outputs, n, n] by path, or [outputs, blocks, n, n] where blocks are stacked. The n inputs
        are those of `inputs`.
    """
    given = inputs(images)

    def logits(taps: dict) -> jax.Array:
        with nn.intercept_methods(gram.tap_input):
            found, _ = network.apply(
                variables | {'taps': taps}, given, train=False, mutable=('activations',)
            )
        return found

    _, pull = jax.vjp(logits, gram.taps(variables['params'], len(given)))

    def of_output(output_key: jax.Array) -> dict:
        signs = jax.random.rademacher(output_key, (1, network.num_classes), jnp.float32)
        (reached,) = pull(jnp.tile(signs, (len(given), 1)))
        return reached

    return layers.by_path(jax.lax.map(of_output, jax.random.split(key, OUTPUTS)))


def inputs(images: jax.Array) -> jax.Array:
    """The inputs that are compared: the first `IMAGES` images, then the points of each line."""
    parts = jnp.linspace(0, 1, STEPS + 1).reshape(-1, 1, 1, 1)
    starts, ends = images[: 2 * LINES : 2, None], images[1 : 2 * LINES : 2, None]
    lines = starts + parts[None] * (ends - starts)
    return jnp.concatenate([images[:IMAGES], lines.reshape(-1, *images.shape[1:])])


def summary(cosines: Mapping[str, np.ndarray], at_image: str) -> dict[str, dict[str, float]]:
    """Summarises the cosines between gradients.

    Args:
        cosines: [outputs, n, n] by the name of a block, the n inputs as of `inputs`.
        at_image: the name whose input are the images.
    """
    found: dict[str, dict[str, float]] = {
        'gradient_correlation': {},
        'gradient_rank': {},
        'neighbour_correlation': {},
        'gradient_autocorrelation': {},
    }
    points = LINES * (STEPS + 1)
    for name, matrices in cosines.items():
        of_images = matrices[:, :-points, :-points]
        of_lines = _of_lines(matrices[:, -points:, -points:])
        found['gradient_correlation'][name] = gram.between_images(of_images)
        found['gradient_rank'][name] = gram.effective_rank(of_images)
        found['neighbour_correlation'][name] = gram.at_lag(of_lines, 1)
        if name == at_image:
            found['gradient_autocorrelation'] = {
                f'{lag / STEPS:g}': gram.at_lag(of_lines, lag) for lag in LAGS
            }
    return found


def _of_lines(matrices: np.ndarray) -> np.ndarray:
    """[outputs, lines · points, …] → [lines, outputs, points, points]: within each line."""
    size = STEPS + 1
    ranges = [slice(line * size, (line + 1) * size) for line in range(LINES)]
    return np.stack([matrices[:, each, each] for each in ranges])
