"""Planted correlations give the slopes that they were planted with."""

import math

import pytest

from experiments.shattering import analysis
from experiments.shattering.analysis import FLOOR, analyse, halvings, law


def test_the_slope_of_a_geometric_fall():
    layers = (13, 12, 10, 8, 6, 4, 2)
    for slope in (0.0, 0.05, 0.3):
        assert halvings(layers, [2 ** (-slope * each) for each in layers]) == pytest.approx(slope)


def test_what_is_below_the_floor_says_nothing():
    # 2^−2 at 2 layers and 2^−4 at 4; then noise, and a large value behind it.
    assert FLOOR < 2**-4
    noisy = (0.5, -0.01, 0.012, 2**-4, 2**-2)
    assert halvings((10, 8, 6, 4, 2), noisy) == pytest.approx(1)
    # By hand, through the origin: (2 · 1 + 4 · 4) / (2² + 4²).
    assert halvings((4, 2), (2**-4, 2**-1)) == pytest.approx(18 / 20)


def test_a_correlation_lost_at_once_gives_a_lower_bound():
    assert halvings((4, 2), (0.5, 0.001)) == pytest.approx(-math.log2(FLOOR) / 2)
    assert halvings((4, 2), (0.5, -0.2)) == halvings((4, 2), (0.5, 0.0))


def test_the_laws_count_relus_and_blocks():
    # Depth 8: the stem's ReLU and two for each of three blocks.
    assert law('plain', 'none', (7, 6, 4, 2)) == (2**-7, 2**-6, 2**-4, 2**-2)
    assert law('resnet', 'none', (7, 6, 4, 2)) == pytest.approx(
        [5**3 / 8**3 / 2, 5**3 / 8**3, 5**2 / 8**2, 5 / 8]
    )
    # With norm, block b keeps (1 + 1/4b) / (1 + 1/b): 5/8, 3/4 and 13/16.
    expected = [5 / 8 * 3 / 4 * 13 / 16, 3 / 4 * 13 / 16, 13 / 16]
    assert law('resnet', 'batch', (7, 6, 4, 2)) == pytest.approx([expected[0] / 2, *expected])


def test_plain_and_residual_networks_are_compared_draw_by_draw(sweep):
    verdict = analyse(sweep)
    assert len(verdict.networks) == 16
    network = verdict.networks[0]
    assert (network.family, network.norm, network.depth) == ('plain', 'batch', 8)
    assert network.before.layers == (7, 6, 4, 2)
    assert network.before.halvings == pytest.approx((0.25, 0.26))
    assert network.after.halvings == pytest.approx((0.25,))
    assert network.before.rank == (8, 7, 5, 3)
    assert network.before.autocorrelation['0.5'] == 0.25
    assert len(verdict.differences) == 8  # norms, depths, moments
    for each in verdict.differences:
        # Seeds 0 and 1 with draws 0 and 1 add 0, 1, 1 and 2 times 0.005; after training 0 and 1.
        n, more = (4, 0.005) if each.moment == 'before training' else (2, 0.0025)
        assert (each.mean, len(each.values)) == (pytest.approx(0.25 - 0.0625 + more), n)
    by_law = next(d for d in verdict.differences if (d.norm, d.depth) == ('none', 8)).law
    # Plain: 1. Residual: log2(8/5) bits a block of two layers, and one more for the stem's ReLU.
    bits = math.log2(8 / 5)
    slope = (7 * (3 * bits + 1) + 6 * 3 * bits + 4 * 2 * bits + 2 * bits) / (49 + 36 + 16 + 4)
    assert by_law == pytest.approx(1 - slope)


def test_what_is_not_finite_or_was_not_observed_is_left_out(sweep):
    (_, _, observations), *_ = sweep.observed()
    names = list(observations[0].values['gradient_rank'])
    observations[0].values['gradient_rank'][names[0]] = None
    layers = tuple(range(len(names)))
    assert analysis.summary(observations[:1], names, layers) is None
    assert analysis.summary([], names, layers) is None
    assert analysis.summary(observations[1:2], names, layers) is not None
