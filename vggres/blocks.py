"""Convolution, batch norm, shortcut, and the block they make: plain and residual by one switch."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vggres.convolution import convolve

# He et al. 2015 (arXiv 1502.01852), backward case: the variance of gradients is kept.
he_fan_out = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')
he_fan_in = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')

BATCH_NORM_MOMENTUM = 0.9  # of the running averages: what PyTorch calls 0.1
BATCH_NORM_EPSILON = 1e-5


class Convolution(nn.Module):
    """3×3 convolution without bias, padded by 1: [b, h, w, c] → [b, ⌈h/s⌉, ⌈w/s⌉, channels].

    Attributes:
        channels: output channels.
        stride: s, of both directions.
        dtype: of the computation; the kernel is float32.
    """

    channels: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param('kernel', he_fan_out, (3, 3, x.shape[-1], self.channels))
        return convolve(x.astype(self.dtype), kernel.astype(self.dtype), self.stride, padding=1)


class BatchNorm(nn.BatchNorm):
    """Flax's batch norm under this suite's constants; statistics are always float32."""

    momentum: float = BATCH_NORM_MOMENTUM
    epsilon: float = BATCH_NORM_EPSILON


def shortcut(x: jax.Array, channels: int, stride: int) -> jax.Array:
    """Option A of He et al. 2015, §4.1: the identity, subsampled and padded with zero channels."""
    new = channels - x.shape[-1]
    return jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), (0, new)))


class Block(nn.Module):
    """Two 3×3 convolutions with batch norm, postactivation (He et al. 2015, Fig. 2 and 3).

    Attributes:
        channels: output channels.
        stride: of the first convolution and of the shortcut.
        has_shortcut: the switch between residual and plain; nothing else depends on it.
        dtype: of the computation.
    """

    channels: int
    stride: int
    has_shortcut: bool
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = Convolution(self.channels, self.stride, self.dtype, name='conv1')(x)
        y = BatchNorm(use_running_average=not train, dtype=self.dtype, name='norm1')(y)
        y = nn.relu(y)
        y = Convolution(self.channels, 1, self.dtype, name='conv2')(y)
        y = BatchNorm(use_running_average=not train, dtype=self.dtype, name='norm2')(y)
        if self.has_shortcut:
            y += shortcut(x, self.channels, self.stride)
        return nn.relu(y)
