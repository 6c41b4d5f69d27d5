"""A folder of images as a data set: a folder for each class, inside of split folders or not.

my_images/cat/1.jpg             one part, 'images'
my_images/train/cat/1.jpg       the parts 'train', 'validation' and 'test', where they are there
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
from PIL import Image
from rich.console import Console

from vggres.data import decoding, digests, folder_layout
from vggres.data.folder_layout import Listing
from vggres.data.source import SPLITS, DataConfig, Split, pieces_of, some_of
from vggres.data.threads import in_threads
from vggres.errors import UserError

NAME = 'folder'

# The splits that follow from the parts: train, validation, test.
_DEFAULTS = {
    frozenset({'images'}): ('images[:80%]', 'images[80%:90%]', 'images[90%:]'),
    frozenset({'train'}): ('train[:80%]', 'train[80%:90%]', 'train[90%:]'),
    frozenset({'train', 'test'}): ('train[:90%]', 'train[90%:]', 'test'),
    frozenset({'train', 'validation'}): ('train[:90%]', 'train[90%:]', 'validation'),
    frozenset({'train', 'validation', 'test'}): ('train', 'validation', 'test'),
}
_SUFFIXES_SHOWN = 5  # of files that are ignored
_COUNTED = 50_000  # images: more are not opened to count the kinds of their colours
_UNREADABLE = 'unreadable'


@dataclass(frozen=True, eq=False)
class ImageFiles(Sequence):
    """The image files of a part, each as (content, its path); it can be pickled.

    The order is random, and any slice has the classes in nearly the same proportion.

    Attributes:
        root: the folder of images.
        names: the paths of the files below it, [n].
        labels: [n] int32.
    """

    root: Path
    names: tuple[str, ...]
    labels: np.ndarray

    def __len__(self) -> int:
        """The number of images."""
        return len(self.names)

    def __getitem__(self, position: int) -> tuple[bytes, str]:
        """An image file, and what an error calls it.

        Raises:
            UserError: where the file cannot be read.
        """
        path = str(self.root / self.names[position])
        try:
            return self.content(position), path
        except OSError as error:
            raise UserError(f'{path} cannot be read: {error.strerror or error}.') from None

    def content(self, position: int) -> bytes:
        """The bytes of an image file."""
        return (self.root / self.names[position]).read_bytes()


@dataclass(frozen=True)
class FolderSource:
    """A folder of images, as a `source.Source`.

    Attributes:
        config: the `data` part of a configuration.
        classes: the names of the class folders, sorted; a label is a position among them.
        parts: the image files of each part.
        others: the number of files that are no images, by suffix: see `Listing`.
    """

    config: DataConfig
    classes: tuple[str, ...]
    parts: Mapping[str, ImageFiles]
    others: Counter[str]

    @property
    def name(self) -> str:
        """What messages call it: the folder, as it was given."""
        return self.config.dir

    @property
    def image_shape(self) -> None:
        """Images differ in size."""
        return None

    @property
    def channels(self) -> int:
        """All images are converted to RGB."""
        return 3

    @property
    def num_classes(self) -> int:
        """The number of labels."""
        return len(self.classes)

    @property
    def unknown_archive(self) -> bool:
        """A folder is made of no archive."""
        return False

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the class folders, by label."""
        return self.classes

    @property
    def sizes(self) -> dict[str, int]:
        """The number of images in each part."""
        return {part: len(files) for part, files in self.parts.items()}

    def default_split(self, split: str) -> str:
        """What a split consists of where the configuration leaves that to the layout.

        Raises:
            UserError: where there is nothing to train on.
        """
        splits = _DEFAULTS.get(frozenset(self.parts))
        if not splits:
            raise UserError(
                f'{self.name} has no folder train beside {" and ".join(self.parts)}: add it, or '
                'say by data.train_split, data.validation_split and data.test_split what to take.'
            )
        return splits[SPLITS.index(split)]

    def prepare(self, console: Console | None) -> None:
        """Says what the folder holds, and how many images have to be converted.

        Raises:
            UserError: where a file is no image, naming all that cannot be decoded.
        """
        if console is None:
            return
        few = sum(self.sizes.values()) <= _COUNTED
        counted = self.parts.values() if few else ()
        kinds = Counter(kind for files in counted for kind in _kinds(files))
        failures = self._failures(self.parts) if kinds[_UNREADABLE] else []
        if failures:
            raise self._unreadable(failures)
        console.print(self._summary(kinds), soft_wrap=True)

    def cache_key(self) -> str:
        """A text that changes whenever the order of the images, their names or their bytes do.

        Of folders that take minutes to read, sizes and times of change stand for the bytes.
        """
        root, states = self._states()
        digest = hashlib.sha256(repr([name for name, *_ in states]).encode())
        large = digests.is_large(states)
        digest.update(repr(states).encode() if large else digests.of_contents(root, states))
        return f'{digest.hexdigest()} {self.config.seed} {decoding.VERSION} {PIL.__version__}'

    def content_digest(self, part: str, positions: np.ndarray) -> str:
        """A hash of the names and the bytes of some images, or of names and sizes in large folders.

        Args:
            part: of the folder.
            positions: of the images in that part, [n].
        """
        names, contents = self.parts[part].names, self._contents()
        digest = hashlib.sha256()
        for position in positions:
            name = names[position]
            digest.update(repr((name, contents[name])).encode())
        return digest.hexdigest()

    def _contents(self) -> Mapping[str, bytes | int]:
        """What stands for the content of each image: its SHA-256 or, in large folders, its size."""
        root, states = self._states()
        if digests.is_large(states):
            return {name: size for name, size, *_ in states}
        hashes = map(bytes, digests.of_contents(root, states))
        return dict(zip((name for name, *_ in states), hashes, strict=True))

    def _states(self) -> tuple[Path, tuple[digests.State, ...]]:
        """The folder, and the state of each image, by its name below the folder."""
        (root,) = {files.root for files in self.parts.values()}
        names = sorted(name for files in self.parts.values() for name in files.names)
        return root, tuple((name, *digests.state(root / name)) for name in names)

    def read(self, part: str, image_size: int) -> Split:
        """Decodes all images of a part.

        Args:
            part: of the folder.
            image_size: the height and width; the shorter side is scaled to it, and the centre is
                cut out.

        Raises:
            UserError: naming all images of all parts that cannot be decoded.
        """
        files = self.parts[part]
        images = np.empty((len(files), image_size, image_size, self.channels), np.uint8)

        def keep(position: int, image: Image.Image) -> None:
            images[position] = decoding.centre_crop(image, image_size)

        failures = _decode(files, keep)
        if failures:
            failures += self._failures(other for other in self.parts if other != part)
            raise self._unreadable(failures)
        return Split(images, files.labels)

    def encoded(self, part: str) -> ImageFiles:
        """The image files of a part."""
        return self.parts[part]

    def labels(self, part: str) -> np.ndarray:
        """The labels of a part, [n] int32."""
        return self.parts[part].labels

    def _failures(self, parts: Iterable[str]) -> list[str]:
        """The image files of some parts that cannot be decoded, with the reasons."""
        return [line for part in parts for line in _decode(self.parts[part])]

    def _unreadable(self, failures: list[str]) -> UserError:
        return decoding.unreadable(failures, sum(self.sizes.values()), self.name)

    def _copies(self) -> int:
        """The number of test images whose file lies among the training images, byte by byte."""
        contents, of_split = self._contents(), {}
        for split in ('train', 'test'):
            names = [
                self.parts[part].names[position]
                for part, positions in pieces_of(self, self.config, split)
                for position in positions
            ]
            of_split[split] = [contents[name] for name in names]
        trained = set(of_split['train'])
        return sum(content in trained for content in of_split['test'])

    def _summary(self, kinds: Counter) -> str:
        """What the folder holds, in one line."""
        parts = [f'{self.name}: {sum(self.sizes.values())} images of {self.num_classes} classes']
        converted = {kind: count for kind, count in kinds.most_common() if kind != 'RGB'}
        if converted:
            images = 'image is' if sum(converted.values()) == 1 else 'images are'
            which = _in_words([f'{count} {kind}' for kind, count in converted.items()])
            parts.append(f'{which} {images} converted to RGB')
        if not kinds:
            parts.append('what is not in RGB is converted, and too many to count')
        if self.others:
            one = self.others.total() == 1
            files = f'other file{"" if one else "s"}{_most_frequent(self.others)}'
            parts.append(f'{self.others.total()} {files} {"is" if one else "are"} ignored')
        if not digests.is_large(self._states()[1]) and (copies := self._copies()):
            one = copies == 1
            parts.append(
                f'{copies} test image{"" if one else "s"} {"is" if one else "are"} among the '
                'training images as well, byte by byte'
            )
        return '; '.join(parts) + '.'


def open_folder(config: DataConfig) -> FolderSource:
    """Looks through the names in a folder of images; no file is opened.

    Args:
        config: the `data` part of a configuration.

    Raises:
        UserError: for a folder that does not exist or is laid out in another way, and for a class
            that has no image in one of the splits.
    """
    if not config.dir:
        raise UserError(
            'data.dir is empty: it has to be the folder of images, as in '
            '--config.data.dir=my_images.'
        )
    root = Path(config.dir).expanduser()
    if not root.is_dir():
        raise UserError(f'data.dir {config.dir!r} is not a directory.')
    try:
        source = _scanned(root, config)
    except OSError as error:
        raise UserError(f'{error.filename} cannot be read: {error.strerror}.') from None
    _check_splits(source)
    return source


def _scanned(root: Path, config: DataConfig) -> FolderSource:
    layout = folder_layout.scan(root)
    parts = {
        part: _in_order(root, layout.classes, found, config.seed)
        for part, found in layout.parts.items()
    }
    return FolderSource(config, layout.classes, parts, layout.others)


def _in_order(
    root: Path, classes: Sequence[str], found: Mapping[str, Listing], seed: int
) -> ImageFiles:
    """The image files of a part in an order that their names and the seed alone decide."""
    listings = [found[name] for name in classes]
    names = []
    for each in listings:
        folder = each.path.relative_to(root).as_posix()
        names += [f'{folder}/{name}' for name in each.images]
    sizes = [len(each.images) for each in listings]
    labels = np.repeat(np.arange(len(classes), dtype=np.int32), sizes)
    order = _stratified(labels, seed)
    return ImageFiles(root, tuple(names[i] for i in order), labels[order])


def _stratified(labels: np.ndarray, seed: int) -> np.ndarray:
    """A random order in which each slice has the classes in nearly the same proportion.

    Image i of the n in a class, in random order, has the rank (i + 1/2) / n.

    Args:
        labels: sorted, [n].
        seed: it decides the order inside of classes and among equal ranks.

    Returns:
        The positions in their new order, [n].
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    shuffled = np.lexsort((rng.random(len(labels)), labels))
    _, first, inverse, sizes = np.unique(
        labels, return_index=True, return_inverse=True, return_counts=True
    )
    ranks = (np.arange(len(labels)) - first[inverse] + 0.5) / sizes[inverse]
    return shuffled[np.lexsort((rng.random(len(labels)), ranks))]


def _check_splits(source: FolderSource) -> None:
    """Raises a UserError where a split has no image of a class."""
    for split in SPLITS:
        taken = [
            source.parts[part].labels[positions.start : positions.stop]
            for part, positions in _pieces(source, split)
        ]
        counts = np.bincount(np.concatenate(taken), minlength=source.num_classes)
        missing = [source.classes[label] for label in np.flatnonzero(counts == 0)]
        if missing:
            raise UserError(
                f'the {split} split of {source.name} has no image of the class {some_of(missing)}: '
                f'add images, or give another data.{split}_split.'
            )


def _pieces(source: FolderSource, split: str) -> list[tuple[str, range]]:
    """As `pieces_of`, whose error says here that a split need not be given."""
    try:
        return pieces_of(source, source.config, split)
    except UserError as error:
        if not source.config[f'{split}_split']:
            raise
        raise UserError(
            f'{error} Left empty, as in configs/folder.py, it follows the layout of the folder.'
        ) from None


def _decode(files: ImageFiles, keep: Callable[[int, Image.Image], None] | None = None) -> list[str]:
    """Decodes all files of a part, and hands the images over with their positions.

    Returns:
        The files that cannot be decoded, each with the reason.
    """

    def attempt(position: int) -> str:
        try:
            image = decoding.rgb(files.content(position))
        except OSError as error:
            return f'{files.names[position]} ({error.strerror or error})'
        if keep:
            keep(position, image)
        return ''

    return [line for line in in_threads(attempt, range(len(files))) if line]


def _kinds(files: ImageFiles) -> list[str]:
    """The kind of the colours of each file, by its header."""

    def of(name: str) -> str:
        try:
            with Image.open(files.root / name) as image:
                return decoding.kind(image)
        except Exception:  # Pillow raises errors of many kinds; decoding tells which
            return _UNREADABLE

    return in_threads(of, files.names)


def _most_frequent(suffixes: Counter[str]) -> str:
    """' (.gif, .txt, …)', or '' where there are none."""
    named = sorted(filter(None, suffixes), key=lambda suffix: (-suffixes[suffix], suffix))
    more = ['…'] if len(named) > _SUFFIXES_SHOWN else []
    return f' ({", ".join(named[:_SUFFIXES_SHOWN] + more)})' if named else ''


def _in_words(parts: Sequence[str]) -> str:
    """'a, b and c'."""
    *front, last = parts
    return f'{", ".join(front)} and {last}' if front else last
