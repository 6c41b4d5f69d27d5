"""Lanczos against numpy, products against Hessians by hand and by jax, and the probe as a whole."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from vggres.networks import grammar
from vggres.networks.batch_norm import EPSILON, BatchNorm
from vggres.networks.blocks import Convolution
from vggres.networks.network import Network
from vggres.probes import curvature
from vggres.training import trainer
from vggres.training.train_step import TrainState, init_state
from vggres.training.trainer import described_run


def symmetric(eigenvalues, seed=0):
    """A matrix with these eigenvalues and random eigenvectors."""
    generator = np.random.default_rng(seed)
    vectors, _ = np.linalg.qr(generator.normal(size=(len(eigenvalues),) * 2))
    return vectors @ np.diag(eigenvalues) @ vectors.T


@pytest.mark.parametrize(
    ('eigenvalues', 'steps'),
    [
        (np.linspace(-1, 1, 40), 24),  # without a gap
        ([10.0, *np.linspace(-1, 1, 99)], 24),
        ([3.0, -50.0, *np.linspace(-1, 1, 99)], 24),  # the largest in size is negative
        ([-1.0, -2.0, -7.0], 3),
        ([5.0, 5.0, 1.0, 0.0], 4),  # the space is exhausted before the steps are
        ([0.0, 0.0], 2),
        ([4.0], 9),
    ],
)
def test_lanczos_finds_the_largest_eigenvalue_of_numpy(eigenvalues, steps):
    matrix = symmetric(eigenvalues)
    expected = np.linalg.eigvalsh(matrix)[-1]
    start = np.random.default_rng(1).normal(size=len(matrix))
    found = curvature.largest(lambda vector: matrix @ vector, start, steps)
    assert found.value <= expected + 1e-9
    assert found.value == pytest.approx(expected, rel=0.03, abs=1e-9)
    distances = np.abs(np.linalg.eigvalsh(matrix) - found.value)
    assert distances.min() <= found.residual + 1e-6


def test_lanczos_says_how_far_it_is():
    matrix = np.diag([3.0, 1.0])
    found = curvature.largest(lambda vector: matrix @ vector, np.array([1.0, 1.0]), steps=1)
    assert (found.value, found.residual) == (pytest.approx(2), pytest.approx(1))  # by hand


def test_a_product_that_is_not_finite_gives_no_number():
    found = curvature.largest(lambda vector: vector * np.nan, np.ones(3), steps=3)
    assert np.isnan(found.value)


def as_cross_entropy(loss):
    """Logits 0 and log(e^q − 1) with q = 1 + loss: the cross-entropy for label 0 is q."""
    return jnp.stack([jnp.zeros(()), jnp.log(jnp.expm1(1 + loss))])[None]


class Quadratic(nn.Module):
    """The loss is ½ wᵀ A w."""

    matrix: tuple

    @nn.compact
    def __call__(self, images, train):
        weights = self.param('weights', nn.initializers.ones, (len(self.matrix),))
        return as_cross_entropy(weights @ jnp.asarray(self.matrix, jnp.float32) @ weights / 2)


class TwoLayers(nn.Module):
    """A linear network of two layers; the loss is ½ (uᵀ V x − target)²."""

    target: float

    @nn.compact
    def __call__(self, images, train):
        second = self.param('second', nn.initializers.ones, (2,))
        first = self.param('first', nn.initializers.ones, (2, 3))
        return as_cross_entropy(jnp.square(second @ first @ images[0] - self.target) / 2)


def dense(network, params, images):
    """The Hessian, column by column."""
    state = TrainState(jnp.zeros((), int), params, {}, ())
    batch = jnp.asarray(images, jnp.float32), jnp.zeros(1, int), jax.random.key(0)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))

    def column(vector):
        return curvature.product(state, vector, batch, network=network)

    return np.asarray(jax.jit(lambda: jax.lax.map(column, jnp.eye(size)))(), np.float64)


def test_the_hessian_of_a_quadratic_is_its_matrix():
    eigenvalues = [4.0, 1.0, 0.5, -2.0]
    matrix = symmetric(eigenvalues)
    params = {'weights': jnp.array([0.3, -0.2, 0.5, 0.1])}
    rows = tuple(map(tuple, matrix.tolist()))
    found = dense(Quadratic(rows), params, np.zeros((1, 1)))
    np.testing.assert_allclose(found, matrix, atol=2e-5)
    start = np.random.default_rng(1).normal(size=4)
    ritz = curvature.largest(lambda vector: found @ vector, start, steps=4)
    assert ritz.value == pytest.approx(4, rel=2e-3)  # the square of the residual, by the gap


V = np.array([[1.0, -0.5, 0.2], [0.3, 0.8, -1.0]])
U = np.array([0.7, -0.4])
X = np.array([0.5, 1.0, -2.0])


@pytest.mark.parametrize('residual', [0.0, 0.6])
def test_the_hessian_of_two_linear_layers_by_hand(residual):
    """With r = uᵀ V x − t, the gradient of r is g: V x in u, and u_i x_j in V_ij.

    The Hessian of ½ r² is g gᵀ + r ∇²r, and the only second derivatives of r are x_j in u_i and
    V_ij. At a solution, r = 0, the largest eigenvalue is g·g = ‖V x‖² + ‖u‖² ‖x‖².
    """
    target = float(U @ V @ X - residual)
    params = {'first': jnp.asarray(V, jnp.float32), 'second': jnp.asarray(U, jnp.float32)}
    found = dense(TwoLayers(target), params, X[None])
    g = np.concatenate([np.outer(U, X).ravel(), V @ X])  # 'first' comes before 'second'
    expected = np.outer(g, g)
    for i in (0, 1):
        for j in (0, 1, 2):
            expected[3 * i + j, 6 + i] += residual * X[j]
            expected[6 + i, 3 * i + j] += residual * X[j]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    ritz = curvature.largest(lambda v: found @ v, np.random.default_rng(1).normal(size=8), 8)
    if not residual:
        assert ritz.value == pytest.approx(V @ X @ (V @ X) + U @ U * (X @ X), rel=1e-4)
    assert ritz.value == pytest.approx(np.linalg.eigvalsh(expected)[-1], rel=1e-3)


def plainly(call, args, kwargs, context):
    """Convolutions and norms as textbooks have them, which jax differentiates by itself."""
    module = context.module
    if context.method_name != '__call__' or not isinstance(module, Convolution | BatchNorm):
        return call(*args, **kwargs)
    (x,) = args
    if isinstance(module, Convolution):
        half = module.spec.kernel_size // 2
        y = lax.conv_general_dilated(
            x,
            module.get_variable('params', 'kernel'),
            (module.spec.stride,) * 2,
            ((half, half),) * 2,
            dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
        )
        return y + module.get_variable('params', 'bias')[None, None, None] if module.use_bias else y
    scale, bias = (module.get_variable('params', name) for name in ('scale', 'bias'))
    mean = x.mean((0, 1, 2), keepdims=True)
    deviation = jnp.sqrt(x.var((0, 1, 2), keepdims=True) + EPSILON)
    return (x - mean) / deviation * scale[None, None, None] + bias[None, None, None]


def hessian(network, state, images, labels):
    """By `jax.hessian`, forward over reverse, of convolutions and norms without our own rules."""
    flat, unravel = jax.flatten_util.ravel_pytree(state.params)

    def loss(flat):
        variables = {'params': unravel(flat), 'batch_stats': state.batch_stats}
        with nn.intercept_methods(plainly):
            logits = network.apply(variables, images, train=True)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    return np.asarray(jax.jit(jax.hessian(loss))(flat), np.float64)


def assert_like_jax(size=4, **options):
    network = Network(grammar.network_spec(**{'width': 1} | options), 3)
    state = init_state(jax.random.key(0), network, optax.sgd(0.1), (size, size, 1))
    images = jax.random.normal(jax.random.key(1), (4, size, size, 1))
    labels = jnp.arange(4) % 3
    expected = hessian(network, state, images, labels)

    @jax.jit
    def multiply(vector):
        batch = images, labels, jax.random.key(2)
        return curvature.product(state, vector, batch, network=network)

    generator = np.random.default_rng(0)
    vectors = [*generator.normal(size=(3, len(expected))), np.linalg.eigh(expected)[1][:, -1]]
    for vector in vectors:
        vector /= np.linalg.norm(vector)
        found, wanted = multiply(jnp.asarray(vector, jnp.float32)), expected @ vector
        assert np.linalg.norm(found - wanted) < 1e-3 * np.linalg.norm(wanted)


@pytest.mark.slow
@pytest.mark.parametrize(
    'options',
    [
        {'family': 'resnet', 'depth': 14},
        {'family': 'plain', 'depth': 20},
        {'family': 'plain', 'depth': 14, 'norm': 'none', 'width': 2},
        {'family': 'resnet', 'depth': 14, 'preactivation': True},
        {'family': 'vgg', 'depth': 8, 'vgg_stages': 3, 'size': 8},
    ],
    ids=str,
)
def test_products_are_those_of_a_dense_hessian(options):
    """With two or three stacked blocks in each stage, by products with four vectors."""
    assert_like_jax(**options)


@pytest.mark.slow
def test_the_probe_looks_at_the_first_two_batches(config, build, build_observer, data):
    """The largest eigenvalue of the mean of two Hessians by jax, with numpy."""
    config.probes.every_epochs, config.probes.also = 1, ('curvature',)
    compiled, observer = build(config), build_observer(config)
    schedule = described_run(config, data.num_train).schedule
    state, sums, order_key = compiled.init(0)
    network = Network(grammar.network_spec('resnet', 8, width=2), data.num_classes)
    take = data.in_order(order_key, 0, 8)
    for stop in (0, 3):
        if stop:
            state, sums = compiled.train(state, sums, order_key, data, schedule, stop)
        found = observer.observe(state, order_key, schedule)['curvature']
        both = []
        for step in (0, 1):
            images, labels = take(step)
            images = images.astype(jnp.float32) / 255 - data.mean[None]
            both.append(hessian(network, state, images, labels))
        expected = np.linalg.eigvalsh(np.mean(both, axis=0))[-1]
        assert found['largest'] == pytest.approx(expected, rel=curvature.TOLERANCE)
        assert found['largest'] <= expected * (1 + 1e-3)
        assert found['rate'] == pytest.approx(float(schedule(stop)))
        leaves = [np.ravel(leaf) for leaf in jax.tree.leaves(state.params)]
        assert found['norm'] == pytest.approx(np.linalg.norm(np.concatenate(leaves)), rel=1e-5)


@pytest.mark.slow
def test_who_is_observed_trains_as_without(config, build, build_observer, data):
    run = described_run(config, data.num_train)
    outcome, state = trainer.train(build(config), data, run, None, None)
    config.probes.every_epochs, config.probes.also = 1, ('curvature',)
    observations = []
    listeners = trainer.Listeners(on_observation=observations.append)
    again, same = trainer.train(build(config), data, run, None, build_observer(config), listeners)
    assert [each.values['curvature']['largest'] > 0 for each in observations] == [True] * 3
    assert again == outcome
    jax.tree.map(np.testing.assert_array_equal, same, state)
