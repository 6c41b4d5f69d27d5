import io
from dataclasses import replace

import numpy as np
import pytest
from loopback import Page, mirrored, serve
from rich.console import Console

from vggres.data import download
from vggres.data.download import UnavailableError

CONTENT = b'\x1f\x8b' + np.random.default_rng(0).bytes(50_000)
HTML = b'<!DOCTYPE html><html><body>Too many requests</body></html>'


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    with serve() as running:
        yield running


def begin(folder, content):
    """Leaves what an interrupted download leaves."""
    (folder / 'set.tar.gz.part').write_bytes(content)


def downloaded(archive, folder, console=None):
    """The content of a download, of which nothing else stays."""
    path = download.download(archive, folder, console)
    assert [each.name for each in folder.iterdir()] == [archive.name] == [path.name]
    return path.read_bytes()


def test_a_download_comes_whole_under_its_name(server, tmp_path):
    server.pages |= {'a': Page(CONTENT), 'long': Page(CONTENT + b'more', has_length=False)}
    assert downloaded(mirrored(server, CONTENT, 'a', 'b'), tmp_path) == CONTENT
    assert server.requests == [('a', None)]
    # Without a length, nobody knows that there is more, and nobody needs it.
    assert downloaded(mirrored(server, CONTENT, 'long'), tmp_path) == CONTENT


@pytest.mark.parametrize('stalls', [False, True])
def test_what_was_cut_goes_on_where_it_stopped(server, tmp_path, monkeypatch, stalls):
    monkeypatch.setattr(download, 'TIMEOUT', 0.3)
    cut = Page(CONTENT, stops_after=20_000, stalls=stalls)
    server.pages['a'] = [cut, replace(cut, stops_after=5_000), Page(CONTENT)]
    assert downloaded(mirrored(server, CONTENT, 'a', 'b'), tmp_path) == CONTENT
    assert server.requests == [('a', None), ('a', 'bytes=20000-'), ('a', 'bytes=25000-')]
    assert server.sent == {'a': len(CONTENT)}


def test_another_process_goes_on_where_one_was_killed(server, tmp_path):
    server.pages['a'] = Page(CONTENT)
    begin(tmp_path, CONTENT[:30_000])
    assert downloaded(mirrored(server, CONTENT, 'a'), tmp_path) == CONTENT
    assert server.requests == [('a', 'bytes=30000-')]
    assert server.sent == {'a': len(CONTENT) - 30_000}


def test_what_was_whole_but_for_its_name_is_not_asked_for(server, tmp_path):
    begin(tmp_path, CONTENT)
    assert downloaded(mirrored(server, CONTENT, 'a'), tmp_path) == CONTENT
    assert server.requests == []


@pytest.mark.parametrize(
    'begun', [b'?' * 30_000, b'?' * len(CONTENT), b'?' * (len(CONTENT) + 1)], ids=len
)
def test_a_beginning_of_something_else_is_dropped(server, tmp_path, begun):
    server.pages['a'] = Page(CONTENT)
    begin(tmp_path, begun)
    assert downloaded(mirrored(server, CONTENT, 'a'), tmp_path) == CONTENT
    assert server.requests[-1] == ('a', None)


def test_a_server_that_knows_no_ranges_starts_over(server, tmp_path):
    server.pages['a'] = Page(CONTENT, ranges=False)
    begin(tmp_path, CONTENT[:30_000])
    assert downloaded(mirrored(server, CONTENT, 'a'), tmp_path) == CONTENT
    assert server.requests == [('a', 'bytes=30000-')]


@pytest.mark.parametrize('bad', [CONTENT[:1_000], b'?' * len(CONTENT)], ids=len)
def test_an_answer_from_the_first_byte_takes_nothing_away(server, tmp_path, bad):
    stops = len(bad) if len(bad) < len(CONTENT) else None
    content = CONTENT if stops else bad
    server.pages |= {'bad': Page(content, ranges=False, stops_after=stops), 'a': Page(CONTENT)}
    begin(tmp_path, CONTENT[:30_000])
    with pytest.raises(UnavailableError):
        download.download(mirrored(server, CONTENT, 'bad'), tmp_path, None)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [CONTENT[:30_000]]
    assert downloaded(mirrored(server, CONTENT, 'bad', 'a'), tmp_path) == CONTENT
    assert server.sent['a'] == len(CONTENT) - 30_000


def test_an_answer_from_the_first_byte_that_comes_further_is_kept(server, tmp_path):
    server.pages |= {'bad': Page(CONTENT, ranges=False, stops_after=40_000), 'a': Page(CONTENT)}
    begin(tmp_path, CONTENT[:30_000])
    assert downloaded(mirrored(server, CONTENT, 'bad', 'a'), tmp_path) == CONTENT
    assert server.sent['a'] == len(CONTENT) - 40_000


def test_of_two_beginnings_that_a_killed_process_left_the_longer_goes_on(server, tmp_path):
    server.pages['a'] = Page(CONTENT)
    for begun, anew in ((30_000, 40_000), (40_000, 30_000)):
        begin(tmp_path, CONTENT[:begun])
        (tmp_path / 'set.tar.gz.part.anew').write_bytes(CONTENT[:anew])
        assert downloaded(mirrored(server, CONTENT, 'a'), tmp_path) == CONTENT
        assert server.requests.pop() == ('a', 'bytes=40000-')
        (tmp_path / 'set.tar.gz').unlink()


def test_a_mirror_whose_file_is_shorter_than_what_is_there(server, tmp_path):
    server.pages |= {'short': Page(CONTENT[:100]), 'a': Page(CONTENT)}
    begin(tmp_path, CONTENT[:30_000])
    assert downloaded(mirrored(server, CONTENT, 'short', 'a'), tmp_path) == CONTENT
    # 416 is answered with a request for the whole, which is refused by its length.
    assert server.requests == [
        ('short', 'bytes=30000-'),
        ('short', None),
        ('a', 'bytes=30000-'),
    ]


MISBEHAVIOUR = {
    'HTTP error 404': Page(status=404),
    'HTTP error 500': Page(status=500),
    'answered with a web page': Page(HTML, ranges=False, content_type='text/html; charset=utf-8'),
    'answered with a web page ': Page(HTML, ranges=False, content_type=None, has_length=False),
    'offers 50012 bytes instead of 50002': Page(CONTENT, lie=10),
    'offers 49992 bytes instead of 50002': Page(CONTENT, lie=-10),
    'broke off after': Page(CONTENT, stops_after=0),
}


@pytest.mark.parametrize('begun', [0, 30_000])
@pytest.mark.parametrize(('why', 'page'), MISBEHAVIOUR.items(), ids=MISBEHAVIOUR)
def test_the_next_mirror_goes_on(server, tmp_path, why, page, begun):
    server.pages['bad'] = page
    begin(tmp_path, CONTENT[:begun])
    with pytest.raises(UnavailableError) as error:
        download.download(mirrored(server, CONTENT, 'bad'), tmp_path, None)
    (reason,) = error.value.reasons.values()
    assert str(reason).startswith(why.strip())
    server.pages['good'] = Page(CONTENT)
    assert downloaded(mirrored(server, CONTENT, 'bad', 'good'), tmp_path) == CONTENT
    assert server.requests[-1] == ('good', f'bytes={begun}-' if begun else None)


def test_a_mirror_with_another_file_of_the_same_length(server, tmp_path):
    server.pages |= {'other': Page(CONTENT[:-1] + b'?'), 'a': Page(CONTENT)}
    assert downloaded(mirrored(server, CONTENT, 'other', 'a'), tmp_path) == CONTENT
    (tmp_path / 'set.tar.gz').unlink()
    with pytest.raises(UnavailableError, match='another checksum'):
        download.download(mirrored(server, CONTENT, 'other'), tmp_path, None)
    assert list(tmp_path.iterdir()) == []


def test_progress(server, tmp_path, monkeypatch):
    server.pages['a'] = Page(CONTENT, pause=0.01)
    for name in '12':
        (tmp_path / name).mkdir()
    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    downloaded(mirrored(server, CONTENT, 'a'), tmp_path / '1', screen)
    assert 'set.tar.gz' in screen.file.getvalue()
    assert '50.0/50.0 kB' in screen.file.getvalue()
    monkeypatch.setattr(download, 'SECONDS_BETWEEN_LINES', 0)
    log = Console(file=io.StringIO(), width=30)
    downloaded(mirrored(server, CONTENT, 'a'), tmp_path / '2', log)
    lines = log.file.getvalue().splitlines()
    assert lines[0] == 'downloading set.tar.gz (0.1 MB)'
    assert len(lines) > 5
    assert lines[-1] == 'set.tar.gz: 0.1 of 0.1 MB'
