"""A deepened network against the shallow one that it computes."""

import jax
import numpy as np
import pytest

from vggres.errors import UserError
from vggres.networks import deepening, grammar
from vggres.networks.deepening import Moments
from vggres.networks.network import Network


def plain(depth, **options):
    return Network(grammar.network_spec('plain', depth, width=4, **options), 3)


@pytest.fixture(scope='module')
def images():
    return np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype(np.float32)


@pytest.fixture(scope='module')
def trained(images):
    """plain-20 with scales, biases and running averages far from those of a fresh network."""
    rng = np.random.default_rng(1)
    variables = plain(20).init(jax.random.key(0), images, train=False)
    return jax.tree.map(
        lambda leaf: (
            (leaf * rng.uniform(0.5, 1.5, leaf.shape)).astype(np.float32)
            + (leaf.ndim < 3) * rng.uniform(0, 0.3, leaf.shape).astype(np.float32)
        ),
        jax.tree.map(np.asarray, variables),
    )


def some_moments():
    """Any statistics: in evaluation, a batch norm undoes whatever its running averages are."""
    rng = np.random.default_rng(2)
    draws = [rng.uniform(0.1, 2, (2, size)).astype(np.float32) for size in (4, 8, 16)]
    return [Moments(*each) for each in draws]


@pytest.mark.slow
@pytest.mark.parametrize('depth', [32, 44, 56])
def test_a_deepened_network_computes_the_same_logits(depth, trained, images):
    shallow, deep = plain(20), plain(depth)
    found = deepening.deepened(trained, shallow.spec, deep.spec, some_moments())
    shapes = jax.eval_shape(lambda: deep.init(jax.random.key(0), images, train=False))
    assert jax.tree.map(np.shape, found) == jax.tree.map(np.shape, shapes)
    logits = deep.apply(found, images, train=False)
    expected = shallow.apply(trained, images, train=False)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


def test_a_network_of_one_block_a_stage_and_one_without_norm_are_deepened(images):
    for options in ({}, {'norm': 'none'}):
        shallow, deep = plain(8, **options), plain(20, **options)
        variables = shallow.init(jax.random.key(0), images, train=False)
        variables = jax.tree.map(np.asarray, variables)
        found = deepening.deepened(variables, shallow.spec, deep.spec, some_moments())
        expected = shallow.apply(variables, images, train=False)
        logits = deep.apply(found, images, train=False)
        np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


def test_what_cannot_be_deepened_is_refused():
    spec = grammar.network_spec
    with pytest.raises(UserError, match='plain network of depth 20'):
        deepening.check(spec('plain', 20), spec('plain', 20))
    with pytest.raises(UserError, match='a resnet network of depth 20'):
        deepening.check(spec('plain', 32), spec('resnet', 20))
    with pytest.raises(UserError, match='width 8, and the deeper network 16'):
        deepening.check(spec('plain', 32), spec('plain', 20, width=8))
    for deep in (
        spec('resnet', 32),
        spec('vgg', 16),
        spec('plain', 32, preactivation=True),
        spec('plain', 29, block='bottleneck'),
    ):
        with pytest.raises(UserError, match='basic postactivation blocks'):
            deepening.check(deep)
