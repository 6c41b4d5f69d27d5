"""A page with charts brings its data and the library along, and nothing in it ends a script."""

import json
import re
import time

import pytest

from vggres import environment
from vggres.figures.charts import Chart, RunTable
from vggres.findings import chart_page

NAME = '</script><b>plain & "so"</b>'
ROWS = [(NAME, 8, 0, 8.0, 1.5, 'trained'), ('resnet', 20, 0, 20.0, 2.5, 'trained')]
TABLE = RunTable('errors', ('variant', 'depth', 'seed', 'place', 'train_error', 'ended'), ROWS)
CHART = Chart('error', 'error_against_depth', 'Error', TABLE, renamed={'error': 'train_error'})


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a library that takes no seconds."""
    import vl_convert

    monkeypatch.setattr(environment, 'cache_directory', lambda: tmp_path / 'cache')
    made = []

    def bundle(snippet, vl_version):
        made.append(vl_version)
        return '"the library </script>"'

    monkeypatch.setattr(vl_convert, 'javascript_bundle', bundle)
    return made


def test_the_page_has_the_data_as_they_were(cache):
    html = chart_page.page('A title', [CHART])
    (data,) = re.findall('id="charts-data">(.*?)</script>', html, re.DOTALL)
    told = json.loads(data)
    assert told['tables'] == {
        'errors': {'columns': list(TABLE.columns), 'rows': [list(row) for row in ROWS]}
    }
    assert [chart['table'] for chart in told['charts']] == ['errors']


def test_neither_a_name_nor_the_library_ends_a_script(cache):
    html = chart_page.page('A title', [CHART])
    assert html.count('</script>') == html.count('<script') == 3
    assert '<b>' not in html


def test_a_table_that_charts_share_is_there_once(cache):
    shown = chart_page.shown([CHART, Chart('again', 'error_against_depth', '', TABLE)])
    assert shown.data.count('["resnet",20,0,20.0,2.5,"trained"]') == 1


def test_the_library_is_made_once(cache):
    texts = {chart_page.library() for _ in range(3)}
    assert texts == {'"the library <\\/script>"'}
    assert len(cache) == 1


def test_a_cache_that_cannot_be_written_is_done_without(cache, tmp_path):
    (tmp_path / 'cache').write_text('a file in its place')
    assert 'library' in chart_page.library()


def test_no_charts_no_page():
    assert chart_page.shown([]) is None


def test_the_eleventh_variant_is_hidden_at_first(cache):
    rows = [(f'variant {number}', 8, 0, 8.0, 1.0, 'trained') for number in range(11)]
    shown = chart_page.shown([Chart('c', CHART.kind, '', RunTable('t', TABLE.columns, rows))])
    assert [entry.is_shown for entry in shown.legend] == 10 * [True] + [False]


def test_families_take_turns_among_those_that_are_shown(cache):
    variants = [f'{family}, {n}' for family in ('vgg', 'plain', 'resnet') for n in range(6)]
    rows = [(name, 8, 0, 8.0, 1.0, 'trained') for name in variants]
    shown = chart_page.shown([Chart('c', CHART.kind, '', RunTable('t', TABLE.columns, rows))])
    ticked = [entry.variant.split(',')[0] for entry in shown.legend if entry.is_shown]
    assert sorted(ticked) == ['plain'] * 3 + ['resnet'] * 3 + ['vgg'] * 4


NAMES = ('plain', 'resnet')
RUNS = [
    (
        name,
        depth,
        seed,
        depth + seed - 1.0,
        error + seed,
        'failed to train' if error > 45 else 'trained',
    )
    for name, errors in zip(NAMES, ((0.0, 60.0), (1.0, 2.0)), strict=True)
    for depth, error in zip((8, 56), errors, strict=True)
    for seed in range(3)
]
BLOCKS = [
    ('plain', depth, 0, moment, 0, block, f'stage1/block{block}', 10.0**-block)
    for depth in (8, 20)
    for moment in ('before training', 'after training')
    for block in (1, 2, 3)
]


@pytest.fixture
def drawn(open_page, tmp_path):
    """(width, dark) → a page with three charts in the browser, once they are drawn."""
    errors = RunTable('errors', TABLE.columns, RUNS)
    columns = ('variant', 'depth', 'seed', 'moment', 'draw', 'block', 'name', 'gradient')
    choices = {'depth': [20, 8], 'moment': ['before training', 'after training']}
    kind, renamed = 'error_against_depth', {'error': 'train_error'}
    charts = [
        Chart('train', kind, 'Training error against depth', errors, renamed=renamed),
        Chart('again', kind, 'The same again', errors, renamed=renamed),
        Chart(
            *('gradient', 'gradient_along_layers', 'Gradient'),
            RunTable('gradients', columns, BLOCKS),
            choices=choices,
        ),
    ]
    path = tmp_path / 'page.html'
    path.write_text(chart_page.page('Charts', charts))

    def drawn(width=1200, dark=False):
        page = open_page(path, width, dark)
        wait_for(page, "document.documentElement.classList.contains('has-charts')")
        return page

    return drawn


def wait_for(page, condition):
    deadline = time.monotonic() + 20
    while not page.value(condition):
        assert time.monotonic() < deadline, f'{condition} stayed false'
        time.sleep(0.05)


def count(page, name, mark):
    """How many items of a mark a chart has that can be seen."""
    selector = f'#chart-{name} .mark-{mark}.role-mark path'
    return page.value(f"document.querySelectorAll('{selector}').length")


@pytest.mark.slow
@pytest.mark.parametrize('dark', [False, True])
@pytest.mark.parametrize('width', [400, 1200])
def test_charts_fit_and_nothing_complains(drawn, width, dark):
    page = drawn(width, dark)
    assert page.overflow() <= 0
    assert page.overlaps(of_figures=True) == []
    assert page.errors() == []
    widths = page.value("[...document.querySelectorAll('svg.marks')].map((s) => s.clientWidth)")
    assert len(widths) == 3
    assert all(0.4 * min(width, 700) < each <= width - 40 for each in widths)


@pytest.mark.slow
def test_a_network_is_switched_off_and_on_in_all_charts(drawn):
    page = drawn()
    box = page.driver.find_element('css selector', 'input[value=plain]')
    before = [count(page, name, 'symbol') for name in ('train', 'again')]
    assert before == [len(RUNS)] * 2
    box.click()
    symbols = "document.querySelectorAll('#chart-again .mark-symbol path').length"
    wait_for(page, f'{symbols} === {len(RUNS) // 2}')
    assert count(page, 'train', 'symbol') == len(RUNS) // 2
    assert count(page, 'train', 'line') == 1
    box.click()
    wait_for(page, f'{symbols} === {len(RUNS)}')
    assert page.errors() == []


@pytest.mark.slow
def test_a_choice_draws_other_rows(drawn):
    page = drawn()
    line = "document.querySelector('#chart-gradient .mark-line path').getAttribute('aria-label')"
    before = page.value(line)
    select = page.driver.find_element('css selector', '#chart-gradient [data-parameter=depth]')
    assert [each.text for each in select.find_elements('tag name', 'option')] == ['20', '8']
    select.send_keys('8')
    wait_for(page, f'{line} !== {json.dumps(before)}')
    assert 'depth: 20' in before
    assert 'depth: 8' in page.value(line)
    moment = page.driver.find_element('css selector', '#chart-gradient [data-parameter=moment]')
    moment.send_keys('after')
    wait_for(page, f"{line}.includes('after training')")


@pytest.mark.slow
def test_a_run_tells_of_itself_where_the_pointer_is(drawn):
    from selenium.webdriver.common.action_chains import ActionChains

    page = drawn()
    marker = next(
        each
        for each in page.driver.find_elements('css selector', '#chart-train .mark-symbol path')
        if '62' in each.get_attribute('aria-label')
    )
    ActionChains(page.driver).move_to_element(marker).perform()
    wait_for(page, "document.querySelector('#vg-tooltip-element.visible') !== null")
    told = page.driver.find_element('css selector', '#vg-tooltip-element').text.split()
    assert [told[told.index(word) + 1] for word in ('network', 'depth', 'seed', '(%)')] == [
        *('plain', '56', '2', '62.00'),
    ]


@pytest.mark.slow
def test_a_chart_that_cannot_be_drawn_leaves_the_figures(open_page, tmp_path):
    path = tmp_path / 'page.html'
    path.write_text(chart_page.page('Charts', [CHART]).replace('"layer":', '"no_layer":'))
    page = open_page(path, 1200, False)
    wait_for(page, "document.querySelector('.charts').hidden")
    assert not page.value("document.documentElement.classList.contains('has-charts')")
