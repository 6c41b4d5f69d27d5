"""A page with charts brings its data and the library along, and nothing in it ends a script."""

import json
import re

import pytest

from vggres import environment
from vggres.figures.charts import Chart, RunTable
from vggres.findings import chart_page

NAME = '</script><b>plain & "so"</b>'
ROWS = [(NAME, 8, 0, 1.5, 'trained'), ('resnet', 20, 0, 2.5, 'trained')]
TABLE = RunTable('errors', ('variant', 'depth', 'seed', 'train_error', 'ended'), ROWS)
CHART = Chart('error', 'error_against_depth', 'Error', TABLE, {'error': 'train_error'})


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a library that takes no seconds."""
    import vl_convert

    monkeypatch.setattr(environment, 'cache_directory', lambda: tmp_path / 'cache')
    made = []

    def bundle(vl_version):
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
    assert shown.data.count('["resnet",20,0,2.5,"trained"]') == 1


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
    rows = [(f'variant {number}', 8, 0, 1.0, 'trained') for number in range(11)]
    shown = chart_page.shown([Chart('c', CHART.kind, '', RunTable('t', TABLE.columns, rows))])
    assert [entry.is_shown for entry in shown.legend] == 10 * [True] + [False]
