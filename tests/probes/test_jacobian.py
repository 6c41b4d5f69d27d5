"""Singular values and chains against closed forms, dense Jacobians and numpy's own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vggres.networks import grammar, spec
from vggres.networks.blocks import Block
from vggres.networks.network import Network
from vggres.probes import jacobian, layers
from vggres.training.train_step import init_state

KEY = jax.random.key(5)


def ends(matrix, steps=100):
    matrix = jnp.asarray(matrix, jnp.float32)
    start = jax.random.normal(KEY, (matrix.shape[1],))
    found = jacobian.singular_values(lambda v: matrix @ v, lambda u: u @ matrix, start, steps)
    return [float(each) for each in found]


def orthogonal(size, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def test_orthogonal_maps_have_ones_alone():
    assert ends(orthogonal(30)) == pytest.approx([1, 1], rel=1e-5)


def test_known_singular_values():
    values = np.geomspace(0.02, 3, 12)
    matrix = orthogonal(12, 1) @ np.diag(values) @ orthogonal(12, 2)
    assert ends(matrix) == pytest.approx([3, 0.02], rel=1e-3)


def test_a_chain_of_linear_layers():
    # (I + εA)^L with a symmetric A: the singular values are (1 + ε a)^L of A's eigenvalues a.
    epsilon, layers = 0.1, 20
    eigenvalues = np.array([-1.0, -0.5, 0.0, 0.25, 1.0])
    basis = orthogonal(5, 3)
    step = np.eye(5) + epsilon * basis @ np.diag(eigenvalues) @ basis.T
    expected = [(1 + epsilon) ** layers, (1 - epsilon) ** layers]
    assert ends(np.linalg.matrix_power(step, layers)) == pytest.approx(expected, rel=1e-3)

    def network(x):  # the same, layer by layer
        for _ in range(layers):
            x = x @ jnp.asarray(step, jnp.float32)
        return x

    push, pull = jacobian.products(network, jnp.ones((1, 5)))
    found = jacobian.singular_values(push, pull, jax.random.normal(KEY, (5,)), 5)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_means_over_random_vectors_of_a_long_linear_layer():
    scales = jnp.linspace(0.5, 2, 20_000)
    found = jacobian.measure(lambda x: scales * x, jnp.ones(20_000), KEY)
    exact = np.asarray(scales, np.float64)
    assert float(found['mean_squared_singular_value']) == pytest.approx(np.mean(exact**2), rel=0.02)
    away = np.sqrt(np.mean((exact - 1) ** 2))
    assert float(found['distance_from_identity']) == pytest.approx(away, rel=0.02)


def test_a_null_space_is_found():
    matrix = np.diag([2.0, 1.0, 0.0, 0.5])
    largest, smallest = ends(matrix)
    assert largest == pytest.approx(2, rel=1e-5)
    assert smallest < 1e-4


@pytest.mark.parametrize('shape', [(40, 25), (25, 40)])
def test_maps_between_spaces_of_other_sizes(shape):
    matrix = np.random.default_rng(4).normal(size=shape)
    values = np.linalg.svd(matrix, compute_uv=False)
    largest, smallest = ends(matrix)
    assert largest == pytest.approx(values[0], rel=1e-4)
    if shape[0] > shape[1]:
        assert smallest == pytest.approx(values[-1], rel=1e-3)


def test_few_steps_bound_both_ends():
    matrix = np.random.default_rng(6).normal(size=(200, 200))
    values = np.linalg.svd(matrix, compute_uv=False)
    largest, smallest = ends(matrix, steps=24)
    assert 0.97 * values[0] < largest <= values[0] * (1 + 1e-5)
    assert values[-1] < smallest


def test_measures_of_a_scaled_identity():
    found = jacobian.measure(lambda x: 3 * x, jnp.ones((2, 4, 4, 3)), KEY)
    assert float(found['largest_singular_value']) == pytest.approx(3, rel=1e-5)
    assert float(found['smallest_singular_value']) == pytest.approx(3, rel=1e-5)
    assert float(found['mean_squared_singular_value']) == pytest.approx(9, rel=0.2)
    # ‖2 v‖ / ‖v‖ up to the length of the random vectors.
    ratio = found['distance_from_identity'] / jnp.sqrt(found['mean_squared_singular_value'])
    assert float(ratio) == pytest.approx(2 / 3, rel=1e-5)


def test_where_the_shape_changes_nothing_is_near_the_identity():
    found = jacobian.measure(lambda x: x[:, ::2], jnp.ones((2, 4, 3)), KEY)
    assert np.isnan(found['distance_from_identity'])
    assert float(found['largest_singular_value']) == pytest.approx(1, rel=1e-5)


NETWORKS = {
    'resnet': ('resnet', 20, {'width': 2}),
    'plain': ('plain', 20, {'width': 2}),
    'no norm': ('resnet', 20, {'width': 2, 'norm': 'none'}),
    'preactivation': ('resnet', 20, {'width': 2, 'preactivation': True}),
    'bottleneck': ('resnet', 29, {'width': 1, 'block': 'bottleneck'}),
    'vgg': ('vgg', 9, {'width': 2, 'vgg_stages': 3}),
    'vgg with shortcuts': ('vgg', 14, {'width': 2, 'vgg_stages': 3, 'vgg_shortcuts': True}),
}


@pytest.fixture(scope='module', params=NETWORKS)
def case(request):
    """A network, its state, a batch, and what is found of it."""
    family, depth, options = NETWORKS[request.param]
    described = grammar.network_spec(family, depth, **options)
    network = Network(described, 3)
    state = init_state(KEY, network, optax.sgd(0.1), (8, 8, 1))
    images = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))
    batch = images, jnp.array([0, 1, 2, 0]), jax.random.key(2)
    found = jax.jit(partial(jacobian.observe, network=network))(state, *batch)
    names = [name for name in spec.observable_names(described) if name.count('/') == 1]
    return network, state, images, layers.by_name(found, described, names)


def unrolled(network, state, images):
    """Of each block by name its function and its input, one block after the other."""
    stem, stages = network.spec.stem, network.spec.stages
    params, statistics = state.params, state.batch_stats
    x = images
    if stem:
        # Up to the first block the network is asked itself.
        _, kept = network.apply(
            {'params': params, 'batch_stats': statistics},
            images,
            train=True,
            rngs={'dropout': jax.random.key(2)},
            mutable=('batch_stats', 'intermediates'),
            capture_intermediates=lambda module, _: module.name in ('stem', 'stem_norm'),
        )
        inner = kept['intermediates']
        x = inner['stem_norm' if stem.norm else 'stem']['__call__'][0]
        x = jax.nn.relu(x) if stem.activation else x
    for i, stage in enumerate(stages, start=1):
        for j, block in enumerate(stage.blocks, start=1):
            name = f'stage{i}/block{j}'
            path, index = spec.place(network.spec, name)

            def take(tree, path=path, index=index):
                for key in path:
                    tree = tree[key]
                return tree if index is None else jax.tree.map(lambda leaf: leaf[index], tree)

            variables = {'params': take(params)}
            if block.norm:
                variables['batch_stats'] = take(statistics)

            def f(x, block=block, variables=variables):
                return Block(block).apply(
                    variables,
                    x,
                    True,
                    mutable=('batch_stats',),
                    rngs={'dropout': jax.random.key(0)},
                )[0]

            yield name, f, x
            x = f(x)
        if stage.pool:
            x = x.reshape(*x.shape[:1], x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max((2, 4))


def dense(f, x):
    jacobian = jax.jit(jax.jacrev(f))(x)
    return np.asarray(jacobian, np.float64).reshape(-1, x.size)


@pytest.mark.slow
def test_blocks_against_their_dense_jacobians(case):
    network, state, images, found = case
    seen = []
    for name, f, x in unrolled(network, state, images):
        matrix = dense(f, x)
        values = np.linalg.svd(matrix, compute_uv=False)
        assert found['largest_singular_value'][name] == pytest.approx(values[0], rel=0.02)
        least = values[-1] if len(matrix) >= x.size else 0  # J cannot be injective
        assert found['smallest_singular_value'][name] >= least - 1e-4 * values[0]
        square = np.sum(values**2) / x.size
        assert found['mean_squared_singular_value'][name] == pytest.approx(square, rel=0.25)
        away = found['distance_from_identity'][name]
        if matrix.shape == (x.size, x.size):
            expected = np.linalg.norm(matrix - np.eye(x.size)) / np.sqrt(x.size)
            assert away == pytest.approx(expected, rel=0.25)
            is_open = np.asarray(f(x)).ravel() > 0
            mask = np.eye(x.size) if network.spec.head.activation else np.diag(is_open)
            expected = np.linalg.norm(matrix - mask) / np.sqrt(x.size)
            assert found['distance_from_relu'][name] == pytest.approx(expected, rel=0.25)
        seen.append(name)
    assert seen == list(found['chain'])


@pytest.mark.slow
@pytest.mark.parametrize('case', ['resnet', 'no norm', 'preactivation'], indirect=True)
def test_the_chain_against_the_product_of_dense_jacobians(case):
    network, state, images, found = case
    blocks = list(unrolled(network, state, images))
    product = np.eye(len(dense(*blocks[-1][1:])))
    for name, f, x in reversed(blocks):
        product = product @ dense(f, x)
        # E of the root mean square of Jᵀ u, over that of u.
        expected = np.sqrt(np.sum(product**2) / x.size)
        assert found['chain'][name] == pytest.approx(expected, rel=0.3)
    assert len(found['chain']) == 9


@pytest.mark.slow
def test_blocks_that_pass_on_what_they_get():
    # Branches times zero: each block is the ReLU of what a ReLU put out. It passes on what is open
    # and closes the rest, so that J is its own ReLU's, and the identity but for that.
    described = grammar.network_spec('resnet', 14, width=4, norm='none', branch_scale=0.0)
    network = Network(described, 3)
    state = init_state(KEY, network, optax.sgd(0.1), (8, 8, 1))
    images = jax.random.normal(KEY, (2, 8, 8, 1))
    batch = images, jnp.array([0, 1]), KEY
    names = [f'stage1/block{j}' for j in (1, 2)]
    observe = jax.jit(partial(jacobian.observe, network=network))
    found = layers.by_name(observe(state, *batch), described, names)
    for name in names:
        assert found['largest_singular_value'][name] == pytest.approx(1, rel=1e-4)
        assert found['distance_from_relu'][name] == 0
        closed = found['distance_from_identity'][name] ** 2
        assert found['mean_squared_singular_value'][name] == pytest.approx(1 - closed, abs=0.05)
        assert 0.2 < closed < 0.8
    # Two halvings by subsampling pass a quarter of the pixels to the padded half of the channels.
    chain = found['chain']
    assert chain['stage1/block1'] == pytest.approx(chain['stage1/block2'], rel=1e-5)
    assert 0 < chain['stage1/block1'] < 0.5
