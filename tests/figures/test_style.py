"""Families and depths are told apart, by colour and without."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from vggres.figures import style
from vggres.networks import grammar


def test_every_family_has_its_own_look_without_colour():
    assert set(style.FAMILY_STYLES) >= set(grammar.FAMILIES)
    looks = style.FAMILY_STYLES.values()
    for attribute in ('color', 'marker', 'line_style'):
        assert len({repr(getattr(look, attribute)) for look in looks}) == len(looks)


def test_families_have_one_order():
    assert style.order_variants(['vgg', 'resnet', 'plain', 'vgg']) == ['plain', 'resnet', 'vgg']
    assert style.order_variants(['resnet', 'resnet']) == ['resnet']


@pytest.mark.parametrize('count', [1, 2, 9])
def test_depth_colors_darken_evenly_enough_for_grey(count):
    colors = style.depth_colors(reversed(range(count)))
    assert list(colors) == list(range(count))
    # Rec. 709 luma, which is what a grey print keeps.
    grey = [float(np.dot(to_rgb(color), (0.2126, 0.7152, 0.0722))) for color in colors.values()]
    assert all(a - b > 0.04 for a, b in itertools.pairwise(grey))
    assert max(grey) < 0.75  # 1 is the paper


def test_panels_stand_side_by_side():
    figure, axes = style.new_figure(3, share_y=True)
    assert figure.axes == axes
    left = [ax.get_position().x0 for ax in axes]
    assert left == sorted(set(left))
    axes[0].set_ylim(0, 7)
    assert axes[2].get_ylim() == (0, 7)


def test_a_panel_says_what_it_shows():
    _, (ax,) = style.new_figure(1)
    style.label_panel(ax, 'Title', 'steps', 'error (%)')
    assert ax.get_title(loc='left') == 'Title'
    assert ax.get_xlabel() == 'steps'
    assert ax.get_ylabel() == 'error (%)'
