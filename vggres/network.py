"""Stem, stages, head: an `architecture.NetworkSpec` as a Flax Linen module."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from vggres import architecture
from vggres.blocks import BatchNorm, Block, Convolution, he_fan_in


class Stage(nn.Module):
    """The blocks of one resolution.

    The first block changes stride and channels; the others are alike and scanned, so that compile
    time does not grow with depth. Their parameters are stacked: block j + 2 of the stage is
    `jax.tree.map(lambda leaf: leaf[j], params['blocks'])`.
    """

    spec: architecture.Stage
    has_shortcuts: bool
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        channels, stride = self.spec.channels, self.spec.stride
        x = Block(channels, stride, self.has_shortcuts, self.dtype, name='block1')(x, train)
        if self.spec.num_blocks == 1:
            return x
        scan = nn.scan(
            lambda block, x, _: (block(x, train), None),
            variable_axes={'params': 0, 'batch_stats': 0},
            split_rngs={'params': True},
            length=self.spec.num_blocks - 1,
        )
        x, _ = scan(Block(channels, 1, self.has_shortcuts, self.dtype, name='blocks'), x, None)
        return x


class Network(nn.Module):
    """Images [batch, height, width, channels] to logits [batch, num_classes] float32.

    With `train=True`, batch norm uses the batch's statistics and updates the mutable collection
    `batch_stats`; otherwise the running averages.
    """

    spec: architecture.NetworkSpec
    num_classes: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        x = Convolution(self.spec.stem_channels, 1, self.dtype, name='stem')(images)
        x = BatchNorm(use_running_average=not train, dtype=self.dtype, name='stem_norm')(x)
        x = nn.relu(x)
        for i, stage in enumerate(self.spec.stages, start=1):
            x = Stage(stage, self.spec.has_shortcuts, self.dtype, name=f'stage{i}')(x, train)
        x = x.astype(jnp.float32).mean(axis=(1, 2))
        return nn.Dense(self.num_classes, kernel_init=he_fan_in, name='head')(x)
