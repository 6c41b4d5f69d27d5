"""The words, the table and the figures say what was planted."""

import dataclasses

from experiments.collapse import analyse, figures, in_short, tables, words
from experiments.collapse.analysis import CollapseVerdict
from vggres.findings.random_networks import relu_cosine


def test_the_words_give_both_cosines_and_their_difference(sweep):
    said = words(analyse(sweep)).splitlines()
    assert len(said) == 4  # two norms at two moments
    assert said[0].startswith(
        'With batch norm, before training, at depth 20: in the last block, the mean cosine between '
        'different images is 0.80 in plain and 0.52 in residual networks, a difference of 0.28 '
    )
    assert '; 4 draws)' in said[0]
    assert said[0].endswith('features is 1.2 and 1.9.')  # 1 / 0.8 = 1.25; the mean of 1 / cosine
    assert words(CollapseVerdict((), ())).startswith('No plain network')


def test_the_table_and_the_figure_show_the_recursion_where_it_applies(sweep):
    verdict = analyse(sweep)
    (table,) = tables(verdict)
    assert len(table.rows) == 16
    expected = 0.8 / 3  # at depth 8: four layers from the first block to the last
    for _ in range(4):
        expected = relu_cosine(expected)
    recursion = {(row[0], row[1], row[2]): row[5] for row in table.rows if row[5]}
    assert recursion['plain, no norm', '8', 'before training'] == f'{expected:+.3f}'.lstrip('+')
    assert set(recursion) == {('plain, no norm', d, 'before training') for d in ('8', '20')}
    drawn = figures(sweep, verdict)
    assert list(drawn) == ['cosine_along_the_layers', 'rank_along_the_layers']
    figure, _ = drawn['cosine_along_the_layers']
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ['plain', 'resnet', 'arc-cosine', 'variances added']
    assert figures(sweep, CollapseVerdict((), ())) == {}


def test_in_short_plain_networks_collapse_further(sweep):
    """0.8 beside 0.50 to 0.54, and the margin is 0.1."""
    verdict = analyse(sweep)
    assert in_short(verdict) == {
        f'{norm}, {moment} training': 'more alike in plain networks'
        for norm in ('with batch norm', 'without norm')
        for moment in ('before', 'after')
    }
    strict = dataclasses.replace(verdict, margin=0.4)
    assert {*in_short(strict).values()} == {'not more alike in plain networks', 'inconclusive'}
    assert in_short(CollapseVerdict((), ())) == {}
