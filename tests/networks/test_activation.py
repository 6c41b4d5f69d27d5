"""The closed form against sampling, and the papers' limits."""

import jax.numpy as jnp
import numpy as np
import pytest

from vggres.networks import activation, blocks, grammar
from vggres.networks.activation import (
    ActivationSpec,
    composed_c_map,
    local_c_map,
    tailored_slope,
)


def correlated(cosine, count=2_000_000):
    """Two normal numbers of variance 1 with a correlation, sampled."""
    rng = np.random.default_rng(0)
    u, other = rng.normal(size=(2, count))
    return u, cosine * u + np.sqrt(1 - cosine**2) * other


@pytest.mark.parametrize('slope', [0.0, 0.3, 0.8])
@pytest.mark.parametrize('cosine', [-0.6, 0.0, 0.7])
def test_the_local_map_is_the_cosine_of_sampled_features(cosine, slope):
    features = [np.where(x > 0, x, slope * x) for x in correlated(cosine)]
    found = np.mean(features[0] * features[1]) / np.mean(features[0] ** 2)
    # Products of two such numbers have a deviation of about 1, the mean one of 1/√count.
    assert local_c_map(cosine, slope) == pytest.approx(found, abs=5e-3)


@pytest.mark.parametrize('slope', [0.0, 0.3, 1.0])
def test_equal_images_stay_equal_and_a_linear_layer_changes_no_cosine(slope):
    assert local_c_map(1.0, slope) == 1.0
    assert local_c_map(-0.4, 1.0) == -0.4


def test_relu_maps_a_right_angle_as_cho_and_saul_have_it():
    """Two layers: c = 1/π, and then (√(1 − c²) + c (π − arccos c)) / π."""
    c = 1 / np.pi
    expected = (np.sqrt(1 - c**2) + c * (np.pi - np.arccos(c))) / np.pi
    assert composed_c_map(0.0, 0.0, 2) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('depth', [14, 20, 44, 110, 1000])
def test_the_slope_brings_a_right_angle_to_the_cosine_of_the_paper(depth):
    slope = tailored_slope(depth - 1)
    assert 0 < slope < 1
    assert composed_c_map(0.0, slope, depth - 1) == pytest.approx(0.9, abs=1e-9)


def test_deeper_networks_are_nearer_to_linear_and_shallow_ones_keep_relu():
    slopes = [tailored_slope(depth) for depth in (7, 19, 43, 109)]
    assert slopes[0] == 0.0
    assert sorted(slopes) == slopes
    assert composed_c_map(0.0, 0.0, 7) < 0.9


def test_features_of_a_wide_network_have_the_cosine_of_the_closed_form():
    """Twelve dense layers of normal weights of variance 1/(fan in), two images at a right angle."""
    rng = np.random.default_rng(0)
    width, num_layers = 2000, 13
    tailored = ActivationSpec('tailored_relu', tailored_slope(num_layers))
    x = np.zeros((2, width))
    x[0, ::2] = x[1, 1::2] = np.sqrt(2)
    for _ in range(num_layers):
        weights = rng.normal(size=(width, width)) / np.sqrt(width)
        x = np.asarray(blocks.activate(jnp.asarray(x @ weights), tailored))
    squares = np.mean(np.square(x), axis=1)
    np.testing.assert_allclose(squares, 1, atol=0.4)  # what the factor is for
    assert x[0] @ x[1] / width / np.sqrt(np.prod(squares)) == pytest.approx(0.9, abs=0.03)


def test_each_activation_of_an_array():
    x = np.array([-2.0, -0.5, 0.0, 3.0], np.float32)
    expected = {
        ActivationSpec('relu'): [0, 0, 0, 3],
        ActivationSpec('tanh'): np.tanh(x),
        # √(2 / (1 + 1/4)) = 1.2649
        ActivationSpec('tailored_relu', 0.5): 1.2649111 * np.array([-1, -0.25, 0, 3]),
    }
    for spec, values in expected.items():
        np.testing.assert_allclose(blocks.activate(jnp.asarray(x), spec), values, rtol=1e-6)


def test_every_block_of_a_network_has_the_slope_of_its_depth():
    described = grammar.network_spec('plain', 44, activation='tailored_relu')
    found = {block.activation for stage in described.stages for block in stage.blocks}
    assert found == {ActivationSpec('tailored_relu', tailored_slope(43))}
    assert described.activation == activation.activation('tailored_relu', 44)
    assert grammar.network_spec('plain', 44).activation == ActivationSpec('relu')
