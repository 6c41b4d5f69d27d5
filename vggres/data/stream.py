"""Batches that come to the device one after another, for data sets that do not fit there.

A reader serves the host's side: `ArrayReader` takes images of one size from arrays, which may be
mapped into memory, in the order of resident data; `image_files.FileReader` decodes and crops whole
image files. Both are functions of the seed and the step alone, so that a continued run sees the
images that it would have seen.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from vggres.data import batches
from vggres.data.resident import TakeBatch
from vggres.data.source import SPLITS, Split

_CHUNK_BYTES = 2**25  # of images that are copied to the device at once, unless a batch has more


@partial(
    jax.tree_util.register_dataclass,
    data_fields=('images', 'labels', 'mean', 'deviation', 'first_step'),
    meta_fields=(),
)
@dataclass(frozen=True)
class Chunk:
    """The images of some consecutive updates, or of a batch to evaluate, on the device.

    Attributes:
        images: [n, height, width, channels] uint8.
        labels: [n] int32.
        mean: [height, width, channels] float32, which is subtracted from images in [0, 1].
        deviation: [1, 1, channels] float32, by which the difference is divided.
        first_step: the number of updates before the first of these.
    """

    images: jax.Array
    labels: jax.Array
    mean: jax.Array
    deviation: jax.Array
    first_step: jax.Array

    def in_order(self, order_key: jax.Array, step: jax.Array, size: int) -> TakeBatch:
        """Updates done → the images and labels of the next one; the order is that of the chunk."""

        def take(step: jax.Array) -> tuple[jax.Array, jax.Array]:
            first = (step - self.first_step) * size
            cut = partial(jax.lax.dynamic_slice_in_dim, start_index=first, slice_size=size)
            return cut(self.images), cut(self.labels)

        return take


class Reader(Protocol):
    """What gives a stream its images, as arrays of the host."""

    def training(self, key: tuple[int, ...], step: int, stop: int) -> tuple[Split, int]:
        """The images of one or more updates from `step` on, and the step up to which they last.

        The key decides the order; it holds the bits of the run's order key.
        """
        ...

    def evaluation(self, split: str, size: int) -> Iterator[Split]:
        """All images of a split, in its order and in batches; the last one may be short."""
        ...


@dataclass(frozen=True)
class Stream:
    """A data set that comes in batches; it offers what `ResidentData` offers.

    Attributes:
        reader: where the batches come from.
        sizes: the number of images in each split, in the order of `source.SPLITS`.
        num_classes: the number of labels.
        mean: [height, width, channels] float32 (see `batches.statistics`).
        deviation: [1, 1, channels] float32.
        chunk: the number of images that are on the device during training, a multiple of the batch.
        evaluated: the number of images that are evaluated at once.
    """

    reader: Reader
    sizes: tuple[int, int, int]
    num_classes: int
    mean: np.ndarray
    deviation: np.ndarray
    chunk: int
    evaluated: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """[height, width, channels] of an image."""
        height, width, channels = self.mean.shape
        return height, width, channels

    @property
    def num_images(self) -> dict[str, int]:
        """The number of images in each split, by the names in `source.SPLITS`."""
        return dict(zip(SPLITS, self.sizes, strict=True))

    @property
    def num_train(self) -> int:
        """The number of images to train on."""
        return self.sizes[0]

    def training(self, order_key: jax.Array, step: int, stop: int) -> tuple[Chunk, int]:
        """The images of the updates from `step` on, and the step up to which they last."""
        key = tuple(np.asarray(jax.random.key_data(order_key)).ravel().tolist())
        images, end = self.reader.training(key, step, stop)
        return self._on_device(images, self.chunk, step), end

    def evaluation(self, split: str) -> Iterator[tuple[Chunk, int, int]]:
        """The images of a split in batches, each with the range of positions that counts."""
        for batch in self.reader.evaluation(split, self.evaluated):
            yield self._on_device(batch, self.evaluated), 0, len(batch.labels)

    def training_shapes(self) -> Chunk:
        """What `training` gives, as shapes to compile with."""
        return self._shapes(self.chunk)

    def evaluation_shapes(self) -> Chunk:
        """What `evaluation` gives, as shapes to compile with."""
        return self._shapes(self.evaluated)

    def _on_device(self, split: Split, size: int, first_step: int = 0) -> Chunk:
        images, labels = split.images, split.labels
        missing = size - len(labels)
        if missing:  # programs know one size: the last image is repeated, and not looked at
            images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
            labels = np.concatenate([labels, np.repeat(labels[-1:], missing)])
        arrays = images, labels, self.mean, self.deviation, np.int32(first_step)
        return Chunk(*map(jnp.asarray, arrays))

    def _shapes(self, size: int) -> Chunk:
        def shape(of: tuple[int, ...], dtype: type) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(of, dtype)

        return Chunk(
            images=shape((size, *self.image_shape), np.uint8),
            labels=shape((size,), np.int32),
            mean=shape(self.mean.shape, np.float32),
            deviation=shape(self.deviation.shape, np.float32),
            first_step=shape((), np.int32),
        )


@dataclass(frozen=True)
class ArrayReader:
    """Reads images of one size from arrays.

    Attributes:
        splits: images and labels, by the names in `source.SPLITS`.
        batch: the number of images in an update.
        updates: the updates whose images are read at once, at most.
    """

    splits: Mapping[str, Split]
    batch: int
    updates: int

    def training(self, key: tuple[int, ...], step: int, stop: int) -> tuple[Split, int]:
        """As `Reader.training`, in the order that `ResidentData` has."""
        train = self.splits['train']
        per_epoch = len(train.labels) // self.batch
        epoch, first = divmod(step, per_epoch)
        end = min(stop, step + self.updates, (epoch + 1) * per_epoch)
        order = _order(key, epoch, len(train.labels))
        chosen = order[first * self.batch : (first + end - step) * self.batch]
        return Split(train.images[chosen], train.labels[chosen]), end

    def evaluation(self, split: str, size: int) -> Iterator[Split]:
        """As `Reader.evaluation`."""
        found = self.splits[split]
        for start in range(0, len(found.labels), size):
            yield Split(found.images[start : start + size], found.labels[start : start + size])


@lru_cache(maxsize=2)
def _order(key: tuple[int, ...], epoch: int, num_train: int) -> np.ndarray:
    """The order of an epoch's images on the host, as `ResidentData.in_order` has it."""
    order_key = jax.random.wrap_key_data(np.array(key, np.uint32))
    return np.asarray(batches.epoch_order(batches.keys(order_key).order, epoch, num_train))


def updates_at_once(batch: int, image_shape: tuple[int, int, int]) -> int:
    """The number of updates whose images are copied to the device at once.

    Args:
        batch: the number of images in an update.
        image_shape: [height, width, channels] of an image.
    """
    return max(1, _CHUNK_BYTES // (batch * math.prod(image_shape)))
