"""The figure of gaps shows every seed at its budget, and the mean of each family."""

import pytest

from vggres.figures.budget import GapAt, gap_against_budget

GAPS = [
    GapAt('plain', 220, [1.0, 1.4]),
    GapAt('plain', 660, [0.2, 0.4]),
    GapAt('resnet', 220, [0.0, -0.1]),
    GapAt('resnet', 660, [0.1]),
]


def lines(figure):
    (ax,) = figure.axes
    return {line.get_label(): [line.get_xdata(), line.get_ydata()] for line in ax.lines}


def test_every_seed_has_a_marker_and_every_family_its_mean():
    drawn = lines(gap_against_budget(GAPS[::-1], margin=0.3))
    for gap in GAPS:
        x, y = drawn[f'{gap.family} {gap.updates}']
        assert list(x) == [gap.updates] * len(gap.values)
        assert list(y) == gap.values
    x, y = drawn['plain mean']
    assert list(x) == [220, 660]
    assert list(y) == pytest.approx([1.2, 0.3])
    assert list(drawn['margin'][1]) == [0.3, 0.3]


def test_all_that_is_drawn_lies_inside_the_axes():
    (ax,) = gap_against_budget(GAPS, margin=0.3).axes
    low, high = ax.get_ylim()
    assert low < -0.1
    assert high > 1.4
    assert [text.get_text() for text in ax.get_xticklabels()] == ['220', '660']


def test_without_gaps_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match='no gaps'):
        gap_against_budget([], margin=0.3)
