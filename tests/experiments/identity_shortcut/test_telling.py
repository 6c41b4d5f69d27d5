"""What was planted is told in words, tables and figures."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.identity_shortcut.analysis import analyse
from experiments.identity_shortcut.telling import figures, in_short, tables, words


def test_the_words_carry_the_numbers(sweep):
    said = words(analyse(sweep))
    # Seven blocks at 0.25: Σd² is 0.4375, and the ReLU's distance is a fifth.
    assert (
        'identity, depth 20, before training: over the 7 blocks that keep their shape, the squared '
        'distances d² from the identity add up to 0.44, and √Σd² is 0.66 (d is 0.25 in the first '
        'of them and 0.25 in the last); from what the last ReLU makes of it, 0.13 (exploratory); '
        'n = 2.'
    ) in said
    # 8 · log10 2; `test_analysis` has the branches.
    branches = next(
        each.branches for each in analyse(sweep).networks if each.variant == 'shortcut × 0.5'
    )
    expected = f'shortcut × 0.5: +2.4 (shortest path +2.4; at least {branches:.0f} branches)'
    assert expected in said
    assert 'how many of 8 residual branches' in said
    assert 'no block keeps its shape' not in said
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
        'distance_from_identity',
        'singular_values_before_training',
        'singular_values_after_training',
        'chain_before_training',
        'gradient_against_scale',
    ]
    assert all(caption.endswith('.') for _, caption in drawn.values())
    panels = drawn['distance_from_identity'][0].axes
    assert len([ax for ax in panels if ax.get_visible()]) == 6
    # Before and after training, the same from the last ReLU, and what is expected.
    assert [len(ax.lines) for ax in panels] == [5, 3, 2, 2, 2, 2]
    expected = panels[0].lines[-1].get_ydata()  # three stages of three blocks
    first, later = [1, 2**-0.5, 3**-0.5], [np.nan, 2**-0.5, 3**-0.5]
    np.testing.assert_allclose(expected, [*first, *later, *later])


def without_jacobians(sweep):
    for cell in sweep.cells:
        path = cell.directory / 'probes.jsonl'
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        kept = ('epoch', 'step', 'draw', 'input_gradient')
        lines = [json.dumps({key: row[key] for key in kept}) + '\n' for row in rows]
        path.write_text(''.join(lines))


def test_what_an_earlier_version_did_not_measure_is_said(sweep):
    without_jacobians(sweep)
    verdict = analyse(sweep)
    said = words(verdict)
    assert (
        'identity, depth 20, after training: the Jacobians of the blocks were not measured' in said
    )
    assert [table.title for table in tables(verdict)] == [
        'The gradient that reaches the first block, and the training error'
    ]
    assert list(figures(sweep, verdict)) == ['error_by_shortcut', 'gradient_against_scale']


@pytest.mark.parametrize('sweep', [8], indirect=True)
def test_at_depth_8_only_the_first_block_keeps_its_shape(sweep):
    verdict = analyse(sweep)
    said = words(verdict).splitlines()
    assert (
        'At depth 8, no block keeps its shape but stage1/block1: no other block is compared with '
        'the identity.'
    ) in said
    assert any(
        line.startswith('identity, depth 8, after training: stage1/block1, ') for line in said
    )
    assert len(tables(verdict)[1].rows) == 30
    first, *_ = figures(sweep, verdict)['distance_from_identity'][0].axes
    before, _, after, *_ = first.lines
    for line in (before, after):  # a dot at the first of three blocks
        np.testing.assert_array_equal(line.get_ydata(), [0.25, np.nan, np.nan])
        assert line.get_markevery() == [0]


def test_in_short_each_other_shortcut_trains_as_well_or_worse(sweep):
    verdict = analyse(sweep)
    said = in_short(verdict)
    assert len(said) == 9
    assert {*said.values()} == {'trains worse'}
    lenient = in_short(dataclasses.replace(verdict, margin=100.0))
    assert {*lenient.values()} == {'trains as well'}
    assert in_short(dataclasses.replace(verdict, networks=())) == {}
