"""The figure of the loss against the learning rate draws what it was given."""

import pytest

from vggres.figures.rates import LossLine, loss_against_rate

LINES = [
    LossLine('resnet', 8, (0.01, 0.1), (0.3, 0.1)),
    LossLine('plain', 8, (0.01, 0.1), (0.4, 0.2)),
    LossLine('plain', 56, (0.01, 0.1), (1.5, 2.3)),
]


def drawn(ax):
    return {line.get_label(): list(map(tuple, line.get_xydata())) for line in ax.lines}


def test_each_network_is_a_line_in_the_panel_of_its_family():
    plain, resnet = loss_against_rate(LINES, 0.1, 2.303).axes
    assert (plain.get_title(loc='left'), resnet.get_title(loc='left')) == ('plain', 'resnet')
    assert drawn(plain)['plain 56'] == [(0.01, 1.5), (0.1, 2.3)]
    assert drawn(resnet)['resnet 8'] == [(0.01, 0.3), (0.1, 0.1)]
    assert 'resnet 8' not in drawn(plain)


def test_the_chosen_rate_and_guessing_are_marked():
    for ax in loss_against_rate(LINES, 0.1, 2.303).axes:
        assert {x for x, _ in drawn(ax)['chosen']} == {0.1}
        assert {y for _, y in drawn(ax)['guessing']} == {2.303}
    figure = loss_against_rate(LINES, None, 2.303)
    assert 'chosen' not in drawn(figure.axes[0])
    assert 'the rate that' not in str([text.get_text() for text in figure.legends[1].get_texts()])


def test_losses_within_a_decade_have_ticks_to_be_read_by():
    figure = loss_against_rate([LossLine('plain', 8, (0.01, 0.1), (0.4, 1.5))], None, 2.303)
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_ylim()
    ticks = [
        label
        for label in figure.axes[0].get_yticklabels()
        if low <= label.get_position()[1] <= high
    ]
    assert [label.get_text() for label in ticks] == ['0.5', '1', '2']


def test_there_is_nothing_to_draw():
    with pytest.raises(ValueError, match='no losses'):
        loss_against_rate([], None, 2.3)
