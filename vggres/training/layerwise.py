"""Optimiser transforms that treat the layers of a network apart: interventions into their updates.

A layer is a convolution or a dense layer together with the norm that belongs to it: their gradients
are rescaled by one factor, so that the proportions within the layer stay. Where the blocks of a
stage are stacked, each block of the stack has layers of its own.
"""

import re
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from vggres.networks.spec import NetworkSpec, ShortcutSpec, layers, place, positions

Path = tuple[str, ...]  # of an array in the tree of parameters
Flat = dict[Path, jax.Array]

_LARGEST = 126  # powers of two that leave neither a number nor its inverse outside of float32


def equal_gradients() -> optax.GradientTransformation:
    """Gives the gradients of all layers the same Euclidean norm, and the whole gradient norm 1.

    Each gradient keeps its direction. A power of two that multiplies the gradient of a layer
    changes no bit of the result, as long as no number leaves the range of float32; the zero
    gradient stays zero.
    """

    def update(gradients: dict, params: dict | None) -> dict:
        flat = traverse_util.flatten_dict(gradients)
        factor = sum(_blocks(flat, paths) for paths in _layers(flat).values()) ** -0.5
        return traverse_util.unflatten_dict({p: factor * g for p, g in _directions(flat).items()})

    return optax.stateless(update)


def relative_updates() -> optax.GradientTransformation:
    """Gives the gradient of each layer the Euclidean norm of the layer's weights.

    With the learning rate η, and without momentum and weight decay, each update then changes every
    layer by the part η of its norm. It is the rule of LARS (You et al. 2017, arXiv 1708.03888, §5).
    """

    def update(gradients: dict, params: dict | None) -> dict:
        assert params is not None
        flat, weights = (traverse_util.flatten_dict(tree) for tree in (gradients, params))
        directions, found = _directions(flat), {}
        for paths in _layers(flat).values():
            size = _norm({path: weights[path] for path in paths})
            found |= {path: _spread(size, directions[path]) * directions[path] for path in paths}
        return traverse_util.unflatten_dict(found)

    return optax.stateless(update)


def frozen(network: NetworkSpec, first: int, last: int) -> optax.GradientTransformation:
    """Leaves some layers as they are: those next to the image, or those in front of the head.

    The norm of a frozen layer keeps its scale and its bias; its running averages go on. A
    projection, a gate or a learned factor of the branch is frozen with the first convolution of its
    block.

    Args:
        network: the network whose parameters are updated.
        first: the number of weighted layers next to the image that are frozen.
        last: the number of weighted layers in front of the head that are frozen.
    """
    modules = _frozen_modules(network, first, last)

    def update(updates: dict, params: dict | None) -> dict:
        flat = traverse_util.flatten_dict(updates)
        for path, each in flat.items():
            indices = modules.get(path[:-1])
            if indices:
                flat[path] = each.at[jnp.array(indices)].set(0)
            elif indices is not None:
                flat[path] = jnp.zeros_like(each)
        return traverse_util.unflatten_dict(flat)

    return optax.stateless(update)


def _frozen_modules(network: NetworkSpec, first: int, last: int) -> dict[Path, list[int]]:
    """The modules that are frozen, each with the indices of the stack, or [] where it is none."""
    size, depth = network.smallest_image, network.depth
    on_main_path = positions(network)
    found: dict[Path, list[int]] = {}
    for layer in layers(network, (size, size, 1), num_classes=1):
        position = on_main_path[_on_main_path(layer.name)]
        if position <= first or depth - last <= position < depth:
            path, index = place(network, layer.name)
            found.setdefault(path, []).extend([] if index is None else [index])
    return found


def _on_main_path(name: str) -> str:
    """The weighted layer that a norm, a projection, a gate or a factor belongs to."""
    name = re.sub(r'/(projection|gate|branch_scale|shortcut_scale)(_norm)?$', '/conv1', name)
    name = re.sub(r'/(pointwise|identity)(\d+)(_norm)?$', r'/conv\2', name)
    return re.sub(r'/norm(\d+)$', r'/conv\1', name).removesuffix('_norm')


def fading(shortcut: ShortcutSpec) -> optax.GradientTransformation:
    """Lowers the factors of all shortcuts at each update, until they are 0.

    Args:
        shortcut: of any block; all have the same start and the same number of updates.
    """
    step = abs(shortcut.scale) / shortcut.fade_steps

    def update(updates: dict, params: dict | None) -> dict:
        assert params is not None
        flat, weights = (traverse_util.flatten_dict(tree) for tree in (updates, params))
        for path in flat:
            if path[-2] == 'shortcut_scale':
                flat[path] = -jnp.clip(weights[path], -step, step)
        return traverse_util.unflatten_dict(flat)

    return optax.stateless(update)


def fixed_norms() -> optax.GradientTransformation:
    """Changes updates such that each kernel below a norm keeps its Euclidean norm.

    The network does not depend on the norm of such a kernel. With the plain update it grows, and
    the rate at which the kernel turns falls (van Laarhoven 2017, arXiv 1706.05350, §2).
    """

    def update(updates: dict, params: dict | None) -> dict:
        assert params is not None
        flat, weights = (traverse_util.flatten_dict(tree) for tree in (updates, params))
        found = dict(flat)
        for path in normed_kernels(weights):
            moved = weights[path] + flat[path]
            factor = _norm({path: weights[path]}) / _norm({path: moved})
            found[path] = _spread(factor, moved) * moved - weights[path]
        return traverse_util.unflatten_dict(found)

    return optax.stateless(update)


def normed_kernels(weights: Flat) -> Iterator[Path]:
    """The paths of the kernels of convolutions that a norm follows, in a flat tree of parameters.

    They are those of networks with postactivation.
    """
    for path in weights:
        *place, module, leaf = path
        norm = re.sub(r'^conv(\d+)$', r'norm\1', module) if 'conv' in module else f'{module}_norm'
        if leaf == 'kernel' and (*place, norm, 'scale') in weights:
            yield path


def _layers(flat: Flat) -> dict[Path, list[Path]]:
    """The paths of the arrays of each layer: a weighted layer with its norm."""
    found: dict[Path, list[Path]] = {}
    for path in flat:
        *place, module, _ = path
        layer = re.sub(r'^norm(\d+)$', r'conv\1', module).removesuffix('_norm')
        found.setdefault((*place, layer), []).append(path)
    return found


def _directions(flat: Flat) -> Flat:
    """The gradient of each layer, divided by its norm; a gradient of zero stays zero."""
    found: Flat = {}
    for paths in _layers(flat).values():
        scaled = _near_one({path: flat[path] for path in paths})
        size = _norm(scaled)
        inverse = jnp.where(size > 0, 1, 0) / jnp.where(size > 0, size, 1)
        found |= {path: each * _spread(inverse, each) for path, each in scaled.items()}
    return {path: found[path] for path in flat}


def _near_one(layer: Flat) -> Flat:
    """The arrays of a layer times a power of two that brings the largest element near 1.

    The squares of small gradients would fall below the smallest float32.
    """
    largest = _over_layer(jnp.max, {path: jnp.abs(each) for path, each in layer.items()}, jnp.max)
    _, exponent = jnp.frexp(jnp.where(jnp.isfinite(largest) & (largest > 0), largest, 1))
    factor = jnp.ldexp(jnp.ones_like(largest), jnp.clip(-exponent, -_LARGEST, _LARGEST))
    return {path: each * _spread(factor, each) for path, each in layer.items()}


def _norm(layer: Flat) -> jax.Array:
    """The Euclidean norm over the arrays of a layer: a scalar, or [blocks] in a stack."""
    squares = {path: jnp.square(each) for path, each in layer.items()}
    return jnp.sqrt(_over_layer(jnp.sum, squares, jnp.sum))


def _over_layer(reduce: Callable, layer: Flat, join: Callable) -> jax.Array:
    parts = [
        reduce(each, axis=tuple(range(_is_stacked(path), each.ndim)))
        for path, each in layer.items()
    ]
    return join(jnp.stack(parts), axis=0)


def _blocks(flat: Flat, paths: list[Path]) -> int:
    """The number of layers that the arrays of a layer hold: those of a stack, or one."""
    return flat[paths[0]].shape[0] if _is_stacked(paths[0]) else 1


def _spread(factor: jax.Array, array: jax.Array) -> jax.Array:
    """A scalar or [blocks], with as many axes as the array that it multiplies."""
    return factor.reshape(factor.shape + (1,) * (array.ndim - factor.ndim))


def _is_stacked(path: Path) -> bool:
    return 'blocks' in path
