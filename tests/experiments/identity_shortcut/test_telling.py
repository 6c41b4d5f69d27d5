"""What was planted is told in words, tables and figures."""

import dataclasses

from experiments.identity_shortcut.analysis import analyse
from experiments.identity_shortcut.telling import figures, tables, words


def test_the_words_carry_the_numbers(sweep):
    said = words(analyse(sweep))
    assert (
        'identity, depth 20, before training: the mean distance of the blocks is 0.25 from the '
        'identity, with 100 % of 7 blocks within 0.5; 0.05 from what the last ReLU makes of it'
    ) in said
    # 8 · log10 2; `test_analysis` has the branches.
    branches = next(
        each.branches for each in analyse(sweep).networks if each.variant == 'shortcut × 0.5'
    )
    expected = f'shortcut × 0.5: +2.4 (shortest path +2.4; at least {branches:.0f} branches)'
    assert expected in said
    assert 'how many of 8 residual branches' in said
    assert 'with identity shortcuts is 0.00 %. Of 9 other shortcuts, 9 are worse by more' in said
    assert said.endswith('protocol.')


def test_no_network_is_said(sweep):
    nothing = dataclasses.replace(analyse(sweep), networks=())
    assert words(nothing) == 'No finished network was observed.'
    assert figures(sweep, nothing) == {}


def test_every_row_of_a_table_has_a_text_per_column(sweep):
    found = tables(analyse(sweep))
    assert [len(table.rows) for table in found] == [15, 30]
    for table in found:
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_every_figure_has_a_caption(sweep):
    drawn = figures(sweep, analyse(sweep))
    assert list(drawn) == [
        'error_by_shortcut',
        'singular_values_before_training',
        'singular_values_after_training',
        'chain_before_training',
        'gradient_against_scale',
    ]
    assert all(caption.endswith('.') for _, caption in drawn.values())
    bands = drawn['singular_values_before_training'][0].axes
    assert len([ax for ax in bands if ax.get_visible()]) == 6
