"""What is drawn is what was handed over: markers, arrows, medians, laws."""

import numpy as np
import pytest

from vggres.figures.updates import LawLine, Reached, rate_against_depth, updates_against_depth


def runs(budget=100.0):
    """Three seeds; most runs of the deeper plain network are censored."""
    return [
        *(Reached('plain', 8, seed, 20.0 + 10 * seed, False) for seed in range(3)),
        *(Reached('plain', 20, seed, budget, True) for seed in range(2)),
        Reached('plain', 20, 2, 90.0, False),
        *(Reached('resnet', depth, 0, 50.0, False) for depth in (8, 20)),
    ]


def drawn(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_each_run_is_a_marker_and_a_censored_one_an_arrow():
    figure = updates_against_depth({'to 5 %': runs(), 'to 1 %': runs(200.0)}, {})
    for ax, budget in zip(figure.axes, (100, 200), strict=True):
        lines = drawn(ax)
        assert ax.get_yscale() == 'log'
        assert lines['plain 8 seed 1'].get_ydata() == [30]
        assert lines['plain 20 seed 0 censored'].get_ydata() == [budget]
        markers = {name: line.get_marker() for name, line in lines.items() if 'seed' in name}
        arrows = [name for name, marker in markers.items() if marker not in ('o', 's')]
        assert arrows == ['plain 20 seed 0 censored', 'plain 20 seed 1 censored']
        places = [line.get_xdata()[0] for name, line in lines.items() if 'plain 8 seed' in name]
        assert len(set(places)) == 3  # side by side
        low, high = ax.get_ylim()
        assert low < 20
        assert high > 200
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ['plain: runs and median', 'resnet: runs and median', 'not within the budget']


def test_a_median_ends_where_most_runs_are_censored():
    (ax,) = updates_against_depth({'to 5 %': runs()}, {}).axes
    plain = drawn(ax)['plain median'].get_ydata()
    assert plain[0] == 30
    assert np.isnan(plain[1])
    assert list(drawn(ax)['resnet median'].get_ydata()) == [50, 50]


def test_laws_stand_where_their_family_stands():
    laws = [LawLine('plain', 'power law', [8, 20], [25, 70])]
    figure = updates_against_depth({'to 5 %': runs()}, {'to 5 %': laws})
    lines = drawn(figure.axes[0])
    assert list(lines['plain: power law'].get_ydata()) == [25, 70]
    assert list(lines['plain: power law'].get_xdata()) == list(lines['plain median'].get_xdata())
    assert 'plain: power law' in [text.get_text() for text in figure.legends[0].get_texts()]


def test_without_censored_runs_no_arrow_is_explained():
    figure = updates_against_depth({'to 5 %': runs()[:3]}, {})
    assert len(figure.legends[0].get_texts()) == 1
    with pytest.raises(ValueError, match='no runs'):
        updates_against_depth({'to 5 %': []}, {})


def test_rates_are_drawn_by_depth():
    figure = rate_against_depth({'plain': {20: 0.01, 8: 0.1}, 'resnet': {8: 0.1}}, (0.01, 0.1))
    (ax,) = figure.axes
    assert list(drawn(ax)['plain'].get_ydata()) == [0.1, 0.01]  # depths ascending
    assert [label.get_text() for label in ax.get_yticklabels()] == ['0.01', '0.1']
    with pytest.raises(ValueError, match='no rates'):
        rate_against_depth({}, (0.1,))
