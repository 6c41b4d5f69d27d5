"""The words, tables and figures say what was planted."""

import pytest

from experiments.shattering import analyse, figures, in_short, tables, words
from experiments.shattering.analysis import ShatteringVerdict
from experiments.shattering.telling import brown


def test_the_words_give_both_slopes_and_their_difference(sweep):
    said = words(analyse(sweep)).splitlines()
    assert len(said) == 6  # two norms at two moments, and neighbours of two norms
    assert said[0].startswith(
        'With batch norm, before training, at depth 20: the correlation between the gradients of '
        'different images halves 0.26 times a layer in plain and 0.07 times in residual networks'
    )
    assert 'the difference is 0.19 (95 % interval' in said[0]
    assert said[0].endswith('4 draws).')
    assert said[1].endswith('2 seeds).')
    # Half of 0.26 · 7 and of 0.26 · 19 halvings.
    assert 'plain 0.53 at 8, 0.18 at 20' in said[4]


def test_nothing_observed_is_said_to_be_so():
    empty = ShatteringVerdict((), ())
    assert words(empty) == 'No network was observed before or after training.'
    assert figures(None, empty) == {}
    assert [table.rows for table in tables(empty)] == [[], []]


def test_the_tables_have_a_row_for_each_kind_of_network(sweep):
    networks, differences = tables(analyse(sweep))
    assert len(networks.rows) == 16  # four variants, two depths, two moments
    row = networks.rows[0]
    assert row[:4] == ['plain, batch norm', '8', 'before training', '0.26']
    assert row[5:] == ['0.283', '8.0', '0.532', '', '4']  # 2^(−0.26·7) and 2^(−0.13·7), about
    assert networks.rows[1][-2:] == ['5.0', '2']
    assert {len(row) for row in networks.rows} == {len(networks.columns)}
    assert differences.rows[0][3] == '+0.19'


def test_the_figures_show_both_norms_with_the_laws(sweep):
    drawn = figures(sweep, analyse(sweep))
    assert list(drawn) == [
        'correlation_from_the_head',
        'neighbours_against_depth',
        'autocorrelation',
    ]
    figure, caption = drawn['correlation_from_the_head']
    assert len([ax for ax in figure.axes if ax.get_visible()]) == 4
    names = {text.get_text() for text in figure.legends[0].get_texts()}
    assert names == {
        *('plain', 'resnet', '2^−L', '1/√(L/2)', '(3/4)^(L/2)', 'two ReLUs a branch'),
    }
    assert 'L counts ReLUs' in caption


def test_brown_noise_by_hand():
    # A walk of two steps has three points: √(1/2) and √(2/3) at distance 1, √(1/3) at distance 2.
    assert brown(0.5, steps=2) == pytest.approx((0.5**0.5 + (2 / 3) ** 0.5) / 2)
    assert brown(1, steps=2) == pytest.approx((1 / 3) ** 0.5)


def test_in_short_correlation_falls_faster_in_plain_networks(sweep):
    """By 0.19 halvings a layer, and the margin is 0.1."""
    said = in_short(analyse(sweep))
    assert len(said) == 4
    assert said['without norm, before training'] == 'falls faster in plain networks'
