import re
from collections import Counter

from vggres.findings.index_page import ListedCell, ListedClaims, ListedSweep, write

CELL = ListedCell('plain-d8-s0-3f9c1a', 'a & b', 'failed', None, '<script>', {'log': 'a/b c.log'})


def page(tmp_path, sweeps=(), claims=(), every=0.0):
    return write(tmp_path, ('done', 'failed'), sweeps, claims, every).read_text()


def test_the_page_stands_alone_and_says_when_it_was_written(tmp_path):
    text = page(tmp_path)
    assert re.search(
        r'Written <time datetime="\d{4}-\d\d-\d\dT[\d:+-]+">\d{4}-\d\d-\d\d [\d:]+<', text
    )
    assert 'There is no sweep yet.' in text
    assert not re.search(r'(?:src|href)="(?!#)', text)
    assert '<script' not in text  # nothing runs, so that nothing has to be told again


def test_what_it_is_given_is_escaped(tmp_path):
    sweep = ListedSweep('x', '<i>', counts=Counter(failed=1), notable=[CELL], cells=[CELL])
    text = page(tmp_path, [sweep], [ListedClaims('<u>', 'claims.html', [('a < b', 'holds')])])
    assert '<i>' not in text
    assert '<u>' not in text
    assert text.count('&lt;script&gt;') == 2
    assert 'a &amp; b' in text
    assert 'href="a/b%20c.log"' in text
    assert 'a &lt; b' in text


def test_one_cell_is_one_cell(tmp_path):
    sweep = ListedSweep('x', 'X', counts=Counter(failed=1), cells=[CELL])
    assert '1 cell: 1 failed' in page(tmp_path, [sweep])


def test_it_loads_itself_again_with_and_without_scripts(tmp_path):
    text = page(tmp_path, every=6.2)
    assert '<noscript><meta http-equiv="refresh" content="7"></noscript>' in text
    assert 'const every = 1000 * 6.2' in text
