"""What was planted is told in words, tables and figures."""

import dataclasses

import pytest

from experiments.landscape.analysis import analyse
from experiments.landscape.telling import figures, in_short, tables, words


def test_the_words_carry_the_numbers(sweep):
    verdict = analyse(sweep)
    said = words(verdict)
    wide = next(n.wide for n in verdict.networks if (n.family, n.depth) == ('plain', 56))
    assert (
        f'Depth 56: the loss is below that of guessing on {wide:.0f} % of the plane around plain '
        'networks, whose training error is 1.0 %, and on 100 % of the plane around resnet networks'
    ) in said
    # √(56 · 57.12) = 56.6 and √(2 · 2.04) = 2.02, the geometric means; log2 28 = 4.81.
    assert (
        'Depth 56: after training, λ is 56.6 around plain networks, and 2.02 around resnet '
        'networks. Plain over residual, these are +4.81 doublings (n = 2); sharper means more '
        'than 1.'
    ) in said
    # 3 · 57.12 · 0.01 at the second look of plain-56.
    assert 'η·λ is at most 1.71, and 3.80 is the edge of stability.' in said
    assert "Lanczos' residual is at most 1.0 % of λ." in said


def test_failed_runs_are_said(sweep):
    verdict = analyse(sweep)
    failed = [dataclasses.replace(n, failed=n.depth == 56) for n in verdict.curvatures]
    said = words(dataclasses.replace(verdict, curvatures=tuple(failed)))
    assert 'around plain networks (2 of 2 failed to train)' in said


def test_no_network_is_said(sweep):
    verdict = analyse(sweep)
    nothing = dataclasses.replace(verdict, networks=(), curvatures=())
    assert words(nothing) == 'No surface of a finished network was observed.'
    assert 'λ' not in words(dataclasses.replace(verdict, curvatures=()))


def test_every_row_of_the_tables_has_a_text_per_column(sweep):
    surfaces, curvatures = tables(analyse(sweep))
    for table in (surfaces, curvatures):
        assert len(table.rows) == 12
        assert {len(row) for row in table.rows} == {len(table.columns)}
    deep = next(row for row in curvatures.rows if row[:3] == ['plain', '56', '0'])
    assert deep[3:] == ['1.00', '0.5', '−3', '168', '1.68', '56', '1.4e+03']


def test_every_figure_has_a_caption_and_its_lines(sweep):
    verdict = analyse(sweep)
    drawn = figures(sweep, verdict)
    assert list(drawn) == ['surfaces', 'sharpness']
    assert all(caption.endswith('.') for _, caption in drawn.values())
    figure, _ = drawn['surfaces']
    titles = [ax.get_title(loc='left') for ax in figure.axes if ax.get_title(loc='left')]
    assert titles == ['plain-8', 'plain-20', 'plain-56', 'resnet-8', 'resnet-20', 'resnet-56']
    figure, caption = drawn['sharpness']
    assert '2 (1 + β) = 3.80' in caption
    panels = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title(loc='left') for ax in panels] == ['depth 8', 'depth 20', 'depth 56']
    for ax in panels:
        assert len(ax.lines) == 2 * 2 + 1  # a line a network, and the edge
        assert sorted(line.get_ydata()[-1] for line in ax.lines)[-1] == pytest.approx(3.8)
    nothing = dataclasses.replace(verdict, curvatures=())
    assert list(figures(sweep, nothing)) == ['surfaces']


def test_in_short_solutions_are_sharper_where_the_whole_interval_says_so(sweep):
    verdict = analyse(sweep)

    def said(**values):
        """Of log2 28 = 4.81 in one seed, and of a tenth more curvature in the other."""
        last = verdict.curvatures[-1]
        apart = [
            dataclasses.replace(n, end=1.1 * n.end if (n.family, n.seed) == ('plain', 0) else n.end)
            for n in verdict.curvatures
        ]
        changed = [dataclasses.replace(n, **values) if n.depth == last.depth else n for n in apart]
        return in_short(dataclasses.replace(verdict, curvatures=tuple(changed)))

    assert said() == {'plain beside residual, depth 56': 'sharper'}
    assert said(failed=True) == {'plain beside residual, depth 56': 'budget insufficient'}
    assert said(end=None) == {}
