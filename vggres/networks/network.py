"""Stem, stages, head: a `spec.NetworkSpec` as a Flax Linen module."""

import numbers

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vggres.errors import UserError
from vggres.networks import published, spec
from vggres.networks.batch_norm import BatchNorm
from vggres.networks.blocks import Block, Convolution, he_fan_in

_STACKED = ('params', 'batch_stats', 'activations', 'taps', 'jacobians')  # three of observations


def create(
    name: str, num_classes: int, dtype: jnp.dtype = jnp.float32, **changes: object
) -> 'Network':
    """A published network.

    Args:
        name: as `python -m vggres.networks.published` lists them: 'resnet50', 'cifar_vgg16_bn', …
        num_classes: outputs of the head.
        dtype: of the computation; parameters are float32.
        **changes: options that differ from the published ones, as in `shortcut='A'` or `depth=100`
            (see `grammar.Options`).

    Raises:
        UserError: for a name, an option or a value that does not exist, with those that do.
    """
    is_count = isinstance(num_classes, numbers.Integral) and not isinstance(num_classes, bool)
    if not is_count or num_classes < 1:
        raise UserError(f'num_classes must be a whole number from 1 on, not {num_classes!r}.')
    return Network(published.variant_spec(name, **changes), num_classes, dtype)


class Stage(nn.Module):
    """The blocks of one resolution, and the max-pool that may end it.

    The first block may change stride and channels. Where the others are alike they are scanned, so
    that compile time does not grow with depth, and their parameters are stacked: block j + 2 of the
    stage is `jax.tree.map(lambda leaf: leaf[j], params['blocks'])`.

    With `remat`, the backward pass computes what is within a block again, so that between the
    passes only each block's input is kept (Chen et al. 2016, arXiv 1604.06174). XLA:CPU honours
    that for scanned blocks alone.
    """

    spec: spec.StageSpec
    dtype: jnp.dtype = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        first, *others = self.spec.blocks
        block_type = nn.remat(Block, prevent_cse=False, static_argnums=2) if self.remat else Block
        x = block_type(first, self.dtype, name='block1')(x, train)
        if self.spec.is_stacked:
            shortcut = others[0].shortcut
            draws = {'params': True} | ({'dropout': True} if shortcut and shortcut.dropout else {})
            scan = nn.scan(
                lambda block, x, _: (block(x, train), None),
                variable_axes=dict.fromkeys(_STACKED, 0),
                split_rngs=draws,
                length=len(others),
            )
            x, _ = scan(block_type(others[0], self.dtype, name='blocks'), x, None)
        else:
            for j, block in enumerate(others, start=2):
                x = block_type(block, self.dtype, name=f'block{j}')(x, train)
        return nn.max_pool(x, (2, 2), strides=(2, 2)) if self.spec.pool else x


class Network(nn.Module):
    """Images [batch, height, width, channels] to logits [batch, num_classes] float32.

    With `train=True`, batch norm uses the batch's statistics and updates the mutable collection
    `batch_stats`, and dropout draws from the random stream 'dropout'; otherwise batch norm uses the
    running averages and nothing is dropped.

    Raises:
        UserError: for images of another rank or too small for the pools, when applied.
    """

    spec: spec.NetworkSpec
    num_classes: int
    dtype: jnp.dtype = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        if images.ndim != 4:
            raise UserError(
                f'images are [batch, height, width, channels], not of shape {images.shape}.'
            )
        spec.check_image(self.spec, images.shape)
        x = images
        if stem := self.spec.stem:
            x = Convolution(stem.convolution, stem.bias, dtype=self.dtype, name='stem')(x)
            x = self._norm(x, train, 'stem_norm') if stem.norm else x
            x = nn.relu(x) if stem.activation else x
            x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1))) if stem.pool else x
        for i, stage in enumerate(self.spec.stages, start=1):
            x = Stage(stage, self.dtype, self.remat, name=f'stage{i}')(x, train)

        head = self.spec.head
        x = self._norm(x, train, 'head_norm') if head.norm else x
        x = nn.relu(x) if head.activation else x
        x = average_pool(x.astype(jnp.float32), head.pool_size)
        x = x.reshape(x.shape[0], -1)
        for i, outputs in enumerate(head.hidden, start=1):
            x = nn.Dense(outputs, dtype=self.dtype, kernel_init=he_fan_in, name=f'dense{i}')(x)
            x = nn.Dropout(head.dropout, deterministic=not train)(nn.relu(x))
        x = x.astype(jnp.float32)
        return nn.Dense(self.num_classes, kernel_init=he_fan_in, name='head')(x)

    def _norm(self, x: jax.Array, train: bool, name: str) -> jax.Array:
        return BatchNorm(use_running_average=not train, dtype=self.dtype, name=name)(x)


def average_pool(x: jax.Array, size: int) -> jax.Array:
    """[batch, h, w, c] → [batch, size, size, c], as torch's adaptive_avg_pool2d does.

    Output i is the mean of the pixels from ⌊i·h/size⌋ up to ⌈(i + 1)·h/size⌉, also where the image
    is smaller than that and pixels repeat.
    """
    if size == 1:
        return x.mean(axis=(1, 2), keepdims=True)
    if x.shape[1:3] == (size, size):
        return x
    rows, columns = (_pooling_matrix(extent, size) for extent in x.shape[1:3])
    return jnp.einsum('bhwc,ih,jw->bijc', x, rows, columns, precision='highest')


def _pooling_matrix(extent: int, size: int) -> np.ndarray:
    matrix = np.zeros((size, extent), np.float32)
    for i in range(size):
        start, stop = i * extent // size, -(-(i + 1) * extent // size)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix
