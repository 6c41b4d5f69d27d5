"""A swatch is a small SVG with the colour, the dashes and the marker of its line."""

from xml.etree import ElementTree

import pytest

from vggres.figures.style import FAMILY_STYLES, Style, many_styles
from vggres.figures.swatches import swatch

ALL = many_styles(f'variant {number}' for number in range(10)).values()


@pytest.mark.parametrize('style', ALL, ids=lambda style: style.marker)
def test_every_style_has_a_line_and_a_marker_of_its_colour_within_the_picture(style):
    svg = ElementTree.fromstring(swatch(style))
    line, marker = svg
    assert line.get('stroke') == style.color
    assert style.color in (marker.get('fill'), marker.get('stroke'))
    parts = (1, 0) if style.line_style == '-' else [1.7 * part for part in style.line_style[1]]
    assert list(map(float, line.get('stroke-dasharray').split())) == pytest.approx(parts)


def test_no_two_markers_are_drawn_alike():
    markers = {ElementTree.tostring(ElementTree.fromstring(swatch(s))[1]) for s in _black(ALL)}
    assert len(markers) == len(ALL)


def _black(styles):
    return [Style('#000', each.marker, each.line_style) for each in styles]


def test_the_corners_of_a_square_are_even():
    square = ElementTree.fromstring(swatch(FAMILY_STYLES['resnet']))[1]
    points = [tuple(map(float, each.split(','))) for each in square.get('points').split()]
    assert len({x for x, _ in points}) == len({y for _, y in points}) == 2
