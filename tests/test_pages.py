"""The pages in a browser: nothing overlaps, sticks out or complains, on a phone and on a desk."""

import dataclasses
import io
import json
import os
import tarfile
import time
from itertools import product
from pathlib import Path

import pytest
from browser import WIDTHS
from planted import finish, record
from planted_arms import finish_stages
from rich.console import Console

from experiments import depth, without_shortcuts
from vggres.commands import claims, conclude
from vggres.commands.index import Index
from vggres.sweeps import sweep as sweeps
from vggres.sweeps.failure import write_failure
from vggres.sweeps.records import METRICS_FILE, RecordsFile

RUNS = Path(__file__).parents[1] / 'docs' / 'run'
VIEWS = [*product(WIDTHS, (False, True))]
pytestmark = pytest.mark.slow  # a browser starts, and every page is made
WHY = 'ValueError: what is said of a failure may be longer than a line of any page, ' * 4


def quiet():
    return Console(file=io.StringIO(), width=100)


@pytest.fixture(scope='module')
def workdir(new_config, tmp_path_factory):
    """A directory with every page, of planted results; one cell has failed since, another runs."""
    root = tmp_path_factory.mktemp('pages')
    config = new_config()
    config.sweep.seeds = 3
    asked = sweeps.assemble('depth', config, root, depth.cells(config))
    asked.directory.mkdir()
    for cell in sweeps.joined(asked).cells:
        at = cell.coordinates()
        error = 40.0 + at['seed'] if (at['family'], at['depth']) == ('plain', 14) else 0.5
        cell.directory.mkdir(parents=True)
        RecordsFile(cell.directory / METRICS_FILE).append(record(1, error, error + 1))
        finish(cell, error=error)
    conclude.conclude(asked, depth, [], quiet())
    claims.judge(root, [f'--workdir={root}'], quiet())
    failed, running, *_ = asked.cells
    for cell in (failed, running):
        (cell.directory / 'result.json').unlink()
    write_failure(failed.directory, WHY, 'worker0.log')
    lease(running)
    Index(root).write()
    return root


def lease(cell, seconds_ago=0):
    path = cell.directory / 'lease-1.json'
    path.write_text(json.dumps({'owner': 'a', 'host': 'n1', 'pid': 3, 'attempt': 1}))
    os.utime(path, (time.time() - seconds_ago,) * 2)


def check(page):
    """Fails where something overlaps, sticks out or complains, with all that folds away open."""
    page.driver.execute_script(
        "document.querySelectorAll('details').forEach((each) => (each.open = true))"
    )
    assert page.overflow() <= 0
    assert page.overlaps() == []
    assert page.errors() == []


GOOD = (
    '<p>One.<p>Two.<div style="overflow: hidden; height: 1em">cut<br>off</div><p>Three.'
    '<details><summary>More</summary>hidden</details>Four.'
)
BAD = {
    'errors': "<script>console.error('a mishap')</script>",
    'overflow': '<p style="width: 1300px">wide</p>',
    'overlaps': '<p style="position: absolute; top: 40px">above</p>'
    '<p style="position: absolute; top: 45px">below</p>',
}


@pytest.mark.parametrize('fault', BAD)
def test_a_bad_page_is_found_out(tmp_path, open_page, fault):
    path = tmp_path / 'bad.html'
    path.write_text(f'<!doctype html><title>bad</title>{BAD[fault]}')
    page = open_page(path, 1200, False)
    found = {name: getattr(page, name)() for name in BAD}
    assert [name for name in BAD if found[name] and found[name] != 0] == [fault]
    path.write_text(f'<!doctype html><title>good</title>{GOOD}')
    page = open_page(path, 1200, False)
    assert (page.errors(), page.overlaps(), page.overflow()) == ([], [], 0)


def test_texts_on_each_other_inside_of_figures_are_found_where_asked(tmp_path, open_page):
    path = tmp_path / 'figure.html'
    words = '<text x="9" y="20">above</text><text x="9" y="24">below</text>'
    path.write_text(f'<!doctype html><title>figure</title><p>One.<svg>{words}</svg>')
    page = open_page(path, 400, True)
    assert page.overlaps() == []
    assert page.overlaps(of_figures=True) == [('above', 'below')]


@pytest.mark.parametrize('name', ['depth/report', 'claims', 'remains', 'index'])
def test_a_page_has_no_error_no_overflow_and_no_overlap(workdir, open_page, name):
    papers = set()
    for width, dark in VIEWS:
        page = open_page(workdir / f'{name}.html', width, dark)
        assert page.overlaps() == []
        papers.add((dark, page.value('getComputedStyle(document.documentElement).backgroundColor')))
        check(page)
    assert papers == {(False, 'rgb(255, 255, 255)'), (True, 'rgb(21, 24, 28)')}


def test_the_verdict_is_the_first_thing_that_one_sees(workdir, open_page):
    for width in WIDTHS:
        page = open_page(workdir / 'depth' / 'report.html', width, False)
        words = page.value("[...document.querySelectorAll('.short dt')].map((e) => e.innerText)")
        assert words == ['degrades', 'inconclusive']
        bottom = page.value("document.querySelector('.short').getBoundingClientRect().bottom")
        assert bottom < 500


def test_no_column_of_a_table_is_hidden_on_a_desk(workdir, open_page):
    assert scrolled(open_page(workdir / 'depth' / 'report.html', 1200, False)) == []


def scrolled(page):
    """The headings of open tables that are wider than their place."""
    return page.value(
        "[...document.querySelectorAll('.wide')].filter((e) => e.checkVisibility()"
        ' && e.scrollWidth > e.clientWidth).map((e) => e.ariaLabel)'
    )


def test_on_a_phone_each_claim_is_a_card(workdir, open_page):
    page = open_page(workdir / 'claims.html', 400, False)
    for part in ('tbody th', 'tbody td'):
        width = page.value(
            f"document.querySelector('.claims {part}').getBoundingClientRect().width"
        )
        assert width > 300  # of 360: nothing stands beside it
    assert page.value("document.querySelector('.claims thead').checkVisibility()") is False


def test_figures_are_dark_where_the_page_is(workdir, open_page):
    for name, figure in (('depth/report.html', 'svg'), ('claims.html', 'img')):
        filters = [
            open_page(workdir / name, 400, dark).value(
                f"getComputedStyle(document.querySelector('figure {figure}')).filter"
            )
            for dark in (False, True)
        ]
        assert filters[0] == 'none'
        assert filters[1].startswith('invert(0.9)')


def test_the_index_loads_itself_again_and_stays_where_it_was(workdir, open_page):
    live = Index(workdir)
    live.write(is_attended=True)
    text = (workdir / 'index.html').read_text()
    soon = workdir / 'soon.html'  # the same page, in less of a hurry to be tested
    soon.write_text(text.replace('const every = 1000 * 5.0', 'const every = 300'))
    page = open_page(soon, 400, False)
    cells = "document.querySelector('details[id^=cells]')"
    page.driver.execute_script(f'{cells}.open = true; window.before = true')
    page.driver.execute_script('scrollTo(0, 1e6)')  # where nothing is while they are folded away
    place = page.value('scrollY')
    soon.write_text(soon.read_text().replace('<h1>Sweeps</h1>', '<h1>Written anew</h1>'))
    deadline = time.monotonic() + 20
    while page.value("document.querySelector('h1').innerText") != 'Written anew':
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert page.value(f'[window.before, scrollY, {cells}.open]') == [None, place, True]
    assert page.value("document.querySelector('details').open") is False  # of claims
    assert page.errors() == []


def test_an_old_index_says_how_old_it_is_and_that_nobody_may_be_at_work(workdir, open_page):
    Index(workdir).write(is_attended=True)
    text = (workdir / 'index.html').read_text()
    (written,) = {part.split('"')[0] for part in text.split('datetime="')[1:]}
    old = workdir / 'old.html'
    old.write_text(text.replace(written, '2020-01-31T12:00:00+00:00'))
    page = open_page(old, 400, True)
    said = page.value("document.querySelector('header').innerText")
    assert 'min ago: the launch may have ended since; --status writes this page again' in said
    assert 'this page loads itself again' not in said
    check(page)


def test_pages_of_interventions_are_readable(new_config, tmp_path, open_page):
    def updates(arm, depth):
        return 40 if arm in ('resnet', 'plain, tailored') else 40 + 5 * (depth - 8)

    planted = finish_stages(without_shortcuts, new_config(), tmp_path, updates)
    (tmp_path / 'planted').rename(tmp_path / 'without_shortcuts')
    cells = [
        dataclasses.replace(cell, workdir=tmp_path / 'without_shortcuts', sweep='without_shortcuts')
        for cell in planted.cells
    ]
    sweep = sweeps.Sweep(
        'without_shortcuts', planted.config, tmp_path / 'without_shortcuts', tuple(cells)
    )
    sweeps.joined(sweep)
    claims.judge(tmp_path, [f'--workdir={tmp_path}'], quiet())
    conclude.report_again(sweep.directory, quiet())
    for name in ('causes', 'remains', 'index', 'without_shortcuts/report'):
        for width, dark in VIEWS:
            check(open_page(tmp_path / f'{name}.html', width, dark))


@pytest.mark.parametrize('name', ['gradient_flow', 'identity_shortcut', 'convergence'])
def test_the_tables_of_real_sweeps_fit(committed, open_page, name):
    """The table of every run folds away, and has more columns than any page."""
    conclude.report_again(committed / name, quiet())
    path = committed / name / 'report.html'
    assert scrolled(open_page(path, 1200, False)) == []
    for width, dark in VIEWS:
        check(open_page(path, width, dark))


@pytest.fixture(scope='module')
def committed(tmp_path_factory):
    root = tmp_path_factory.mktemp('committed')
    with tarfile.open(RUNS / 'digits.tar.xz') as packed:
        packed.extractall(root, filter='data')
    return root / 'digits'
