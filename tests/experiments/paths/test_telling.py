"""What is told is what was planted."""

from experiments import paths
from experiments.paths.analysis import PathsVerdict


def test_words_table_and_figures(sweep):
    verdict = paths.analyse(sweep)
    said = paths.words(verdict)
    # P(at most 3 of 9) is 0.834 with probability 1/4 and 0.254 with 1/2.
    assert 'at most a third of the 9 blocks carry 83 % of the gradient' in said
    assert '25.4 % of all paths' in said
    assert 'mean length is 2.2, and 4.5 over all paths (n = 2)' in said
    assert 'shortcut × 0.5, before training, 6.8' in said
    (table,) = paths.tables(verdict)
    assert len(table.rows) == 8
    assert {len(row) for row in table.rows} == {len(table.columns)}
    assert table.rows[0][:5] == ['identity', '20', 'before training', '9', '0.834']
    drawn = paths.figures(sweep, verdict)
    assert list(drawn) == ['share_by_length', 'norm_by_length']
    assert len(drawn['share_by_length'][0].axes) == 4


def test_nothing_to_tell(sweep):
    nothing = PathsVerdict((), {})
    assert 'no finished network' in paths.words(nothing).lower()
    assert paths.figures(sweep, nothing) == {}
