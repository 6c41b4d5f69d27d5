"""Lines in panels: what is drawn where, and what is left blank."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from vggres.figures.lines import Axis, Line, in_panels
from vggres.figures.style import FAMILY_STYLES


def test_each_panel_has_its_lines_and_closed_forms_are_dashed():
    drawn = [
        Line('left', 'plain', [1, 2, 3], [0.5, 0.25, -0.1]),
        Line('left', 'law', [1, 2, 3], [0.5, 0.25, 0.125], is_expected=True),
        Line('right', 'plain', [1, 2], [1.0, 0.5]),
    ]
    figure = in_panels(drawn, 'Title', Axis('layers'), Axis('correlation', True, 0.01))
    left, right = figure.axes
    assert [ax.get_title(loc='left') for ax in (left, right)] == ['left', 'right']
    measured, law = left.lines
    np.testing.assert_array_equal(measured.get_ydata(), [0.5, 0.25, np.nan])  # no logarithm
    assert to_hex(measured.get_color()) == FAMILY_STYLES['plain'].color.lower()
    assert measured.get_linestyle() == '-'
    assert law.get_linestyle() == '--'
    assert (left.get_yscale(), left.get_xscale()) == ('log', 'linear')
    assert left.get_ylim()[0] == 0.01
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['plain', 'law']


def test_four_panels_stand_in_two_rows():
    drawn = [Line(str(i), 'plain', [1], [i]) for i in range(4)]
    figure = in_panels(drawn, '', Axis('x', is_log=True), Axis('y'))
    assert [ax.get_subplotspec().colspan.start for ax in figure.axes] == [0, 1, 0, 1]
    assert [ax.get_xlabel() for ax in figure.axes] == ['', '', 'x', 'x']
    assert [ax.get_ylabel() for ax in figure.axes] == ['y', '', 'y', '']


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match='no lines'):
        in_panels([], '', Axis('x'), Axis('y'))
