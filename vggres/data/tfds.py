"""Reads a TFDS data set into uint8 arrays, one for each split, without TensorFlow and without JAX.

A data set lies prepared in a directory. The data set `digits` is the exception: it comes with
scikit-learn, and `prepare` writes it where it is missing. `describe` never writes anything.
"""

import contextlib
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict, FrozenConfigDict

from vggres.data.digits import Digits
from vggres.errors import UserError, unknown

SPLITS = ('train', 'validation', 'test')
_IMAGES_AT_ONCE = 1024  # decoding in chunks is twice as fast as decoding one by one

DataConfig = ConfigDict | FrozenConfigDict  # the `data` part of a configuration


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set before an image is read.

    Attributes:
        image_shape: [height, width, channels] of its images.
        num_classes: the number of labels.
        num_images: the number of images in each split, by the names in `SPLITS`.
    """

    image_shape: tuple[int, int, int]
    num_classes: int
    num_images: dict[str, int]


@dataclass(frozen=True)
class Split:
    """Images `[n, height, width, channels]` uint8 and labels `[n]` int32, with n ≥ 1."""

    images: np.ndarray
    labels: np.ndarray


def describe(config: DataConfig) -> DatasetInfo:
    """Looks up the shape of a data set's images, its classes and the sizes of its splits.

    Nothing is written: `digits`, where they are not prepared yet, are prepared in a temporary
    directory that is gone afterwards.

    Args:
        config: the `data` part of a configuration.

    Raises:
        UserError: for a data set or a split that does not exist, or for a data set that is no
            image classification.
    """
    with contextlib.ExitStack() as stack:
        builder = _builder(config)
        if builder is None:
            elsewhere = stack.enter_context(tempfile.TemporaryDirectory())
            builder = _prepared_digits(Path(elsewhere))
        return _description(config, builder)


def prepare(config: DataConfig) -> None:
    """Writes the data set `digits` to its directory where it is missing; others must be there.

    Args:
        config: the `data` part of a configuration.

    Raises:
        UserError: for a data set that does not exist, or a directory that cannot be written.
    """
    if _builder(config) is None:
        _prepared_digits(_root(config))


def load(config: DataConfig) -> dict[str, Split]:
    """Reads the splits of a data set into memory, after `prepare`.

    Args:
        config: the `data` part of a configuration.

    Returns:
        The images and labels of each split, by the names in `SPLITS`.

    Raises:
        UserError: as `describe` and `prepare` raise it.
    """
    prepare(config)
    builder = _builder(config)
    assert builder is not None  # it has just been prepared
    _description(config, builder)  # which refuses what cannot be read
    return {split: _read(builder.as_data_source(config[f'{split}_split'])) for split in SPLITS}


def _description(config: DataConfig, builder: tfds.core.DatasetBuilder) -> DatasetInfo:
    features = builder.info.features
    if not {'image', 'label'} <= set(features):
        raise UserError(
            f'data set {config.name!r} has no image and label, but {", ".join(features)}.'
        )
    num_images = {split: _count(config, builder, split) for split in SPLITS}
    return DatasetInfo(tuple(features['image'].shape), features['label'].num_classes, num_images)


def _count(config: DataConfig, builder: tfds.core.DatasetBuilder, split: str) -> int:
    """The number of images in a split, which is at least 1."""
    expression = config[f'{split}_split']
    try:
        count = builder.info.splits[expression].num_examples
    except ValueError:
        known = ', '.join(
            f'{name} ({info.num_examples} images)' for name, info in builder.info.splits.items()
        )
        raise UserError(
            f'no data.{split}_split {expression!r}: {config.name} has {known}, or slices such '
            "as 'train[:90%]'."
        ) from None
    if count < 1:
        raise UserError(f'data.{split}_split {expression!r} holds no image.')
    return count


def _read(source: Sequence) -> Split:
    images, labels = [], []
    for start in range(0, len(source), _IMAGES_AT_ONCE):
        stop = min(start + _IMAGES_AT_ONCE, len(source))
        for example in source.__getitems__(list(range(start, stop))):
            images.append(example['image'])
            labels.append(example['label'])
    return Split(np.stack(images), np.asarray(labels, np.int32))


def _root(config: DataConfig) -> Path:
    """The directory in which TFDS keeps its data sets."""
    return Path(config.dir or tfds.core.constants.DATA_DIR).expanduser()


def _builder(config: DataConfig) -> tfds.core.DatasetBuilder | None:
    """What reads the newest prepared version of a data set; None for digits that are missing."""
    name, root = config.name, _root(config)
    if not name.isidentifier():
        raise UserError(f'data.name must be the name of a data set, not {name!r}.')
    if config.dir and not root.is_dir():
        raise UserError(f'data.dir {config.dir!r} is not a directory.')
    if name == Digits.name:
        prepared = root / name / str(Digits.VERSION) / 'dataset_info.json'
        return _digits(root) if prepared.exists() else None
    versions = {path.parent.name: path.parent for path in root.glob(f'{name}/*/dataset_info.json')}
    if not versions:
        there = {path.parts[-3] for path in root.glob('*/*/dataset_info.json')}
        raise unknown(
            f'data set in {root} (--config.data.dir says where TFDS prepared it)',
            name,
            there | {Digits.name},
        )
    return tfds.builder_from_directory(versions[max(versions, key=tfds.core.Version)])


def _digits(root: Path) -> Digits:
    return Digits(data_dir=root, file_format='array_record')


def _prepared_digits(root: Path) -> Digits:
    """Writes the digits below a directory; what another process has written stays."""
    try:
        builder = _digits(root)
        tfds.disable_progress_bar()
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    except OSError as error:
        raise UserError(
            f'cannot prepare {Digits.name} in {root} ({error.strerror}): give --config.data.dir.'
        ) from None
    return builder
