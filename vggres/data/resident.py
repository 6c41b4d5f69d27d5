"""A whole data set in the memory of every device, as one argument of every program.

JAX compiles a program once for each shape of its arguments. `ResidentData` is therefore registered
with JAX as a container: its four arrays are what a program computes with, and the sizes of its
splits and its number of classes are constants that the compiled program knows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from vggres.data import batches
from vggres.data.source import SPLITS, Split
from vggres.errors import unknown

# Updates done → images [batch, height, width, channels] uint8 and labels [batch] int32.
TakeBatch = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=('images', 'labels', 'mean', 'deviation'),
    meta_fields=('sizes', 'num_classes'),
)
@dataclass(frozen=True)
class ResidentData:
    """All splits of a data set in one array, so that one program serves each of them.

    Attributes:
        images: [n, height, width, channels] uint8; the splits follow one another in the order of
            `source.SPLITS`, so that the training set comes first.
        labels: [n] int32.
        mean: [height, width, channels] float32, which is subtracted from images in [0, 1].
        deviation: [1, 1, channels] float32, by which the difference is divided.
        sizes: the number of images in each split, in the order of `source.SPLITS`.
        num_classes: the number of labels.
    """

    images: jax.Array
    labels: jax.Array
    mean: jax.Array
    deviation: jax.Array
    sizes: tuple[int, int, int]
    num_classes: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """[height, width, channels] of an image."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    @property
    def num_images(self) -> dict[str, int]:
        """The number of images in each split, by the names in `source.SPLITS`."""
        return dict(zip(SPLITS, self.sizes, strict=True))

    @property
    def num_train(self) -> int:
        """The number of images to train on."""
        return self.sizes[0]

    def range_of(self, split: str) -> tuple[int, int]:
        """The position of a split's first image, and one past that of its last.

        Raises:
            UserError: for a name that is not in `source.SPLITS`.
        """
        if split not in SPLITS:
            raise unknown('split', split, SPLITS)
        i = SPLITS.index(split)
        return sum(self.sizes[:i]), sum(self.sizes[: i + 1])

    def in_order(self, order_key: jax.Array, step: jax.Array, size: int) -> TakeBatch:
        """The batches of an epoch: updates done → the images and labels of the next update.

        Args:
            order_key: the random key of the run, which decides the order.
            step: updates done, in the same epoch as those that will be asked for.
            size: the number of images in an update.
        """
        per_epoch = self.num_train // size
        epoch = step // per_epoch
        order = batches.epoch_order(batches.keys(order_key).order, epoch, self.num_train)

        def take(step: jax.Array) -> tuple[jax.Array, jax.Array]:
            first = step % per_epoch * size
            indices = jax.lax.dynamic_slice(order, (first,), (size,))
            return self.images[indices], self.labels[indices]

        return take

    def index_of(self, positions: jax.Array) -> jax.Array | slice:
        """What takes the images at some positions out of `images`, for evaluation."""
        return positions

    def training(self, order_key: jax.Array, step: int, stop: int) -> tuple['ResidentData', int]:
        """What the updates from `step` to `stop` train on, and the step up to which it lasts."""
        return self, stop

    def evaluation(self, split: str) -> Iterator[tuple['ResidentData', int, int]]:
        """The images of a split, with the range of positions that counts."""
        yield self, *self.range_of(split)

    def training_shapes(self) -> 'ResidentData':
        """What `training` gives, or its shapes, to compile with."""
        return self

    def evaluation_shapes(self) -> 'ResidentData':
        """What `evaluation` gives, or its shapes, to compile with."""
        return self


def put(
    splits: dict[str, Split],
    num_classes: int,
    normalisation: str = 'mean_image',
    place: Callable[[np.ndarray], jax.Array] = jnp.asarray,
) -> ResidentData:
    """Copies the splits of a data set to the default device, or to where they are wanted.

    Args:
        splits: of each name in `source.SPLITS` its images and labels.
        num_classes: the number of labels.
        normalisation: what images are normalised by (see `batches.statistics`).
        place: copies an array.
    """
    ordered = [splits[name] for name in SPLITS]
    train, validation, test = (len(split.labels) for split in ordered)
    mean, deviation = batches.statistics(splits['train'].images, normalisation)
    return ResidentData(
        images=place(np.concatenate([split.images for split in ordered])),
        labels=place(np.concatenate([split.labels for split in ordered])),
        mean=place(mean),
        deviation=place(deviation),
        sizes=(train, validation, test),
        num_classes=num_classes,
    )
