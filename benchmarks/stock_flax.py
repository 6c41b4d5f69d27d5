"""Builds the same networks from stock Flax: `nn.Conv`, `nn.BatchNorm`, a loop over the blocks."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vggres.networks import spec
from vggres.networks.blocks import he_fan_out, pad_shortcut
from vggres.networks.network import average_pool


class Network(nn.Module):
    """A network that maps [batch, height, width, channels] to logits [batch, num_classes]."""

    spec: spec.NetworkSpec
    num_classes: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        if stem := self.spec.stem:
            x = _convolution(stem.convolution, stem.bias)(x)
            x = _norm(train)(x) if stem.norm else x
            x = nn.relu(x)
            x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))) if stem.pool else x
        for stage in self.spec.stages:
            for block in stage.blocks:
                x = Block(block)(x, train)
            x = nn.max_pool(x, (2, 2), (2, 2)) if stage.pool else x
        size = self.spec.head.pool_size
        x = x.mean((1, 2)) if size == 1 else average_pool(x, size)
        x = x.reshape(x.shape[0], -1)
        for outputs in self.spec.head.hidden:
            x = nn.relu(nn.Dense(outputs)(x))
            x = nn.Dropout(self.spec.head.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes)(x)


class Block(nn.Module):
    """A postactivation block, whose shortcut is the identity, padded or projected."""

    spec: spec.BlockSpec

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y, last = x, len(self.spec.convolutions)
        for k, convolution in enumerate(self.spec.convolutions, start=1):
            y = _convolution(convolution, self.spec.bias)(y)
            y = _norm(train)(y) if self.spec.norm else y
            y = nn.relu(y) if k < last else y
        if self.spec.shortcut:
            if self.spec.shortcut.kind == 'projection':
                pointwise = spec.ConvolutionSpec(self.spec.channels, 1, self.spec.stride)
                x = _norm(train)(_convolution(pointwise, self.spec.bias)(x))
            else:
                x = pad_shortcut(x, self.spec.channels, self.spec.stride)
            y = x + y
        return nn.relu(y)


def _convolution(convolution: spec.ConvolutionSpec, bias: bool) -> nn.Conv:
    size = convolution.kernel_size
    return nn.Conv(
        convolution.channels,
        (size, size),
        convolution.stride,
        padding=size // 2,
        use_bias=bias,
        kernel_init=he_fan_out,
    )


def _norm(train: bool) -> nn.BatchNorm:
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, dtype=jnp.float32)
