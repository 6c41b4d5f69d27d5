"""Random weights under other schemes than He's, of the same draws."""

import math

import jax

_VGG_VARIANCE = 1e-2


def rescaled(params: dict, scheme: str) -> dict:
    """Gives each kernel the variance of a scheme.

    All are normal around zero, so that two networks of one seed differ by one factor a layer:

    * 'he': 2 / fan out for convolutions (He et al. 2015, arXiv 1502.01852, §2.2, the backward case)
      and 2 / fan in for dense layers: what `network` draws, unchanged;
    * 'glorot': 2 / (fan in + fan out) (Glorot & Bengio 2010, eq. 12; theirs is uniform, eq. 16);
    * 'vgg': 0.01, whatever the layer (Simonyan & Zisserman 2015, arXiv 1409.1556, §3.1).

    Args:
        params: as `Network.init` draws them.
        scheme: 'he', 'glorot' or 'vgg'.
    """
    if scheme == 'he':
        return params

    def scaled(path: tuple, leaf: jax.Array) -> jax.Array:
        if path[-1].key != 'kernel':
            return leaf
        if leaf.ndim == 2:
            fan_in, fan_out = leaf.shape
            drawn = 2 / fan_in
        else:
            height, width, inputs, outputs = leaf.shape[-4:]  # stacked or not
            fan_in, fan_out = height * width * inputs, height * width * outputs
            drawn = 2 / fan_out
        variance = {'glorot': 2 / (fan_in + fan_out), 'vgg': _VGG_VARIANCE}[scheme]
        return leaf * math.sqrt(variance / drawn)

    return jax.tree_util.tree_map_with_path(scaled, params)
