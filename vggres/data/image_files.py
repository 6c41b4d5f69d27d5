"""Whole image files, decoded and cropped in processes of their own, batch by batch. No JAX.

Every crop is a function of the run's key and of its place in the run, so that neither the number of
processes nor an interruption changes it.
"""

import atexit
import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType
from weakref import WeakSet

import numpy as np
from absl import flags
from PIL import Image

from vggres.data import crops, decoding
from vggres.data.source import Content, Split, counted, places_of, rows_of
from vggres.errors import UserError

_CENTRE = 256 / 224  # the shorter side by the size of the centre crop (He et al. 2015, §3.4)
_MANY = 10_000  # images to evaluate: processes start in the time that threads take for fewer
_FREEING = 0.2  # seconds, after which grain's thread has given shared memory back
_ORDER, _CROP = range(2)  # keep the random numbers of the two apart
_open: WeakSet[Generator] = WeakSet()  # iterators over batches


@dataclass(frozen=True)
class Files(Sequence):
    """The image files of a split, by random access.

    Attributes:
        parts: the parts of the source, each a sequence of (content, where it comes from).
        part: of each image the index of its part, [n] int.
        position: of each image its position in that part, [n] int.
        labels: [n] int32; they may differ from those that the source has.
        identity: of these files, in this order: see `source.Source.content_digest`.
    """

    parts: tuple[Sequence[tuple[bytes, str]], ...]
    part: np.ndarray
    position: np.ndarray
    labels: np.ndarray
    identity: str

    def __len__(self) -> int:
        """The number of images."""
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        """An image in RGB and its label.

        Raises:
            UserError: naming the file, where it cannot be decoded.
        """
        content, where = self.parts[self.part[i]][int(self.position[i])]
        return decoding.decode(content, where), int(self.labels[i])

    def content(self, num_classes: int) -> Content:
        """Counts the classes, and takes the fingerprint of the files and their labels.

        No file is read for it: the identity stands for their content.
        """
        return counted(self.labels, num_classes, hashlib.sha256(self.identity.encode()))


@dataclass(frozen=True)
class Cropping:
    """How images become squares.

    Attributes:
        kind: 'scaled' or 'area': see `crops`.
        size: of the squares, in pixels.
        short_side: the lowest and the highest shorter side of 'scaled', in pixels.
    """

    kind: str
    size: int
    short_side: tuple[int, int]

    def random(self, image: Image.Image, rng: np.random.Generator) -> np.ndarray:
        """A crop to train on, [size, size, 3] uint8."""
        if self.kind == 'scaled':
            return crops.scaled_crop(image, self.size, self.short_side, rng)
        return crops.area_crop(image, self.size, rng)

    def centre(self, image: Image.Image) -> np.ndarray:
        """The centre of the image, its shorter side scaled to 256/224 of the crop's size."""
        return decoding.centre_crop(image, self.size, round(_CENTRE * self.size))


@dataclass(frozen=True)
class TrainingCrops(Sequence):
    """The crops of a training run, one after another, by random access.

    Each epoch has a random order, which (key, epoch) decides, and each crop a random generator,
    which (key, its place in the run) decides. Of several hosts, each decodes some rows of all
    batches.

    Attributes:
        files: the training split.
        cropping: how it is cropped.
        key: of the run.
        batch: the number of images in an update.
        rows: the rows of each batch that are wanted.
    """

    files: Files
    cropping: Cropping
    key: tuple[int, ...]
    batch: int
    rows: range

    def __len__(self) -> int:
        """More than any run needs."""
        return 2**60

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.int32]:
        """A crop [size, size, 3] uint8 and its label."""
        update, row = divmod(int(i), len(self.rows))
        place = update * self.batch + self.rows[row]
        epoch, position = divmod(place, len(self.files) // self.batch * self.batch)
        image, label = self.files[_order(self.key, epoch, len(self.files))[position]]
        rng = _generator(*self.key, _CROP, place)
        return self.cropping.random(image, rng), np.int32(label)


@dataclass(frozen=True)
class CentreCrops(Sequence):
    """The crops of a split that is evaluated, by random access."""

    files: Files
    cropping: Cropping

    def __len__(self) -> int:
        """The number of images."""
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.int32]:
        """A crop [size, size, 3] uint8 and its label."""
        image, label = self.files[int(i)]
        return self.cropping.centre(image), np.int32(label)


@dataclass(frozen=True)
class Batches(Sequence):
    """The batches of some crops, by random access; the last one may be short.

    Attributes:
        crops: all crops.
        size: the number of crops in a batch.
        rows: the rows of each batch that are wanted.
    """

    crops: Sequence
    size: int
    rows: range

    def __len__(self) -> int:
        """The number of batches."""
        return -(-len(self.crops) // self.size)

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray, str]:
        """Images [n, size, size, 3] uint8, labels [n] int32, and what is wrong with a file or ''.

        An error comes as text, because older releases of grain lose its type on the way.
        """
        places = places_of(self.rows, int(i) * self.size, len(self.crops))
        try:
            images, labels = zip(*(self.crops[place] for place in places), strict=True)
        except UserError as error:
            return np.zeros(0, np.uint8), np.zeros(0, np.int32), str(error)
        return np.stack(images), np.stack(labels), ''


@dataclass
class FileReader:
    """Reads batches of crops; as a `stream.Reader`.

    Attributes:
        splits: the files, by the names in `source.SPLITS`.
        cropping: how they are cropped.
        batch: the number of images in an update.
        processes: the number of those that decode; 0 decodes in this process.
        host: of those that train together, the index of this one and their number; each reads its
            own rows of every batch.
    """

    splits: dict[str, Files]
    cropping: Cropping
    batch: int
    processes: int
    host: tuple[int, int] = (0, 1)
    _batches: Iterator | None = field(default=None, init=False)
    _next: tuple = field(default=(), init=False)  # key and step of the next batch
    _last: tuple = field(default=(), init=False)  # key and step of the last one, and the batch

    def training(self, key: tuple[int, ...], step: int, stop: int) -> tuple[Split, int]:
        """As `stream.Reader.training`, one update at a time."""
        if self._last[:2] == (key, step):  # asked again, by who observes the next update
            return self._last[2], step + 1
        if self._next != (key, step):
            self._batches = None  # ends its processes
            rows = rows_of(self.host, self.batch)
            run = TrainingCrops(self.splits['train'], self.cropping, key, self.batch, rows)
            batches = Batches(run, len(rows), range(len(rows)))
            self._batches = _read(batches, self.processes, first=step)
        assert self._batches
        batch = next(self._batches)
        self._next, self._last = (key, step + 1), (key, step, batch)
        return batch, step + 1

    def evaluation(self, split: str, size: int) -> Iterator[Split]:
        """As `stream.Reader.evaluation`."""
        crops = CentreCrops(self.splits[split], self.cropping)
        processes = self.processes if len(crops) >= _MANY else 0
        batches = Batches(crops, size, rows_of(self.host, size))
        return _read(batches, processes, threads=self.processes - processes)


def _read(batches: Sequence, processes: int, first: int = 0, threads: int = 0) -> Iterator[Split]:
    """The batches from the one with number `first` on, each made in a process or a thread.

    Processes end with the last batch, or when nobody holds the iterator any more. At the latest,
    they end while the interpreter is whole: what ends them needs it.
    """
    grain = _grain()
    reading = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
    stream = grain.MapDataset.source(batches)[first:].to_iter_dataset(reading)
    if processes:
        options = grain.multiprocessing.MultiprocessingOptions(processes)
        stream = stream.mp_prefetch(options, _follow_parent)
    splits = _splits(stream)
    _open.add(splits)
    return splits


def _splits(stream: Iterable) -> Generator[Split, None, None]:
    for images, labels, error in stream:
        if error:
            raise UserError(error)
        images, labels = np.array(images), np.array(labels)  # frees memory shared with a process
        yield Split(images, labels)


def _grain() -> ModuleType:
    import grain  # slow to import, and needed by streams of files alone

    atexit.unregister(_close)  # once is enough
    atexit.register(_close)  # to run before what grain has registered
    if not flags.FLAGS.is_parsed():  # from Python; grain asks for flags of its own
        flags.FLAGS.mark_as_parsed()
    return grain


def _close() -> None:
    for batches in list(_open):
        batches.close()
    time.sleep(_FREEING)


def _follow_parent(number: int, count: int) -> None:
    """In a process that decodes: Ctrl-C is the parent's business, and its death the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os._exit(1)


@lru_cache(maxsize=2)
def _order(key: tuple[int, ...], epoch: int, num_train: int) -> np.ndarray:
    return _generator(*key, _ORDER, epoch).permutation(num_train)


def _generator(*entropy: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
