"""What is laid out in another way is refused in words that `test_folder.py` tests."""

from collections import Counter

import pytest

from vggres.data import folder_layout
from vggres.errors import UserError


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def names_of(layout):
    return {
        part: {name: each.images for name, each in found.items()}
        for part, found in layout.parts.items()
    }


def test_class_folders_are_one_part(tmp_path):
    touch(tmp_path, 'dog/2.PNG', 'dog/1.jpg', 'cat/1.jpeg', 'cat/.hidden.png', 'notes.txt')
    touch(tmp_path, '.git/config', 'cat/Thumbs.DB')
    layout = folder_layout.scan(tmp_path)
    assert layout.classes == ('cat', 'dog')
    assert names_of(layout) == {'images': {'cat': ['1.jpeg'], 'dog': ['1.jpg', '2.PNG']}}
    assert layout.others == Counter({'': 1, '.db': 1, '.txt': 1})


def test_split_folders_are_parts_by_the_name_of_their_split(tmp_path):
    for split in ('Training', 'valid', 'test'):
        touch(tmp_path, f'{split}/dog/1.png', f'{split}/cat/1.png', f'{split}/list.csv')
    layout = folder_layout.scan(tmp_path)
    assert set(layout.parts) == {'train', 'validation', 'test'}
    assert layout.parts['train']['cat'].path == tmp_path / 'Training' / 'cat'
    assert layout.others == Counter({'.csv': 3})


def test_every_part_has_every_class(tmp_path):
    touch(tmp_path, 'train/dog/1.png', 'train/cat/1.png', 'test/dog/1.png')
    with pytest.raises(UserError, match='test lacks the class cat, which another split has'):
        folder_layout.scan(tmp_path)
