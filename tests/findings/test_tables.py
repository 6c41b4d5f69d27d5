"""Numbers are put as a reader expects them."""

import math

import pytest

from vggres.findings import tables


@pytest.mark.parametrize(
    ('value', 'form', 'text'),
    [
        (1.005, '+.2f', '+1.00'),
        (-1.5, '+.2f', '−1.50'),
        (-0.001, '+.2f', '+0.00'),  # there is no negative zero
        (-0.001, '.1f', '0.0'),
        (math.inf, '+.2f', '∞'),
        (None, '+.2f', '–'),
    ],
)
def test_numbers(value, form, text):
    assert tables.number(value, form) == text


@pytest.mark.parametrize(
    ('value', 'text'),
    [
        (1.5e-3, '1.5·10⁻³'),
        (-2e12, '−2.0·10¹²'),
        (9.96, '1.0·10¹'),
        (4.2, '4.2'),
        (0.0, '0'),
        (None, '–'),
    ],
)
def test_small_and_large_numbers(value, text):
    assert tables.scientific(value) == text


def test_intervals_and_p_values():
    assert tables.interval((-1.0, 2.0)) == '−1.00 to +2.00'
    assert tables.interval(None) == '–'
    assert [tables.p_value(p) for p in (0.0004, 0.001, 0.25, None)] == [
        *('< 0.001', '0.001', '0.250', '–')
    ]
