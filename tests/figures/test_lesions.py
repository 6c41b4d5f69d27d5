"""What is drawn is what was handed over."""

import numpy as np
import pytest

from vggres.figures.lesions import Lesions, lesions


def test_three_panels():
    drawn = [
        Lesions('plain-8', [50.0, 60.0, 70.0], {0: 1.0, 2: 80.0}, np.zeros((0, 2))),
        Lesions('resnet-8', [2.0, 3.0], {0: 1.0, 2: 5.0}, np.array([[0.9, 4.0], [0.5, 6.0]])),
    ]
    figure = lesions(drawn, guessing=90.0)
    one, several, swapped = figure.axes
    assert [line.get_ydata()[0] for line in (ax.get_lines()[0] for ax in figure.axes)] == [90] * 3
    assert one.get_lines()[1].get_ydata().tolist() == [50, 60, 70]
    assert several.get_lines()[2].get_xdata().tolist() == [0, 2]
    assert len(swapped.get_lines()) == 2  # guessing, and the network whose blocks were swapped
    assert swapped.get_lines()[1].get_xdata().tolist() == [0.9, 0.5]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ['plain-8', 'resnet-8', 'guessing']


def test_nothing_to_draw():
    with pytest.raises(ValueError, match='no lesions'):
        lesions([], 90.0)
