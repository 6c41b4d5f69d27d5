"""What is drawn is what was handed over."""

import numpy as np
import pytest

from vggres.figures.lengths import LengthLine, by_length


def lines():
    return [
        LengthLine('one', 'measured', np.array([0.0, 0.25, 0.75])),
        LengthLine('one', 'predicted', np.array([0.25, 0.5, 0.25]), is_expected=True),
        LengthLine('two', 'measured', np.array([1.0, 0.0])),
    ]


def test_each_panel_has_its_lines():
    figure = by_length(lines(), 'share')
    first, second = figure.axes
    assert [line.get_ydata().tolist() for line in first.get_lines()] == [
        [0.0, 0.25, 0.75],
        [0.25, 0.5, 0.25],
    ]
    assert second.get_lines()[0].get_xdata().tolist() == [0, 1]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ['measured', 'predicted']


def test_a_logarithmic_axis_leaves_zeros_out():
    figure = by_length(lines(), 'norm', log=True)
    assert figure.axes[0].get_yscale() == 'log'
    assert np.isnan(figure.axes[0].get_lines()[0].get_ydata()[0])
    with pytest.raises(ValueError, match='no lengths'):
        by_length([], '')
