"""What was planted is told in words, tables and figures."""

import dataclasses

import numpy as np
import pytest

from experiments.response.analysis import analyse
from experiments.response.telling import figures, in_short, tables, words


def test_the_words_carry_the_numbers(sweep):
    said = words(analyse(sweep))
    assert (
        'Depth 20: after training, the mean response of ResNet is 0.50 times that of plain (n = 5).'
    ) in said
    assert 'Depth 56: ' in said
    assert 'plain failed to train in 5 of 5 runs.' in said
    assert 'ResNet-56 responds with 0.50 times the mean response of ResNet-20' in said
    assert (
        "resnet, depth 56, before training: the branch is 0.10 of the signal's energy in the first "
        'block and 0.10 in the last of 27; the closed form has 0.67 and'
    ) in said


def test_no_network_is_said(sweep):
    nothing = dataclasses.replace(analyse(sweep), networks=())
    assert words(nothing) == 'No finished network was observed.'
    assert figures(sweep, nothing) == {}


def test_every_row_of_the_table_has_a_text_per_column(sweep):
    (table,) = tables(analyse(sweep))
    assert len(table.rows) == 2 * 3 + 3 * 3
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_every_figure_has_a_caption_and_its_lines(sweep):
    drawn = figures(sweep, analyse(sweep))
    assert list(drawn) == ['responses', 'branch_parts']
    assert all(caption.endswith('.') for _, caption in drawn.values())
    panels = [ax for ax in drawn['responses'][0].axes if ax.get_visible()]
    assert [ax.get_title(loc='left') for ax in panels] == ['depth 8', 'depth 20', 'depth 56']
    lines = sorted({line.get_ydata()[0] for line in panels[1].lines})
    assert lines == pytest.approx([1, 1.02, 2.04])  # the means over five seeds
    parts = [ax for ax in drawn['branch_parts'][0].axes if ax.get_visible()]
    assert len(parts) == 4  # plain networks have no addition
    np.testing.assert_allclose(parts[0].lines[0].get_ydata(), np.full(27, 0.1))


def test_in_short_residual_networks_respond_more_weakly(sweep):
    """0.8, 0.5 and, where plain failed to train, 0.33 times, with some spread."""
    verdict = analyse(sweep)
    apart = [
        dataclasses.replace(n, response=n.response and n.response * (1 + 0.01 * (n.seed % 2)))
        if n.family == 'plain'
        else n
        for n in verdict.networks
    ]
    assert in_short(dataclasses.replace(verdict, networks=tuple(apart))) == {
        'resnet-8 beside plain': 'weaker',
        'resnet-20 beside plain': 'weaker',
        'resnet-56 beside plain': 'budget insufficient',
    }
