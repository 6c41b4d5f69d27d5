"""Rescales random weights to the variances of other initialisation schemes than He's.

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
}


def index(scheme: str) -> int:
    """Numbers a scheme, so that one compiled program serves all of them.

    >>> index('glorot')
    1

    Args:
        scheme: 'he', 'glorot' or 'vgg'.

    Raises:
        UserError: if there is no such scheme.
    """
    if scheme not in SCHEMES:
        raise unknown('scheme', scheme, SCHEMES)
    return list(SCHEMES).index(scheme)


def rescaled(params: dict, scheme: 'str | int | jax.Array') -> dict:
    """Gives each kernel the variance that a scheme prescribes, and leaves the rest as it is.

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

    return jax.tree_util.tree_map_with_path(scaled, params)
