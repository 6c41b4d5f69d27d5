"""What was planted is told in words, tables and figures."""

from experiments import deepen
from experiments.deepen.analysis import analyse
from experiments.deepen.telling import figures, tables, words
from vggres.sweeps.sweep import assemble


def test_the_words_carry_what_was_planted(sweep):
    said = words(analyse(sweep))
    assert 'plain, delta-orthogonal-44: cures' in said
    assert 'plain, Dirac-44: helps' in said
    assert 'plain, looks-linear-44: no effect' in said or 'looks-linear-44: inconcl' in said
    # By hand: 43 convolutions, of which the stem and two first ones of stages change channels.
    assert 'Of the 43 convolutions of a plain-44 that starts from Dirac kernels, 40 are' in said
    assert (
        'trained on for 200 updates at 0.003, the fastest rate of plain-44: keeps the solution'
        in said
    )
    assert '0.0 % at the start, 2.1 % at its worst, 0.1 % in the end' in said
    assert 'at 0.03, the fastest rate of plain-20: regains the solution' in said


def test_tables_and_figures_hold_every_run(sweep):
    verdict = analyse(sweep)
    starts, held = tables(verdict)
    assert [row[0] for row in starts.rows if row[1] == '44'] == [
        *('plain', 'plain, Dirac', 'plain, delta-orthogonal', 'plain, looks-linear', 'resnet'),
    ]
    assert [row[5] for row in held.rows] == ['0.0, 0.1, 0.2', '4.0, 4.1, 4.2']
    drawn = figures(sweep, verdict)
    assert set(drawn) == {'updates_by_start', 'error_of_deepened'}
    (panel,) = drawn['updates_by_start'][0].axes
    assert panel.get_title(loc='left') == 'depth 44'
    lines = drawn['error_of_deepened'][0].axes[0].lines
    assert sum(len(line.get_xdata()) == 4 for line in lines) == 6  # a start and three epochs


def test_an_unfinished_sweep_says_so(asked, tmp_path):
    sweep = assemble('deepen', asked, tmp_path, deepen.cells(asked))
    verdict = analyse(sweep)
    assert words(verdict) == 'No fresh seed of any network is finished yet.'
    assert tables(verdict)
    assert figures(sweep, verdict) == {}
