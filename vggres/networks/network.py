"""Turns the description of a network into a Flax Linen module of stem, stages and head."""

import functools
import numbers
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from vggres.errors import UserError
from vggres.networks import published
from vggres.networks.batch_norm import BatchNorm
from vggres.networks.blocks import Block, Convolution, activate, he_fan_in
from vggres.networks.spec import NetworkSpec, StageSpec, check_image, first_convolution, place

# Collections that a scanned stage stacks. `probes` adds the last three.
_STACKED = ('params', 'batch_stats', 'activations', 'taps', 'jacobians')
_STEM_POOL_PADDING: Any = ((1, 1), (1, 1))  # Flax declares padding as str and takes pairs too


def create(
    name: str, num_classes: int, dtype: DTypeLike = jnp.float32, **changes: object
) -> 'Network':
    """Creates a published network, with some of its options changed.

    >>> import jax
    >>> import vggres
    >>> network = vggres.create('cifar_resnet20', num_classes=10, depth=8)
    >>> images = jax.random.normal(jax.random.key(0), (4, 32, 32, 3))
    >>> variables = network.init(jax.random.key(1), images, train=False)
    >>> sorted(variables)
    ['batch_stats', 'params']

    In evaluation, the network is a function of its variables and of the images:

    >>> network.apply(variables, images, train=False).shape
    (4, 10)

    In training, batch norm updates its running averages, so that the collection `batch_stats` has
    to be mutable. Networks with dropout need a random key as well, as in `rngs={'dropout': key}`:

    >>> logits, updated = network.apply(variables, images, train=True, mutable=['batch_stats'])
    >>> variables = variables | updated

    Args:
        name: one of `published.names()`, for example 'resnet50' or 'cifar_vgg16_bn'. The table that
            `python -m vggres.networks.published` prints lists them with their sources.
        num_classes: number of outputs of the head.
        dtype: floating-point data type of the computation. Parameters and logits are float32.
        **changes: options that differ from the published ones, for example `shortcut='A'` or
            `depth=100` (see `grammar.Options`).

    Raises:
        UserError: if a name, an option or a value does not exist. The message names those that do.
    """
    is_count = isinstance(num_classes, numbers.Integral) and not isinstance(num_classes, bool)
    if not is_count or num_classes < 1:
        raise UserError(f'num_classes must be a whole number of at least 1, not {num_classes!r}.')
    return Network(published.variant_spec(name, **changes), int(num_classes), _float_type(dtype))


def _float_type(dtype: DTypeLike) -> jnp.dtype:
    """The data type of a name or a scalar type; raises UserError where it holds no floats."""
    try:
        found = None if dtype is None else jnp.dtype(dtype)
    except TypeError:
        found = None
    if found is None or not jnp.issubdtype(found, jnp.floating):
        given = repr(dtype) if found is None else found
        raise UserError(f"dtype must be a floating-point type such as 'bfloat16', not {given}.")
    return found


class Stage(nn.Module):
    """The blocks at one resolution, and the max-pool that may follow them.

    It maps [batch, h, w, inputs] to [batch, ⌈h/stride⌉, ⌈w/stride⌉, channels], where the stride is
    that of the first block; the pool halves height and width once more and rounds down.

    The first block may change stride and channels. If the others are alike, they are scanned, so
    that compilation takes no longer for deeper networks, and their parameters are stacked: those of
    block j + 2 are `jax.tree.map(lambda leaf: leaf[j], params['blocks'])`.

    Attributes:
        spec: the description of the stage.
        dtype: data type of the computation and of the output. The parameters are float32.
        remat: whether the backward pass computes the inside of each block again. Then only the
            inputs of the blocks are kept between the passes (Chen et al. 2016, arXiv 1604.06174).
            XLA:CPU does so only for scanned blocks.
    """

    spec: StageSpec
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        first, *others = self.spec.blocks
        block_type = nn.remat(Block, prevent_cse=False, static_argnums=2) if self.remat else Block
        x = block_type(first, self.dtype, name='block1')(x, train)
        if self.spec.is_stacked:
            shortcut = others[0].shortcut
            draws: dict[Any, bool] = {'params': True}
            draws |= {'dropout': True} if shortcut and shortcut.dropout else {}
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
    """Maps images [batch, height, width, channels] to logits [batch, num_classes] float32.

    With `train=True`, batch norm uses the statistics of the batch and updates the mutable
    collection `batch_stats`, and dropout draws from the random stream 'dropout'. Otherwise batch
    norm uses its running averages, and nothing is dropped. See `create` for an example.

    Attributes:
        spec: the description of the network; `spec.depth` counts its weighted layers.
        num_classes: number of outputs of the head.
        dtype: data type of the computation. Parameters and logits are float32.
        remat: whether to save memory by computing activations twice (see `Stage`).

    Raises:
        UserError: when it is initialised or applied, if the images have another rank, are too small
            for the pools, have their channels first, or have another number of channels than those
            that the network was initialised with.
    """

    spec: NetworkSpec
    num_classes: int
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        kernel = self._first_kernel()
        _check_layout(images.shape, None if kernel is None else kernel.shape[2])
        check_image(self.spec, images.shape)
        x = images
        if stem := self.spec.stem:
            x = Convolution(stem.convolution, stem.bias, dtype=self.dtype, name='stem')(x)
            x = self._norm(x, train, 'stem_norm') if stem.norm else x
            x = activate(x, self.spec.activation) if stem.activation else x
            x = nn.max_pool(x, (3, 3), (2, 2), _STEM_POOL_PADDING) if stem.pool else x
        for i, stage in enumerate(self.spec.stages, start=1):
            x = Stage(stage, self.dtype, self.remat, name=f'stage{i}')(x, train)

        head = self.spec.head
        x = self._norm(x, train, 'head_norm') if head.norm else x
        x = activate(x, self.spec.activation) if head.activation else x
        x = average_pool(x.astype(jnp.float32), head.pool_size)
        x = x.reshape(x.shape[0], -1)
        for i, outputs in enumerate(head.hidden, start=1):
            x = nn.Dense(outputs, dtype=self.dtype, kernel_init=he_fan_in, name=f'dense{i}')(x)
            x = activate(x, self.spec.activation)
            x = nn.Dropout(head.dropout, deterministic=not train)(x)
        x = x.astype(jnp.float32)
        return nn.Dense(self.num_classes, kernel_init=he_fan_in, name='head')(x)

    def _norm(self, x: jax.Array, train: bool, name: str) -> jax.Array:
        return BatchNorm(use_running_average=not train, dtype=self.dtype, name=name)(x)

    def _first_kernel(self) -> jax.Array | None:
        """The kernel of the first convolution; None while it is still to be initialised."""
        path, _ = place(self.spec, first_convolution(self.spec))
        params: Mapping = self.variables.get('params', {})
        return functools.reduce(lambda tree, name: tree.get(name, {}), path, params).get('kernel')


def _check_layout(shape: tuple[int, ...], channels: int | None) -> None:
    """Raises UserError if images are not [batch, height, width, channels].

    Where the number of channels is not known yet, square images are recognised as [batch, channels,
    height, width] if they have one or three rows and as many channels as columns.

    Args:
        shape: of the images.
        channels: the number of channels that the network was initialised with, if it was.
    """
    if len(shape) != 4:
        raise UserError(f'images must be [batch, height, width, channels], not of shape {shape}.')
    hint = ''
    if shape[1] == channels or (shape[1] in (1, 3) and shape[2] == shape[3] >= 8):
        hint = ' Their channels seem to come first: images.transpose(0, 2, 3, 1) puts them last.'
    if channels is not None and shape[3] != channels:
        plural = 's' if channels > 1 else ''
        raise UserError(
            f'the network was initialised for images with {channels} channel{plural}, [batch, '
            f'height, width, {channels}], not for images of shape {shape}.{hint}'
        )
    if channels is None and hint:
        raise UserError(
            f'images must be [batch, height, width, channels], not of shape {shape}.{hint}'
        )


def average_pool(x: jax.Array, size: int) -> jax.Array:
    """Averages images to a fixed number of pixels, as torch's adaptive_avg_pool2d does.

    Output pixel i is the mean of the input pixels from ⌊i·h/size⌋ up to, but not including,
    ⌈(i + 1)·h/size⌉. In images smaller than `size`, pixels therefore repeat.

    Args:
        x: [batch, h, w, channels] float32.
        size: height and width of the result, in pixels.

    Returns:
        [batch, size, size, channels] float32.
    """
    if size == 1:
        return x.mean(axis=(1, 2), keepdims=True)
    if x.shape[1:3] == (size, size):
        return x
    rows, columns = (_pooling_matrix(extent, size) for extent in x.shape[1:3])
    return jnp.einsum('bhwc,ih,jw->bijc', x, rows, columns, precision='highest')


def _pooling_matrix(extent: int, size: int) -> np.ndarray:
    """The matrix [size, extent] whose product with a row or column of pixels is its averages."""
    matrix = np.zeros((size, extent), np.float32)
    for i in range(size):
        start, stop = i * extent // size, -(-(i + 1) * extent // size)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix
