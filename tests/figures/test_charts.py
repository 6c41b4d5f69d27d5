"""Charts group single runs: medians, ranges and markers stand where arithmetic puts them."""

import math
import re

import pytest
import vl_convert

from vggres.figures import charts
from vggres.figures.charts import Chart, RunTable
from vggres.figures.style import FAMILY_STYLES, LINE_WIDTH, many_styles

HEIGHT = 300  # pixels, of every chart
# Three runs a depth; 0 and 100 fix the axis.
ERRORS = [
    *(
        ('plain', 8, seed, 8 + seed, error, 'trained')
        for seed, error in enumerate((0.0, 10.0, 30.0))
    ),
    *(
        ('plain', 56, seed, 56 + seed, error, 'failed to train')
        for seed, error in enumerate((40.0, 90.0, 100.0))
    ),
    *(('resnet', depth, 0, depth - 1.0, 20.0, 'trained') for depth in (8, 56)),
]
COLUMNS = ('variant', 'depth', 'seed', 'place', 'train_error', 'ended')
TABLE = RunTable('errors', COLUMNS, ERRORS)
RENAMED = {'error': 'train_error'}
CHART = Chart('error', 'error_against_depth', 'Error', TABLE, renamed=RENAMED)


def marks(chart, kind, **parameters):
    """The items of each mark of a kind that Vega draws, mark by mark."""
    specified = charts.specification(chart, many_styles(chart.table.distinct('variant')))
    rows = [dict(zip(chart.table.columns, row, strict=True)) for row in chart.table.rows]
    specified['data'] = {'name': 'wandb', 'values': rows}
    for parameter in specified['params']:
        parameter['value'] = parameters.get(parameter['name'], parameter['value'])
    drawn = vl_convert.vegalite_to_scenegraph(specified, vl_version=charts.VEGA_LITE)
    return list(_marks(drawn['scenegraph'], kind))


def _marks(node, kind):
    if node.get('marktype') == kind and node.get('role') == 'mark':
        yield node['items']
    for item in node.get('items', ()):
        yield from _marks(item, kind)


def heights(items):
    """Where items stand on an axis from 0 to 100 % over the height of the chart, in percent."""
    return [round(100 * (1 - item.get('y', 0) / HEIGHT), 3) for item in items]


def test_lines_join_medians():
    assert sorted(map(heights, marks(CHART, 'line'))) == [[10.0, 90.0], [20.0, 20.0]]


def test_bands_reach_from_the_lowest_to_the_highest():
    bands = [
        [(low, high) for low, high in zip(heights(band), _second(band), strict=True)]
        for band in marks(CHART, 'area')
    ]
    assert sorted(bands) == [[(0.0, 30.0), (40.0, 100.0)], [(20.0, 20.0), (20.0, 20.0)]]


def _second(band):
    return [round(100 * (1 - item.get('y2', item.get('y', 0)) / HEIGHT), 3) for item in band]


def test_each_run_is_a_marker_and_those_that_failed_are_open():
    (markers,) = marks(CHART, 'symbol')
    found = dict(zip(heights(markers), (each['fill'] for each in markers), strict=False))
    plain = FAMILY_STYLES['plain'].color
    assert len(markers) == len(ERRORS)
    assert found[10.0] == plain
    assert {found[40.0], found[90.0], found[100.0]} == {'transparent'}


def test_hidden_variants_are_not_drawn():
    assert sorted(map(heights, marks(CHART, 'line', hidden=['plain'])))[0][0] != 10.0
    assert len(marks(CHART, 'line', hidden=['plain'])) == 1


def test_markers_stand_at_their_places_and_lines_at_the_depths():
    (markers,) = marks(CHART, 'symbol')
    (left, right), *_ = [[item['x'] for item in line] for line in marks(CHART, 'line')]
    layer = (right - left) / (56 - 8)
    found = [(each['x'] - left) / layer + 8 for each in markers]
    assert found == pytest.approx([place for *_, place, _, _ in ERRORS], abs=1e-6)


UPDATES = [
    *(('plain', 8, seed, 8, updates, 'reached') for seed, updates in enumerate((10, 30, 400))),
    *(('plain', 20, seed, 20, updates, 'reached') for seed, updates in enumerate((90, 110))),
    ('plain', 20, 2, 20, 1000, 'not reached'),
    ('plain', 56, 0, 56, 30, 'reached'),
    ('plain', 56, 1, 56, 1000, 'not reached'),
]


def test_updates_stand_on_a_logarithmic_axis_and_the_median_counts_censored_runs_as_longer():
    table = RunTable('updates', ('variant', 'depth', 'seed', 'place', 'updates', 'ended'), UPDATES)
    chart = Chart('updates', 'updates_against_depth', 'Updates', table)
    markers, arrows = marks(chart, 'symbol')
    logs = [1 - each['y'] / HEIGHT for each in markers]
    # 10 and 1,000 are the ends of the axis, and 10^x stands at x / 2 from the first.
    assert logs == pytest.approx([math.log10(row[4] / 10) / 2 for row in UPDATES], abs=1e-6)
    assert [each['fill'] == 'transparent' for each in markers] == [
        row[5] == 'not reached' for row in UPDATES
    ]
    assert {each['shape'] for each in markers} == {'circle'}
    assert [arrow['x'] for arrow in arrows] == [
        each['x'] for each, row in zip(markers, UPDATES, strict=True) if row[5] == 'not reached'
    ]
    # 30 of 10, 30 and 400; 110 of 90, 110 and more than 1,000; of 30 and more than 1,000, nothing.
    (line,) = marks(chart, 'line')
    middles = [10 * 10 ** (2 * (1 - item['y'] / HEIGHT)) for item in line if item.get('y')]
    assert middles == pytest.approx([30, 110])


def test_a_choice_shows_the_rows_of_one_value():
    columns = ('variant', 'depth', 'seed', 'moment', 'draw', 'block', 'name', 'gradient')
    rows = [
        ('plain', depth, 0, moment, 0, block, f'stage1/block{block}', 10.0**-block)
        for depth in (8, 20)
        for moment in ('before training', 'after training')
        for block in (1, 2)
    ]
    choices = {'depth': [20, 8], 'moment': ['before training', 'after training']}
    table = RunTable('gradients', columns, rows)
    chart = Chart('g', 'gradient_along_layers', 'Gradient', table, choices=choices)
    assert chart.title_at_first() == 'Gradient (depth 20, before training)'
    assert chart.shown_at_first().rows == [rows[4], rows[5]]
    assert [len(line) for line in marks(chart, 'line')] == [2]
    assert len(marks(chart, 'line', depth=None, moment=None)) == 4
    lowered = marks(chart, 'line')[0]
    assert lowered[1]['y'] > lowered[0]['y']


def test_the_gradient_is_joined_by_its_median_over_draws_and_zeros_are_not_drawn():
    columns = ('variant', 'depth', 'seed', 'moment', 'draw', 'block', 'name', 'gradient')
    values = {1: (1.0, 10.0, 1000.0), 2: (100.0, 100.0, 0.0)}
    rows = [
        ('plain', 8, 0, 'before training', draw, block, f'stage1/block{block}', value)
        for block, own in values.items()
        for draw, value in enumerate(own)
    ]
    table = RunTable('gradients', columns, rows)
    chart = Chart('g', 'gradient_along_layers', 'Gradient', table)
    (markers,) = marks(chart, 'symbol')
    assert len(markers) == 5
    # 1 and 1,000 are the ends of the axis: 10 stands at a third of it, and 100 at two thirds.
    (line,) = marks(chart, 'line')
    assert [1 - item['y'] / HEIGHT for item in line] == pytest.approx([1 / 3, 2 / 3], abs=1e-6)


@pytest.mark.parametrize('kind', charts.KINDS)
def test_a_preset_names_its_data_as_wandb_does_and_draws_without_a_choice(kind):
    preset = charts.preset(kind)
    assert preset['data'] == {'name': 'wandb'}
    assert preset['title'] == '${string:title}'
    fields = re.findall(r'\$\{field:(\w+)\}', str(preset))
    assert set(fields) == set(Chart('', kind, '', TABLE).fields())
    assert {'variant', 'depth', 'seed'} <= set(fields)


def test_a_variant_looks_as_in_the_figures():
    specified = charts.specification(CHART, many_styles(['plain', 'resnet', 'vgg']))
    (_, line, points) = specified['layer']
    assert points['encoding']['shape']['scale'] == {
        'domain': ['plain', 'resnet'],
        'range': ['circle', 'square'],
    }
    assert line['encoding']['strokeDash']['scale']['range'] == [
        [1, 0],
        [pytest.approx(5 * LINE_WIDTH), pytest.approx(2 * LINE_WIDTH)],  # of a resnet: (5, 2)
    ]
    assert specified['encoding']['x']['axis']['values'] == [8, 56]
    assert specified['encoding']['color']['scale']['range'] == [
        FAMILY_STYLES['plain'].color,
        FAMILY_STYLES['resnet'].color,
    ]


def test_no_two_of_twenty_variants_look_alike():
    looks = list(many_styles(f'variant {number}' for number in range(20)).values())
    assert len({(each.color, each.marker) for each in looks}) == 20
    assert [each.color for each in looks[10:]] == [each.color for each in looks[:10]]
