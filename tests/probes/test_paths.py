"""The terms of the gradient against closed forms, single paths and JAX's own gradient."""

import itertools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from random_network import random_network

from vggres.networks.network import Network
from vggres.networks.spec import (
    BlockSpec,
    ConvolutionSpec,
    HeadSpec,
    NetworkSpec,
    ShortcutSpec,
    StageSpec,
    StemSpec,
)
from vggres.probes import paths
from vggres.training.trainer import described_run

LABEL = jnp.array(1)


def terms(network, variables, image):
    found = jax.jit(paths.terms, static_argnums=0)(network, variables, image, LABEL)
    return np.asarray(found, float)


def routes(network, variables, image, taken):
    compiled = jax.jit(paths.routes, static_argnums=0)
    return np.asarray(compiled(network, variables, image, LABEL, jnp.array(taken)), float)


def gradient(network, variables, image):
    """The gradient with respect to the input of the first block, of the network as it is."""
    x = paths.first_input(network, variables, image)

    def loss(delta):
        def add(call, args, kwargs, context):
            if context.module.path == ('stage1', 'block1') and context.method_name == '__call__':
                args = (args[0] + delta[None], *args[1:])
            return call(*args, **kwargs)

        with nn.intercept_methods(add):
            logits = network.apply(variables, image[None], train=False)
        return optax.softmax_cross_entropy_with_integer_labels(logits[0], LABEL)

    return np.asarray(jax.jit(jax.grad(loss))(jnp.zeros_like(x)), float)


def linear_network(blocks, scale, epsilon):
    """Blocks x ↦ scale·x + A x at each pixel, whose ReLUs are open, and the matrix A."""
    pointwise = ConvolutionSpec(3, kernel_size=1)
    block = BlockSpec((pointwise, pointwise), ShortcutSpec('identity', scale), norm=False)
    stem = StemSpec(pointwise, norm=False, bias=False, activation=False, pool=False)
    described = NetworkSpec('resnet', stem, (StageSpec((block,) * blocks),), HeadSpec())
    network = Network(described, num_classes=3)
    image = jnp.ones((2, 2, 3))
    params = network.init(jax.random.key(0), image[None], train=False)['params']
    params = jax.tree.map(jnp.abs, params)  # with them, all numbers on the way are positive
    first, second = (np.random.default_rng(5).uniform(0, 1, (2, 3, 3)) * epsilon**0.5).astype('f4')
    stage = params['stage1']
    for name in ('block1', 'blocks'):
        for kernel, matrix in (('conv1', first), ('conv2', second)):
            shape = stage[name][kernel]['kernel'].shape
            stage[name][kernel]['kernel'] = jnp.broadcast_to(matrix, shape)
    return network, {'params': params}, image, (first @ second).T.astype(float)


@pytest.mark.parametrize('scale', [1.0, 0.5])
def test_linear_blocks_have_binomial_terms(scale):
    """The expansion of (s I + A)ⁿ: C(n, k) s^(n − k) A^k, where (A x)ᵀ = xᵀ W₁ W₂."""
    blocks = 5
    network, variables, image, a = linear_network(blocks, scale, epsilon=0.2)
    found = terms(network, variables, image)
    # What reaches the last block's output, from the head: the mean over pixels, then a matrix.
    head = np.asarray(variables['params']['head']['kernel'], float)
    x = np.asarray(paths.first_input(network, variables, image), float)
    y = x @ np.linalg.matrix_power(scale * np.eye(3) + a, blocks).T
    logits = y.mean((0, 1)) @ head + np.asarray(variables['params']['head']['bias'], float)
    softmax = np.exp(logits) / np.exp(logits).sum()
    reaching = head @ (softmax - np.eye(3)[int(LABEL)]) / 4
    for k in range(blocks + 1):
        factor = math.comb(blocks, k) * scale ** (blocks - k)
        expected = factor * np.linalg.matrix_power(a.T, k) @ reaching
        np.testing.assert_allclose(found[k], np.tile(expected, (2, 2, 1)), rtol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    'options',
    [
        {'shortcut': 'A'},
        {'shortcut': 'C', 'preactivation': True},
        pytest.param({'shortcut': 'A', 'preactivation': True}, marks=pytest.mark.slow),
        pytest.param({'shortcut': 'B'}, marks=pytest.mark.slow),
        pytest.param({'gate': 'exclusive', 'shortcut_scale': 0.7}, marks=pytest.mark.slow),
        pytest.param({'depth': 11, 'block': 'bottleneck'}, marks=pytest.mark.slow),
        {'family': 'vgg', 'depth': 8, 'vgg_stages': 3, 'vgg_shortcuts': True},
    ],
    ids=str,
)
def test_the_terms_add_up_to_the_gradient(options):
    network, variables, image = random_network(**options)
    found = terms(network, variables, image)
    expected = gradient(network, variables, image)
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(found.sum(0), expected, atol=2e-5 * np.abs(found).max())
    assert np.abs(found[1:-1]).max() > 0


@pytest.mark.parametrize('preactivation', [False, True])
def test_a_term_is_the_sum_of_its_single_paths(preactivation):
    """All 2³ paths one by one: none is counted twice, and none is missing."""
    network, variables, image = random_network(depth=8, preactivation=preactivation)
    taken = np.array(list(itertools.product([False, True], repeat=3)))
    single = routes(network, variables, image, taken)
    found = terms(network, variables, image)
    assert all(np.abs(each).max() > 1e-3 for each in found)
    for k in range(4):
        expected = single[taken.sum(1) == k].sum(0)
        np.testing.assert_allclose(found[k], expected, atol=2e-6 * np.abs(single).max())


@pytest.mark.slow
def test_a_branch_of_zero_carries_nothing():
    network, variables, image = random_network()  # six blocks, two in each stage
    for stage in ('stage1', 'stage2', 'stage3'):
        for block in ('block1', 'blocks'):
            norm = variables['params'][stage][block]['norm2']
            norm['scale'] = jnp.zeros_like(norm['scale'])
    found = terms(network, variables, image)
    assert np.abs(found[0]).max() > 1e-3
    np.testing.assert_array_equal(found[1:], 0)
    np.testing.assert_allclose(found[0], gradient(network, variables, image), rtol=1e-5)


def test_a_path_that_takes_a_closed_branch_is_zero():
    """Only the branch of the first block is open: the paths that take another one are zero."""
    network, variables, image = random_network(depth=8)
    for stage in ('stage2', 'stage3'):
        norm = variables['params'][stage]['block1']['norm2']
        norm['scale'] = jnp.zeros_like(norm['scale'])
    taken = np.array([[True, False, False], [False, True, False], [True, False, True]])
    single = np.abs(routes(network, variables, image, taken))
    assert single[0].max() > 0
    assert single[1:].max() == 0


def test_a_plain_network_has_one_path_through_all_blocks():
    network, variables, image = random_network(depth=8, family='plain')
    found = terms(network, variables, image)
    assert np.abs(found[-1]).max() > 0.01
    np.testing.assert_array_equal(found[:-1], 0)
    np.testing.assert_allclose(found[-1], gradient(network, variables, image), atol=1e-6)


def test_one_random_path_of_each_length():
    drawn = np.asarray(paths.random_routes(jax.random.key(1), 9))
    np.testing.assert_array_equal(drawn.sum(1), np.arange(10))
    # Were they not random, a path of some length would take the first branches.
    assert any((np.flatnonzero(row) != np.arange(k)).any() for k, row in enumerate(drawn))


@pytest.mark.slow
def test_the_probe_names_its_values_by_length(config, build, build_observer, data):
    config.probes.every_epochs, config.probes.also = 2, ('paths',)
    state, _, order_key = build(config).init(0)
    schedule = described_run(config, data.num_train).schedule
    found = build_observer(config).observe(state, order_key, schedule)
    for quantity in ('path_norm', 'path_share', 'path_single'):
        assert list(found[quantity]) == ['0', '1', '2', '3']
    assert sum(found['path_share'].values()) == pytest.approx(1, abs=1e-5)
    # There is one path of length 0, and one through all branches: all of their terms.
    for length in ('0', '3'):
        assert found['path_single'][length] == pytest.approx(found['path_norm'][length], rel=1e-4)
