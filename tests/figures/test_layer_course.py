import numpy as np
import pytest

from vggres.figures.layer_course import LayerCourse, along_layers_in_training

FIRST = LayerCourse([1, 2, 3], {0.0: np.array([1.0, 2.0, 4.0]), 3.5: np.array([0.1, 0.0, 0.4])})
SECOND = LayerCourse([1, 2], {0.0: np.array([5.0, 6.0])})


def test_each_epoch_is_a_line_and_each_row_has_its_title():
    figure = along_layers_in_training(
        {'rate': {'a': FIRST, 'b': SECOND}, 'turn': {'a': SECOND, 'b': FIRST}}
    )
    assert [ax.get_title('left') for ax in figure.axes] == ['a', 'b', 'a', 'b']
    assert [ax.get_ylabel() for ax in figure.axes] == ['rate', '', 'turn', '']
    assert [bool(ax.get_xlabel()) for ax in figure.axes] == [False, False, True, True]
    first, later = figure.axes[0].get_lines()
    assert list(first.get_ydata()) == [1, 2, 4]
    assert np.isnan(later.get_ydata()).tolist() == [False, True, False]
    # One epoch has one colour in all panels.
    assert first.get_color() == figure.axes[1].get_lines()[0].get_color() != later.get_color()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ['0', '3.5']


def test_nothing_is_no_figure():
    with pytest.raises(ValueError, match='no layers'):
        along_layers_in_training({'rate': {'a': LayerCourse([1], {})}})
