import errno
import subprocess
import sys

import pytest

from vggres import files
from vggres.errors import UserError
from vggres.files import clear_unfinished, read_json, write_atomically, write_json


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / 'a.txt'
    write_atomically(path, 'old')
    write_atomically(path, b'new')
    assert path.read_text() == 'new'
    assert list(tmp_path.iterdir()) == [path]


def test_json_comes_back(tmp_path):
    path = tmp_path / 'a.json'
    write_json(path, {'a': [1, 2.5, None]})
    assert read_json(path) == {'a': [1, 2.5, None]}
    with pytest.raises(ValueError, match='JSON compliant'):
        write_json(path, {'a': float('nan')})
    assert read_json(path) == {'a': [1, 2.5, None]}


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(files.os, 'fsync', full)
    with pytest.raises(OSError, match='No space left'):
        write_atomically(tmp_path / 'a.txt', 'text')
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_its_place_leaves_nothing_behind(tmp_path):
    (tmp_path / 'a.txt').mkdir()
    with pytest.raises(OSError, match='directory'):
        write_atomically(tmp_path / 'a.txt', 'text')
    assert [path.name for path in tmp_path.iterdir()] == ['a.txt']


def test_what_a_killed_process_left_is_cleared(tmp_path):
    (tmp_path / 'a.txt').write_text('whole')
    (tmp_path / '.hidden').touch()
    code = (
        'import os, sys, pathlib; from vggres import files; '
        'files.os.replace = lambda *paths: os._exit(9); '
        'files.write_atomically(pathlib.Path(sys.argv[1]), "half")'
    )
    done = subprocess.run([sys.executable, '-c', code, tmp_path / 'a.txt'], check=False)
    assert done.returncode == 9
    assert len(list(tmp_path.iterdir())) == 3
    clear_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {'a.txt', '.hidden'}
    assert (tmp_path / 'a.txt').read_text() == 'whole'
    clear_unfinished(tmp_path / 'none')


@pytest.mark.parametrize('content', [b'', b'{"a": 1', b'\xff\xfe', b'[1]', b'3'])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / 'a.json'
    path.write_bytes(content)
    with pytest.raises(UserError, match=r'a\.json is damaged'):
        read_json(path)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / 'none.json')
    with pytest.raises(UserError, match='cannot be read'):
        read_json(tmp_path)
