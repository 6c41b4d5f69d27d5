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
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from vggres.data import batches
from vggres.data.resident import TakeBatch
from vggres.data.source import SPLITS, Split, places_of, rows_of

_CHUNK_BYTES = 2**25  # of images that are copied to the device at once, unless a batch has more


class Shardings(NamedTuple):
    """How arrays lie on several devices.

    Attributes:
        whole: each device has the whole array.
        first_axis: the devices share the first axis.
        second_axis: the devices share the second axis.
    """

    whole: NamedSharding
    first_axis: NamedSharding
    second_axis: NamedSharding


@partial(
    jax.tree_util.register_dataclass,
    data_fields=('images', 'labels', 'mean', 'deviation', 'first_step'),
    meta_fields=('is_shared',),
)
@dataclass(frozen=True)
class Chunk:
    """The images of some consecutive updates, or of a batch to evaluate, on the device.

    Several devices share each batch. The images to train on then have an axis of updates and one of
    the images of an update, so that each device has its rows of every update.

    Attributes:
        images: [n, height, width, channels] uint8, or [updates, batch, height, width, channels].
        labels: [n] int32, or [updates, batch].
        mean: [height, width, channels] float32, which is subtracted from images in [0, 1].
        deviation: [1, 1, channels] float32, by which the difference is divided.
        first_step: the number of updates before the first of these.
        is_shared: whether several devices share it.
    """

    images: jax.Array
    labels: jax.Array
    mean: jax.Array
    deviation: jax.Array
    first_step: jax.Array
    is_shared: bool = False

    def in_order(self, order_key: jax.Array, step: jax.Array, size: int) -> TakeBatch:
        """Updates done → the images and labels of the next one; the order is that of the chunk."""

        def take(step: jax.Array) -> tuple[jax.Array, jax.Array]:
            if self.is_shared:
                return self.images[step - self.first_step], self.labels[step - self.first_step]
            first = (step - self.first_step) * size
            cut = partial(jax.lax.dynamic_slice_in_dim, start_index=first, slice_size=size)
            return cut(self.images), cut(self.labels)

        return take

    def index_of(self, positions: jax.Array) -> jax.Array | slice:
        """What takes the images at some positions out of `images`, for evaluation.

        What several devices share is the batch that is evaluated, in its order: each of them has
        its images already, and none is fetched from another device.
        """
        return slice(None) if self.is_shared else positions


class Reader(Protocol):
    """What gives a stream its images, as arrays of the host.

    Of several hosts that train together, each reads its own rows of every batch.

    Attributes:
        batch: the number of images in an update, of all hosts together.
        host: the index of this host, and the number of hosts.
    """

    batch: int
    host: tuple[int, int]

    def training(self, key: tuple[int, ...], step: int, stop: int) -> tuple[Split, int]:
        """The images of one or more updates from `step` on, and the step up to which they last.

        The key decides the order; it holds the bits of the run's order key.
        """
        ...

    def evaluation(self, split: str, size: int) -> Iterator[Split]:
        """All images of a split, in its order and in batches; the last one may be short.

        Where a host has no row of the last batch, it gets the last image instead.
        """
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
        shardings: how arrays lie on several devices; None for a single one.
    """

    reader: Reader
    sizes: tuple[int, int, int]
    num_classes: int
    mean: np.ndarray
    deviation: np.ndarray
    chunk: int
    evaluated: int
    shardings: Shardings | None = None

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
        filled = _filled(images, len(rows_of(self.reader.host, self.reader.batch)) * self._updates)
        if self.shardings:
            filled = [array.reshape(self._updates, -1, *array.shape[1:]) for array in filled]
        return self._on_device(*filled, self.shardings and self.shardings.second_axis, step), end

    def evaluation(self, split: str) -> Iterator[tuple[Chunk, int, int]]:
        """The images of a split in batches, each with the range of positions that counts."""
        placed, size = self.shardings and self.shardings.first_axis, self.evaluated
        starts = range(0, self.num_images[split], size)
        for start, batch in zip(starts, self.reader.evaluation(split, size), strict=True):
            filled = _filled(batch, len(rows_of(self.reader.host, size)))
            counted = min(size, self.num_images[split] - start)
            yield self._on_device(*filled, placed), 0, counted

    def training_shapes(self) -> Chunk:
        """What `training` gives, as shapes to compile with."""
        if self.shardings:
            return self._shapes((self._updates, self.reader.batch), self.shardings.second_axis)
        return self._shapes((self.chunk,), None)

    def evaluation_shapes(self) -> Chunk:
        """What `evaluation` gives, as shapes to compile with."""
        return self._shapes((self.evaluated,), self.shardings and self.shardings.first_axis)

    @property
    def _updates(self) -> int:
        """The number of updates in a chunk."""
        return self.chunk // self.reader.batch

    def _on_device(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        sharding: NamedSharding | None,
        first_step: int = 0,
    ) -> Chunk:
        """The chunk of this host's images and labels."""
        rest = self.mean, self.deviation, np.int32(first_step)
        if not self.shardings:
            return Chunk(*map(jnp.asarray, (images, labels, *rest)))
        put = jax.make_array_from_process_local_data
        shared = put(sharding, images), put(sharding, labels)
        return Chunk(*shared, *(put(self.shardings.whole, each) for each in rest), is_shared=True)

    def _shapes(self, size: tuple[int, ...], sharding: NamedSharding | None) -> Chunk:
        whole = self.shardings and self.shardings.whole
        shape = jax.ShapeDtypeStruct
        return Chunk(
            images=shape((*size, *self.image_shape), np.uint8, sharding=sharding),
            labels=shape(size, np.int32, sharding=sharding),
            mean=shape(self.mean.shape, np.float32, sharding=whole),
            deviation=shape(self.deviation.shape, np.float32, sharding=whole),
            first_step=shape((), np.int32, sharding=whole),
            is_shared=self.shardings is not None,
        )


def _filled(split: Split, size: int) -> list[np.ndarray]:
    """Images and labels, so many of them: programs know one size.

    The last image is repeated, and not looked at.
    """
    missing = size - len(split.labels)
    return [
        np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array
        for array in (split.images, split.labels)
    ]


@dataclass(frozen=True)
class ArrayReader:
    """Reads images of one size from arrays.

    Attributes:
        splits: images and labels, by the names in `source.SPLITS`.
        batch: the number of images in an update.
        updates: the updates whose images are read at once, at most.
        host: of those that train together, the index of this one and their number.
    """

    splits: Mapping[str, Split]
    batch: int
    updates: int
    host: tuple[int, int] = (0, 1)

    def training(self, key: tuple[int, ...], step: int, stop: int) -> tuple[Split, int]:
        """As `Reader.training`, in the order that `ResidentData` has."""
        train = self.splits['train']
        per_epoch = len(train.labels) // self.batch
        epoch, first = divmod(step, per_epoch)
        end = min(stop, step + self.updates, (epoch + 1) * per_epoch)
        order = _order(key, epoch, len(train.labels))
        updates = order[first * self.batch : (first + end - step) * self.batch]
        rows = rows_of(self.host, self.batch)
        chosen = updates.reshape(-1, self.batch)[:, rows.start : rows.stop].ravel()
        return Split(train.images[chosen], train.labels[chosen]), end

    def evaluation(self, split: str, size: int) -> Iterator[Split]:
        """As `Reader.evaluation`."""
        found = self.splits[split]
        for start in range(0, len(found.labels), size):
            places = places_of(rows_of(self.host, size), start, len(found.labels))
            yield Split(
                found.images[places.start : places.stop], found.labels[places.start : places.stop]
            )


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
