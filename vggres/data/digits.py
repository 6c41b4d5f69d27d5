"""scikit-learn's handwritten digits as a TFDS data set: real data that needs no download."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

TRAIN, VALIDATION, TEST = 1437, 180, 180


class Digits(tfds.core.GeneratorBasedBuilder):
    """1,797 digits of 8×8 grey pixels in 10 classes (Alpaydin & Kaynak 1998, UCI's test part).

    In the source, the images of one writer follow one another. They are therefore shuffled once,
    with a fixed seed, before they are split.
    """

    VERSION = tfds.core.Version('1.0.0')
    SIZES: ClassVar[Mapping[str, int]] = {'train': TRAIN, 'validation': VALIDATION, 'test': TEST}
    ARCHIVES = ()

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description='Handwritten digits of 8×8 pixels, grey levels 0…16 stretched to 0…255.',
            homepage='https://archive.ics.uci.edu/dataset/80',
            features=tfds.features.FeaturesDict(
                {
                    'image': tfds.features.Image(shape=(8, 8, 1), encoding_format='png'),
                    'label': tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=('image', 'label'),
        )

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
        order = np.random.Generator(np.random.PCG64(0)).permutation(TRAIN + VALIDATION + TEST)
        train, validation, test = np.split(order, [TRAIN, TRAIN + VALIDATION])
        return {
            'train': self._generate_examples(train),
            'validation': self._generate_examples(validation),
            'test': self._generate_examples(test),
        }

    def _generate_examples(self, indices: np.ndarray) -> Iterator[tuple[int, dict]]:
        from sklearn.datasets import load_digits  # slow to import, and needed only once

        source = load_digits()
        images = np.round(source.images * (255 / 16)).astype(np.uint8)
        for i in indices:
            # TFDS writes an ndarray through TensorFlow, a PIL image without it.
            yield int(i), {'image': Image.fromarray(images[i]), 'label': int(source.target[i])}
