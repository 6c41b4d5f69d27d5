"""What was planted is told in words, tables and figures."""

import numpy as np
import pytest

from experiments.effective_rate.analysis import analyse
from experiments.effective_rate.telling import figures, in_short, tables, words


@pytest.fixture
def sweep(all_stages):
    return all_stages(cures=False)


def test_the_words_carry_the_numbers(sweep):
    said = words(analyse(sweep))
    assert 'plain, fixed norms-44: no effect' in said
    # (1 + 42 · 0.5) / 43 + 0.01 = 0.52 after 22 updates.
    assert (
        'The fall of the effective rate by the growth of the weights: higher in plain networks '
        'after as many updates, +0.52 against +0.10 (95 % interval of the difference +0.40 to '
        '+0.45, n = 3 seeds); higher in plain networks at the end of their runs, +1.04 against'
    ) in said
    assert 'turns the kernels: not decidedly different after as many updates, +1.00' in said
    assert 'gradient is 3.0e-06 in size, in 72 looks at 24 runs;' in said


def test_every_row_of_a_table_has_a_text_per_column(sweep):
    found = tables(analyse(sweep))
    assert [len(table.rows) for table in found] == [8, 8, 8]
    assert all(len(row) == len(table.columns) for table in found for row in table.rows)
    last = found[2].rows[0]
    assert last[:2] == ['plain', '20']
    assert last[8:] == ['3.0·10⁻⁶', '3']


def test_the_figure_shows_both_families_at_the_full_rate(sweep):
    drawn = figures(sweep, analyse(sweep))
    assert set(drawn) == {'updates_by_arm', 'effective_rate_along_layers'}
    figure, _ = drawn['effective_rate_along_layers']
    plain, residual, *turns = figure.axes
    assert [ax.get_title('left') for ax in figure.axes] == ['plain-44', 'resnet-44'] * 2
    first, *_, last = plain.get_lines()
    # Before training all norms are √32, and the rate is 0.01; the stem loses 2 decades.
    np.testing.assert_allclose(first.get_ydata(), 0.01 / 32, rtol=1e-6)
    assert list(first.get_xdata()) == list(range(1, 44))
    assert last.get_ydata()[0] == pytest.approx(1e-4 / 32)
    assert last.get_ydata()[1] == pytest.approx(1e-3 / 32)
    assert residual.get_lines()[0].get_ydata()[0] == pytest.approx(0.03 / 32)
    assert [len(ax.get_lines()) for ax in turns] == [2, 2]  # not during the warm-up
    assert turns[0].get_lines()[0].get_ydata()[0] == pytest.approx(0.1)


def test_in_short_holding_the_norms_does_nothing(sweep):
    assert in_short(analyse(sweep)) == {
        'plain, fixed norms': 'no effect',
        'resnet, fixed norms': 'nothing to cure',
    }
