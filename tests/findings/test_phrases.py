"""Numbers as sentences have them."""

import pytest

from vggres.findings.phrases import (
    beside,
    by_word,
    counted,
    interval_in_words,
    p_in_words,
    percent_interval,
    points,
)


@pytest.mark.parametrize(
    ('difference', 'said'),
    [
        (2.7, '2.70 points more'),
        (-0.25, '0.25 points less'),
        (0.004, 'no more'),  # it would be written as 0.00
        (None, 'no more'),
    ],
)
def test_differences_are_more_or_less(difference, said):
    assert points(difference) == said


def test_one_is_singular_and_thousands_are_set_apart():
    assert [counted(n, 'seed') for n in (0, 1, 1234)] == ['0 seeds', '1 seed', '1,234 seeds']


def test_intervals_have_a_level_and_a_true_minus_sign():
    assert interval_in_words((-0.5, 1.204)) == '95 % interval −0.50 to 1.20'
    assert percent_interval((0.2924, 1.0)) == '95 % interval 29 to 100 %'


@pytest.mark.parametrize(
    ('p', 'said'), [(0.00123, 'p = 0.0012'), (0.5, 'p = 0.5'), (0.00009, 'p < 0.0001')]
)
def test_p_values_have_two_digits(p, said):
    assert p_in_words(p) == said


def test_a_sample_lies_beside_a_margin_with_its_whole_interval():
    """Of 1 and 2, Student's interval is 1.5 ± 12.7 · 0.5; of 1, 1.1 and 1.2 it is 1.1 ± 0.25."""
    assert beside([1.0, 1.1, 1.2], 0.8, 'above', 'below') == 'above'
    assert beside([1.0, 1.1, 1.2], 1.4, 'above', 'below') == 'below'
    assert beside([1.0, 1.1, 1.2], 0.9, 'above', 'below') == 'inconclusive'
    assert beside([1.0, 2.0], 0.8, 'above', 'below') == 'inconclusive'
    for without_interval in ([1.0], [1.0, 1.0], []):
        assert beside(without_interval, 0.8, 'above', 'below') == 'inconclusive'


def test_a_verdict_in_short_is_told_word_by_word():
    told = {'plain, batch norm': 'degrades', 'resnet': 'does not degrade', 'vgg': 'degrades'}
    assert by_word(told) == {'degrades': 'plain, batch norm; vgg', 'does not degrade': 'resnet'}
