"""The words of this room: what a data set is, before and after its images are read. No JAX."""

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict, FrozenConfigDict
from rich.console import Console

from vggres.errors import UserError

SPLITS = ('train', 'validation', 'test')
_SHOWN = 10  # names in one message

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
class Content:
    """What a split consists of, for the record.

    Attributes:
        class_counts: the number of images of each class, by label.
        fingerprint: a SHA-256 in hexadecimal, of pixels and labels or of image files and labels.
    """

    class_counts: tuple[int, ...]
    fingerprint: str


@dataclass(frozen=True)
class Split:
    """Images `[n, height, width, channels]` uint8 and labels `[n]` int32, with n ≥ 1."""

    images: np.ndarray
    labels: np.ndarray

    def content(self, num_classes: int) -> Content:
        """Counts the classes, and takes the fingerprint of shape, pixels and labels."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images))
        return counted(self.labels, num_classes, digest)


def counted(labels: np.ndarray, num_classes: int, digest: 'hashlib._Hash') -> Content:
    """Counts classes, and finishes a fingerprint with the labels [n]."""
    digest.update(np.ascontiguousarray(labels, '<i4'))
    counts = np.bincount(labels, minlength=num_classes)
    return Content(tuple(counts.tolist()), digest.hexdigest())


class Source(Protocol):
    """Where images come from: a TFDS data set or a folder of image files.

    A source has parts, such as 'train' and 'test', of which `SPLITS` are cut.

    Attributes:
        name: what messages call it.
        image_shape: [height, width, channels] of its images as they are stored; None where they
            differ in size.
        channels: the number of channels of its images.
        num_classes: the number of labels.
        class_names: their names, by label.
        sizes: the number of images in each part.
        unknown_archive: whether it was prepared from an archive with an unknown checksum.
    """

    name: str
    image_shape: tuple[int, int, int] | None
    channels: int
    num_classes: int
    class_names: Sequence[str]
    sizes: Mapping[str, int]
    unknown_archive: bool

    def default_split(self, split: str) -> str:
        """What one of `SPLITS` consists of where the configuration has no expression for it."""
        ...

    def prepare(self, console: Console | None) -> None:
        """Makes the images readable on this machine, which may take a download."""
        ...

    def cache_key(self) -> str:
        """A text that changes whenever the images of a prepared source do."""
        ...

    def content_digest(self, part: str, positions: np.ndarray) -> str:
        """A text that changes with the order and the content of some image files of a part.

        It depends neither on the place of the files nor on libraries.
        """
        ...

    def read(self, part: str, image_size: int) -> Split:
        """Decodes all images of a part, at their own size (0) or at a smaller one."""
        ...

    def encoded(self, part: str) -> Sequence[tuple[bytes, str]]:
        """The image files of a part and where each comes from, by random access; for pickling."""
        ...

    def labels(self, part: str) -> np.ndarray:
        """The labels of a part, [n] int32."""
        ...


def rows_of(host: tuple[int, int], size: int) -> range:
    """The rows that a host reads of every batch; those of all hosts are the whole batch, in order.

    Args:
        host: of those that train together, the index of this one and their number.
        size: the number of images in a batch.
    """
    index, count = host
    return range(size * index // count, size * (index + 1) // count)


def places_of(rows: range, first: int, num_images: int) -> range:
    """Where the rows of a batch stand among some images, the last batch of which may be short.

    There is at least one place: a host without a row of its own gets the last image.

    Args:
        rows: rows of every batch, as `rows_of` gives them.
        first: the place of the batch's first image.
        num_images: the number of all images.
    """
    start = min(first + rows.start, num_images - 1)
    return range(start, min(first + rows.stop, num_images))


def pieces_of(source: Source, config: DataConfig, split: str) -> list[tuple[str, range]]:
    """The parts of a source, and the positions in them, that one of `SPLITS` consists of.

    Raises:
        UserError: as `cut` raises it.
    """
    expression = config[f'{split}_split'] or source.default_split(split)
    return cut(source.sizes, f'{split}_split', expression, source.name)


def cut(sizes: Mapping[str, int], knob: str, expression: str, name: str) -> list[tuple[str, range]]:
    """The images that a split consists of, by TFDS's syntax.

    >>> cut({'train': 50, 'test': 10}, 'train_split', 'train[:90%]+test', 'mine')
    [('train', range(0, 45)), ('test', range(0, 10))]

    Args:
        sizes: the number of images in each part of the data set.
        knob: the knob below `config.data` that the expression stands in.
        expression: parts and slices of parts, such as 'train[:45000]'.
        name: what messages call the data set.

    Raises:
        UserError: for a part that does not exist, a malformed slice, no image at all, or one that
            is taken twice.
    """
    infos = {part: tfds.core.SplitInfo(part, [size], 0) for part, size in sizes.items()}
    try:
        pieces = tfds.core.ReadInstruction.from_spec(expression).to_absolute(infos)
        ranges = [
            (each.splitname, range(sizes[each.splitname])[each.from_ : each.to]) for each in pieces
        ]
    except (ValueError, KeyError, AssertionError, NotImplementedError):
        known = ', '.join(f'{part} ({size} images)' for part, size in sizes.items())
        raise UserError(
            f"no data.{knob} {expression!r}: {name} has {known}, or slices such as 'train[:90%]'."
        ) from None
    if not sum(len(each) for _, each in ranges):
        raise UserError(f'data.{knob} {expression!r} holds no image.')
    for i, piece in enumerate(ranges):
        if twice := num_common([piece], ranges[:i]):
            raise UserError(f'data.{knob} {expression!r} takes {twice} images twice.')
    return ranges


def num_common(pieces: Iterable[tuple[str, range]], others: Iterable[tuple[str, range]]) -> int:
    """The number of images that two splits, each cut by `cut`, have in common."""
    return sum(
        max(0, min(ours.stop, theirs.stop) - max(ours.start, theirs.start))
        for (part, ours), (other, theirs) in itertools.product(pieces, others)
        if part == other
    )


def some_of(names: Sequence[str]) -> str:
    """The first of some names for a message: 'a, b, …'."""
    return ', '.join(names[:_SHOWN]) + (', …' if len(names) > _SHOWN else '')
