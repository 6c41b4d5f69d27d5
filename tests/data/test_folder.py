import errno
import io
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from configs import base as base_config
from configs import folder as folder_config
from vggres.data import cache, datasets, decoding, digests, folder
from vggres.errors import UserError

SIZE = 8


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """A cache of this test's own: what it keeps, another one does not find."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))


@pytest.fixture
def root(tmp_path):
    """An empty folder."""
    path = tmp_path / 'my_images'
    path.mkdir()
    return path


def config(root, **knobs):
    data = folder_config.get_config().data
    data.dir = str(root)
    data.image_size = SIZE
    data.update(knobs)
    return data


def write(path, colour=(0, 0, 0), mode='RGB', **options):
    """An image of one colour, so that scaling leaves its pixels as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (12, 9), colour).save(path, **options)


def write_classes(root, **sizes):
    """Class folders with PNGs; image i of a class has the colour (i, first letter of it, 7)."""
    for name, size in sizes.items():
        for i in range(size):
            write(root / name / f'{i:03}.png', (i, ord(name[0]), 7))


def one_line(config):
    """The message for a folder; nothing is left in the cache."""
    with pytest.raises(UserError) as caught:
        datasets.prepare(config, Console(file=io.StringIO()))
    assert '\n' not in str(caught.value)
    assert not list(cache.directory().rglob('*.npy'))
    return str(caught.value)


def said(config):
    """What `prepare` prints."""
    console = Console(file=io.StringIO(), width=40, markup=False, highlight=False)
    folder.open_folder(config).prepare(console)
    return console.file.getvalue()


def test_one_folder_of_class_folders(root):
    write_classes(root, dog=20, cat=10, owl=30)
    info = datasets.describe(config(root))
    assert info.image_shape == (SIZE, SIZE, 3)
    assert info.num_classes == 3
    assert info.num_images == {'train': 48, 'validation': 6, 'test': 6}
    splits = datasets.load(config(root))
    for name, (cats, dogs, owls) in {
        'train': (8, 16, 24),
        'validation': (1, 2, 3),
        'test': (1, 2, 3),
    }.items():
        images, labels = splits[name].images, splits[name].labels
        assert images.shape == (cats + dogs + owls, SIZE, SIZE, 3)
        assert (images.dtype, labels.dtype) == (np.uint8, np.int32)
        assert (images == images[:, :1, :1]).all()
        # Labels count the sorted names: cat, dog, owl.
        assert images[:, 0, 0, 1].tolist() == [ord('cdo'[label]) for label in labels]
        assert np.bincount(labels).tolist() == [cats, dogs, owls]
    seen = {tuple(image[0, 0]) for split in splits.values() for image in split.images}
    expected = [(i, ord(c), 7) for c, n in zip('cdo', (10, 20, 30), strict=True) for i in range(n)]
    assert seen == set(expected)


@pytest.mark.parametrize(
    ('folders', 'splits'),
    [
        (('train', 'val', 'test'), ('train', 'validation', 'test')),
        (('Training', 'valid', 'TEST'), ('train', 'validation', 'test')),
        (('train', 'Validation', 'test'), ('train', 'validation', 'test')),
        (('train', 'test'), ('train[:90%]', 'train[90%:]', 'test')),
        (('train', 'val'), ('train[:90%]', 'train[90%:]', 'validation')),
        (('train',), ('train[:80%]', 'train[80%:90%]', 'train[90%:]')),
        (('',), ('images[:80%]', 'images[80%:90%]', 'images[90%:]')),
    ],
)
def test_splits_follow_from_the_layout(root, folders, splits):
    for i, name in enumerate(folders):
        write_classes(root / name, cat=20 + i, dog=20 + i)
    found = folder.open_folder(config(root))
    assert tuple(map(found.default_split, ('train', 'validation', 'test'))) == splits
    parts = {split.partition('[')[0] for split in splits}
    assert set(found.sizes) == parts
    # The folder of each part is read under its own name.
    sizes = {name.lower(): 40 + 2 * i for i, name in enumerate(folders)}
    for part, size in found.sizes.items():
        (folder_name,) = (
            name for name in sizes if name[:3] == ('' if part == 'images' else part[:3])
        )
        assert size == sizes[folder_name]


def test_splits_of_the_users_own(root):
    write_classes(root / 'validation', cat=10, dog=10)
    write_classes(root / 'test', cat=10, dog=10)
    given = config(root, train_split='validation[:50%]', validation_split='validation[50%:]')
    given.test_split = 'test'
    assert datasets.describe(given).num_images == {'train': 10, 'validation': 10, 'test': 20}
    given.test_split = 'exam'
    assert "no data.test_split 'exam'" in one_line(given)


def test_splits_that_the_layout_lacks(root):
    write_classes(root, cat=10, dog=10)
    hint = ' Left empty, as in configs/folder.py, it follows the layout of the folder.'
    # A configuration that adds nothing but the name of the data set has the splits of `base`.
    data = base_config.get_config().data
    data.update({'name': 'folder', 'dir': str(root), 'image_size': SIZE})
    message = one_line(data)
    assert message.startswith(f"no data.train_split 'train': {root} has images (20 images)")
    assert message.endswith(hint)
    assert not one_line(config(root / 'no')).endswith(hint)


def test_suffixes_in_any_case(root):
    suffixes = ('jpg', 'JPEG', 'Jpg', 'png', 'PNG', 'bmp', 'webp', 'ppm', 'jpeg', 'BMP')
    for i, suffix in enumerate(suffixes):
        write(root / 'cat' / f'{i}.{suffix}')
        write(root / 'dog' / f'{i}.{suffix}')
    assert folder.open_folder(config(root)).sizes == {'images': 20}


def test_any_slice_has_the_classes_in_proportion(root):
    write_classes(root, cat=10, dog=20, owl=30)
    labels = folder.open_folder(config(root)).labels('images')
    shares = np.array([10, 20, 30]) / 60
    for start in range(60):
        for stop in range(start + 1, 61):
            counts = np.bincount(labels[start:stop], minlength=3)
            # Half an image at both ends, for each of the three classes that share a place.
            assert np.abs(counts - shares * (stop - start)).max() <= 2.5
    # It is no mere alternation: which class comes first among equals is random.
    assert len({tuple(labels[start : start + 6]) for start in range(0, 60, 6)}) > 1


def reversed_scandir(path):
    entries = list(os_scandir(path))[::-1]
    entries.sort(key=lambda entry: entry.name, reverse=True)
    return Entries(entries)


class Entries(list):
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


os_scandir = os.scandir


def test_names_and_seed_alone_decide_the_order(root, tmp_path, monkeypatch):
    write_classes(root, cat=10, dog=20)
    found = folder.open_folder(config(root))
    other = tmp_path / 'elsewhere'
    for path in sorted(root.rglob('*.png'), reverse=True):
        write(other / path.relative_to(root), (1, 2, 3))
    assert folder.open_folder(config(other)).parts['images'].names == found.parts['images'].names
    with monkeypatch.context() as patch:
        patch.setattr(os, 'scandir', reversed_scandir)
        assert folder.open_folder(config(root)).parts['images'].names == found.parts['images'].names
    seeded = folder.open_folder(config(root, seed=1))
    assert seeded.parts['images'].names != found.parts['images'].names
    assert set(seeded.parts['images'].names) == set(found.parts['images'].names)
    assert seeded.cache_key() != found.cache_key()


def test_looking_opens_no_file(root, monkeypatch):
    write_classes(root, cat=10, dog=10)

    def opened(*_, **__):
        raise AssertionError

    monkeypatch.setattr(Image, 'open', opened)
    monkeypatch.setattr(Path, 'read_bytes', opened)
    monkeypatch.setattr(Path, 'open', opened)
    assert datasets.describe(config(root)).num_images['train'] == 16


def test_preparing_says_what_is_converted_and_ignored(root):
    write_classes(root, cat=20, dog=20)
    assert said(config(root)) == f'{root}: 40 images of 2 classes.\n'
    write(root / 'cat' / 'grey.png', 3, 'L')
    assert said(config(root)) == (
        f'{root}: 41 images of 2 classes; 1 grey image is converted to RGB.\n'
    )
    write(root / 'cat' / 'deep.png', 3, 'I;16')
    write(root / 'dog' / 'deep.png', 3, 'I;16')
    write(root / 'dog' / 'alpha.png', (1, 2, 3, 4), 'RGBA')
    write(root / 'dog' / 'palette.png', 0, 'P')
    write(root / 'dog' / 'transparent.png', 0, 'P', transparency=0)
    (root / 'Thumbs.db').write_bytes(b'')
    assert said(config(root)) == (
        f'{root}: 46 images of 2 classes; 3 grey, 2 transparent and 1 palette images are converted '
        'to RGB; 1 other file (.db) is ignored.\n'
    )


def test_the_suffixes_of_what_is_ignored_are_named(root):
    write_classes(root, cat=10, dog=10)

    def ignored(*names):
        for name in names:
            (root / name).write_bytes(b'')
        return said(config(root)).partition('classes; ')[2]

    # Hidden files, and those without a suffix, are counted alone.
    (root / '.git').mkdir()
    assert ignored('dog/.hidden.png') == '1 other file is ignored.\n'
    assert ignored('cat/README') == '2 other files are ignored.\n'
    assert ignored('cat/a.HEIC') == '3 other files (.heic) are ignored.\n'
    # The most frequent come first, and then in the order of the alphabet.
    assert ignored('dog/a.gif', 'cat/b.GIF') == '5 other files (.gif, .heic) are ignored.\n'
    assert ignored('a.tiff', 'b.zip', 'c.avif', 'd.txt', 'dog/e.txt') == (
        '10 other files (.gif, .txt, .avif, .heic, .tiff, …) are ignored.\n'
    )


def test_test_images_that_are_copies_of_training_images_are_counted(root):
    write_classes(root / 'train', cat=10, dog=10)
    for i in range(10):
        write(root / 'test' / 'cat' / f'{i}.png', (200, i, 0))
        write(root / 'test' / 'dog' / f'{i}.png', (100, i, 0))
    assert said(config(root)).endswith('40 images of 2 classes.\n')
    taken = [Path(path) for _, path in folder.open_folder(config(root)).parts['train']]
    # Under any name and in any class; those of the first 90 % are trained on.
    (root / 'test' / 'cat' / 'copy.png').write_bytes(taken[0].read_bytes())
    assert said(config(root)).endswith(
        '1 test image is among the training images as well, byte by byte.\n'
    )
    (root / 'test' / 'dog' / 'copy.png').write_bytes(taken[17].read_bytes())
    (root / 'test' / 'dog' / 'validated.png').write_bytes(taken[18].read_bytes())
    assert '; 2 test images are among the training images as well' in said(config(root))


def test_digests_of_larger_folders_are_kept_until_a_file_changes(root, monkeypatch):
    write_classes(root, cat=10, dog=10)
    monkeypatch.setattr(digests, '_KEPT', 100)
    before = folder.open_folder(config(root)).cache_key()
    digests.of_contents.cache_clear()  # as in another process
    with monkeypatch.context() as patch:
        patch.setattr(Path, 'read_bytes', None)
        assert folder.open_folder(config(root)).cache_key() == before
    path = root / 'cat' / '003.png'
    state = path.stat()
    write(path, (203, ord('c'), 7))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # as large, and as old
    assert folder.open_folder(config(root)).cache_key() != before


def test_of_a_large_folder_no_header_is_read(root, monkeypatch):
    write_classes(root, cat=10, dog=11)
    monkeypatch.setattr(folder, '_COUNTED', 20)
    monkeypatch.setattr(Image, 'open', None)
    assert 'too many to count' in said(config(root))


def test_all_images_are_converted_to_rgb(root):
    write_classes(root, cat=10)
    for i in range(10):
        write(root / 'grey' / f'{i}.png', 50, 'L')
    read = folder.open_folder(config(root)).read('images', SIZE)
    assert read.images.shape == (20, SIZE, SIZE, 3)
    assert (read.images[read.labels == 1] == 50).all()


def test_images_are_decoded_once(root, monkeypatch):
    write_classes(root / 'train', cat=10, dog=10)
    write_classes(root / 'test', cat=10, dog=10)
    first = datasets.load(config(root))
    with monkeypatch.context() as patch:
        patch.setattr(decoding, 'rgb', None)
        again = datasets.load(config(root))
        datasets.prepare(config(root))
    for name, split in first.items():
        np.testing.assert_array_equal(split.images, again[name].images)
        np.testing.assert_array_equal(split.labels, again[name].labels)


def test_a_changed_byte_is_seen(root):
    write_classes(root, cat=10, dog=10)
    path = root / 'cat' / '003.png'
    before, state = folder.open_folder(config(root)).cache_key(), path.stat()
    assert folder.open_folder(config(root)).cache_key() == before
    images = {tuple(image[0, 0]) for image in datasets.load(config(root))['train'].images}
    # Only one pixel's colour is another one: as large as before, and as old.
    write(path, (203, ord('c'), 7))
    assert path.stat().st_size == state.st_size
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert folder.open_folder(config(root)).cache_key() != before
    splits = datasets.load(config(root)).values()
    images = {tuple(image[0, 0]) for split in splits for image in split.images}
    assert (203, ord('c'), 7) in images
    assert (3, ord('c'), 7) not in images


def test_a_file_that_changes_while_the_process_runs_is_seen(root):
    write_classes(root, cat=10, dog=10)
    before = folder.open_folder(config(root)).cache_key()
    write(root / 'cat' / '003.png', (203, ord('c'), 7))
    assert folder.open_folder(config(root)).cache_key() != before
    (root / 'cat' / '003.png').rename(root / 'cat' / '0003.png')
    renamed = folder.open_folder(config(root)).cache_key()
    (root / 'cat' / '0003.png').rename(root / 'dog' / '0003.png')
    assert folder.open_folder(config(root)).cache_key() not in (before, renamed)


def test_of_a_very_large_folder_the_states_of_the_files_are_the_key(root, monkeypatch):
    write_classes(root, cat=10, dog=10)
    monkeypatch.setattr(digests, '_READ', 100)
    with monkeypatch.context() as patch:
        patch.setattr(Path, 'read_bytes', None)
        before = folder.open_folder(config(root)).cache_key()
    os.utime(root / 'cat' / '003.png', ns=(1, 1))
    assert folder.open_folder(config(root)).cache_key() != before


def test_a_full_disk_leaves_no_half_cache(root, monkeypatch):
    write_classes(root, cat=10, dog=10)
    save, saved = np.save, []

    def full(path, array):
        saved.append(path)
        if len(saved) == 2:
            Path(path).write_bytes(b'half')
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(path, array)

    with monkeypatch.context() as patch:
        patch.setattr(np, 'save', full)
        assert 'No space left on device' in one_line(config(root))
    assert len(saved) == 2
    splits = datasets.load(config(root))
    assert {name: len(split.labels) for name, split in splits.items()} == {
        'train': 16,
        'validation': 2,
        'test': 2,
    }


def damage(path):
    """A JPEG that is cut short."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-500])


def test_all_unreadable_images_are_named_at_once(root):
    for name in ('train', 'test'):
        write_classes(root / name, cat=10, dog=10)
    damage(root / 'train' / 'cat' / 'short.jpg')
    damage(root / 'test' / 'dog' / 'short.jpg')
    message = one_line(config(root))
    assert message.startswith(
        f'2 of 42 images of {root} cannot be read: test/dog/short.jpg (image file is truncated'
    )
    assert 'train/cat/short.jpg (image file is truncated' in message
    assert message.endswith(': repair or delete them.')
    # One that is no image at all is seen earlier, by its header; the others are named all the same.
    (root / 'train' / 'dog' / 'page.png').write_text('<html>')
    message = one_line(config(root))
    assert message.startswith('3 of 43 images')
    assert 'train/dog/page.png (no image, or of an unknown format)' in message
    (root / 'train' / 'dog' / 'gone.png').symlink_to(root / 'nowhere.png')
    assert 'train/dog/gone.png (No such file or directory)' in one_line(config(root))
    for path in root.rglob('*.jpg'):
        path.unlink()
    for name in ('page', 'gone'):
        (root / 'train' / 'dog' / f'{name}.png').unlink()
    assert len(datasets.load(config(root))['test'].labels) == 20


def test_many_unreadable_images_are_counted(root):
    write_classes(root, cat=10, dog=10)
    for i in range(30):
        (root / 'dog' / f'page{i:02}.png').write_text('<html>')
    message = one_line(config(root))
    assert message.startswith('30 of 50 images')
    assert 'page09.png' in message
    assert 'page10.png' not in message
    assert 'and 20 more: repair' in message


def mixed(root):
    write_classes(root / 'train', cat=10, dog=10)
    write_classes(root, cat=10)


def twice(root):
    for name in ('train', 'val', 'Validation'):
        write_classes(root / name, cat=10, dog=10)


def without_training(root):
    for name in ('val', 'test'):
        write_classes(root / name, cat=10, dog=10)


def missing_class(root):
    write_classes(root / 'train', cat=10, dog=10, owl=10)
    write_classes(root / 'val', cat=10, owl=10)


def more_classes_in_the_test(root):
    write_classes(root / 'train', cat=10, dog=10)
    write_classes(root / 'test', cat=10, dog=10, owl=10)


def empty_class(root):
    write_classes(root, cat=10, dog=10)
    (root / 'owl').mkdir()
    (root / 'owl' / 'notes.txt').write_text('')


def deep(root):
    write_classes(root / 'animals', cat=10, dog=10)


def beside_classes(root):
    write_classes(root, cat=10, dog=10)
    write(root / 'a.jpg')


def beside_splits(root):
    write_classes(root / 'train', cat=10, dog=10)
    write(root / 'a.jpg')


def without_classes(root):
    write(root / 'train' / 'a.jpg')
    write_classes(root / 'test', cat=10, dog=10)


def empty_split(root):
    write_classes(root / 'train', cat=10, dog=10)
    (root / 'test').mkdir()


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda root: None, '{root} holds no images'),
        (lambda root: write(root / 'a.jpg'), '{root} holds images itself (a.jpg)'),
        (beside_classes, '{root} holds images itself (a.jpg)'),
        (beside_splits, '{root} holds images itself (a.jpg)'),
        (without_classes, '{root}/train holds images itself (a.jpg)'),
        (empty_split, '{root}/test holds no images'),
        (empty_class, 'the class folder {root}/owl holds no image (.bmp, .jpeg'),
        (deep, 'the class folder {root}/animals holds folders (cat, dog)'),
        (lambda root: write_classes(root, cat=10), "{root} has one class alone, 'cat'"),
        (mixed, '{root} has split folders (train) beside others (cat)'),
        (twice, '{root} has Validation and val, which both mean validation'),
        (missing_class, '{root}/val lacks the class dog'),
        (more_classes_in_the_test, '{root}/train lacks the class owl'),
        (without_training, '{root} has no folder train beside validation and test'),
        (
            lambda root: write_classes(root, cat=2, dog=100),
            'the validation split of {root} has no image of the class cat',
        ),
    ],
)
def test_bad_folders(root, make, message):
    make(root)
    assert one_line(config(root)).startswith(message.format(root=root))
    with pytest.raises(UserError):
        datasets.describe(config(root))


def test_directories_that_are_none(root):
    assert one_line(config('')).startswith('data.dir is empty: it has to be the folder of images')
    assert one_line(config(root / 'no')) == f"data.dir '{root}/no' is not a directory."
    write(root / 'a.png')
    assert 'is not a directory' in one_line(config(root / 'a.png'))


def test_images_need_a_size(root):
    write_classes(root, cat=10, dog=10)
    assert 'give data.image_size' in one_line(config(root, image_size=0))


def test_encoded_files_can_be_pickled(root):
    write_classes(root, cat=10, dog=10)
    source = folder.open_folder(config(root))
    files = pickle.loads(pickle.dumps(source.encoded('images')))
    assert len(files) == len(source.labels('images')) == 20
    for (content, where), label in zip(files, source.labels('images'), strict=True):
        assert Path(where).read_bytes() == content
        assert Path(where).parent.name == ('cat', 'dog')[label]
    (root / 'cat' / '003.png').unlink()
    with pytest.raises(UserError, match=r'003\.png cannot be read: No such file'):
        list(files)


def test_neither_jax_nor_tensorflow_is_imported(root):
    write_classes(root, cat=10, dog=10)
    code = (
        'import sys; from configs import folder; from vggres.data import datasets; '
        f'c = folder.get_config().data; c.dir = {str(root)!r}; datasets.load(c); '
        "assert not {'tensorflow', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=Path(__file__).parents[2])
