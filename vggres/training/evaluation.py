"""The error of given weights on a split, without training."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from vggres.config import network_spec, program
from vggres.data import datasets
from vggres.networks import torch_weights
from vggres.training import devices, inputs, programs
from vggres.training.compiling import compile_well
from vggres.training.train_step import TrainState


@dataclass(frozen=True)
class Evaluation:
    """How well a network does on a split.

    Attributes:
        images: the number of images in the split.
        wrong: how many of them are classified wrongly.
        error: the same in percent.
        loss: the mean cross-entropy.
    """

    images: int
    wrong: int
    error: float
    loss: float


def evaluate(config: ConfigDict, split: str) -> Evaluation:
    """Evaluates the weights in `config.init.weights` on a whole, clean split.

    Args:
        config: a checked configuration that names a file of weights.
        split: 'train', 'validation' or 'test'.

    Raises:
        UserError: where the weights or the data are missing, or do not fit the network.
    """
    data = inputs.load(program(config), datasets.key(config.data))
    described, channels = network_spec(config), data.image_shape[2]
    variables = torch_weights.read(config.init.weights, described, data.num_classes, channels)
    variables = jax.tree.map(jnp.asarray, variables)
    batch_stats = variables.get('batch_stats', {})
    state = TrainState(jnp.zeros((), jnp.int32), variables['params'], batch_stats, opt_state=())
    state = devices.replicate(state)
    function = programs.functions(program(config), data).evaluate
    compiled = compile_well(devices.jit(function).lower(state, data.evaluation_shapes(), 0, 1))
    loss, wrong = programs.evaluate_split(compiled, data, state, split)
    images = data.num_images[split]
    return Evaluation(images, wrong, 100 * wrong / images, loss / images)
