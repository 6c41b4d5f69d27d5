import pytest

from vggres.figures.arms import ArmRuns, updates_by_arm

ARMS = [
    ArmRuns('plain', [300, None, 250], 'reference'),
    ArmRuns('plain, clipped', [None, None, None], 'harms'),
    ArmRuns('plain, cured', [40, 50, 60], 'cures'),
]


def drawn(ax, shape):
    lines = [line for line in ax.get_lines() if line.get_marker() == shape]
    return sorted((round(line.get_ydata()[0]), line.get_xdata()[0]) for line in lines)


def test_each_run_is_a_dot_or_an_arrow_at_the_budget():
    (ax,) = updates_by_arm({'depth 44': ARMS}, 400, '5').axes
    assert drawn(ax, 'o') == [(0, 250), (0, 300), (2, 40), (2, 50), (2, 60)]
    assert drawn(ax, '>') == [(0, 400), (1, 400), (1, 400), (1, 400)]
    assert [label.get_text() for label in ax.get_yticklabels()] == [arm.name for arm in ARMS]


def test_a_median_is_drawn_where_most_runs_arrive():
    (ax,) = updates_by_arm({'depth 44': ARMS}, 400, '5').axes
    bars = [line for line in ax.get_lines() if line.get_linewidth() == 1.6]
    assert [line.get_xdata()[0] for line in bars] == [300, 50]  # of 250, 300 and beyond; 40, 50, 60


def test_a_row_without_runs_says_so():
    panels = {'depth 20': [ARMS[0], ArmRuns('plain, clipped', [], 'harms')], 'depth 44': ARMS}
    shallow, deep = updates_by_arm(panels, 400, '5').axes
    assert sorted(text.get_position()[1] for text in shallow.texts) == [1, 2]
    assert {text.get_text() for text in shallow.texts} == {'no runs'}
    assert not deep.texts


def test_the_legend_names_what_is_there():
    figure = updates_by_arm({'depth 44': ARMS}, 400, '5')
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == ['cures', 'harms', 'reference', 'not within the budget']


def test_nothing_is_no_figure():
    with pytest.raises(ValueError, match='no runs'):
        updates_by_arm({}, 400, '5')
