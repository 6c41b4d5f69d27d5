"""What is told is what was planted."""

import dataclasses

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


def test_in_short_the_deepest_networks_say_whether_paths_are_short(sweep):
    verdict = paths.analyse(sweep)
    shares = {'identity': (0.83, 0.84), 'identity, preactivation': (0.2, 0.21)}
    lengths = [
        dataclasses.replace(each, short=shares.get(each.variant, ())) for each in verdict.lengths
    ]
    lengths[0] = dataclasses.replace(lengths[0], failed=1)
    assert paths.in_short(dataclasses.replace(verdict, lengths=tuple(lengths))) == {
        'identity, before training': 'budget insufficient',
        'identity, after training': 'mostly short paths',
        'identity, preactivation, before training': 'not mostly short paths',
        'identity, preactivation, after training': 'not mostly short paths',
    }
