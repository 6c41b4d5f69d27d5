"""From a TFDS data set to uint8 arrays, one a split. Neither TensorFlow nor JAX."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict

from vggres.data.digits import Digits
from vggres.errors import UserError, unknown

SPLITS = ('train', 'validation', 'test')
_IMAGES_AT_ONCE = 1024  # decoding in chunks is twice as fast as one by one


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set before an image is read.

    Attributes:
        image_shape: [height, width, channels].
        num_classes: number of labels.
        num_images: images per split, by the names in `SPLITS`.
    """

    image_shape: tuple[int, int, int]
    num_classes: int
    num_images: dict[str, int]


@dataclass(frozen=True)
class Split:
    """Images `[n, height, width, channels]` uint8 and labels `[n]` int32, n ≥ 1."""

    images: np.ndarray
    labels: np.ndarray


def describe(config: ConfigDict) -> DatasetInfo:
    """Looks the data set up, preparing `digits` on first use.

    Args:
        config: the `data` part of a configuration.

    Raises:
        UserError: for a data set or split that does not exist, or is no image classification.
    """
    builder = _builder(config.name, config.dir)
    features = builder.info.features
    if not {'image', 'label'} <= set(features):
        raise UserError(f'data set {config.name!r} has no image and label: {", ".join(features)}.')
    num_images = {}
    for split in SPLITS:
        expression = config[f'{split}_split']
        try:
            num_images[split] = builder.info.splits[expression].num_examples
        except ValueError:
            known = ', '.join(
                f'{s} ({i.num_examples} images)' for s, i in builder.info.splits.items()
            )
            raise UserError(
                f'no data.{split}_split {expression!r}: {config.name} has {known}, or slices such '
                "as 'train[:90%]'."
            ) from None
        if num_images[split] < 1:
            raise UserError(f'data.{split}_split {expression!r} holds no image.')
    return DatasetInfo(tuple(features['image'].shape), features['label'].num_classes, num_images)


def load(config: ConfigDict) -> dict[str, Split]:
    """Reads the splits named in `SPLITS` into memory.

    Args:
        config: the `data` part of a configuration.

    Raises:
        UserError: as `describe`.
    """
    describe(config)
    builder = _builder(config.name, config.dir)
    return {split: _read(builder.as_data_source(config[f'{split}_split'])) for split in SPLITS}


def _read(source: Sequence) -> Split:
    images, labels = [], []
    for start in range(0, len(source), _IMAGES_AT_ONCE):
        stop = min(start + _IMAGES_AT_ONCE, len(source))
        for example in source.__getitems__(list(range(start, stop))):
            images.append(example['image'])
            labels.append(example['label'])
    return Split(np.stack(images), np.asarray(labels, np.int32))


def _builder(name: str, directory: str) -> tfds.core.DatasetBuilder:
    root = Path(directory or tfds.core.constants.DATA_DIR).expanduser()
    if not name.isidentifier():
        raise UserError(f'data.name must be the name of a data set, not {name!r}.')
    if directory and not root.is_dir():
        raise UserError(f'data.dir {directory!r} is not a directory.')
    if name == Digits.name:
        return _prepared_digits(root)
    versions = {path.parent.name: path.parent for path in root.glob(f'{name}/*/dataset_info.json')}
    if not versions:
        there = {path.parts[-3] for path in root.glob('*/*/dataset_info.json')}
        raise unknown(
            f'data set in {root} (--config.data.dir says where TFDS prepared it)',
            name,
            there | {Digits.name},
        )
    return tfds.builder_from_directory(versions[max(versions, key=tfds.core.Version)])


def _prepared_digits(root: Path) -> Digits:
    try:
        builder = Digits(data_dir=root, file_format='array_record')
        tfds.disable_progress_bar()
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    except OSError as error:
        raise UserError(
            f'cannot prepare {Digits.name} in {root} ({error.strerror}): give --config.data.dir.'
        ) from None
    return builder
