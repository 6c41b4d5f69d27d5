"""Charts group single runs: medians, ranges and markers stand where arithmetic puts them."""

import re

import pytest
import vl_convert

from vggres.figures import charts
from vggres.figures.charts import Chart, RunTable
from vggres.figures.style import FAMILY_STYLES, cycled_styles

HEIGHT = 300  # pixels, of every chart
# Three runs a depth; 0 and 100 fix the axis.
ERRORS = [
    *(('plain', 8, seed, error, 'trained') for seed, error in enumerate((0.0, 10.0, 30.0))),
    *(
        ('plain', 56, seed, error, 'failed to train')
        for seed, error in enumerate((40.0, 90.0, 100.0))
    ),
    *(('resnet', depth, 0, 20.0, 'trained') for depth in (8, 56)),
]
TABLE = RunTable('errors', ('variant', 'depth', 'seed', 'train_error', 'ended'), ERRORS)
CHART = Chart('error', 'error_against_depth', 'Error', TABLE, {'error': 'train_error'})


def marks(chart, kind, **parameters):
    """The items of each mark of a kind that Vega draws, mark by mark."""
    specified = charts.specification(chart)
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


def test_seeds_of_one_depth_stand_side_by_side():
    (markers,) = marks(CHART, 'symbol')
    assert len({round(each['x'], 2) for each in markers}) == len({(d, s) for _, d, s, *_ in ERRORS})


UPDATES = [('plain', 8, 0, 10, 'reached'), ('plain', 56, 0, 1000, 'not reached')]


def test_updates_stand_on_a_logarithmic_axis_and_censored_ones_are_arrows():
    rows = [*UPDATES, ('plain', 20, 0, 100, 'reached')]
    table = RunTable('updates', ('variant', 'depth', 'seed', 'updates', 'ended'), rows)
    (markers,) = marks(Chart('updates', 'updates_against_depth', 'Updates', table), 'symbol')
    at = {each['shape']: each['y'] for each in markers}
    assert [each['shape'] == 'circle' for each in markers] == [True, False, True]
    # 100 is halfway between 10 and 1,000
    assert markers[2]['y'] == pytest.approx((markers[0]['y'] + markers[1]['y']) / 2, abs=1e-6)
    assert at[next(shape for shape in at if shape != 'circle')] < HEIGHT / 10


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
    assert chart.shown_at_first().rows == [rows[4], rows[5]]
    assert [len(line) for line in marks(chart, 'line')] == [2]
    assert len(marks(chart, 'line', depth=None, moment=None)) == 4
    lowered = marks(chart, 'line')[0]
    assert lowered[1]['y'] > lowered[0]['y']


@pytest.mark.parametrize('kind', charts.KINDS)
def test_a_preset_names_its_data_as_wandb_does_and_draws_without_a_choice(kind):
    preset = charts.preset(kind)
    assert preset['data'] == {'name': 'wandb'}
    assert preset['title'] == '${string:title}'
    fields = re.findall(r'\$\{field:(\w+)\}', str(preset))
    assert set(fields) == set(Chart('', kind, '', TABLE).fields())
    assert {'variant', 'depth', 'seed'} <= set(fields)


def test_a_variant_looks_as_in_the_figures():
    (_, _, points) = charts.specification(CHART)['layer']
    assert points['encoding']['shape']['scale'] == {
        'domain': ['plain', 'resnet'],
        'range': ['circle', 'square'],
    }
    assert charts.specification(CHART)['encoding']['color']['scale']['range'] == [
        FAMILY_STYLES['plain'].color,
        FAMILY_STYLES['resnet'].color,
    ]


def test_looks_begin_anew_after_the_tenth():
    variants = [f'variant {number}' for number in range(12)]
    looks = list(cycled_styles(variants).values())
    assert len(looks) == 12
    assert len(set(looks)) == 10
    assert looks[10:] == looks[:2]
