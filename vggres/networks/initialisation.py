"""Rescales random weights to those of other initialisation schemes than He's.

All schemes draw the same normal numbers around zero. Two networks of one seed under two schemes
therefore differ by one factor in each layer. JAX is imported where it is needed, so that the names
of the schemes can be looked up without it.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from vggres.errors import unknown

if TYPE_CHECKING:
    import jax

# The variance of a kernel's elements under each scheme, by the variance that `network` draws them
# with, the kernel's fan in and its fan out.
SCHEMES: dict[str, Callable[[float, int, int], float]] = {
    # He et al. 2015 (arXiv 1502.01852), §2.2: 2 / fan out for convolutions (the backward case) and
    # 2 / fan in for dense layers. It is what `network` draws.
    'he': lambda drawn, fan_in, fan_out: drawn,
    # Glorot & Bengio 2010, eq. 12. Their distribution is uniform (eq. 16), this one is normal.
    'glorot': lambda drawn, fan_in, fan_out: 2 / (fan_in + fan_out),
    # Simonyan & Zisserman 2015 (arXiv 1409.1556), §3.1: the same variance in every layer.
    'vgg': lambda drawn, fan_in, fan_out: 1e-2,
    # He's, times `fixup_factor`.
    'fixup': lambda drawn, fan_in, fan_out: drawn,
}


def fixup_factor(layer: str, num_layers: int, num_blocks: int) -> float:
    """The factor by which Fixup multiplies the kernel of a layer.

    Each residual branch starts at zero, and so do the logits, which leaves L blocks whose first
    updates change the logits by an amount that does not depend on L (Zhang, Dauphin & Ma 2019,
    arXiv 1901.09321, §3, rules 1 and 2). The scalar multiplier of rule 3 is
    `model.shortcut.learned_branch_scale`. Its scalar biases are the biases of the convolutions
    here, one for each channel and behind each convolution, of which the paper has one for each
    layer and on both sides.

    >>> fixup_factor('conv1', num_layers=2, num_blocks=16), fixup_factor('conv2', 2, 16)
    (0.25, 0.0)

    Args:
        layer: 'conv1', 'conv2', … in a residual branch, or another layer, such as 'head'.
        num_layers: number of convolutions of the residual branch; 0 outside of the branches.
        num_blocks: number of residual blocks of the network, L.
    """
    if layer in ('head', f'conv{num_layers}'):
        return 0.0
    if not layer.startswith('conv'):
        return 1.0
    return num_blocks ** (-1 / (2 * num_layers - 2))


def index(scheme: str) -> int:
    """Numbers a scheme, so that one compiled program serves all of them.

    >>> index('glorot')
    1

    Args:
        scheme: one of `SCHEMES`, such as 'he'.

    Raises:
        UserError: if there is no such scheme.
    """
    if scheme not in SCHEMES:
        raise unknown('scheme', scheme, SCHEMES)
    return list(SCHEMES).index(scheme)


def rescaled(params: dict, scheme: 'str | int | jax.Array') -> dict:
    """Gives each kernel the scale that a scheme prescribes, and leaves the rest as it is.

    >>> import jax.numpy as jnp
    >>> params = {'head': {'kernel': jnp.ones((50, 30)), 'bias': jnp.ones(30)}}
    >>> float(rescaled(params, 'vgg')['head']['kernel'][0, 0])  # √(0.01 / (2/50))
    0.5

    Args:
        params: the parameters that `Network.init` draws.
        scheme: the name of a scheme or, in a compiled program, its traced `index`.

    Returns:
        Parameters of the same shapes, float32.

    Raises:
        UserError: if there is no scheme of that name.
    """
    import jax
    import jax.numpy as jnp

    chosen = index(scheme) if isinstance(scheme, str) else scheme

    def scaled(path: tuple, leaf: jax.Array) -> jax.Array:
        if path[-1].key != 'kernel':
            return leaf
        if leaf.ndim == 2:
            fan_in, fan_out = leaf.shape
            drawn = 2 / fan_in
        else:
            height, width, inputs, outputs = leaf.shape[-4:]  # a stack has one more axis in front
            fan_in, fan_out = height * width * inputs, height * width * outputs
            drawn = 2 / fan_out
        variances = [variance(drawn, fan_in, fan_out) for variance in SCHEMES.values()]
        return leaf * jnp.array([math.sqrt(each / drawn) for each in variances])[chosen]

    of_variance = jax.tree_util.tree_map_with_path(scaled, params)
    return jax.lax.cond(chosen == index('fixup'), _fixup, lambda params: params, of_variance)


def _fixup(params: dict) -> dict:
    """Multiplies each kernel by its `fixup_factor`."""
    import jax

    num_layers = _layers_of_blocks(params)
    num_blocks = sum(count for count, _ in num_layers.values())

    def scaled(path: tuple, leaf: jax.Array) -> jax.Array:
        *block, layer, name = (key.key for key in path)
        _, length = num_layers.get(tuple(block), (0, 0))
        return leaf * fixup_factor(layer, length, num_blocks) if name == 'kernel' else leaf

    return jax.tree_util.tree_map_with_path(scaled, params)


def _layers_of_blocks(params: dict) -> dict[tuple[str, ...], tuple[int, int]]:
    """By the path of a block or of a stack: the number of blocks, and of convolutions in each."""
    found = {}
    for stage, blocks in params.items():
        if stage.startswith('stage'):
            for block, layers in blocks.items():
                kernel = layers['conv1']['kernel']
                count = kernel.shape[0] if kernel.ndim == 5 else 1
                length = sum(layer.startswith('conv') for layer in layers)
                found[stage, block] = count, length
    return found
