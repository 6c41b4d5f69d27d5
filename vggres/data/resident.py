"""A whole data set in the memory of the default device, as one argument of every program.

JAX compiles a program once for each shape of its arguments. `ResidentData` is therefore registered
with JAX as a container: its four arrays are what a program computes with, and the sizes of its
splits and its number of classes are constants that the compiled program knows.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict, FrozenConfigDict

from vggres.data import batches, tfds
from vggres.errors import unknown


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
            `tfds.SPLITS`, so that the training set comes first.
        labels: [n] int32.
        mean: [height, width, channels] float32, which is subtracted from images in [0, 1].
        deviation: [1, 1, channels] float32, by which the difference is divided.
        sizes: the number of images in each split, in the order of `tfds.SPLITS`.
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
        """The number of images in each split, by the names in `tfds.SPLITS`."""
        return dict(zip(tfds.SPLITS, self.sizes, strict=True))

    @property
    def num_train(self) -> int:
        """The number of images to train on."""
        return self.sizes[0]

    def range_of(self, split: str) -> tuple[int, int]:
        """The position of a split's first image, and one past that of its last.

        Raises:
            UserError: for a name that is not in `tfds.SPLITS`.
        """
        if split not in tfds.SPLITS:
            raise unknown('split', split, tfds.SPLITS)
        i = tfds.SPLITS.index(split)
        return sum(self.sizes[:i]), sum(self.sizes[: i + 1])


def put(
    splits: dict[str, tfds.Split], num_classes: int, normalisation: str = 'mean_image'
) -> ResidentData:
    """Copies the splits of a data set to the default device.

    Args:
        splits: of each name in `tfds.SPLITS` its images and labels.
        num_classes: the number of labels.
        normalisation: what images are normalised by (see `batches.statistics`).
    """
    ordered = [splits[name] for name in tfds.SPLITS]
    train, validation, test = (len(split.labels) for split in ordered)
    mean, deviation = batches.statistics(splits['train'].images, normalisation)
    return ResidentData(
        images=jnp.asarray(np.concatenate([split.images for split in ordered])),
        labels=jnp.asarray(np.concatenate([split.labels for split in ordered])),
        mean=jnp.asarray(mean),
        deviation=jnp.asarray(deviation),
        sizes=(train, validation, test),
        num_classes=num_classes,
    )


def load(config: ConfigDict | FrozenConfigDict) -> ResidentData:
    """Reads a data set and copies it to the default device.

    Args:
        config: the `data` part of a configuration.

    Raises:
        UserError: for a data set or a split that does not exist.
    """
    splits = tfds.load(config)
    return put(splits, tfds.describe(config).num_classes, config.normalisation)
