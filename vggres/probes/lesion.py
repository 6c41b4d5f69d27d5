"""Deletes blocks of a trained network, and swaps them, and measures the validation error each time.

Veit, Wilber & Belongie 2016 (arXiv 1605.06431), §4.1 and §4.2: in a residual network a block is
deleted by removing its branch, so that only the shortcut remains; several random blocks are
deleted; and blocks are put into another order. Nothing is trained or adapted afterwards: weights
and the running averages of batch norm stay as they are.

A block without a shortcut, as in a plain network or a vgg, is replaced by what passes its input on:
the identity where the shapes agree, and otherwise option A of He et al. 2015 (arXiv 1512.03385,
§4.1), which subsamples and pads with zero channels. The last ReLU of a block stays in all families;
behind another ReLU it changes nothing. The pools of a vgg belong to its stages and stay as well.

Blocks are swapped within a stage, and without its first block, whose shape may differ: these are
the blocks whose parameters are stacked (see `network.Stage`).

Which blocks are deleted and in which order they stand are arguments of one compiled program.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import FrozenConfigDict

from vggres.config import network_spec, observed_names
from vggres.networks.blocks import Block, pad_shortcut
from vggres.networks.network import Network
from vggres.networks.spec import NetworkSpec
from vggres.probes import layers
from vggres.training import devices, programs
from vggres.training.compiling import compile_well
from vggres.training.loops import DeviceData, evaluate_range
from vggres.training.optimizer import Schedule
from vggres.training.programs import Images
from vggres.training.train_step import TrainState

DRAWS = 4  # the number of random sets of blocks, or orders, of each size
_DELETED = (2, 3, 5, 8, 12, 18, 26)  # blocks deleted together, up to half of the network's
_SWAPS = (1, 2, 4, 8, 16)  # pairs of blocks that change places, one after another
SPLIT = 'validation'


def build(
    config: FrozenConfigDict, data: Images
) -> Callable[[TrainState, jax.Array, Schedule], dict[str, dict[str, float]]]:
    """Compiles the probe of a network; the arguments are those of `observation.build`.

    Returns:
        (state, order key, schedule) → validation errors in percent. Before the first update there
        is nothing to be hurt, and nothing is measured. Later there are four quantities:

        - `lesion_deleted`: by the name of the block that is deleted, for those in `probes.names`;
        - `lesion_several`: by 'count/draw', as in '3/0', for random sets of blocks that are deleted
          together; '0' is the whole network;
        - `lesion_swapped`: by 'count/draw' for so many random swaps of two blocks, one after
          another; nothing where no two blocks are alike;
        - `lesion_tau`: Kendall's τ between the order after these swaps and the original one.
    """
    described = network_spec(config)
    names = [name for name in _names(described) if name in observed_names(config)]
    state, _, _ = devices.shapes(jax.eval_shape(programs.functions(config, data).init, 0, 0))
    whole = np.ones(len(_names(described)), bool)
    arguments = data.evaluation_shapes(), 0, 1, whole, unchanged(described)
    compiled = compile_well(devices.jit(_function(config, data)).lower(state, *arguments))

    def error(state: TrainState, kept: np.ndarray, order: np.ndarray) -> float:
        def evaluate(*given: object) -> tuple[jax.Array, jax.Array]:
            return compiled(*given, kept, order)

        _, wrong = programs.evaluate_split(evaluate, data, state, SPLIT)
        return 100 * wrong / data.num_images[SPLIT]

    def measure(
        state: TrainState, order_key: jax.Array, schedule: Schedule
    ) -> dict[str, dict[str, float]]:
        if int(state.step) == 0:
            return {}
        generator = np.random.default_rng(np.asarray(jax.random.key_data(order_key)))
        straight = unchanged(described)
        single = {name: _without(described, [i]) for i, name in enumerate(_names(described))}
        several = {'0': whole} | dict(random_sets(described, generator))
        orders = dict(random_orders(described, generator))
        return {
            'lesion_deleted': {name: error(state, single[name], straight) for name in names},
            'lesion_several': {
                name: error(state, kept, straight) for name, kept in several.items()
            },
            'lesion_swapped': {name: error(state, whole, order) for name, order in orders.items()},
            'lesion_tau': {name: kendall(order) for name, order in orders.items()},
        }

    return measure


def _function(config: FrozenConfigDict, data: Images) -> Callable[..., tuple]:
    """(state, data, start, stop, kept, order) → as `loops.evaluate_range`, of the lesioned network.

    The last two arguments are those of `logits`.
    """
    network = programs.described_network(config, data.num_classes)
    batch_size = programs.evaluation_batch_size(config, data.image_shape)

    def evaluate(  # what `loops.evaluate_range` takes, and the two arrays of the lesion
        state: TrainState,
        images: DeviceData,
        start: jax.Array,
        stop: jax.Array,
        kept: jax.Array,
        order: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        step = partial(_step, network=network, kept=kept, order=order)
        return evaluate_range(state, images, start, stop, step=step, batch_size=batch_size)

    return evaluate


def _step(
    state: TrainState,
    images: jax.Array,
    labels: jax.Array,
    *,
    network: Network,
    kept: jax.Array,
    order: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """As `train_step.eval_step`, of the lesioned network."""
    found = logits(network, state.variables, images, kept, order)
    loss = optax.softmax_cross_entropy_with_integer_labels(found, labels)
    return loss, found.argmax(-1) != labels


def logits(
    network: Network, variables: dict, images: jax.Array, kept: jax.Array, order: jax.Array
) -> jax.Array:
    """The logits of a network with some of its blocks deleted, and others in another place.

    Args:
        network: the network.
        variables: its 'params' and 'batch_stats'.
        images: [batch, height, width, channels] float32, normalised.
        kept: [blocks] bool: False at the places whose block is deleted.
        order: [blocks] int32: the number of the block, from 0, whose parameters and statistics are
            used at each place. It may differ from the place for stacked blocks alone, and the block
            has to be one of the same stage.

    Returns:
        [batch, num_classes] float32.
    """
    lesioned = {name: _reordered(network.spec, each, order) for name, each in variables.items()}
    taps = layers.over_blocks(network.spec, 'kept', kept)
    with nn.intercept_methods(_delete):
        return network.apply(lesioned | {'taps': taps}, images, train=False)


def _delete(
    call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext
) -> object:
    """Deletes a block where its tap says so, around the calls of its methods.

    It is an interceptor of Flax (see `flax.linen.intercept_methods`).
    """
    block = context.module
    if not isinstance(block, Block):
        return call(*args, **kwargs)
    if context.method_name == '_joined':
        shortcut, x, y, train = args
        kept = block.get_variable('taps', 'kept')
        return call(shortcut, x, jnp.where(kept, y, jnp.zeros_like(y)), train)
    if context.method_name != '__call__' or block.spec.shortcut:
        return call(*args, **kwargs)
    passed = pad_shortcut(args[0], block.spec.channels, block.spec.stride)
    passed = passed if block.spec.preactivation else nn.relu(passed)
    result = call(*args, **kwargs)
    return jnp.where(block.get_variable('taps', 'kept'), result, passed.astype(result.dtype))


def _reordered(network_spec: NetworkSpec, collection: dict, order: jax.Array) -> dict:
    """A collection whose stacked blocks stand in another order."""
    found, first = dict(collection), 0
    for i, stage in enumerate(network_spec.stages, start=1):
        name, last = f'stage{i}', first + len(stage.blocks)
        if stage.is_stacked and name in found:
            places = order[first + 1 : last] - (first + 1)
            stack = jax.tree.map(lambda leaf, at=places: leaf[at], found[name]['blocks'])
            found[name] = found[name] | {'blocks': stack}
        first = last
    return found


def unchanged(network_spec: NetworkSpec) -> np.ndarray:
    """The order in which every block stands at its own place, [blocks] int32."""
    return np.arange(len(_names(network_spec)), dtype=np.int32)


def random_sets(
    network_spec: NetworkSpec, generator: np.random.Generator
) -> Iterator[tuple[str, np.ndarray]]:
    """Random sets of blocks to delete: 'count/draw' and which blocks are kept, [blocks] bool."""
    blocks = len(_names(network_spec))
    for count in _DELETED:
        for draw in range(DRAWS if count <= blocks / 2 else 0):
            deleted = generator.choice(blocks, count, replace=False)
            yield f'{count}/{draw}', _without(network_spec, deleted)


def random_orders(
    network_spec: NetworkSpec, generator: np.random.Generator
) -> Iterator[tuple[str, np.ndarray]]:
    """Random orders of the blocks that may be swapped: 'count/draw' and the order, [blocks] int32.

    Each swap exchanges what stands at two random places of one stage.
    """
    pairs, first = [], 0
    for stage in network_spec.stages:
        last = first + len(stage.blocks)
        if stage.is_stacked:
            pairs += [(a, b) for b in range(first + 1, last) for a in range(first + 1, b)]
        first = last
    for count in _SWAPS if pairs else ():
        for draw in range(DRAWS):
            order = unchanged(network_spec)
            for a, b in generator.choice(pairs, count):
                order[[a, b]] = order[[b, a]]
            yield f'{count}/{draw}', order


def kendall(order: Sequence[int] | np.ndarray) -> float:
    """Kendall's τ between an order of numbers and the ascending one: 1 where they are the same.

    >>> kendall([0, 1, 2]), kendall([2, 1, 0])
    (1.0, -1.0)
    """
    order = np.asarray(order)
    pairs = len(order) * (len(order) - 1) / 2
    inversions = sum(int(np.sum(order[i + 1 :] < each)) for i, each in enumerate(order))
    return 1 - 2 * inversions / pairs


def _without(network_spec: NetworkSpec, deleted: Sequence[int] | np.ndarray) -> np.ndarray:
    """Which blocks are kept, [blocks] bool, where those with the given numbers are deleted."""
    return ~np.isin(unchanged(network_spec), deleted)


def _names(network_spec: NetworkSpec) -> list[str]:
    """The names of all blocks, in the order of the forward pass."""
    return [
        f'stage{i}/block{j}'
        for i, stage in enumerate(network_spec.stages, start=1)
        for j, _ in enumerate(stage.blocks, start=1)
    ]
