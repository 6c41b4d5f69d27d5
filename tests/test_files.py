import pytest

from vggres.files import read_json, write_atomically, write_json


def test_json_comes_back(tmp_path):
    write_json(tmp_path / 'a.json', {'x': [1, None, 0.5]})
    assert read_json(tmp_path / 'a.json') == {'x': [1, None, 0.5]}


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / 'a.json'
    write_json(path, {'old': 1})
    with pytest.raises(ValueError, match='JSON'):
        write_json(path, {'new': float('nan')})
    assert read_json(path) == {'old': 1}
    assert list(tmp_path.iterdir()) == [path]


def test_text_and_bytes(tmp_path):
    write_atomically(tmp_path / 'a', 'ä')
    write_atomically(tmp_path / 'b', b'\xff')
    assert (tmp_path / 'a').read_bytes() == b'\xc3\xa4'
    assert (tmp_path / 'b').read_bytes() == b'\xff'
