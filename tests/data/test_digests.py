import hashlib
import os

import pytest

from vggres.data import cache, digests


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    digests.of_contents.cache_clear()


@pytest.fixture
def states(tmp_path):
    """Two files and one that is missing."""
    (tmp_path / 'a').write_bytes(b'one')
    (tmp_path / 'b').write_bytes(b'two')
    return tuple((name, *digests.state(tmp_path / name)) for name in ('a', 'b', 'c'))


@pytest.mark.parametrize('kept', [0, 2**28])  # bytes, above which digests are kept
def test_digests_are_those_of_the_contents(tmp_path, monkeypatch, states, kept):
    monkeypatch.setattr(digests, '_KEPT', kept)
    found = digests.of_contents(tmp_path, states)
    expected = [hashlib.sha256(content).digest() for content in (b'one', b'two')]
    assert list(map(bytes, found)) == [*expected, bytes(32)]
    assert bool(list(cache.directory().glob('digests-*'))) == (kept == 0)


def test_a_cache_that_cannot_be_written_is_not_needed(tmp_path, monkeypatch, states):
    monkeypatch.setattr(digests, '_KEPT', 0)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'a'))  # a file
    assert bytes(digests.of_contents(tmp_path, states)[0]) == hashlib.sha256(b'one').digest()


def test_a_state_changes_though_size_and_time_are_set_back(tmp_path, states):
    path = tmp_path / 'a'
    before = path.stat()
    path.write_bytes(b'two')
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert ('a', *digests.state(path)) != states[0]
    assert digests.state(path)[:2] == states[0][1:3]


def test_files_are_large_together(monkeypatch, states):
    monkeypatch.setattr(digests, '_READ', 6)
    assert not digests.is_large(states)
    monkeypatch.setattr(digests, '_READ', 5)
    assert digests.is_large(states)
