"""Figures of layers: what is drawn where, and that it can be read."""

import dataclasses
import itertools

import numpy as np
import planted
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from vggres.figures import layers
from vggres.figures.layers import BlockLine, Point, Profile
from vggres.figures.style import FAMILY_STYLES


def observation(epoch, scale):
    inputs = {
        **{'stem': scale, 'stage1/block1': 10 * scale, 'stage1/block1/conv1': 5.0},
        **{'stage1/block1/projection': 7.0, 'head': 0.0},
    }
    weights = {
        **{'stem': scale, 'stage1/block1/conv1': 10 * scale},
        **{'stage1/block1/projection': 7.0, 'head': 0.0},
    }
    return planted.observation(epoch, activation=inputs, weight_gradient=weights)


def test_a_heat_map_has_the_first_layer_on_top_and_blanks_zeros():
    observations = [observation(0, 1e-3), observation(2, 0.1)]
    figure = layers.layer_heat_map(observations, 'activation', 'Inputs of blocks', 'block')
    ax = figure.axes[0]
    assert ax.get_title(loc='left') == 'Inputs of blocks'
    (mesh,) = ax.collections
    values = np.ma.filled(np.ma.masked_invalid(mesh.get_array()), np.inf).reshape(3, 2)
    np.testing.assert_allclose(values, [[-3, -1], [-2, 0], [np.inf, np.inf]])
    assert [t.get_text() for t in ax.get_yticklabels()] == ['stem', 'stage1/block1', 'head']
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    assert [t.get_text() for t in ax.get_xticklabels()] == ['0', '2']


def test_a_curve_over_the_layers_for_the_first_and_the_last_epoch():
    rows = [observation(epoch, 10.0 ** (epoch - 20)) for epoch in range(20)]
    figure = layers.quantity_by_layer(rows, 'weight_gradient', 'Gradients', 'layer')
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert len(lines) == 7
    np.testing.assert_allclose(lines['0'], [-20, -19, np.nan])
    np.testing.assert_allclose(lines['19'], [-1, 0, np.nan])


def test_of_a_negative_value_the_size_is_drawn():
    """As of the cosine between weights and gradient."""
    figure = layers.quantity_by_layer([observation(0, -0.01)], 'weight_gradient', '', 'layer')
    (line,) = figure.axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), [-2, -1, np.nan])


def test_nothing_observed_is_nothing_to_draw():
    for draw in (layers.layer_heat_map, layers.quantity_by_layer):
        with pytest.raises(ValueError, match='observed'):
            draw([], 'activation', '', 'block')
        with pytest.raises(ValueError, match='chain was not observed'):
            draw([observation(0, 1.0)], 'chain', '', 'block')


PANELS = ('vgg, batch norm', 'plain, batch norm', 'vgg, no norm', 'plain, no norm')
POINTS = [
    Point(family, depth, x=float(depth), y=10.0 * (i + 1), panel=norm)
    for i, (family, norm, depth) in enumerate(
        itertools.product(('vgg', 'plain'), ('batch norm', 'no norm'), (8, 110))
    )
]
NORMS = ('batch norm', 'no norm')


def test_a_line_a_depth_in_each_panel():
    drawn = [
        Profile(panel, depth, range(1, depth), np.geomspace(1e-9, 1, depth - 1))
        for panel in PANELS
        for depth in (110, 8)
    ]
    figure = layers.profiles(drawn, 'Title', 'log10 of the gradient')
    shown = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc='left') for ax in shown] == list(PANELS)
    assert [len(ax.lines) for ax in shown] == 4 * [2]
    assert shown[0].get_ylabel() == shown[3].get_ylabel() == 'log10 of the gradient'
    shallow, deep = shown[0].lines
    np.testing.assert_allclose(shallow.get_ydata()[[0, -1]], [-9, 0], atol=1e-12)
    assert deep.get_xdata().max() == 109


def test_zeros_leave_gaps():
    figure = layers.profiles([Profile('a', 8, [1, 2, 3, 4, 5], [0, 1, 10, 100, 0])], '', '')
    (line,) = figure.axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), [np.nan, 0, 1, 2, np.nan])


def test_heat_maps_share_their_colours():
    drawn = [Profile(panel, 8, [2, 4], np.array([[1e-3, 1.0]])) for panel in PANELS]
    figure = layers.heat_maps(drawn, [0], 'Title', 'log10')
    meshes = [ax.collections[0] for ax in figure.axes[:4]]
    assert len({mesh.get_clim() for mesh in meshes}) == 1
    np.testing.assert_allclose(meshes[0].get_array().ravel(), [-3, 0])


def test_error_against_has_a_marker_a_network():
    figure = layers.error_against(POINTS, NORMS, 'decades')
    points = [
        [tuple(line.get_xydata()[0]) for line in ax.lines if line.get_marker() != 'None']
        for ax in figure.axes
    ]
    assert points == [
        [(8, 10), (110, 20), (8, 50), (110, 60)],
        [(8, 30), (110, 40), (8, 70), (110, 80)],
    ]


def test_errors_are_means_over_seeds():
    twice = [*POINTS, *(dataclasses.replace(point, y=point.y + 2) for point in POINTS)]
    looks = {family: FAMILY_STYLES[family] for family in ('vgg', 'plain')}
    figure = layers.error_by_depth(twice, ['no norm'], looks)
    vgg, plain = figure.axes[0].lines
    np.testing.assert_allclose(vgg.get_ydata(), [31, 41])
    np.testing.assert_allclose(plain.get_ydata(), [71, 81])
    figure = layers.error_by_variant([p for p in twice if p.panel == 'batch norm'])
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ['vgg', 'plain']
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[11, 0]]


def test_lines_along_blocks_leave_gaps_and_mark_what_stands_alone():
    values = np.array([3.0, np.nan, 2.0, 1.0])
    line = BlockLine('identity', 'before training', np.arange(1, 5), values)
    expected = BlockLine('identity', '1/√ℓ', np.arange(1, 5), np.ones(4), is_expected=True)
    ax = layers.along_blocks([line, expected], 'Title', 'distance').axes[0]
    drawn, dashed = ax.lines
    np.testing.assert_array_equal(drawn.get_ydata(), values)
    assert drawn.get_markevery() == [0]  # 2 and 1 are joined by a line
    assert dashed.get_linestyle() != '-'
    assert ax.get_yscale() == 'log'


def test_agreement_draws_what_was_measured_against_what_was_expected():
    points = [
        Point('shortcut × 0.5', 20, x=1.0, y=2.0),
        Point('shortcut × 0.5', 56, x=3.0, y=3.5),
    ]
    diagonal, *others = layers.agreement(points, 'expected', 'measured').axes[0].lines
    assert diagonal.get_xydata().tolist() == [[1, 1], [3.5, 3.5]]
    assert [line.get_xydata().tolist() for line in others] == [[[1, 2]], [[3, 3.5]]]


SHORTCUTS = [f'shortcut × {i}' for i in range(15)]
FIGURES = {
    'profiles': lambda: layers.profiles(
        [
            Profile(p, d, range(1, d), np.geomspace(1e-30, 1, d - 1))
            for p in PANELS
            for d in (8, 110)
        ],
        'Gradient reaching each block before the first update, Glorot initialisation',
        'log10 of the gradient',
    ),
    'heat maps': lambda: layers.heat_maps(
        [Profile(p, 110, range(109), np.geomspace(1e-30, 1, 654).reshape(6, 109)) for p in PANELS],
        [0, 2, 4, 6, 8, 10],
        'Gradient reaching each block during training, depth 110, Glorot initialisation',
        'log10 of the gradient',
    ),
    'error against': lambda: layers.error_against(POINTS, NORMS, 'decades shrunk'),
    'by depth': lambda: layers.error_by_depth(POINTS, NORMS, FAMILY_STYLES),
    'by variant': lambda: layers.error_by_variant(
        [Point(variant, depth, 0.0, float(depth)) for variant in SHORTCUTS for depth in (20, 56)]
    ),
    'along blocks': lambda: layers.along_blocks(
        [
            BlockLine(f'panel {i}', name, np.arange(1, 28), np.geomspace(0.01, 3, 27))
            for i in range(6)
            for name in ('before training', 'spectral norm, at least')
        ],
        'Singular values, depth 56',
        'singular value',
    ),
    'agreement': lambda: layers.agreement(
        [Point(name, 20 + 6 * i, i, i) for i, name in enumerate(SHORTCUTS[:6])],
        'x',
        'y',
    ),
}


@pytest.mark.parametrize('name', FIGURES)
def test_texts_do_not_overlap_and_stay_inside(name):
    figure = FIGURES[name]()
    FigureCanvasAgg(figure).draw()
    hidden = {
        label
        for ax in figure.axes
        for axis in (ax.xaxis, ax.yaxis)
        for tick in (*axis.majorTicks, *axis.minorTicks)
        if not axis.get_view_interval()[0] <= tick.get_loc() <= axis.get_view_interval()[1]
        for label in (tick.label1, tick.label2)
    }
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible() and text not in hidden
    ]
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert box.y1 <= figure.bbox.y1 + 1, text
    for (text, box), (other, other_box) in itertools.combinations(boxes, 2):
        assert not box.overlaps(other_box), f'{text} and {other} overlap'


@pytest.mark.parametrize(
    'draw',
    [
        lambda: layers.profiles([], '', ''),
        lambda: layers.heat_maps([], [0], '', ''),
        lambda: layers.along_blocks([], '', ''),
        lambda: layers.agreement([], 'x', 'y'),
        lambda: layers.error_by_variant([]),
        lambda: layers.error_against([], [''], ''),
    ],
)
def test_no_networks_are_nothing_to_draw(draw):
    with pytest.raises(ValueError, match='to draw'):
        draw()


def test_neither_the_title_nor_the_legend_of_blocks_lies_on_anything():
    names = ['before training, from the last ReLU', 'after training, from the last ReLU', 'third']
    panels = ['identity', 'shortcut-only gate, bias 0', '1×1 convolution', 'shortcut × 0.5']
    drawn = [
        layers.BlockLine(panel, name, np.arange(1, 28), np.full(27, 2.0))
        for panel in panels
        for name in names
    ]
    title = 'Distance of the Jacobian of each block from the identity, depth 56'
    figure = layers.along_blocks(drawn, title, 'distance')
    figure.draw_without_rendering()
    texts = [figure._suptitle, *figure.legends, *(ax.title for ax in figure.axes)]
    texts += [ax._left_title for ax in figure.axes]
    boxes = [each.get_window_extent() for each in texts]
    boxes = [box for box in boxes if box.width > 1]
    assert len(boxes) == 2 + len(panels)
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[place + 1 :])
        assert box.x1 <= figure.bbox.x1
