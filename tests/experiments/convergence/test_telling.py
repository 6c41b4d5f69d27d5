"""What was planted is told in words, tables and figures."""

import pytest

from experiments import convergence
from experiments.convergence.analysis import analyse
from experiments.convergence.telling import figures, tables, words
from vggres.sweeps.sweep import assemble


def test_the_words_carry_the_numbers(sweep):
    verdict = analyse(sweep)
    said = words(verdict)
    assert 'plain, 5 % training error: exponential, as the conjecture says. It grows' in said
    assert 'resnet, 1 % training error: flat. From depth 8 to 56' in said
    assert 'All runs reached it.' in said
    law = verdict.growth['plain']['5'].laws['exponential']
    low, high = law.factor_interval
    assert f'by a factor of {law.factor:.0f} (95 % interval {low:.0f} to {high:.0f}' in said
    assert (
        'looked at every 5 and at the end of each epoch, so that a count is known to within 5'
        in said
    )
    assert 'Fitted to depths 8 to 32 alone, the predicted medians at depths 44 and 56 are' in said
    assert 'The control, resnet-56, reaches 5 % in 4 of 4 runs.' in said
    assert 'multiplies the updates of plain networks by 1.05' in said
    assert 'edge' not in said


@pytest.mark.slow
def test_what_the_choice_of_rates_leaves_open_is_said(asked, all_stages):
    """With half the budget the slowest nets reach the target at no rate; others at an edge."""
    asked.train.steps, asked.sweep.rates = 450, (0.01, 0.03, 0.1)
    sweep = all_stages(asked)
    said = words(analyse(sweep))
    assert 'provisionally, for the rate of plain-8 (0.01), plain-14 (0.01)' in said
    assert 'as the conjecture says' not in said
    assert 'The lowest rate of the grid is the fastest' in said
    assert 'At no rate did all tuning seeds reach the first target within 50 %' in said
    assert 'at depth 56' in said
    network_table = tables(analyse(sweep))[1]
    assert network_table.rows[0][2] == '0.01*'


@pytest.mark.slow
def test_a_budget_that_ends_most_runs_is_said_to(asked, all_stages):
    asked.train.steps = 120
    sweep = all_stages(asked)
    verdict = analyse(sweep)
    said = words(verdict)
    assert 'plain, 5 % training error: budget insufficient' in said
    assert '4 of 4 at depth 56' in said
    assert 'To 5 %, each further layer' not in said
    deepest = tables(verdict)[1].rows[5]
    assert deepest[3].startswith('> (>')
    labels = [line.get_label() for ax in figures(sweep, verdict)['updates_against_depth'][0].axes
              for line in ax.get_lines()]  # fmt: skip
    assert 'plain 56 seed 0 censored' in labels
    assert not any('law' in label for label in labels)


def test_every_row_of_a_table_has_a_text_per_column(sweep):
    found = tables(analyse(sweep))
    assert [len(table.rows) for table in found] == [8, 12, 12]
    for table in found:
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_every_figure_has_a_caption(sweep):
    drawn = figures(sweep, analyse(sweep))
    assert list(drawn) == ['updates_against_depth', 'rate_against_depth']
    assert all(caption.endswith('.') for _, caption in drawn.values())
    first, second = drawn['updates_against_depth'][0].axes
    assert first.get_title('left') == 'Updates to 5 % training error'
    labels = [line.get_label() for line in second.get_lines()]
    assert {'plain: exponential law', 'plain: power law', 'resnet median'} <= set(labels)


def test_before_any_fresh_seed_nothing_is_claimed(asked, tmp_path):
    sweep = assemble('convergence', asked, tmp_path, convergence.cells(asked))
    verdict = analyse(sweep)
    assert words(verdict) == 'No fresh seed of any network is finished yet.'
    assert figures(sweep, verdict) == {}
    assert {len(row) for row in tables(verdict)[0].rows} == {13}


def test_in_short_there_is_a_law_for_each_family_and_target(sweep):
    assert convergence.in_short(analyse(sweep)) == {
        **dict.fromkeys(('plain to 5 %', 'plain to 1 %'), 'exponential'),
        **dict.fromkeys(('resnet to 5 %', 'resnet to 1 %'), 'flat'),
    }
