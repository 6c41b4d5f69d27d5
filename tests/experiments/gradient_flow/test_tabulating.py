"""What was planted is told in tables."""

import dataclasses

from experiments.gradient_flow.analysis import analyse
from experiments.gradient_flow.tabulating import tables


def test_every_row_of_a_table_has_a_text_per_column(sweep):
    found = tables(analyse(sweep))
    gradient, shape, training, weights, correlations = (table.rows for table in found)
    assert [len(gradient), len(training), len(weights), len(correlations)] == [36, 36, 36, 8]
    # Of the 36 networks, the gradient of those without norm and without shortcuts shrinks.
    assert [row[2] for row in shape].count('last end') == 12
    for table in found:
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert table.note.endswith('.')


def test_without_a_network_tables_are_empty(sweep):
    nothing = dataclasses.replace(analyse(sweep), networks=(), failed=None)
    assert [len(table.rows) for table in tables(nothing)[:2]] == [0, 0]


def test_with_one_depth_a_correlation_has_one_row(sweep):
    verdict = analyse(sweep)
    both = tables(verdict)[-1]
    assert {row[2] for row in both.rows} == {'among all depths', 'among networks of one depth'}
    shallow = tuple(each for each in verdict.networks if each.depth == 8)
    one = dataclasses.replace(verdict, networks=shallow)
    assert {row[2] for row in tables(one)[-1].rows} == {'among networks of one depth'}
