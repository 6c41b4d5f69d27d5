"""Charts hold the runs that a verdict is about, one row for each."""

import planted
import pytest

from vggres.findings import run_charts
from vggres.networks.grammar import network_spec
from vggres.results import Observation

NETWORK = network_spec('plain', 8)
BLOCKS = ['stage1/block1', 'stage2/block1', 'stage3/block1']


def charted(results, observed=()):
    return {chart.name: chart for chart in run_charts.of_sweep(results, observed)}


def test_errors_of_each_run_against_depth():
    results = [
        *planted.runs('resnet', {8: [1.0], 20: [2.0]}),
        *planted.runs('plain', {8: [3.0], 20: [44.0, 45.0]}),  # guessing errs by 90 %
        planted.result(
            'plain', 20, 2, 90.0, status='diverged', diverged_at_step=3, train_loss=None
        ),
    ]
    found = charted(results)
    assert list(found) == ['train_error_against_depth', 'validation_error_against_depth']
    table = found['train_error_against_depth'].table
    assert table.columns[4:6] == ('train_error', 'validation_error')
    # Two networks and three seeds: six places, which are a sixtieth of the twelve layers apart.
    assert table.rows == [
        ('plain', 8, 0, 7.5, 3.0, 3.0, 'trained'),
        ('plain', 20, 0, 19.5, 44.0, 44.0, 'trained'),
        ('plain', 20, 1, 19.7, 45.0, 45.0, 'failed to train'),
        ('plain', 20, 2, 19.9, 90.0, 90.0, 'diverged'),
        ('resnet', 8, 0, 8.1, 1.0, 1.0, 'trained'),
        ('resnet', 20, 0, 20.1, 2.0, 2.0, 'trained'),
    ]


def test_runs_of_neighbouring_depths_stay_apart():
    results = [
        *planted.runs('plain', {11: [1.0] * 8, 13: [1.0] * 8, 100: [1.0] * 8}),
        *planted.runs('resnet', {11: [1.0] * 8, 13: [1.0] * 8, 100: [1.0] * 8}),
    ]
    table = charted(results)['train_error_against_depth'].table
    places = {(row[1], row[3]) for row in table.rows}
    assert len(places) == 3 * 16
    # Over 0.6 of the two layers between depths 11 and 13, less one place, around each depth.
    for depth in (11, 13, 100):
        own = [place for at, place in places if at == depth]
        assert min(own) + max(own) == pytest.approx(2 * depth, abs=0.01)
        assert max(own) - min(own) == pytest.approx(1.2 * 15 / 16, abs=0.01)


def test_rates_of_one_network_make_one_line():
    results = [
        planted.result('plain, 3×, rate 0.1', 8),
        planted.result('plain, 3×, rate 0.01', 20),
    ]
    (chart, _) = charted(results).values()
    assert chart.table.distinct('variant') == ['plain, 3×']


def test_one_depth_has_no_chart_against_depth():
    assert charted([planted.result('plain', 20), planted.result('resnet', 20)]) == {}


def test_updates_of_each_run_and_the_budget_of_those_that_it_ended():
    results = [
        planted.result('plain', 8, steps=100, steps_to_error={'5': 30, '0.5': None}),
        planted.result('plain', 20, steps=100, steps_to_error={'5': None, '0.5': None}),
    ]
    found = charted(results)
    assert found['updates_to_5_against_depth'].table.rows == [
        ('plain', 8, 0, 8.0, 30, 'reached'),
        ('plain', 20, 0, 20.0, 100, 'not reached'),
    ]
    assert found['updates_to_0_5_against_depth'].title.startswith('Updates to 0.5 %')
    assert 'train_error_against_depth' in found


def test_runs_that_end_at_an_error_have_no_chart_of_errors():
    results = [
        planted.result('plain', 8, steps=40, steps_to_error={'5': 30, '1': 40}),
        planted.result('plain', 20, steps=100, steps_to_error={'5': 60, '1': None}),
    ]
    assert list(charted(results)) == ['updates_to_5_against_depth', 'updates_to_1_against_depth']


def observation(step, draw, gradients):
    values = dict(zip(BLOCKS, gradients, strict=True)) | {'head': 1.0}
    return Observation(float(step), step, draw, {'input_gradient': values})


def test_the_gradient_in_each_draw_before_training_and_after_the_last_update():
    run = planted.result('plain', 8)
    looks = [
        observation(0, 0, [0.123456, 2.0, None]),
        observation(0, 1, [4.0, 5.0, 6.0]),
        observation(5, 0, [7.0, 7.0, 7.0]),
        observation(10, 0, [8.0, 9.0, 0.0]),
    ]
    other = planted.result('plain', 8, 1)
    found = charted([run], [(run, NETWORK, looks), (other, NETWORK, looks)])
    chart = found['input_gradient']
    assert 'not drawn: 2 of all' in chart.caption  # one zero, one that was not finite
    assert chart.choices == {'depth': [8], 'moment': ['before training', 'after training']}
    place = chart.table.columns.index('moment')
    assert [row[place:] for row in chart.table.rows] == [
        ('before training', 0, 1, 'stage1/block1', 0.1235),
        ('before training', 0, 2, 'stage2/block1', 2.0),
        ('before training', 1, 1, 'stage1/block1', 4.0),
        ('before training', 1, 2, 'stage2/block1', 5.0),
        ('before training', 1, 3, 'stage3/block1', 6.0),
        ('after training', 0, 1, 'stage1/block1', 8.0),
        ('after training', 0, 2, 'stage2/block1', 9.0),
    ]


def test_a_run_that_diverged_has_no_gradient_after_training():
    run = planted.result('plain', 8, status='diverged', diverged_at_step=5, train_loss=None)
    looks = [observation(0, 0, [1.0, 2.0, 3.0]), observation(5, 0, [4.0, 5.0, 6.0])]
    assert charted([run], [(run, NETWORK, looks)])['input_gradient'].choices['moment'] == [
        'before training'
    ]


@pytest.mark.parametrize('values', [{}, {'input_gradient': {}}])
def test_no_gradient_no_chart(values):
    run = planted.result('plain', 8)
    assert charted([run], [(run, NETWORK, [Observation(0.0, 0, 0, values)])]) == {}


def test_every_field_of_a_chart_is_a_column_of_its_table():
    run = planted.result('plain', 8, steps_to_error={'5': None})
    results = [run, planted.result('plain', 20, steps_to_error={'5': None})]
    found = charted(results, [(run, NETWORK, [observation(0, 0, [1.0, 1.0, 1.0])])])
    assert len(found) == 4
    for chart in found.values():
        assert set(chart.fields().values()) <= set(chart.table.columns)
        assert set(chart.choices) <= set(chart.table.columns)
