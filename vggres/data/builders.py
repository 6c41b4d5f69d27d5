"""What the builders of published data sets share: TFDS writes their images without TensorFlow."""

import abc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from vggres.data.archives import Archive
from vggres.errors import UserError


class ArchiveBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """A TFDS data set that is made of archives.

    Its name, version, splits and features are those of TFDS's own builder, so that it does not
    matter which of them prepared it. It is not registered: that name is taken in TFDS.

    Attributes:
        SIZES: the number of images by split.
        ARCHIVES: what it is made of.
        ID_DIGITS: of the number in an image's id.
        files: the paths of the archives by what they hold; they are set before it is prepared.
    """

    SIZES: ClassVar[Mapping[str, int]]
    ARCHIVES: ClassVar[tuple[Archive, ...]]
    ID_DIGITS: ClassVar[int] = 5

    files: Mapping[str, Path]

    @abc.abstractmethod
    def _read(self, split: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Reads a split.

        Returns:
            The images, [n, height, width] or [n, height, width, 3] uint8, and for each feature that
            is a label its values, [n] integers.

        Raises:
            UserError: for a file that is damaged or another one.
        """

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator]:
        return {split: self._generate_examples(split) for split in self.SIZES}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        images, labels = self._read(split)
        self._check(split, images, labels)
        for i, image in enumerate(images):
            # TFDS writes an ndarray through TensorFlow, a PIL image without it.
            example = {name: int(values[i]) for name, values in labels.items()}
            example['image'] = Image.fromarray(image)
            if 'id' in self.info.features:
                example['id'] = f'{split}_{i:0{self.ID_DIGITS}d}'
            yield i, example

    def _check(self, split: str, images: np.ndarray, labels: dict[str, np.ndarray]) -> None:
        size = self.SIZES[split]
        for count in (len(images), *(len(values) for values in labels.values())):
            if count != size:
                raise self._refusal(f'its {split} split has {count} images, not {size}')
        for name, values in labels.items():
            classes = self.info.features[name].num_classes
            wrong = values[(values < 0) | (values >= classes)]
            if len(wrong):
                raise self._refusal(
                    f'a {name} of its {split} split is {wrong[0]}, not 0 to {classes - 1}'
                )
            missing = set(range(classes)) - set(values.tolist())
            if missing:
                raise self._refusal(f'its {split} split has no image of {name} {min(missing)}')

    def _refusal(self, why: str) -> UserError:
        """The error for files that are damaged or others."""
        names = ', '.join(str(path) for path in self.files.values())
        return UserError(f'{names} cannot be read as {self.name}: {why}. Get it anew.')
