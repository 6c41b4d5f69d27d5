import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vggres.networks.batch_norm import BatchNorm, normalise

SHAPE = (6, 5, 4, 3)


@pytest.fixture(scope='module')
def arrays():
    """An input away from zero, a scale and a bias, and what comes back for the output."""
    keys = jax.random.split(jax.random.key(0), 4)
    x = 2 + 3 * jax.random.normal(keys[0], SHAPE)
    scale, bias = jax.random.normal(keys[1], (3,)), jax.random.normal(keys[2], (3,))
    return x, scale, bias, jax.random.normal(keys[3], SHAPE)


def stock(x, scale, bias):
    """What `normalise` computes, by Flax: its running averages start from 0 and forget at once."""
    norm = nn.BatchNorm(use_running_average=False, momentum=0.0, epsilon=1e-5)
    zeros = {'mean': jnp.zeros(3), 'var': jnp.zeros(3)}
    variables = {'params': {'scale': scale, 'bias': bias}, 'batch_stats': zeros}
    y, updated = norm.apply(variables, x, mutable=['batch_stats'])
    return y, updated['batch_stats']['mean'], updated['batch_stats']['var']


def test_values_are_those_of_the_definition(arrays):
    x, scale, bias, _ = arrays
    y, mean, variance = normalise(x, scale, bias)
    wide = np.asarray(x, np.float64)
    expected = (wide - wide.mean((0, 1, 2))) / np.sqrt(wide.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(mean, wide.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(variance, wide.var((0, 1, 2)), rtol=1e-5)
    expected = expected * np.asarray(scale) + np.asarray(bias)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_that_flax_derives(arrays):
    *inputs, of_y = arrays
    gradients = (of_y, jnp.array([0.3, -0.7, 2.0]), jnp.array([1.5, 0.2, -0.4]))
    found = jax.vjp(normalise, *inputs)[1](gradients)
    expected = jax.vjp(stock, *inputs)[1](gradients)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5)


def test_it_can_be_derived_twice(arrays):
    x, scale, bias, of_y = arrays

    def slope(function):
        def loss(x):
            return jnp.sum(jnp.square(function(x, scale, bias)[0]) * of_y)

        return lambda x: jnp.sum(jnp.square(jax.grad(loss)(x)))

    found, expected = jax.grad(slope(normalise))(x), jax.grad(slope(stock))(x)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * jnp.abs(expected).max())


@pytest.mark.parametrize('use_running_average', [True, False])
def test_the_module_is_that_of_flax(arrays, use_running_average):
    x, scale, bias, _ = arrays
    averages = {'mean': jnp.array([1.0, 2.0, -1.0]), 'var': jnp.array([4.0, 1.0, 0.25])}
    variables = {'params': {'scale': scale, 'bias': bias}, 'batch_stats': averages}
    ours = BatchNorm(use_running_average)
    theirs = nn.BatchNorm(use_running_average, momentum=0.9, epsilon=1e-5)
    found = ours.apply(variables, x, mutable=['batch_stats'])
    expected = theirs.apply(variables, x, mutable=['batch_stats'])
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for value, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-5)


def test_initialisation_sees_no_batch(arrays):
    variables = BatchNorm(use_running_average=False).init(jax.random.key(0), arrays[0])
    np.testing.assert_array_equal(variables['params']['scale'], np.ones(3))
    np.testing.assert_array_equal(variables['params']['bias'], np.zeros(3))
    np.testing.assert_array_equal(variables['batch_stats']['mean'], np.zeros(3))
    np.testing.assert_array_equal(variables['batch_stats']['var'], np.ones(3))


def test_bfloat16_keeps_float32_statistics(arrays):
    x, scale, bias, _ = arrays
    y, mean, variance = normalise(x.astype(jnp.bfloat16), scale, bias)
    assert (y.dtype, mean.dtype, variance.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)
    np.testing.assert_allclose(y.astype(jnp.float32), normalise(x, scale, bias)[0], atol=0.05)
    gradient = jax.grad(lambda x: normalise(x, scale, bias)[0].astype(jnp.float32)[0, 0, 0, 0])
    assert gradient(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
