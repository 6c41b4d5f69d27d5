"""What planted errors come to, in words, tables and figures."""

import planted
import pytest

from configs import cifar10
from experiments import depth
from vggres.sweeps.sweep import assemble


def test_the_words_say_at_which_rate_and_budget(sweep):
    verdict = depth.analyse(sweep)
    words = depth.words(verdict)
    assert 'plain: degrades.' in words
    assert 'one learning rate (0.1) and one budget (10 updates)' in words
    # It says what tests the rest.
    assert words.endswith('python launch.py --sweep depth_tuned')


def test_the_tables_have_a_row_a_family_and_a_row_a_network(sweep):
    table, by_depth = depth.tables(depth.analyse(sweep))
    assert [row[0] for row in table.rows] == ['plain', 'resnet', 'plain − resnet']
    assert [row[:2] for row in by_depth.rows] == [
        *(['plain', '8'], ['plain', '14'], ['resnet', '8'], ['resnet', '14'])
    ]


def test_there_are_no_learning_curves_where_no_run_completed_an_epoch(sweep):
    assert list(depth.figures(sweep, depth.analyse(sweep))) == ['error_against_depth']


@pytest.mark.parametrize(
    ('steps', 'figures'),
    [(64_000, ['error_against_depth', 'error_beside_published']), (300, ['error_against_depth'])],
)
def test_published_errors_are_drawn_where_the_protocol_is_theirs(tmp_path, steps, figures):
    config = cifar10.get_config()
    config.sweep.depths, config.sweep.seeds, config.train.steps = (20, 56, 110), 1, steps
    done = assemble('depth', config, tmp_path, depth.cells(config))
    sizes = {'train': 45_000, 'validation': 5_000, 'test': 10_000}
    for cell in done.cells:
        planted.finish(cell, error=5.0, steps=steps, num_images=sizes)
    drawn = depth.figures(done, depth.analyse(done))
    assert list(drawn) == figures
    if steps == 64_000:
        _, test = drawn['error_beside_published'][0].axes
        lines = [(found.get_label(), found.get_ydata()[0]) for found in test.lines]
        dashes = sorted(y for label, y in lines if label == 'resnet 56 published')
        assert dashes == [6.97, 7.04, 7.40, 7.47]
        # Nothing is published on plain-110, whose error of 60 % and more would hide the others.
        assert 'resnet 110 seed 0' in dict(lines)
        assert 'plain 110 seed 0' not in dict(lines)


def test_in_short_each_family_has_its_status(sweep):
    assert depth.in_short(depth.analyse(sweep)) == {'plain': 'degrades', 'resnet': 'inconclusive'}
