import errno
import fcntl
import multiprocessing
import os
import time

import numpy as np
import pytest

from vggres.data import cache
from vggres.data.source import Split
from vggres.errors import UserError


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    """A cache of this test's own."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    return tmp_path / 'vggres' / 'data'


def small():
    return Split(np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1), np.array([2, 0, 1], np.int32))


def never():
    raise AssertionError('made twice')


def test_what_is_kept_is_what_was_made_and_is_mapped_into_memory():
    cache.cached('a', small)
    found = cache.cached('a', never)
    np.testing.assert_array_equal(found.images, small().images)
    np.testing.assert_array_equal(found.labels, small().labels)
    assert isinstance(found.images, np.memmap)
    with pytest.raises(ValueError, match='read-only'):
        found.images[0] = 0


def test_an_entry_is_named_by_all_that_decides_it():
    assert cache.entry('a', 1, 'x').startswith('a-')
    assert len({cache.entry('a', 1, 'x'), cache.entry('a', 1, 'y'), cache.entry('a', 11, 'x')}) == 3


@pytest.mark.parametrize('breaks_at', [1, 2])
def test_a_full_disk_leaves_no_half_entry(monkeypatch, place, breaks_at):
    calls, save = [], np.save

    def full(path, array):
        calls.append(path)
        if len(calls) == breaks_at:
            path.write_bytes(b'half')
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(path, array)

    monkeypatch.setattr(np, 'save', full)
    with pytest.raises(
        UserError, match=r'cannot keep decoded images in .*No space left.*XDG_CACHE'
    ) as caught:
        cache.cached('a', small)
    assert '\n' not in str(caught.value)
    assert [path.name for path in place.iterdir()] == ['.a.lock']
    monkeypatch.setattr(np, 'save', save)
    np.testing.assert_array_equal(cache.cached('a', small).images, small().images)


def test_what_killed_processes_left_is_not_read_but_removed(place):
    for name in ('.a.12345', '.a.0123456789abcdef', '.b.12345'):
        (place / name).mkdir(parents=True)
        (place / name / 'images.npy').write_bytes(b'half')
    np.testing.assert_array_equal(cache.cached('a', small).images, small().images)
    # The one of another entry may be that of a process at work.
    assert {path.name for path in place.iterdir()} == {'a', '.a.lock', '.b.12345'}


def cut_short(path):
    os.truncate(path, path.stat().st_size - 1)


def overwritten(path):
    path.write_bytes(b'x' * 1000)


@pytest.mark.parametrize('damage', [cut_short, overwritten, os.remove, lambda p: os.truncate(p, 0)])
@pytest.mark.parametrize('name', ['images.npy', 'labels.npy'])
def test_a_damaged_entry_is_made_again(place, name, damage):
    cache.cached('a', small)
    damage(place / 'a' / name)
    for make in (small, never):
        found = cache.cached('a', make)
        np.testing.assert_array_equal(found.images, small().images)
        np.testing.assert_array_equal(found.labels, small().labels)
    assert {path.name for path in place.iterdir()} == {'a', '.a.lock'}


def test_an_entry_that_is_damaged_at_once_is_not_made_for_ever(monkeypatch, place):
    replace, made = os.replace, []

    def lossy(source, target):
        replace(source, target)
        cut_short(target / 'images.npy')

    def make():
        made.append(1)
        return small()

    monkeypatch.setattr(os, 'replace', lossy)
    with pytest.raises(UserError, match=r'just written to .*a cannot be read.*XDG_CACHE') as caught:
        cache.cached('a', make)
    assert '\n' not in str(caught.value)
    assert made == [1]


@pytest.mark.parametrize('error', [OSError(errno.EIO, 'broken'), FileNotFoundError('gone')])
def test_an_error_of_reading_is_not_one_of_writing(place, error):
    def make():
        raise error

    with pytest.raises(OSError, match=r'broken|gone') as caught:
        cache.cached('a', make)
    assert caught.value is error
    assert [path.name for path in place.iterdir()] == ['.a.lock']


def test_a_cache_that_cannot_be_made_is_reported(place):
    place.parent.write_text('')  # a file where a directory has to be
    with pytest.raises(UserError, match='cannot keep decoded images in'):
        cache.cached('a', never)


def test_an_entry_is_on_the_disk_before_it_has_its_name(monkeypatch, place):
    fsync, synced = os.fsync, []

    def sync(descriptor):
        path = os.readlink(f'/proc/self/fd/{descriptor}')
        synced.append((os.path.basename(path), (place / 'a').exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, 'fsync', sync)
    cache.cached('a', small)
    *files, (folder, named) = synced
    assert sorted(files) == [('images.npy', False), ('labels.npy', False)]
    assert folder.startswith('.a.')
    assert not named


def test_a_disk_that_fails_at_the_end_leaves_no_entry(monkeypatch, place):
    def fail(descriptor):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, 'fsync', fail)
    with pytest.raises(UserError, match='cannot keep decoded images'):
        cache.cached('a', small)
    assert [path.name for path in place.iterdir()] == ['.a.lock']


@pytest.mark.parametrize('code', [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_drive_without_locks_is_named(monkeypatch, place, code):
    def refuse(file, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, 'flock', refuse)
    with pytest.raises(UserError, match='cannot be locked') as caught:
        cache.cached('a', never)
    assert str(caught.value) == (
        f'files in {place} cannot be locked ({os.strerror(code)}), as on some network drives: set '
        'XDG_CACHE_HOME to a local directory.'
    )
    with (
        pytest.raises(UserError, match=r'drives: give another data\.dir\.$'),
        cache.alone(place / 'x', 'give another data.dir'),
    ):
        raise AssertionError


def slow(log):
    """Makes an entry and notes that it did."""
    with open(log, 'a') as file:
        file.write('made\n')
    time.sleep(0.5)
    return small()


def ask(log):
    cache.cached('a', lambda: slow(log))


def test_of_two_processes_that_start_at_once_one_makes_it(tmp_path):
    log = tmp_path / 'log'
    context = multiprocessing.get_context('spawn')
    processes = [context.Process(target=ask, args=(log,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert log.read_text() == 'made\n'
