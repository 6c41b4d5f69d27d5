"""TFDS data sets of images and labels, read without TensorFlow.

Those in `BUILDERS` are prepared here, from files that come with a library, are downloaded, or that
the user has. Any other data set has to lie prepared in the directory of TFDS.
"""

import contextlib
import hashlib
import io
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import tensorflow_datasets as tfds
from PIL import Image
from rich.console import Console
from tensorflow_datasets.proto import tf_example_pb2

from vggres.data import archives, cache, decoding, digests, reduction
from vggres.data.cifar import Cifar10, Cifar100
from vggres.data.digits import Digits
from vggres.data.mnist import FashionMnist, Mnist
from vggres.data.source import DataConfig, Split
from vggres.data.svhn import SvhnCropped
from vggres.errors import UserError, unknown

BUILDERS = {
    builder.name: builder
    for builder in (Digits, Cifar10, Cifar100, Mnist, FashionMnist, SvhnCropped)
}
_NAME = r'[A-Za-z_]\w*(/[\w.-]+)?'  # 'cifar10', or with a configuration: 'imagenet_resized/8x8'
_MODES = {1: 'L', 3: 'RGB', 4: 'RGBA'}  # Pillow's, by the number of channels
_VERSION = r'\d+\.\d+\.\d+'  # the name of a folder that TFDS prepared, and of no copy beside it
_UNKNOWN = '.unknown_archive'  # a file in a set that was made of an archive of unknown checksum
_ADVICE = 'Move it away, so that it is prepared again, or give another --config.data.dir.'
_IMAGES_AT_ONCE = 1024  # reading in chunks is twice as fast as reading one by one


@dataclass(frozen=True)
class TfdsSource:
    """A TFDS data set, as a `source.Source`.

    Attributes:
        config: the `data` part of a configuration.
        builder: it knows the features and, where the data set is prepared, reads it.
        sizes: the number of images in each of its splits, which are the parts of the source.
    """

    config: DataConfig
    builder: tfds.core.DatasetBuilder
    sizes: Mapping[str, int]

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.config.name

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """[height, width, channels] of its images; None where they differ in size."""
        shape = tuple(self.builder.info.features['image'].shape)
        return None if None in shape else shape

    @property
    def channels(self) -> int:
        """The number of channels of its images; those that differ in size are decoded to RGB."""
        return self.builder.info.features['image'].shape[-1] if self.image_shape else 3

    @property
    def num_classes(self) -> int:
        """The number of labels."""
        return self.builder.info.features['label'].num_classes

    @property
    def unknown_archive(self) -> bool:
        """Whether it was prepared from an archive that `data.checksum=any` alone allowed."""
        directory = _prepared(_root(self.config), self.name)
        return bool(directory) and (directory / _UNKNOWN).exists()

    @property
    def class_names(self) -> list[str]:
        """The names of the labels, which are numbers where TFDS knows no others."""
        return self.builder.info.features['label'].names

    def default_split(self, split: str) -> str:
        """A split is the part of the same name."""
        return split

    def prepare(self, console: Console | None) -> None:
        """Writes the data set to the directory of TFDS where it is missing.

        Raises:
            UserError: where a file cannot be had, or the directory cannot be written.
        """
        root = _root(self.config)
        if directory := _prepared(root, self.name):
            if self.config.archive and console:
                console.print(
                    f'{directory} is prepared already: data.archive is not opened.', soft_wrap=True
                )
            return
        try:
            root.mkdir(parents=True, exist_ok=True)
            with cache.alone(
                root / f'.{self.name.replace("/", "-")}.lock', 'give a local --config.data.dir'
            ):
                if not _prepared(root, self.name):  # another process was faster
                    _write(self.config, root, console)
        except (OSError, RuntimeError) as error:  # the writer of records raises the latter
            reason = getattr(error, 'strerror', None) or _reason(error)
            raise UserError(
                f'cannot prepare {self.name} in {root} ({reason}): make room there, or give '
                '--config.data.dir.'
            ) from None

    def cache_key(self) -> str:
        """A text that changes whenever the prepared files do."""
        states = [(path.name, *digests.state(path)) for path in self._files()]
        return repr((states, reduction.VERSION, decoding.VERSION, PIL.__version__))

    def content_digest(self, part: str, positions: np.ndarray) -> str:
        """A hash of some positions, and of names and sizes of the files that hold the part.

        Args:
            part: one of the data set's own splits.
            positions: of the images in that part, [n].
        """
        files = _builder(self._directory()).info.splits[part].filepaths
        sizes = sorted((path.name, Path(path).stat().st_size) for path in files)
        digest = hashlib.sha256(repr(sizes).encode())
        digest.update(np.ascontiguousarray(positions, '<i8'))
        return digest.hexdigest()

    def _files(self) -> list[Path]:
        return sorted(each for each in self._directory().iterdir() if each.name[0] != '.')

    def read(self, part: str, image_size: int) -> Split:
        """Decodes all images of a part.

        Args:
            part: one of the data set's own splits.
            image_size: the height and width to shrink them to, by area averaging; 0 for their own.
                Images that differ in size are scaled, and the centre is cut out.
        """
        height, width = (self.image_shape or (image_size,) * 2)[:2]
        shape = (image_size or height, image_size or width, self.channels)
        count = self.sizes[part]
        images, labels = np.empty((count, *shape), np.uint8), np.empty(count, np.int32)
        position = 0
        for contents, labels_there in self._chunks(part):
            place = slice(position, position + len(contents))
            images[place], labels[place] = self._pixels(contents, image_size), labels_there
            position += len(contents)
        return Split(images, self._checked(labels))

    def _pixels(self, contents: Sequence[bytes], image_size: int) -> np.ndarray:
        """The pixels of some encoded images, all of one size."""
        if self.image_shape is None:
            images = [decoding.decode(content, f'an image of {self.name}') for content in contents]
            return np.stack([decoding.centre_crop(image, image_size) for image in images])
        pixels = np.empty((len(contents), *self.image_shape), np.uint8)
        channels = self.channels  # once: TFDS takes as long for it as an image's header does
        try:
            for i, content in enumerate(contents):  # faster than to stack them
                pixels[i] = _decoded(content, channels)
        except (OSError, ValueError) as error:
            raise _damaged(self._directory(), error) from None
        return reduction.area_average(pixels, image_size) if image_size else pixels

    def encoded(self, part: str) -> 'EncodedExamples':
        """The image files of a part."""
        return EncodedExamples(_records(_builder(self._directory()), part), part)

    def labels(self, part: str) -> np.ndarray:
        """The labels of a part, [n] int32; they are read once and kept."""

        def read() -> Split:
            labels = [label for _, labels in self._chunks(part) for label in labels]
            return Split(np.zeros((0,), np.uint8), self._checked(np.asarray(labels, np.int32)))

        key = cache.entry(f'{self.name.replace("/", "-")}-{part}-labels', self.cache_key())
        return np.asarray(cache.cached(key, read).labels)

    def _chunks(self, part: str) -> Iterator[tuple[list[bytes], list[int]]]:
        """The image files of a part and their labels, some at a time."""
        directory = self._directory()
        try:
            records = _records(_builder(directory), part)
            for start in range(0, len(records), _IMAGES_AT_ONCE):
                stop = min(start + _IMAGES_AT_ONCE, len(records))
                contents, labels = zip(
                    *map(_parsed, records.__getitems__(list(range(start, stop)))), strict=True
                )
                yield contents, labels
        except (ValueError, RuntimeError, IndexError, OSError) as error:
            raise _damaged(directory, error) from None

    def _checked(self, labels: np.ndarray) -> np.ndarray:
        if labels.min() < 0 or labels.max() >= self.num_classes:
            raise UserError(
                f'{self._directory()} has labels from {labels.min()} to {labels.max()}, and only '
                f'{self.num_classes} classes.'
            )
        return labels

    def _directory(self) -> Path:
        directory = _prepared(_root(self.config), self.name)
        assert directory  # it is prepared
        return directory


@dataclass(frozen=True)
class EncodedExamples(Sequence):
    """The image files of a part, each as (content, where it comes from)."""

    records: Sequence[bytes]
    part: str

    def __len__(self) -> int:
        """The number of images."""
        return len(self.records)

    def __getitem__(self, position: int) -> tuple[bytes, str]:
        """An image file, and what an error calls it.

        Raises:
            UserError: where the prepared file is damaged.
        """
        where = f'image {position} of {self.part}'
        try:
            return _parsed(self.records[position])[0], where
        except (ValueError, RuntimeError, OSError) as error:
            raise UserError(f'{where} cannot be read ({_reason(error)}). {_ADVICE}') from None


def open_dataset(config: DataConfig) -> TfdsSource:
    """Looks a data set up; nothing is written.

    Args:
        config: the `data` part of a configuration.

    Raises:
        UserError: for a data set that does not exist, is damaged or is no image classification, or
            a directory that is none.
    """
    name, root = config.name, _root(config)
    if not re.fullmatch(_NAME, name):
        raise unknown('data set', name, BUILDERS)
    if config.dir and not root.is_dir():
        remedy = 'give another' if root.exists() else 'create it, or give another'
        raise UserError(f'data.dir {config.dir!r} is not a directory: {remedy}.')
    if directory := _prepared(root, name):
        builder = _builder(directory)
        sizes = {part: info.num_examples for part, info in builder.info.splits.items()}
    else:
        _check_level(root, name)
        if name not in BUILDERS:
            raise _unprepared(root, name)
        if config.archive and not Path(config.archive).expanduser().exists():
            raise UserError(f'data.archive {config.archive!r} does not exist.')
        builder = BUILDERS[name](data_dir=root, file_format='array_record')
        sizes = BUILDERS[name].SIZES
    if not {'image', 'label'} <= set(builder.info.features):
        features = ', '.join(builder.info.features)
        raise UserError(f'data set {name!r} has no image and label, but {features}.')
    image = builder.info.features['image']
    if image.np_dtype != np.uint8 or image.shape[-1] not in _MODES:
        raise UserError(
            f'the images of {name} are {image.np_dtype.__name__} with {image.shape[-1]} channels: '
            f'only uint8 with {", ".join(map(str, _MODES))} channels can be read.'
        )
    return TfdsSource(config, builder, sizes)


def _root(config: DataConfig) -> Path:
    """The directory in which TFDS keeps its data sets."""
    return Path(config.dir or tfds.core.constants.DATA_DIR).expanduser()


def _prepared(root: Path, name: str) -> Path | None:
    """The directory of the newest prepared version of a data set; None where there is none."""
    folders = [path.parent for path in root.glob(f'{name}/*/dataset_info.json')]
    versions = {path.name: path for path in folders if re.fullmatch(_VERSION, path.name)}
    return versions[max(versions, key=tfds.core.Version)] if versions else None


def _write(config: DataConfig, root: Path, console: Console | None) -> None:
    for left in (root / config.name).glob('incomplete.*'):  # by processes that were killed
        shutil.rmtree(left)
    builder = BUILDERS[config.name](data_dir=root, file_format='array_record')
    builder.files = archives.obtain(builder.ARCHIVES, config, root / 'downloads', console)
    if console and builder.ARCHIVES:
        console.print(f'preparing {config.name} in {root}, once', soft_wrap=True)
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    if config.checksum == 'any' and not archives.are_known(builder.files, builder.ARCHIVES):
        (Path(builder.data_dir) / _UNKNOWN).touch()


def _builder(directory: Path) -> tfds.core.DatasetBuilder:
    """What reads a prepared data set.

    Raises:
        UserError: where a file is missing or damaged, or has another format.
    """
    try:
        builder = tfds.builder_from_directory(directory)
        files = [path for info in builder.info.splits.values() for path in info.filepaths]
    except Exception as error:  # TFDS and protobuf raise anything
        raise _damaged(directory, error) from None
    if (kind := builder.info.file_format.file_suffix) != 'array_record':
        raise UserError(
            f'{directory} was prepared as {kind}: prepare it again as array_record, by '
            f'{_command(directory.parent.name, directory.parents[1])}.'
        )
    for path in files:
        if not path.exists():
            raise UserError(f'{directory} is damaged: {path.name} is missing. {_ADVICE}')
    for part in builder.info.splits:
        try:
            records = _records(builder, part)
            records.__getitems__([0, len(records) - 1])  # half a file lacks its index, at the end
        except Exception as error:  # as above
            raise _damaged(directory, error) from None
    return builder


def _damaged(directory: Path, error: Exception) -> UserError:
    return UserError(f'{directory} is damaged ({_reason(error)}). {_ADVICE}')


def _reason(error: Exception) -> str:
    """The first line of what an error says."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _check_level(root: Path, name: str) -> None:
    """Raises UserError where the directory is that of one data set, in place of that of all."""
    root = root.resolve()
    for above in (root.parent, root.parent.parent):
        if name in root.parts and _prepared(above, name):
            raise UserError(f'data.dir {root} is inside of {name}: give {above}, which holds it.')


def _unprepared(root: Path, name: str) -> UserError:
    paths = [*root.glob('*/*/dataset_info.json'), *root.glob('*/*/*/dataset_info.json')]
    there = {str(path.parents[1].relative_to(root)) for path in paths} | {*BUILDERS}
    known = unknown(f'data set in {root}', name, there)
    return UserError(f'{known} TFDS prepares others by {_command(name, root)}.')


def _command(name: str, root: Path) -> str:
    """What prepares a data set of TFDS, on any machine that has TensorFlow."""
    return (
        f'pip install tensorflow && tfds build --file_format=array_record --data_dir={root} {name}'
    )


def _records(builder: tfds.core.DatasetBuilder, part: str) -> Sequence[bytes]:
    """The records of a part of a prepared data set, by random access."""
    raw = tfds.decode.DeserializeMethod.RAW_BYTES
    return builder.as_data_source(part, deserialize_method=raw)


def _parsed(record: bytes) -> tuple[bytes, int]:
    """The image file in a record, and its label: TFDS's own parser takes five times as long."""
    feature = tf_example_pb2.Example.FromString(record).features.feature
    return feature['image'].bytes_list.value[0], feature['label'].int64_list.value[0]


def _decoded(content: bytes, channels: int) -> np.ndarray:
    """The pixels of an encoded image, [height, width, channels] uint8.

    TFDS decodes to the same pixels, and takes a quarter more time.
    """
    image = Image.open(io.BytesIO(content))
    mode = _MODES[channels]
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    return pixels[..., None] if channels == 1 else pixels
