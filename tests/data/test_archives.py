import gzip
import hashlib
import socket
from dataclasses import replace

import numpy as np
import pytest
from loopback import Page, mirrored, serve

from configs import base
from vggres.data import archives
from vggres.data.archives import Archive, obtain
from vggres.errors import UserError

CONTENT = b'\x1f\x8b' + np.random.default_rng(0).bytes(50_000)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    with serve() as running:
        yield running


@pytest.fixture
def wanted():
    """A configuration of the data set 'set'."""
    config = base.get_config().data
    config.name = 'set'
    return config


def digest(content):
    return hashlib.sha256(content).hexdigest()


def obtained(archive, config, folder):
    """What `obtain` makes of one archive."""
    (path,) = obtain([archive], config, folder, None).values()
    return path.read_bytes()


def test_a_download_is_kept_whole_under_its_name(server, wanted, tmp_path):
    server.pages['a'] = Page(CONTENT)
    archive = mirrored(server, CONTENT, 'a')
    assert obtain([archive], wanted, tmp_path, None) == {'set.tar.gz': tmp_path / 'set/set.tar.gz'}
    assert [path.name for path in (tmp_path / 'set').iterdir()] == ['set.tar.gz']
    assert obtained(archive, wanted, tmp_path) == CONTENT
    assert server.requests == [('a', None)]


def test_a_kept_download_that_was_damaged_is_replaced(server, wanted, tmp_path):
    server.pages['a'] = Page(CONTENT)
    (tmp_path / 'set').mkdir()
    (tmp_path / 'set/set.tar.gz').write_bytes(CONTENT[:-1] + b'?')
    assert obtained(mirrored(server, CONTENT, 'a'), wanted, tmp_path) == CONTENT


def test_without_network_one_line_says_what_to_do(wanted, tmp_path, monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    with socket.create_server(('127.0.0.1', 0)) as free:
        port = free.getsockname()[1]  # nobody listens there any more, when it is closed
    urls = tuple(f'http://127.0.0.1:{port}/{name}' for name in 'ab')
    archive = Archive('set.tar.gz', digest(CONTENT), len(CONTENT), urls)
    with pytest.raises(UserError) as error:
        obtain([archive], wanted, tmp_path, None)
    assert str(error.value) == (
        'cannot download set.tar.gz: no mirror can be reached (Connection refused), as where '
        f'there is no network. Download {urls[0]} elsewhere, and give the file as '
        '--config.data.archive.'
    )
    several = [archive, replace(archive, name='labels.gz')]
    with pytest.raises(UserError, match=r'the folder that holds set\.tar\.gz, labels\.gz as'):
        obtain(several, wanted, tmp_path, None)


def test_where_every_mirror_fails_one_line_says_why(server, wanted, tmp_path):
    server.pages['a'] = Page(status=404)
    host = server.url.removeprefix('http://')
    one = mirrored(server, CONTENT, 'a', name='one')
    with pytest.raises(UserError) as error:
        obtain([one], wanted, tmp_path, None)
    assert str(error.value) == (
        f'cannot download one: {host}: HTTP error 404. Download {server.url}/a elsewhere, and give '
        'the file as --config.data.archive.'
    )
    server.pages['b'] = [Page(CONTENT, stops_after=20_000), Page(CONTENT, stops_after=0)]
    with pytest.raises(UserError, match='What came is kept, and the next start goes on from there'):
        obtain([mirrored(server, CONTENT, 'b')], wanted, tmp_path, None)
    server.pages['b'] = Page(CONTENT)
    assert obtained(mirrored(server, CONTENT, 'b'), wanted, tmp_path) == CONTENT
    assert server.requests[-1] == ('b', 'bytes=20000-')


def test_a_disk_that_is_full(server, wanted, tmp_path):
    server.pages['a'] = Page(CONTENT)
    (tmp_path / 'set').mkdir()
    (tmp_path / 'set/set.tar.gz.part').symlink_to('/dev/full')
    with pytest.raises(UserError, match=r'^[^\n]*No space left on device[^\n]*make room[^\n]*$'):
        obtain([mirrored(server, CONTENT, 'a')], wanted, tmp_path, None)


def test_of_archives_that_hold_the_same_one_is_enough(server, wanted, tmp_path):
    server.pages['b'] = Page(CONTENT)
    one = replace(mirrored(server, CONTENT, 'a', name='one'), holds='images')
    two = replace(mirrored(server, CONTENT, 'b', name='two'), holds='images')
    assert obtain([one, two], wanted, tmp_path, None) == {'images': tmp_path / 'set/two'}
    assert [path for path, _ in server.requests] == ['a', 'b']
    assert obtain([one, two], wanted, tmp_path, None) == {'images': tmp_path / 'set/two'}
    assert len(server.requests) == 2
    (tmp_path / 'set/two').rename(tmp_path / 'set/two.part')
    obtain([one, two], wanted, tmp_path, None)
    assert len(server.requests) == 2  # what was begun came first


def test_an_archive_of_ones_own(server, wanted, tmp_path):
    archive = mirrored(server, CONTENT, 'a')
    path = tmp_path / 'mine.tar.gz'
    path.write_bytes(CONTENT)
    wanted.archive = str(path)
    assert obtain([archive], wanted, tmp_path, None) == {'set.tar.gz': path}
    path.write_bytes(b'another')
    with pytest.raises(UserError) as error:
        obtain([archive], wanted, tmp_path, None)
    assert '\n' not in str(error.value)
    for text in (digest(CONTENT), digest(b'another'), '--config.data.checksum=any', str(path)):
        assert text in str(error.value)
    wanted.checksum = 'any'
    assert obtain([archive], wanted, tmp_path, None) == {'set.tar.gz': path}
    wanted.archive += '.gz'
    with pytest.raises(UserError, match='does not exist'):
        obtain([archive], wanted, tmp_path, None)
    with pytest.raises(UserError, match='made of no archive'):
        obtain([], wanted, tmp_path, None)
    assert server.requests == []


def test_a_folder_of_ones_own(server, wanted, tmp_path):
    """A file is known by what gzip packed, too: packed anew or not packed, it is the same."""
    plain = {'a': b'pixels', 'b': b'labels', 'c': b'more'}
    group = [
        replace(
            mirrored(server, gzip.compress(text, mtime=1), name, name=f'{name}.gz'),
            holds=name,
            contents=digest(text),
        )
        for name, text in plain.items()
    ]
    (tmp_path / 'a.gz').write_bytes(gzip.compress(plain['a'], mtime=1))
    (tmp_path / 'b.gz').write_bytes(gzip.compress(plain['b'], mtime=2))
    wanted.archive = str(tmp_path)
    with pytest.raises(UserError, match=r'holds no c\.gz'):
        obtain(group, wanted, tmp_path, None)
    (tmp_path / 'c').write_bytes(plain['c'])
    found = obtain(group, wanted, tmp_path, None)
    assert found == {'a': tmp_path / 'a.gz', 'b': tmp_path / 'b.gz', 'c': tmp_path / 'c'}
    assert {key: archives.unpacked(path) for key, path in found.items()} == plain
    (tmp_path / 'b.gz').write_bytes(gzip.compress(plain['b'], mtime=2)[:-9])
    with pytest.raises(UserError, match='checksum'):
        obtain(group, wanted, tmp_path, None)
    wanted.archive = str(tmp_path / 'c')
    with pytest.raises(UserError, match=r'must be a folder that holds a\.gz, b\.gz, c\.gz'):
        obtain(group, wanted, tmp_path, None)


def test_what_a_distribution_installed_is_used(server, wanted, tmp_path):
    archive = replace(mirrored(server, CONTENT, 'a'), folder=str(tmp_path / 'share'))
    (tmp_path / 'share').mkdir()
    (tmp_path / 'share/set.tar.gz').write_bytes(CONTENT)
    path = tmp_path / 'share/set.tar.gz'
    assert obtain([archive], wanted, tmp_path, None) == {'set.tar.gz': path}
    path.write_bytes(b'another')
    server.pages['a'] = Page(CONTENT)
    assert obtained(archive, wanted, tmp_path) == CONTENT
