"""Cosines and effective ranks against known spectra, noises and numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vggres.probes import gram


def of(rows):
    return np.asarray(gram.cosines(jnp.asarray(rows, jnp.float32)), np.float64)


def test_cosines_are_those_of_numpy_whatever_the_shape_and_the_scale():
    rows = np.random.default_rng(0).normal(size=(5, 3, 3, 2))
    flat = rows.reshape(5, -1)
    expected = np.corrcoef(np.hstack([flat, -flat]))  # of mean zero, so that these are cosines
    np.testing.assert_allclose(of(rows), expected, atol=1e-6)
    scales = np.array([1e-30, 1e-3, 1.0, 1e5, 1e30]).reshape(5, 1, 1, 1)  # squares overflow
    np.testing.assert_allclose(of(rows * scales), expected, atol=1e-6)


def test_what_is_zero_has_no_direction():
    found = of([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 1]).all()
    assert found[0, 2] == pytest.approx(0.5**0.5, rel=1e-6)
    assert np.isnan(gram.effective_rank(found))
    assert np.isnan(gram.between_images(found))


def test_the_effective_rank_of_known_spectra():
    assert gram.effective_rank(np.eye(7)) == pytest.approx(7)  # orthogonal vectors
    assert gram.effective_rank(np.ones((7, 7))) == pytest.approx(1, abs=1e-6)  # one vector
    # Two of three vectors are one: p = (2/3, 1/3), so exp(−Σ p log p) = 3 / 2^(2/3).
    twice = np.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]])
    assert gram.effective_rank(twice) == pytest.approx(3 / 2 ** (2 / 3))
    # Equal cosines c: one eigenvalue 1 + (n − 1) c and n − 1 of 1 − c.
    n, c = 4, 0.6
    shares = np.array([1 + (n - 1) * c, *[1 - c] * (n - 1)]) / n
    expected = np.exp(-np.sum(shares * np.log(shares)))
    equal = np.full((n, n), c) + (1 - c) * np.eye(n)
    assert gram.effective_rank(equal) == pytest.approx(expected)
    assert gram.effective_rank(np.stack([equal, np.eye(n)])) == pytest.approx((expected + n) / 2)
    assert np.isnan(gram.effective_rank(np.zeros((3, 3))))


def test_the_mean_between_images_leaves_out_the_diagonal():
    matrix = np.array([[1.0, 0.2, 0.4], [0.2, 1, 0.6], [0.4, 0.6, 1]])
    assert gram.between_images(matrix) == pytest.approx(0.4)
    assert np.isnan(gram.between_images(np.ones((1, 1))))


def test_white_noise_has_no_autocorrelation_and_full_rank():
    rows = np.random.default_rng(1).normal(size=(33, 20_000))
    found = of(rows)
    assert gram.at_lag(found, 0) == pytest.approx(1, abs=1e-6)
    for lag in (1, 2, 16):
        assert gram.at_lag(found, lag) == pytest.approx(0, abs=0.005)  # 1 / √(20,000 · 17) = 0.002
    assert gram.effective_rank(found) == pytest.approx(33, rel=0.002)


def test_brown_noise_has_that_of_a_random_walk():
    """A walk after s and t > s steps: the covariance is s, the variances s and t, so √(s/t)."""
    walk = np.random.default_rng(2).normal(size=(33, 50_000)).cumsum(axis=0)
    found = of(walk)
    np.testing.assert_allclose(found[3, 11], (4 / 12) ** 0.5, atol=0.01)
    for lag in (1, 4, 32):
        expected = np.mean([(s / (s + lag)) ** 0.5 for s in range(1, 34 - lag)])
        assert gram.at_lag(found, lag) == pytest.approx(expected, abs=0.005)


def test_a_constant_is_fully_correlated_and_has_rank_one():
    found = of(np.ones((33, 5)))
    assert gram.at_lag(found, 32) == pytest.approx(1, abs=1e-6)
    assert gram.effective_rank(found) == pytest.approx(1, abs=1e-3)


def test_a_tap_changes_nothing_and_delivers_the_cosines_of_the_gradient():
    x, direction = (jax.random.normal(jax.random.key(i), (3, 4)) for i in range(2))
    value, pull = jax.vjp(gram._identity, x, jnp.zeros((3, 3)))
    np.testing.assert_array_equal(value, x)
    gradient, cosines = pull(direction)
    np.testing.assert_array_equal(gradient, direction)
    np.testing.assert_allclose(cosines, of(direction), atol=1e-6)
