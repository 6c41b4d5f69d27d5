"""The error of given weights on a split, without training."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from vggres import config as configuration
from vggres.data import tfds
from vggres.networks import torch_weights
from vggres.training import programs
from vggres.training.train_step import TrainState


def evaluate(config: ConfigDict, split: str) -> dict[str, float]:
    """Evaluates the weights in `config.init.weights`.

    Args:
        config: checked, with the file of weights.
        split: 'train', 'validation' or 'test': the whole of it, clean.

    Returns:
        `images` and `wrong` are counts, `error` is in percent, `loss` the mean cross-entropy.

    Raises:
        UserError: where the weights or the data are not there or do not fit.
    """
    num_classes = tfds.describe(config.data).num_classes
    splits = tfds.load(config.data)
    device_data = programs.to_device(splits, num_classes, config.data.normalisation)
    variables = torch_weights.read(
        config.init.weights,
        configuration.network_spec(config),
        num_classes,
        channels=device_data.images.shape[3],
    )
    variables = jax.tree.map(jnp.asarray, variables)
    batch_stats = variables.get('batch_stats', {})
    state = TrainState(jnp.zeros((), jnp.int32), variables['params'], batch_stats, opt_state=None)
    _, _, evaluate_range, _ = programs.functions(configuration.program(config), device_data)
    start, stop = device_data.ranges[split]
    arguments = (state, *device_data.arrays, start, stop)
    loss, wrong = programs.compile_well(jax.jit(evaluate_range).lower(*arguments))(*arguments)
    images = stop - start
    return {
        'images': images,
        'wrong': int(wrong),
        'error': 100 * int(wrong) / images,
        'loss': float(loss) / images,
    }
