"""How a folder of images is laid out: its parts, its classes, and the names of their images."""

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vggres.data.source import SPLITS, some_of
from vggres.errors import UserError

_SUFFIXES = {'.jpg', '.jpeg', '.png', '.bmp', '.webp', '.ppm'}  # in any case
_PARTS = {  # split folders, in any case
    'train': 'train',
    'training': 'train',
    'val': 'validation',
    'valid': 'validation',
    'validation': 'validation',
    'test': 'test',
}


@dataclass(frozen=True)
class Listing:
    """What lies directly in a folder.

    Attributes:
        path: of the folder.
        folders: their names, sorted, without hidden ones.
        images: the names of the image files, sorted.
        others: the number of other files by suffix, in small letters; '' for those without one
            and for hidden files.
    """

    path: Path
    folders: list[str]
    images: list[str]
    others: Counter[str]


@dataclass(frozen=True)
class Layout:
    """What a folder of images holds.

    Attributes:
        classes: the names of the class folders, sorted; a label is a position among them.
        parts: of each part the class folders, by their names.
        others: the number of files that are no images, by suffix: see `Listing`.
    """

    classes: tuple[str, ...]
    parts: Mapping[str, Mapping[str, Listing]]
    others: Counter[str]


def scan(root: Path) -> Layout:
    """Looks through the names in a folder of images; no file is opened.

    Raises:
        UserError: for a folder that is laid out in another way.
        OSError: where a folder cannot be read.
    """
    top = _listing(root)
    places = _places(top)  # part → its folder, which is `root` itself where there are no splits
    tops = {part: _listing(path) for part, path in places.items()}
    found = {part: _class_folders(each) for part, each in tops.items()}
    classes = _agreed_classes(places, found)
    if len(classes) == 1:
        raise UserError(f'{root} has one class alone, {classes[0]!r}: there have to be two.')
    listings = [each for classes_of in found.values() for each in classes_of.values()]
    listings += [top] if 'images' in places else [top, *tops.values()]
    return Layout(classes, found, sum((each.others for each in listings), Counter()))


def _listing(path: Path) -> Listing:
    folders, images, others = [], [], Counter()
    with os.scandir(path) as entries:
        for entry in entries:
            hidden = entry.name.startswith('.')
            suffix = '' if hidden else os.path.splitext(entry.name)[1].lower()
            if entry.is_dir():
                folders += [] if hidden else [entry.name]
            elif suffix in _SUFFIXES:
                images.append(entry.name)
            else:
                others[suffix] += 1
    return Listing(path, sorted(folders), sorted(images), others)


def _places(top: Listing) -> dict[str, Path]:
    """The folder of each part."""
    splits = [name for name in top.folders if name.lower() in _PARTS]
    others = [name for name in top.folders if name not in splits]
    if not splits:
        return {'images': top.path}
    if others:
        raise UserError(
            f'{top.path} has split folders ({", ".join(splits)}) beside others '
            f'({some_of(others)}): put each class into its split, or rename what is a class.'
        )
    _refuse_images(top)
    names = {part: [name for name in splits if _PARTS[name.lower()] == part] for part in SPLITS}
    for part, given in names.items():
        if len(given) > 1:
            raise UserError(f'{top.path} has {" and ".join(given)}, which both mean {part}.')
    return {part: top.path / given[0] for part, given in names.items() if given}


def _class_folders(top: Listing) -> dict[str, Listing]:
    """The class folders in the folder of a part."""
    _refuse_images(top)
    if not top.folders:
        raise UserError(f'{top.path} holds no images: each class needs a folder of images in it.')
    found = {name: _listing(top.path / name) for name in top.folders}
    for each in found.values():
        if each.folders:
            raise UserError(
                f'the class folder {each.path} holds folders ({some_of(each.folders)}): images '
                'have to lie in it directly, or data.dir has to be another folder.'
            )
        if not each.images:
            raise UserError(
                f'the class folder {each.path} holds no image ({", ".join(sorted(_SUFFIXES))}): '
                'add some, or delete it.'
            )
    return found


def _refuse_images(top: Listing) -> None:
    if top.images:
        raise UserError(
            f'{top.path} holds images itself ({some_of(top.images)}): put each into the folder of '
            'its class.'
        )


def _agreed_classes(
    places: Mapping[str, Path], found: Mapping[str, Mapping[str, Listing]]
) -> tuple[str, ...]:
    """The class folders, sorted, which have to be the same in each part."""
    classes = sorted({name for part in found.values() for name in part})
    for part, path in places.items():
        missing = [name for name in classes if name not in found[part]]
        if missing:
            raise UserError(
                f'{path} lacks the class {some_of(missing)}, which another split has: every split '
                'needs images of every class.'
            )
    return tuple(classes)
