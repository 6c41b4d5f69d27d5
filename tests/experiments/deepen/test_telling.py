"""What was planted is told in words, tables and figures."""

import dataclasses

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


def test_the_words_say_what_becomes_of_networks_whose_shortcuts_fade(sweep):
    said = words(analyse(sweep))
    assert (
        'resnet-44 whose shortcuts fade to 0 over 200 updates, trained on as plain-44 for 200 '
        'updates, all at 0.003, the fastest rate of plain-44: keeps the solution (its error stays '
        'at or below 5 % from then on). Training error in the mean of 3 seeds: 3.3 % at its lowest '
        'before the shortcuts are gone, 4.4 % at its worst afterwards, 1.1 % in the end.'
    ) in said
    assert 'at 0.03, the fastest rate of resnet-44: loses the solution' in said
    none = dataclasses.replace(analyse(sweep), faded=())
    assert 'No shortcuts have faded away yet.' in words(none)


def test_tables_and_figures_hold_every_run(sweep):
    verdict = analyse(sweep)
    starts, held = tables(verdict)
    assert [row[0] for row in starts.rows if row[1] == '44'] == [
        *('plain', 'plain, Dirac', 'plain, delta-orthogonal', 'plain, looks-linear', 'resnet'),
    ]
    assert [row[0] for row in held.rows] == ['deepening plain-20'] * 2 + ['fading shortcuts'] * 2
    assert [row[6] for row in held.rows] == [
        *('0.0, 0.1, 0.2', '4.0, 4.1, 4.2', '1.0, 1.1, 1.2', '50.0, 55.0, 60.0'),
    ]
    drawn = figures(sweep, verdict)
    assert set(drawn) == {'updates_by_start', 'error_of_deepened', 'error_of_fading'}
    (panel,) = drawn['updates_by_start'][0].axes
    assert panel.get_title(loc='left') == 'depth 44'
    lines = drawn['error_of_deepened'][0].axes[0].lines
    assert sum(len(line.get_xdata()) == 4 for line in lines) == 6  # a start and three epochs
    (panel,) = drawn['error_of_fading'][0].axes
    assert panel.get_title(loc='left') == 'fading, depth 44'
    assert sum(len(line.get_xdata()) == 5 for line in panel.lines) == 3
    assert sum(len(line.get_xdata()) == 4 for line in panel.lines) == 3
    assert [200, 200] in [list(line.get_xdata()) for line in panel.lines]


def test_an_unfinished_sweep_says_so(asked, tmp_path):
    sweep = assemble('deepen', asked, tmp_path, deepen.cells(asked))
    verdict = analyse(sweep)
    assert words(verdict) == 'No fresh seed of any network is finished yet.'
    assert tables(verdict)
    assert figures(sweep, verdict) == {}


def test_in_short_starts_and_solutions_have_their_statuses(sweep):
    said = deepen.in_short(analyse(sweep))
    assert said['plain, delta-orthogonal'] == 'cures'
    assert said['plain, Dirac'] == 'helps'
    assert said['plain-44, deepened, rate 0.003'] == 'keeps'
    assert said['plain-44, deepened, rate 0.03'] == 'regains'
    assert said['plain-44, faded, rate 0.03'] == 'loses'
