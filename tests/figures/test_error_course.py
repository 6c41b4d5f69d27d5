"""What is drawn is what was given."""

import pytest
from matplotlib.colors import to_hex

from vggres.figures.error_course import Course, error_courses


def test_each_run_is_a_line_and_each_name_a_colour():
    runs = [
        Course('rate 0.1', ((0, 0.0), (11, 40.0), (22, 0.0))),
        Course('rate 0.1', ((0, 0.0), (11, 30.0), (22, 1.0))),
        Course('rate 0.01', ((0, 0.0), (11, 2.0), (22, 0.0))),
    ]
    figure = error_courses({'deepened to depth 44': runs}, 5.0)
    (ax,) = figure.axes
    lines = [line for line in ax.lines if len(line.get_xdata()) == 3]
    assert [tuple(line.get_ydata()) for line in lines] == [(0, 40, 0), (0, 30, 1), (0, 2, 0)]
    colors = [to_hex(line.get_color()) for line in lines]
    assert colors[0] == colors[1] != colors[2]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['rate 0.1', 'rate 0.01']
    assert ax.get_ylim()[0] < 0  # an error of 0 lies inside


@pytest.mark.parametrize('turn', [None, 20])
def test_a_turn_is_a_vertical_line(turn):
    runs = [Course('rate 0.1', ((11, 40.0), (22, 0.0), (33, 0.0)))]
    (ax,) = error_courses({'fading, depth 44': runs}, 5.0, turn).axes
    upright = [line.get_xdata()[0] for line in ax.lines if len({*line.get_xdata()}) == 1]
    assert upright == ([] if turn is None else [turn])


def test_nothing_to_draw_is_an_error():
    with pytest.raises(ValueError, match='no runs'):
        error_courses({}, 5.0)
