"""Surfaces are drawn with one scale of colours, and bad values do not stop that."""

import numpy as np
import pytest

from vggres.figures.rendering import to_png
from vggres.figures.surfaces import LossSurface, contours

LINE = np.linspace(-1, 1, 5)


def bowl(title, factor=1.0):
    x, y = np.meshgrid(LINE, LINE, indexing='ij')
    return LossSurface(title, LINE, LINE, factor * (0.01 + x**2 + 2 * y**2))


def test_each_surface_has_a_panel_and_all_share_a_scale():
    figure = contours([bowl('plain-8'), bowl('plain-20', 10.0), bowl('resnet-8')], 2, guessing=2.3)
    panels = [ax for ax in figure.axes if ax.get_visible() and ax.get_title(loc='left')]
    assert [ax.get_title(loc='left') for ax in panels] == ['plain-8', 'plain-20', 'resnet-8']
    scales = {ax.collections[0].get_clim() for ax in panels}
    assert len(scales) == 1
    low, high = scales.pop()
    assert (low, high) == pytest.approx((-2, np.log10(30.1)), abs=0.1)


def test_what_is_not_finite_is_drawn_as_the_highest():
    surface = bowl('plain-56')
    surface.losses[0, 0], surface.losses[0, 1] = np.inf, np.nan
    assert to_png(contours([surface], 1, guessing=2.3))


def test_a_flat_surface_is_drawn():
    assert to_png(contours([LossSurface('', LINE, LINE, np.ones((5, 5)))], 1, guessing=2.3))


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match='no surfaces'):
        contours([], 1, guessing=2.3)
