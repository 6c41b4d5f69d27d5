"""The figures show the numbers they were given, and can be read."""

import functools
import itertools
import subprocess
import sys

import numpy as np
import planted
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from planted import record

from vggres.figures import error


def result(variant, depth, seed, error, validation=0.0, **values):
    return planted.result(variant, depth, seed, error, validation_error=validation, **values)


def grid(variants=('plain', 'resnet'), depths=(20, 56), seeds=1, error=12.0):
    return [
        result(variant, depth, seed, error * depth / max(depths), 2 * error)
        for variant in variants
        for depth in depths
        for seed in range(seeds)
    ]


def cells(variants=('plain', 'resnet'), depths=(20, 56), seeds=1, epochs=3, error=50.0):
    return [
        planted.curve(variant, depth, seed, falling(epochs, error + seed))
        for variant in variants
        for depth in depths
        for seed in range(seeds)
    ]


def falling(epochs, error):
    return [record(e, error / e, error / e + 1.0) for e in range(1, epochs + 1)]


def line(ax, label):
    """The points of the one line with that label."""
    (found,) = [drawn for drawn in ax.lines if drawn.get_label() == label]
    return [tuple(point) for point in found.get_xydata().tolist()]


def labels(ax):
    return [drawn.get_label() for drawn in ax.lines]


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


# FACTS section 4: the plain nets at two depths, three seeds.
PLAIN = [
    result('plain', depth, seed, error)
    for depth, errors in ((44, (30.7, 34.9, 26.0)), (56, (84.6, 74.9, 46.8)))
    for seed, error in enumerate(errors)
]


def test_depth_figure_draws_the_median_and_every_seed():
    training, validation = error.error_against_depth(PLAIN).axes
    assert line(training, 'plain median') == [(44, 30.7), (56, 74.9)]
    runs = {label: line(training, label) for label in labels(training) if 'seed' in label}
    assert runs == {
        'plain 44 seed 0': [(44, 30.7)],
        'plain 44 seed 1': [(44, 34.9)],
        'plain 44 seed 2': [(44, 26.0)],
        'plain 56 seed 0': [(56, 84.6)],
        'plain 56 seed 1': [(56, 74.9)],
        'plain 56 seed 2': [(56, 46.8)],
    }
    assert line(validation, 'plain median') == [(44, 0), (56, 0)]


def test_coinciding_runs_stand_side_by_side():
    rows = [result(f, 20, s, 0.0) for f in ('plain', 'resnet') for s in range(3)]
    ax = error.error_against_depth(rows).axes[0]
    runs = [drawn for drawn in ax.lines if 'seed' in drawn.get_label()]
    x = sorted(drawn.get_transform().transform(drawn.get_xydata())[0, 0] for drawn in runs)
    assert len(x) == 6
    points = np.diff(x) * 72 / ax.figure.dpi
    assert points.min() > 1


def test_diverged_run_is_crossed_out_and_counts():
    rows = [result('plain', 20, 0, 10.0), result('plain', 20, 1, 90.0, status='diverged')]
    figure = error.error_against_depth(rows)
    ax = figure.axes[0]
    assert line(ax, 'plain median') == [(20, 50.0)]
    assert line(ax, 'plain 20 seed 1 cross') == [(20, 90.0)]
    assert 'plain 20 seed 0 cross' not in labels(ax)
    face = {drawn.get_label(): drawn.get_markerfacecolor() for drawn in ax.lines}
    assert face['plain 20 seed 1'] == 'white'
    assert face['plain 20 seed 0'] != 'white'
    assert legend(figure)[-1] == 'diverged'


def test_without_divergence_the_legend_does_not_speak_of_it():
    assert legend(error.error_against_depth(PLAIN)) == ['plain', 'median over seeds', 'one run']


def test_runs_that_failed_to_train_are_open_and_the_line_shows_where_failing_begins():
    """A run is marked by its training error, in both panels; the line is that of this error."""
    rows = [result('plain', 20, seed, error_) for seed, error_ in enumerate((44.9, 45.0, 90.0))]
    figure = error.error_against_depth(rows, failing_error=45.0)
    for ax in figure.axes:
        faces = [drawn.get_markerfacecolor() for drawn in ax.lines if 'seed' in drawn.get_label()]
        assert [face == 'white' for face in faces] == [False, True, True]
    training, validation = figure.axes
    (failing,) = [drawn for drawn in training.lines if drawn.get_label() == 'failing']
    assert set(failing.get_ydata()) == {45.0}
    assert 'failing' not in labels(validation)
    assert legend(figure)[-2:] == ['failed to train', 'failing begins']
    # Where no run failed, neither line nor legend speaks of it.
    figure = error.error_against_depth(rows[:1], failing_error=45.0)
    assert 'failing' not in labels(figure.axes[0])
    assert 'failed to train' not in legend(figure)


def test_a_family_may_lack_a_depth():
    rows = [result('plain', 20, 0, 1.0), result('resnet', 56, 0, 2.0)]
    ax = error.error_against_depth(rows).axes[0]
    assert line(ax, 'plain median') == [(20, 1.0)]
    assert line(ax, 'resnet median') == [(56, 2.0)]


def test_families_differ_without_colour():
    ax = error.error_against_depth(grid(('plain', 'resnet', 'vgg'))).axes[0]
    means = [drawn for drawn in ax.lines if drawn.get_label().endswith('median')]
    runs = [drawn for drawn in ax.lines if drawn.get_label().endswith('seed 0')]
    # get_linestyle() names every dash pattern '--'.
    assert len({repr(drawn._unscaled_dash_pattern) for drawn in means}) == 3
    assert len({drawn.get_marker() for drawn in runs}) == 3


PUBLISHED = [
    error.Published('plain', 44, 'train_error', 90.0),
    error.Published('plain', 44, 'test_error', 11.62),
    error.Published('plain', 56, 'test_error', 12.90),
    error.Published('plain', 56, 'test_error', 12.95),
]


def test_published_errors_are_dashes_at_their_depths():
    rows = [result('plain', depth, 0, 1.0, test_error=10.0) for depth in (44, 56)]
    figure = error.error_beside_published(rows, PUBLISHED)
    training, test = figure.axes
    assert [ax.get_title(loc='left') for ax in figure.axes] == ['Training error', 'Test error']
    assert line(test, 'plain median') == [(44, 10.0), (56, 10.0)]
    assert line(training, 'plain 44 published') == [(44, 90.0)]
    assert line(test, 'plain 44 published') == [(44, 11.62)]
    assert labels(test).count('plain 56 published') == 2
    assert training.get_ylim()[1] > 90
    assert legend(figure) == ['plain', 'published']
    assert {
        drawn.get_marker() for drawn in test.lines if drawn.get_label().endswith('published')
    } == {'_'}


def test_learning_curves_draw_means_and_seeds():
    records = [
        [record(1, 80.0, 90.0), record(2, 0.0, 0.0)],
        [record(1, 60.0, 70.0), record(2, 10.0, 30.0)],
    ]
    both = [
        planted.curve(variant, 20, seed, records[seed])
        for variant in ('resnet', 'plain')
        for seed in (0, 1)
    ]
    plain, resnet = error.learning_curves(both).axes
    assert [ax.get_title(loc='left') for ax in (plain, resnet)] == ['plain', 'resnet']
    assert line(plain, 'plain 20 train_error mean') == [(1, 70.0), (2, 5.0)]
    assert line(resnet, 'resnet 20 validation_error mean') == [(1, 80.0), (2, 15.0)]
    assert line(plain, 'plain 20 train_error seed 0') == [(1, 80.0), (2, 0.0)]
    assert line(plain, 'plain 20 validation_error seed 1') == [(1, 70.0), (2, 30.0)]


def test_a_curve_ends_where_its_run_diverged_and_so_does_the_mean():
    healthy = [record(epoch, 10.0, 20.0) for epoch in (1, 2, 3)]
    diverged = [record(1, 30.0, 40.0)]
    both = [
        planted.curve('plain', 20, seed, records)
        for seed, records in enumerate((healthy, diverged))
    ]
    (ax,) = error.learning_curves(both).axes
    assert line(ax, 'plain 20 train_error seed 1') == [(1, 30.0)]
    assert line(ax, 'plain 20 train_error seed 0') == [(1, 10.0), (2, 10.0), (3, 10.0)]
    assert line(ax, 'plain 20 validation_error mean') == [(1, 30.0)]


def test_epochs_without_evaluation_are_passed_over():
    records = [record(1), *falling(2, 8.0)[1:]]
    (ax,) = error.learning_curves([planted.curve('plain', 20, 0, records)]).axes
    assert line(ax, 'plain 20 train_error mean') == [(2, 4.0)]


def test_training_is_dashed_and_validation_solid():
    for drawn in error.learning_curves(cells(seeds=2)).axes[0].lines:
        assert drawn.get_linestyle() == ('--' if 'train_' in drawn.get_label() else '-')


def test_curves_fall_into_view_and_share_the_axis():
    long = cells(('plain',), (20,), epochs=100, error=100.0)
    long += cells(('resnet',), (20,), epochs=100, error=10.0)
    plain, resnet = error.learning_curves(long).axes
    assert plain.get_ylim() == resnet.get_ylim()
    assert not any(label.get_visible() for label in resnet.get_yticklabels())
    # The validation error of epoch 25 is 100 / 25 + 1 = 5 %; that of epoch 1, 101 %, is cut off.
    assert 5 < plain.get_ylim()[1] < 10


def test_a_run_that_diverged_early_is_in_view():
    both = cells(('plain',), (20,), epochs=100, error=10.0)
    both.append(planted.curve('plain', 56, 0, falling(1, 90.0)))
    (ax,) = error.learning_curves(both).axes
    assert ax.get_ylim()[1] > 91


@pytest.mark.parametrize('draw', [error.error_against_depth, error.learning_curves])
def test_nothing_to_draw_is_an_error(draw):
    with pytest.raises(ValueError, match='to draw'):
        draw([])


VARIANTS = (
    *('vgg, batch norm', 'vgg, no norm'),
    *('vgg, batch norm, shortcuts', 'vgg, no norm, shortcuts'),
)
DEPTH_CASES = {
    'two depths, one seed': grid(),
    'nine depths, ten seeds': grid(depths=range(8, 57, 6), seeds=10),
    'uneven depths': grid(depths=(18, 20, 32, 34, 110, 164, 1001)),
    'one depth, one variant': grid(('resnet',), (8,)),
    'no error at all': grid(error=0.0),
    'tiny errors': grid(error=0.0015, seeds=3),
    'three variants, ten seeds': grid(('plain', 'resnet', 'vgg'), seeds=10),
    'four variants': grid(VARIANTS, seeds=3),
    'diverged': [*grid(seeds=3), result('plain', 56, 3, 90.0, 90.0, status='diverged')],
}
CURVE_CASES = {
    'curves of one seed': cells(),
    'curves of one epoch': cells(('plain',), (20,), seeds=2, epochs=1),
    'curves of nine depths': cells(('plain', 'resnet', 'vgg'), range(8, 57, 6), 2, epochs=180),
    'curves of one variant': cells(('plain',), seeds=3),
    'curves of four variants': cells(VARIANTS, seeds=2),
    'no curve at all': cells(epochs=0),
}


@functools.cache
def drawn_figure(case):
    if case == 'published':
        rows = grid(depths=(20, 32, 44, 56, 110), seeds=5)
        points = [error.Published('plain', depth, 'test_error', 9.0) for depth in (20, 56)]
        figure = error.error_beside_published(rows, points)
    elif case in CURVE_CASES:
        figure = error.learning_curves(CURVE_CASES[case])
    else:
        figure = error.error_against_depth(DEPTH_CASES[case])
    FigureCanvasAgg(figure).draw()
    return figure


@pytest.mark.parametrize('case', [*DEPTH_CASES, *CURVE_CASES, 'published'])
def test_texts_do_not_overlap_and_stay_inside(case):
    figure = drawn_figure(case)
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown_texts(figure)]
    boxes += [(f'panel {i}', ax.get_window_extent()) for i, ax in enumerate(figure.axes)]
    boxes += [(f'legend {i}', box.get_window_extent()) for i, box in enumerate(figure.legends)]
    for name, box in boxes:
        assert box.x0 >= 0, name
        assert box.y0 >= 0, name
        assert box.x1 <= figure.bbox.x1, name
        assert box.y1 <= figure.bbox.y1, name
    for (name, box), (other, other_box) in itertools.combinations(boxes, 2):
        if 'legend' not in name + other or 'panel' in name + other:
            assert not box.overlaps(other_box), f'{name} and {other} overlap'


def shown_texts(figure):
    """Every text that is drawn; an axis also keeps labels of ticks that are out of view."""
    hidden = set()
    for axis in (axis for ax in figure.axes for axis in (ax.xaxis, ax.yaxis)):
        low, high = axis.get_view_interval()
        for tick in axis.majorTicks:
            if not low <= tick.get_loc() <= high:
                hidden |= {tick.label1, tick.label2}
    return [
        text
        for text in figure.findobj(Text)
        if text.get_text() and text.get_visible() and text not in hidden
    ]


@pytest.mark.parametrize(
    ('depths', 'shown'),
    [
        ((8, 20, 32, 44, 56), ['8', '20', '32', '44', '56']),
        ((18, 20, 56), ['', '20', '56']),
        ((20, 32, 44, 56, 110, 1202), ['20', '32', '', '56', '110', '1202']),
    ],
)
def test_depths_are_ticks_with_labels_where_there_is_room(depths, shown):
    ax = error.error_against_depth(grid(depths=depths)).axes[0]
    assert ax.get_xticks().tolist() == list(depths)
    assert [text.get_text() for text in ax.get_xticklabels()] == shown
    assert ax.get_xscale() == ('log' if 1202 in depths else 'linear')


@pytest.mark.parametrize('case', DEPTH_CASES)
def test_every_run_is_inside_its_panel(case):
    for ax in drawn_figure(case).axes:
        low, high = ax.get_window_extent().get_points()
        for drawn in ax.lines:
            points = drawn.get_transform().transform(drawn.get_xydata())
            assert np.all(points >= low - 0.01)
            assert np.all(points <= high + 0.01)


@pytest.mark.parametrize('case', ['two depths, one seed', 'nine depths, ten seeds', 'tiny errors'])
def test_axes_have_units_and_start_at_zero(case):
    for ax in drawn_figure(case).axes:
        assert ax.get_ylabel() == 'error (%)'
        assert ax.get_xlabel() == 'depth (weighted layers)'
        bottom, top = ax.get_ylim()
        assert -0.05 * top < bottom < 0


def test_needs_no_display_and_no_jax():
    code = 'import sys, vggres.findings.report; print(*sys.modules)'
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert not {'jax', 'pandas', 'matplotlib.pyplot'} & set(run.stdout.split())
