"""Measures how strongly layers respond, and what branch and shortcut bring to each addition.

*Responses* are what He et al. 2015 (arXiv 1512.03385), §4.2 and Fig. 7, call so: the output of a
layer after its batch norm and before any other nonlinearity, a ReLU or an addition. Its standard
deviation is taken over all images, pixels and channels of a batch, around one mean. Where no batch
norm follows a convolution, because the network has none or has it in front, the response is the
output of the convolution.

The network is looked at in training mode, on the batch of the update that comes next. Batch norm
then gives channel c the mean β_c and the variance γ_c² v_c / (v_c + ε), where v_c is the variance
of the convolution's output. So the squared response of a layer with a norm is the mean over
channels of that variance plus the variance of β_c over channels: it is 1 in a fresh network, and
later on says what γ and β have learnt, and nothing else.

*Sizes* are the root mean squares of the two summands of a residual block, with their constant
factors. They are not taken around a mean. De & Smith 2020 (arXiv 2002.10444), §2, speak of
variances of signals whose mean is zero, which are mean squares. Behind a ReLU the mean of a
shortcut is part of its signal. An exclusive gate multiplies the branch inside of the addition, so
that such blocks have no sizes.
"""

from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from ml_collections import FrozenConfigDict

from vggres.config import network_spec, observed_names
from vggres.networks.batch_norm import BatchNorm
from vggres.networks.blocks import Block, Convolution
from vggres.networks.network import Network
from vggres.probes import layers
from vggres.training import devices, programs
from vggres.training.compiling import compile_well
from vggres.training.loops import DeviceData, next_batch
from vggres.training.optimizer import Schedule
from vggres.training.programs import Images
from vggres.training.train_step import TrainState

_ASIDE = ('projection', 'gate')  # convolutions that stand beside the main path


def build(
    config: FrozenConfigDict, data: Images
) -> Callable[[TrainState, jax.Array, Schedule], Mapping[str, Mapping[str, float]]]:
    """Compiles the probe of a network, which serves each of its seeds, rates and budgets.

    Args:
        config: the part of a configuration that `vggres.config.program` selects.
        data: the data set that the network trains on.

    Returns:
        (state, order key, schedule) → 'response' by layer, 'branch_size' and 'shortcut_size' by
        block.
    """
    described, names = network_spec(config), observed_names(config)
    network = programs.described_network(config, data.num_classes)
    batching = programs.batching(config)

    def observe_next(state: TrainState, order_key: jax.Array, images: DeviceData) -> layers.Stacked:
        return observe(state, *next_batch(state.step, order_key, images, batching), network=network)

    init = programs.functions(config, data).init
    state, _, order_key = devices.shapes(jax.eval_shape(init, 0, 0))
    lowered = devices.jit(observe_next).lower(state, order_key, data.training_shapes())
    compiled = compile_well(lowered)

    def measure(
        state: TrainState, order_key: jax.Array, schedule: Schedule
    ) -> dict[str, dict[str, float]]:
        step = int(state.step)
        images, _ = data.training(order_key, step, step + 1)
        return layers.by_name(compiled(state, order_key, images), described, names)

    return measure


def observe(
    state: TrainState, images: jax.Array, labels: jax.Array, key: jax.Array, *, network: Network
) -> layers.Stacked:
    """Measures the responses of a network's layers on a batch.

    Args:
        state: the state before the update.
        images: [batch, height, width, channels] float32, normalised and augmented.
        labels: [batch] int32; they are not used.
        key: the random key of what dropout drops.
        network: the network to observe.

    Returns:
        Each of the three quantities by the path of a layer or block: a float32 scalar, or [blocks]
        where blocks are stacked.
    """
    mutable = ('batch_stats', 'activations')
    with nn.intercept_methods(_keep):
        _, updated = network.apply(
            state.variables, images, train=True, rngs={'dropout': key}, mutable=mutable
        )
    kept = updated['activations']
    response = layers.by_path(kept, 'response')
    return {
        'response': {_convolution_of(path): value for path, value in response.items()},
        'branch_size': layers.by_path(kept, 'branch_size'),
        'shortcut_size': layers.by_path(kept, 'shortcut_size'),
    }


def standard_deviation(x: jax.Array) -> jax.Array:
    """The standard deviation over all elements, a float32 scalar, without overflowing squares."""
    x = x.astype(jnp.float32)
    return _size(x - x.mean())


def _size(x: jax.Array) -> jax.Array:
    return layers.root_mean_square(x, range(x.ndim))


def _keep(
    call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext
) -> object:
    """Keeps responses and sizes in the collection `activations`, around the call of a method.

    It is an interceptor of Flax (see `flax.linen.intercept_methods`).
    """
    module, result = context.module, call(*args, **kwargs)
    if context.method_name == '__call__' and _is_response(module):
        module.put_variable('activations', 'response', standard_deviation(result))
    if context.method_name == '_joined' and isinstance(module, Block):
        shortcut, _, y, _ = args
        if shortcut.gate != 'exclusive':
            branch = shortcut.branch_scale * y
            module.put_variable('activations', 'branch_size', _size(branch))
            module.put_variable('activations', 'shortcut_size', _size(result - branch))
    return result


def _is_response(module: nn.Module) -> bool:
    """Whether the output of a module is the response of a layer."""
    if isinstance(module, BatchNorm):
        return _norm_follows(module.parent) and module.name not in ('projection_norm', 'head_norm')
    return (
        isinstance(module, Convolution)
        and module.name not in _ASIDE
        and not _norm_follows(module.parent)
    )


def _norm_follows(parent: nn.Module) -> bool:
    """Whether a batch norm follows the convolutions of a block, or the stem of a network."""
    if isinstance(parent, Block):
        return parent.spec.norm and not parent.spec.preactivation
    return parent.spec.stem is not None and parent.spec.stem.norm


def _convolution_of(path: layers.Path) -> layers.Path:
    """The path of the convolution that a norm belongs to: 'norm2' → 'conv2'."""
    last = {'stem_norm': 'stem'}.get(path[-1], path[-1].replace('norm', 'conv'))
    return (*path[:-1], last)
