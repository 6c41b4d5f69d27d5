"""Closed forms against sums by hand, simulations of scalars, and the limits of the paper."""

import math

import numpy as np
import pytest

from vggres.findings.expected_response import branch_parts, largest_sum_square
from vggres.networks import grammar

LARGE = (256, 256, 3)  # images on which borders hardly count


def test_the_largest_sum_by_hand():
    """One step: E[max(0, b)²] = ½. Two: Spitzer's identity has the one term j = k = 1."""
    assert largest_sum_square(0) == 0
    assert largest_sum_square(1) == 0.5
    assert largest_sum_square(2) == pytest.approx(1 + 1 / (2 * math.pi))
    assert largest_sum_square(3) == pytest.approx(1.5 + (1 + math.sqrt(2)) / (2 * math.pi))


def test_the_largest_sum_is_what_a_relu_behind_each_addition_leaves():
    """Scalars, one by one: x ← max(0, x + b) with normal b, by chance and without a formula."""
    random, x, draws = np.random.default_rng(0), np.zeros(400_000), 400_000
    for step in range(1, 13):
        x = np.maximum(0, x + random.normal(size=draws))
        squares = x**2
        error = 5 * squares.std() / math.sqrt(draws)
        assert largest_sum_square(step) == pytest.approx(squares.mean(), abs=error)


def test_the_largest_sum_grows_like_the_number_of_steps():
    """For many steps it is |N(0, n)|, whose mean square is n."""
    assert largest_sum_square(2000) / 2000 == pytest.approx(1, abs=0.05)


def parts(depth=56, image_shape=LARGE, **options):
    return branch_parts(grammar.network_spec('resnet', depth, **options), image_shape)


def test_postactivation_with_norm_is_one_over_one_plus_the_largest_sum():
    found = parts()
    expected = [1 / (1 + largest_sum_square(block)) for block in range(1, 10)]
    assert found[:9] == pytest.approx(expected)
    # The second stage has as many old as new channels, which begin with nothing.
    shortcut = (largest_sum_square(10) + largest_sum_square(0)) / 2
    assert found[9] == pytest.approx(1 / (1 + shortcut))
    shortcut = (largest_sum_square(11) + largest_sum_square(1)) / 2
    assert found[10] == pytest.approx(1 / (1 + shortcut))
    # The third has a quarter that is as old as the network.
    shortcut = (largest_sum_square(19) + largest_sum_square(9)) / 4
    assert found[18] == pytest.approx(1 / (1 + shortcut))
    assert parts(image_shape=(8, 8, 1)) == found  # borders change nothing


def test_preactivation_with_norm_is_one_over_the_block_and_a_half():
    """De & Smith have 1/(l + 1), for a first shortcut of the energy of a branch, not half of it."""
    expected = [1 / (block + 0.5) for block in range(1, 10)]
    assert parts(preactivation=True)[:9] == pytest.approx(expected, rel=0.01)


def test_without_norm_the_part_is_the_same_in_each_block():
    assert parts(norm='none') == pytest.approx([2 / 3] * 27, rel=0.05)
    first, *others = parts(norm='none', preactivation=True)
    assert first == pytest.approx(2 / 3, rel=0.01)
    # By hand: max(0, z)² is 1 with z² = 2, and f² is 2; ρ = 1/√2, so that the second block's ReLU
    # keeps 2/4 + 4 (1/4 + (π/4 + 1/2) / 2π) of 3, which two kernels and a ReLU double.
    kept = 1 / 2 + 4 * (1 / 4 + (math.pi / 4 + 1 / 2) / (2 * math.pi))
    assert others[0] == pytest.approx(2 * kept / (2 * kept + 3), rel=0.01)
    assert others[6:] == pytest.approx([1 / 2] * 20, rel=0.06)


def test_borders_by_hand():
    """Of 2×2 pixels each window of 3×3 sees all four: 4/9 of He's energy for each convolution."""
    found = parts(depth=8, norm='none', image_shape=(2, 2, 1))
    assert found[0] == pytest.approx(2 * (4 / 9) ** 2 / (2 * (4 / 9) ** 2 + 1))
    found = parts(depth=8, preactivation=True, image_shape=(2, 2, 1))
    assert found[0] == pytest.approx((4 / 9) / (4 / 9 + 0.5))


def test_other_shortcuts_have_no_closed_form():
    for options in ({'shortcut': 'B'}, {'gate': 'exclusive'}, {'shortcut_scale': 0.5}):
        assert parts(**options) is None
    assert branch_parts(grammar.network_spec('plain', 20), LARGE) is None
