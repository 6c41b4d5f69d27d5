"""A data set of our own in TFDS's format, small enough to build within a test."""

from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image


class SmallColor(tfds.core.GeneratorBasedBuilder):
    """40 + 12 random images of 6×6 pixels in 4 classes."""

    VERSION = tfds.core.Version('1.2.0')
    SIZES: ClassVar = {'train': 40, 'test': 12}

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(shape=(6, 6, 3), encoding_format='png'),
                    'label': tfds.features.ClassLabel(num_classes=4),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {name: self._generate_examples(name) for name in self.SIZES}

    def _generate_examples(self, split):
        images, labels = content(split)
        for i, (image, label) in enumerate(zip(images, labels, strict=True)):
            yield i, {'image': Image.fromarray(image), 'label': int(label)}


def content(split):
    """Images and labels of a split of `SmallColor`."""
    rng = np.random.default_rng(len(split))
    size = SmallColor.SIZES[split]
    return rng.integers(0, 256, (size, 6, 6, 3), np.uint8), rng.integers(0, 4, size)


def repaint(path):
    """Makes an image file of 8×8 pixels another image."""
    Image.new('RGB', (8, 8), 'red').save(path)
