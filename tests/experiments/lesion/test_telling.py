"""What is told is what was planted."""

import dataclasses

from experiments import lesion
from experiments.lesion.analysis import LesionVerdict


def test_words_table_and_figure(sweep):
    verdict = lesion.analyse(sweep)
    said = lesion.words(verdict)
    assert (
        'plain, depth 20: deleting one of 9 blocks raises the validation error from 10.0 %' in said
    )
    assert 'by 0.78 of the way to guessing' in said  # (8·0.75 + 1) / 9
    assert 'by 0.75 for the median block and by 1.00 for the worst (n = 2)' in said
    assert 'Without 2 random blocks the error is 50.0 %.' in said
    assert 'With blocks swapped (τ down to 0.80) it is 25.0 %.' in said
    (table,) = lesion.tables(verdict)
    assert [row[:3] for row in table.rows] == [
        ['plain', '20', '9'],
        ['resnet', '20', '9'],
        ['resnet', '56', '27'],
        ['vgg', '20', '19'],
    ]
    assert {len(row) for row in table.rows} == {len(table.columns)}
    figure, caption = lesion.figures(sweep, verdict)['lesions']
    assert len(figure.axes) == 3
    assert caption.endswith('Dashed: guessing.')


def test_nothing_to_tell(sweep):
    nothing = LesionVerdict((), 90.0)
    assert lesion.words(nothing) == 'No trained network was lesioned.'
    assert lesion.figures(sweep, nothing) == {}


def test_in_short_a_deletion_destroys_or_hardly_hurts(sweep):
    verdict = lesion.analyse(sweep)
    damages = {'plain': 0.78, 'resnet': 0.03, 'vgg': 0.3}
    networks = tuple(
        dataclasses.replace(n, damage=damages[n.family] + 0.001 * n.seed, has_failed=n.depth == 56)
        for n in verdict.networks
    )
    assert lesion.in_short(dataclasses.replace(verdict, networks=networks)) == {
        'plain, depth 20': 'destroys',
        'resnet, depth 20': 'hardly hurts',
        'resnet, depth 56': 'budget insufficient',
        'vgg, depth 20': 'hurts',
    }
