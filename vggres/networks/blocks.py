"""Convolution, shortcut, and the block they make: one for all families."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vggres.networks import spec
from vggres.networks.batch_norm import BatchNorm
from vggres.networks.convolution import convolve

# He et al. 2015 (arXiv 1502.01852), backward case: the variance of gradients is kept.
he_fan_out = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')
he_fan_in = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')


class Convolution(nn.Module):
    """[batch, h, w, c] → [batch, ⌈h/stride⌉, ⌈w/stride⌉, channels], padded by half of the kernel.

    Attributes:
        spec: channels, kernel size and stride.
        use_bias: whether a bias is added.
        bias_init: what it starts from.
        dtype: of the computation; the parameters are float32.
    """

    spec: spec.ConvolutionSpec
    use_bias: bool = False
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size, channels = self.spec.kernel_size, self.spec.channels
        kernel = self.param('kernel', he_fan_out, (size, size, x.shape[-1], channels))
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        y = convolve(x, kernel, self.spec.stride, padding=size // 2)
        if self.use_bias:
            bias = self.param('bias', self.bias_init, (channels,))
            y += bias.astype(self.dtype).reshape(1, 1, 1, channels)
        return y


def pad_shortcut(x: jax.Array, channels: int, stride: int) -> jax.Array:
    """Option A of He et al. 2015, §4.1: the identity, subsampled and padded with zero channels.

    Half of the zeros go in front, as in akamaster's networks, whose weights then fit. The order of
    channels changes nothing that a network can compute.
    """
    new = channels - x.shape[-1]
    sides = (new // 2, new - new // 2)
    return jnp.pad(x[:, ::stride, ::stride], ((0, 0), (0, 0), (0, 0), sides))


class Block(nn.Module):
    """A residual branch and its shortcut: x [batch, h, w, c] → [batch, ⌈h/s⌉, ⌈w/s⌉, channels].

    Postactivation (He et al. 2015, Fig. 2 and 5): convolution, norm and ReLU in a row, the last
    ReLU after the addition. Preactivation ("Identity mappings", Fig. 1b): norm, ReLU, convolution,
    nothing after the addition; the shortcut starts from x itself, or behind the first norm and ReLU
    where the description says so.

    Attributes:
        spec: what to compute.
        dtype: of the computation.
    """

    spec: spec.BlockSpec
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = x
        last = len(self.spec.convolutions)
        for k, convolution in enumerate(self.spec.convolutions, start=1):
            if self.spec.preactivation:
                y = nn.relu(self._norm(y, train, f'norm{k}'))
                x = y if k == 1 and self.spec.shared_activation else x
            y = self._convolution(convolution, f'conv{k}')(y)
            if not self.spec.preactivation:
                y = self._norm(y, train, f'norm{k}')
                y = nn.relu(y) if k < last else y
        if self.spec.shortcut is not None:
            y = self._joined(x, y, train)
        return y if self.spec.preactivation else nn.relu(y)

    def _joined(self, x: jax.Array, y: jax.Array, train: bool) -> jax.Array:
        """scale · h(x) + branch_scale · y, gated (see `spec.ShortcutSpec`)."""
        how = self.spec.shortcut
        pointwise = spec.ConvolutionSpec(self.spec.channels, kernel_size=1, stride=self.spec.stride)
        if how.kind == 'projection':
            passed = self._convolution(pointwise, 'projection')(x)
            if not self.spec.preactivation:
                passed = self._norm(passed, train, 'projection_norm')
        else:
            passed = pad_shortcut(x, self.spec.channels, self.spec.stride)
        if how.gate != 'none':
            bias = nn.initializers.constant(how.gate_bias)
            gate = nn.sigmoid(Convolution(pointwise, True, bias, self.dtype, name='gate')(x))
            passed *= 1 - gate
            y = y * gate if how.gate == 'exclusive' else y
        if how.dropout:
            kept = 1 - how.dropout  # undoes what nn.Dropout scales the kept elements by
            passed = kept * nn.Dropout(how.dropout, deterministic=not train)(passed)
        return how.scale * passed + how.branch_scale * y

    def _convolution(self, convolution: spec.ConvolutionSpec, name: str) -> Convolution:
        return Convolution(convolution, self.spec.bias, dtype=self.dtype, name=name)

    def _norm(self, x: jax.Array, train: bool, name: str) -> jax.Array:
        if not self.spec.norm:
            return x
        return BatchNorm(use_running_average=not train, dtype=self.dtype, name=name)(x)
