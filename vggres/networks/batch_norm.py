"""Batch norm whose backward pass keeps its input alone.

Why not `flax.linen.BatchNorm`: what its derivative keeps, two arrays of the input's size for each
layer instead of one, is written to and read from the stacks of a scan. One array less saves a
quarter of the temporaries of ResNet-20's step at 32×32, and an eighth of its compilation time.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

MOMENTUM = 0.9  # of the running averages: what PyTorch calls 0.1
EPSILON = 1e-5

Saved = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


class BatchNorm(nn.Module):
    """Ioffe & Szegedy 2015 (arXiv 1502.03167), Algorithms 1 and 2, over all axes but the last.

    Parameters `scale` and `bias`, running averages `mean` and `var` (biased) in `batch_stats`, as
    `flax.linen.BatchNorm` names them; all float32, and so are the statistics.

    Attributes:
        use_running_average: whether they are used, or else the batch's own, which update them.
        dtype: of the output.
    """

    use_running_average: bool
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[batch, height, width, channels] → the same."""
        channels = x.shape[-1]
        scale = self.param('scale', nn.initializers.ones, (channels,))
        bias = self.param('bias', nn.initializers.zeros, (channels,))
        average = self.variable('batch_stats', 'mean', jnp.zeros, (channels,))
        variance = self.variable('batch_stats', 'var', jnp.ones, (channels,))
        if self.use_running_average:
            y = _affine(x, average.value, scale * jax.lax.rsqrt(variance.value + EPSILON), bias)
            return y.astype(self.dtype)
        y, batch_mean, batch_variance = normalise(x, scale, bias)
        if not self.is_initializing():
            average.value = MOMENTUM * average.value + (1 - MOMENTUM) * batch_mean
            variance.value = MOMENTUM * variance.value + (1 - MOMENTUM) * batch_variance
        return y.astype(self.dtype)


@jax.custom_vjp
def normalise(
    x: jax.Array, scale: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(x − mean) / √(variance + ε) · scale + bias, over all axes but the last.

    Args:
        x: [batch, height, width, channels].
        scale: [channels] float32.
        bias: [channels] float32.

    Returns:
        The normalised x, of its dtype, and the batch's mean and biased variance [channels] float32.
    """
    return _forward(x, scale, bias)[0]


def _forward(
    x: jax.Array, scale: jax.Array, bias: jax.Array
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], Saved]:
    wide = x.astype(jnp.float32)
    mean = wide.mean(_axes(x))
    variance = jnp.maximum(0, jnp.square(wide).mean(_axes(x)) - jnp.square(mean))
    inverse = jax.lax.rsqrt(variance + EPSILON)  # of the standard deviation
    y = _affine(wide, mean, scale * inverse, bias).astype(x.dtype)
    return (y, mean, variance), (x, scale, mean, inverse)


def _backward(
    saved: Saved, gradients: tuple[jax.Array, jax.Array, jax.Array]
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The gradient of x is, channel by channel, slope · (gradient of y) + twist · x + shift."""
    x, scale, mean, inverse = saved
    of_y, of_mean, of_variance = gradients
    wide, of_y, count = x.astype(jnp.float32), of_y.astype(jnp.float32), x.size // x.shape[-1]
    of_bias = of_y.sum(_axes(x))
    of_slope = (of_y * (wide - _channels(mean, x))).sum(_axes(x))
    slope = scale * inverse
    of_variance = of_variance - scale * inverse**3 * of_slope / 2
    of_mean = of_mean - slope * of_bias
    twist = 2 * of_variance / count
    shift = of_mean / count - twist * mean
    of_x = of_y * _channels(slope, x) + wide * _channels(twist, x) + _channels(shift, x)
    return of_x.astype(x.dtype), inverse * of_slope, of_bias


normalise.defvjp(_forward, _backward)


def _affine(x: jax.Array, mean: jax.Array, slope: jax.Array, bias: jax.Array) -> jax.Array:
    return x * _channels(slope, x) + _channels(bias - mean * slope, x)


def _axes(x: jax.Array) -> tuple[int, ...]:
    return tuple(range(x.ndim - 1))


def _channels(values: jax.Array, x: jax.Array) -> jax.Array:
    return values.reshape((1,) * (x.ndim - 1) + values.shape)
