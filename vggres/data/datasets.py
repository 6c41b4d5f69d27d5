"""The data set of a configuration: described, prepared, and read into uint8 arrays. No JAX.

A source (`tfds` or `folder`) has parts. The splits of a configuration are cut out of them, images
are made smaller where the configuration says so, and the training split is reduced last.
"""

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from rich.console import Console

from vggres.data import cache, folder, readable, reduction, tfds
from vggres.data.image_files import Files
from vggres.data.source import (
    SPLITS,
    Content,
    DataConfig,
    DatasetInfo,
    Source,
    Split,
    num_common,
    pieces_of,
    some_of,
)
from vggres.errors import UserError

_WORTH_KEEPING = 5_000  # images of one small size: fewer are decoded within a second


def open_source(config: DataConfig) -> Source:
    """Where the images of a configuration come from.

    Raises:
        UserError: for a data set or a directory that does not exist.
    """
    return folder.open_folder(config) if config.name == folder.NAME else tfds.open_dataset(config)


def describe(config: DataConfig) -> DatasetInfo:
    """Looks up the shape of a data set's images, its classes and the sizes of its splits.

    Nothing is written, and nothing is downloaded.

    Args:
        config: the `data` part of a configuration.

    Raises:
        UserError: for a data set or a split that does not exist, a size that does not fit, or fewer
            training images than classes.
    """
    found = open_source(config)
    _check_test_apart(found, config)
    num_images = {name: _count(found, config, name) for name in SPLITS}
    if num_images['train'] < found.num_classes:
        raise UserError(
            f'{num_images["train"]} training images are too few for the {found.num_classes} '
            f'classes of {found.name}: take more by data.num_train, data.fraction or '
            'data.train_split.'
        )
    return DatasetInfo(_image_shape(found, config), found.num_classes, num_images)


def prepare(config: DataConfig, console: Console | None = None) -> None:
    """Downloads, writes and decodes what is missing, so that every process finds it.

    Image files that are decoded anew in every epoch are decoded once to see whether all of them can
    be read.

    Args:
        config: the `data` part of a configuration.
        console: gets the progress of what takes long; None for nobody.

    Raises:
        UserError: for a data set that does not exist and cannot be had, a directory that cannot be
            written, or images that cannot be decoded.
    """
    found = open_source(config)
    found.prepare(console)
    if is_encoded(config):
        readable.check(found, config, console)
        return
    parts = sorted({part for name in SPLITS for part, _ in pieces_of(found, config, name)})
    with console.status(f'reading {found.name}') if console else contextlib.nullcontext():
        for part in parts:
            _decoded(found, config, part)


def key(config: DataConfig) -> str:
    """A text that changes whenever the images do, which are prepared where they are not.

    Args:
        config: the `data` part of a configuration.

    Raises:
        UserError: as `describe` and `prepare` raise it.
    """
    found = open_source(config)
    found.prepare(None)
    return found.cache_key()


def load(config: DataConfig) -> dict[str, Split]:
    """Reads the splits of a data set into memory, or maps them, and prepares it where it is not.

    Args:
        config: the `data` part of a configuration.

    Returns:
        The images and labels of each split, by the names in `SPLITS`.

    Raises:
        UserError: as `describe` and `prepare` raise it.
    """
    found = open_source(config)
    found.prepare(None)
    splits = {name: _split(found, config, name) for name in SPLITS}
    return splits | {'train': _reduced(splits['train'], found.num_classes, config)}


def files(config: DataConfig) -> dict[str, Files]:
    """Opens the splits of a data set as image files, and prepares it where it is not.

    Args:
        config: the `data` part of a configuration.

    Returns:
        The files of each split, by the names in `SPLITS`.

    Raises:
        UserError: as `describe` and `prepare` raise it.
    """
    found = open_source(config)
    found.prepare(None)
    return {name: _files(found, config, name) for name in SPLITS}


def contents(config: DataConfig) -> dict[str, Content]:
    """Of each split its classes and its fingerprint, for the record.

    Args:
        config: the `data` part of a configuration.

    Raises:
        UserError: as `describe` and `prepare` raise it.
    """
    num_classes = open_source(config).num_classes
    splits = files(config) if is_encoded(config) else load(config)
    return {name: split.content(num_classes) for name, split in splits.items()}


def check_classes(contents: Mapping[str, Content], config: DataConfig) -> list[str]:
    """Looks for classes that a split has no image of.

    A class that no split has, such as a label that a data set of TFDS never uses, harms nobody; nor
    does one that is learnt and not evaluated, but that is worth a line.

    Args:
        contents: as `contents` gives it.
        config: the `data` part of the same configuration.

    Returns:
        A line for each split that lacks classes which another one has, or for all of them.

    Raises:
        UserError: where a network would be evaluated on classes that it was not trained on.
    """
    found, lines = open_source(config), []
    has = {name: np.asarray(each.class_counts) > 0 for name, each in contents.items()}
    used = np.logical_or.reduce([*has.values()])
    for name, present in has.items():
        missing = [found.class_names[label] for label in np.flatnonzero(used & ~present)]
        if not missing:
            continue
        lacks = (
            f'the {name} split of {found.name} has no image of {len(missing)} of '
            f'{found.num_classes} classes ({some_of(missing)})'
        )
        if name == 'train':
            raise UserError(
                f'{lacks}: take more by data.num_train, data.fraction or data.train_split.'
            )
        lines.append(f'{lacks}: its errors say nothing about them.')
    if unused := int((~used).sum()):
        lines.append(f'{unused} of {found.num_classes} classes of {found.name} have no image.')
    return lines


def validated_and_trained(config: DataConfig) -> int:
    """The number of validation images that are trained on as well.

    Args:
        config: the `data` part of a configuration.

    Raises:
        UserError: as `describe` and `prepare` raise it.
    """
    found = open_source(config)
    if not num_common(*(pieces_of(found, config, name) for name in ('validation', 'train'))):
        return 0
    found.prepare(None)
    validated, trained = (_chosen(found, config, name) for name in ('validation', 'train'))
    return len(_as_set(validated) & _as_set(trained))


def unknown_archive(config: DataConfig) -> bool:
    """Whether a prepared data set was made of an archive with another checksum than the known one.

    Args:
        config: the `data` part of a configuration.

    Raises:
        UserError: as `describe` raises it.
    """
    return open_source(config).unknown_archive


def is_encoded(config: DataConfig) -> bool:
    """Whether the image files are decoded anew in every epoch, because crops need them whole."""
    return config.crop != 'padded'


def _check_test_apart(found: Source, config: DataConfig) -> None:
    """Raises UserError where images of the test set are trained on or validated with."""
    of_test = pieces_of(found, config, 'test')
    for name in SPLITS[:-1]:
        if common := num_common(of_test, pieces_of(found, config, name)):
            raise UserError(
                f'data.test_split shares {common} images with data.{name}_split: the test images '
                'have to be others.'
            )


def _count(found: Source, config: DataConfig, name: str) -> int:
    count = sum(len(positions) for _, positions in pieces_of(found, config, name))
    return _subset_size(count, config) if name == 'train' else count


def _subset_size(count: int, config: DataConfig) -> int:
    return reduction.subset_size(count, config.fraction, config.num_train)


def _image_shape(found: Source, config: DataConfig) -> tuple[int, int, int]:
    size = config.image_size
    if found.image_shape is None:
        if not size:
            raise UserError(f'the images of {found.name} differ in size: give data.image_size.')
        return size, size, found.channels
    height, width, channels = found.image_shape
    if size > min(height, width):
        raise UserError(
            f'data.image_size {size} is more than the images of {found.name} have, which are '
            f'{height}×{width}.'
        )
    return (size, size, channels) if size else (height, width, channels)


def _decoded(found: Source, config: DataConfig, part: str) -> Split:
    """All images of a part; where they are many, or large files, they are kept decoded."""
    _image_shape(found, config)  # which refuses a size that does not fit

    def read() -> Split:
        return found.read(part, config.image_size)

    # Images that differ in size may be photographs, of which a few take long already.
    if found.image_shape and found.sizes[part] < _WORTH_KEEPING:
        return read()
    key = cache.entry(
        f'{config.name.replace("/", "-")}-{part}', found.cache_key(), config.image_size
    )
    return cache.cached(key, read)


def _split(found: Source, config: DataConfig, name: str) -> Split:
    pieces = []
    for part, positions in pieces_of(found, config, name):
        whole, chosen = _decoded(found, config, part), slice(positions.start, positions.stop)
        pieces.append(Split(whole.images[chosen], whole.labels[chosen]))
    if len(pieces) == 1:
        return pieces[0]  # without a copy: the images may be mapped into memory
    images = np.concatenate([piece.images for piece in pieces])
    return Split(images, np.concatenate([piece.labels for piece in pieces]))


@dataclass(frozen=True)
class _Chosen:
    """The images of a split: of each the index of its part, its position in it, and its label."""

    parts: list[str]
    part: np.ndarray
    position: np.ndarray
    labels: np.ndarray


def _chosen(found: Source, config: DataConfig, name: str) -> _Chosen:
    """What a split consists of; the training split is reduced."""
    pieces = pieces_of(found, config, name)
    parts = list(dict.fromkeys(part for part, _ in pieces))
    part = np.concatenate([np.full(len(chosen), parts.index(part)) for part, chosen in pieces])
    position = np.concatenate([np.asarray(chosen) for _, chosen in pieces])
    labels = np.concatenate([found.labels(part)[chosen] for part, chosen in pieces])
    if name == 'train':
        chosen, labels = _kept(labels, found.num_classes, config)
        part, position = part[chosen], position[chosen]
    return _Chosen(parts, part, position, labels)


def _as_set(chosen: _Chosen) -> set[tuple[str, int]]:
    names = [chosen.parts[i] for i in chosen.part]
    return set(zip(names, chosen.position.tolist(), strict=True))


def _files(found: Source, config: DataConfig, name: str) -> Files:
    """The image files of a split."""
    chosen = _chosen(found, config, name)
    identities = [
        found.content_digest(part, chosen.position[chosen.part == i])
        for i, part in enumerate(chosen.parts)
    ]
    digest = hashlib.sha256(repr(identities).encode())
    digest.update(np.ascontiguousarray(chosen.part, '<i8'))
    return Files(
        parts=tuple(found.encoded(part) for part in chosen.parts),
        part=chosen.part,
        position=chosen.position,
        labels=chosen.labels,
        identity=digest.hexdigest(),
    )


def _reduced(train: Split, num_classes: int, config: DataConfig) -> Split:
    """The training split that is trained on."""
    chosen, labels = _kept(np.asarray(train.labels), num_classes, config)
    whole = len(chosen) == len(train.labels)
    return Split(train.images if whole else train.images[chosen], labels)


def _kept(
    labels: np.ndarray, num_classes: int, config: DataConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Which training images are trained on, and their labels, some of which may be random."""
    chosen = np.arange(len(labels))
    count = _subset_size(len(labels), config)
    if count < len(labels):
        chosen = reduction.stratified(labels, count, config.seed)
    labels = labels[chosen]
    if config.label_noise:
        labels = reduction.with_noise(labels, config.label_noise, num_classes, config.seed)
    return chosen, labels
