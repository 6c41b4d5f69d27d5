"""Planted shares come out as they were planted, and closed forms are those of scipy and by hand."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from experiments.paths.analysis import (
    analyse,
    binomial,
    expected,
    trials,
    up_to,
)
from vggres.networks.grammar import network_spec


def test_what_was_planted(sweep):
    verdict = analyse(sweep)
    assert [(each.variant, each.when) for each in verdict.lengths][:3] == [
        ('identity', 'before training'),
        ('identity', 'after training'),
        ('identity, preactivation', 'before training'),
    ]
    for each in verdict.lengths:
        likely = 0.75 if 'shortcut' in each.variant else 0.25
        assert each.blocks == 9
        assert each.short == pytest.approx([binom.cdf(3, 9, likely)] * 2)
        assert each.half == pytest.approx([binom.cdf(4, 9, likely)] * 2)
        assert each.length == pytest.approx([9 * likely] * 2)
        assert each.share == pytest.approx(binom.pmf(range(10), 9, likely))
        assert each.single == pytest.approx(0.5 ** np.arange(10))
        assert each.failed == 0
    assert verdict.errors['identity'] == {20: 3.0}


def test_the_binomial_prediction_is_that_of_the_paper():
    # Veit et al. 2016: 5 to 17 of 54 modules are 0.45 % of all paths.
    of_paths = binomial(54)
    assert of_paths == pytest.approx([math.comb(54, k) / 2**54 for k in range(55)])
    assert 100 * of_paths[5:18].sum() == pytest.approx(0.4537, abs=5e-5)


def test_a_part_of_the_blocks_is_rounded_down():
    assert up_to([0.1, 0.2, 0.3, 0.4], 1 / 3) == pytest.approx(0.3)
    assert up_to([0.1, 0.2, 0.3, 0.4], 1 / 2) == pytest.approx(0.3)
    assert up_to(np.ones(28) / 28, 1 / 3) == pytest.approx(10 / 28)  # 9 of 27 blocks are a third


def test_independent_trials_with_different_probabilities():
    # 0.2 and 0.5 by hand: 0.8·0.5, 0.8·0.5 + 0.2·0.5, 0.2·0.5.
    assert trials([0.2, 0.5]) == pytest.approx([0.4, 0.5, 0.1])


@pytest.mark.parametrize('scale', [1.0, 0.5])
def test_random_branches(scale):
    """Two blocks in each of three stages, by hand: λ² + 1 and λ²(λ² + 1) + 1."""
    described = network_spec(family='resnet', depth=14, shortcut_scale=scale)
    first = 1 / (scale**2 + 1)
    second = 1 / (scale**2 * (scale**2 + 1) + 1)
    found = expected(described)
    assert found.sum() == pytest.approx(1)
    assert found @ np.arange(7) == pytest.approx(3 * (first + second))
    if scale == 1:
        assert (first, second) == (1 / 2, 1 / 3)
