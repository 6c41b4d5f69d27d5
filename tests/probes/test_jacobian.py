"""Norms, couplings and chains against closed forms, dense Jacobians and numpy's own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vggres.networks import grammar, spec
from vggres.networks.batch_norm import EPSILON, BatchNorm
from vggres.networks.blocks import Block
from vggres.networks.network import Network
from vggres.probes import jacobian, layers
from vggres.training.train_step import init_state

KEY = jax.random.key(5)


def largest(matrix, steps=100):
    matrix = jnp.asarray(matrix, jnp.float32)
    start = jax.random.normal(KEY, (matrix.shape[1],))
    found = jacobian.largest_singular_value(
        lambda v: matrix @ v, lambda u: u @ matrix, start, steps
    )
    return float(found)


def orthogonal(size, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def floats(found):
    return {name: float(value) for name, value in found.items()}


def test_the_largest_singular_value_of_known_matrices():
    assert largest(orthogonal(30)) == pytest.approx(1, rel=1e-5)
    values = np.geomspace(0.02, 3, 12)
    matrix = orthogonal(12, 1) @ np.diag(values) @ orthogonal(12, 2)
    assert largest(matrix) == pytest.approx(3, rel=1e-4)
    assert largest(np.diag([2.0, 1.0, 0.0, 0.5])) == pytest.approx(2, rel=1e-5)


def test_a_chain_of_linear_layers():
    # (I + εA)^L with a symmetric A: the singular values are (1 + ε a)^L of A's eigenvalues a.
    epsilon, layers = 0.1, 20
    eigenvalues = np.array([-1.0, -0.5, 0.0, 0.25, 1.0])
    basis = orthogonal(5, 3)
    step = np.eye(5) + epsilon * basis @ np.diag(eigenvalues) @ basis.T
    expected = (1 + epsilon) ** layers
    assert largest(np.linalg.matrix_power(step, layers)) == pytest.approx(expected, rel=1e-3)

    def network(x):  # the same, layer by layer
        for _ in range(layers):
            x = x @ jnp.asarray(step, jnp.float32)
        return x

    push, pull = jacobian.products(network, jnp.ones((1, 5)))
    found = jacobian.largest_singular_value(push, pull, jax.random.normal(KEY, (5,)), 5)
    assert float(found) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize('shape', [(40, 25), (25, 40)])
def test_maps_between_spaces_of_other_sizes(shape):
    matrix = np.random.default_rng(4).normal(size=shape)
    values = np.linalg.svd(matrix, compute_uv=False)
    assert largest(matrix) == pytest.approx(values[0], rel=1e-4)


def test_few_steps_give_a_lower_bound():
    matrix = np.random.default_rng(6).normal(size=(200, 200))
    values = np.linalg.svd(matrix, compute_uv=False)
    for steps in (3, 24):
        assert largest(matrix, steps) <= values[0] * (1 + 1e-5)
    assert 0.97 * values[0] < largest(matrix, 24)
    assert largest(matrix, 3) < 0.97 * values[0]


def test_a_linear_map_has_the_norms_of_its_matrix():
    # Two images of 4×3 numbers, and one matrix for each of them: exact to rounding.
    matrix = np.random.default_rng(7).normal(size=(12, 12)) / 4

    def f(x):
        return (jnp.asarray(matrix, jnp.float32) @ x.ravel()).reshape(x.shape)

    found = floats(jacobian.measure(f, jnp.ones((2, 4, 3)), KEY))
    assert found['spectral_norm'] == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-4)
    assert found['mean_square_gain'] == pytest.approx(np.sum(matrix**2) / 12, rel=1e-5)
    away = np.linalg.norm(matrix - np.eye(12)) / np.sqrt(12)
    assert found['identity_distance'] == pytest.approx(away, rel=1e-5)
    assert found['relu_distance'] == found['identity_distance']  # nothing is closed


def test_a_known_mask_of_the_last_relu():
    # The branch doubles what the ReLU then lets through: D(2I), and so J − D = D.
    images = jnp.array([[1.0, -1.0, 2.0, -3.0], [1.0, 1.0, 1.0, -1.0]])  # 2 and 3 of 4 are open
    found = floats(jacobian.measure(lambda x: jax.nn.relu(2 * x), images, KEY, relu=True))
    assert found['relu_distance'] == pytest.approx(1, rel=1e-6)
    # ‖J − I‖²: 1 for each number, open or closed.
    assert found['identity_distance'] == pytest.approx(1, rel=1e-6)
    assert found['mean_square_gain'] == pytest.approx((2 * 4 + 3 * 4) / 8, rel=1e-6)
    # A branch of zero leaves the ReLU: no distance from it, and the closed part from the identity.
    found = floats(jacobian.measure(jax.nn.relu, images, KEY, relu=True))
    assert found['relu_distance'] == 0
    assert found['identity_distance'] == pytest.approx(np.sqrt(3 / 8), rel=1e-6)


def test_the_distance_from_the_relu_is_relative_to_what_is_open():
    # J = D + a D on one open number of four: ‖J − D‖ / ‖D‖ = a, where ‖J − D‖ / ‖I‖ = a / 2.
    image = jnp.array([[1.0, -1.0, -1.0, -1.0]])
    found = floats(jacobian.measure(lambda x: jax.nn.relu(1.3 * x), image, KEY, relu=True))
    assert found['relu_distance'] == pytest.approx(0.3, rel=1e-5)


def test_frozen_batch_norm_is_a_diagonal_map():
    scale, variance = np.array([1.0, -2.0, 0.5]), np.array([0.25, 4.0, 1.0])
    variables = {
        'params': {'scale': jnp.asarray(scale), 'bias': jnp.ones(3)},
        'batch_stats': {'mean': jnp.full(3, 0.7), 'var': jnp.asarray(variance)},
    }
    norm = BatchNorm(use_running_average=True)
    images = jax.random.normal(KEY, (2, 4, 4, 3))
    found = floats(jacobian.measure(lambda x: norm.apply(variables, x[None])[0], images, KEY))
    slopes = scale / np.sqrt(variance + EPSILON)
    assert found['spectral_norm'] == pytest.approx(np.abs(slopes).max(), rel=1e-5)
    assert found['mean_square_gain'] == pytest.approx(np.mean(slopes**2), rel=1e-5)
    away = np.sqrt(np.mean((slopes - 1) ** 2))
    assert found['identity_distance'] == pytest.approx(away, rel=1e-5)


def test_large_maps_are_estimated_from_random_vectors():
    # A symmetric map that mixes neighbours: J = S(I + a R)S with R a shift and S a diagonal.
    size = 20_000
    scales = np.linspace(0.5, 2, size)

    def f(x):
        return jnp.asarray(scales, jnp.float32) * (x + 0.5 * jnp.roll(x, 1))

    found = floats(jacobian.measure(f, jnp.ones((2, size)), KEY))
    square = np.mean(scales**2) * (1 + 0.5**2)
    assert found['mean_square_gain'] == pytest.approx(square, rel=0.03)
    away = np.sqrt(np.mean((scales - 1) ** 2) + np.mean((0.5 * scales) ** 2))
    assert found['identity_distance'] == pytest.approx(away, rel=0.03)
    assert 0.9 * 3 < found['spectral_norm'] <= 3  # 2 · 1.5


def test_where_the_shape_changes_nothing_is_near_the_identity():
    found = floats(jacobian.measure(lambda x: x[::2], jnp.ones((2, 4, 3)), KEY))
    assert np.isnan(found['identity_distance'])
    assert np.isnan(found['relu_distance'])
    assert found['spectral_norm'] == pytest.approx(1, rel=1e-5)


def test_a_planted_coupling_between_images():
    # y = x + a · the mean over images: J_ij = (δ_ij + a / n) I.
    n, a = 5, 0.4
    batch = jnp.ones((n, 3, 2))
    found = jacobian.coupling(lambda x: x + a * x.mean(axis=0, keepdims=True), batch, KEY)
    expected = np.sqrt(n - 1) * (a / n) / (1 + a / n)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    assert float(jacobian.coupling(jnp.tanh, batch, KEY)) == 0


def test_the_coupling_by_batch_norm_against_a_dense_jacobian():
    n, channels = 4, 2
    batch = jax.random.normal(KEY, (n, 3, 3, channels))
    norm = BatchNorm(use_running_average=False)
    variables = norm.init(KEY, batch)

    def f(x):
        return norm.apply(variables, x, mutable=('batch_stats',))[0]

    matrix = np.asarray(jax.jacrev(f)(batch)).reshape(n, -1, n, 9 * channels)
    squares = np.square(matrix).sum(axis=(1, 3))
    expected = np.sqrt((squares.sum() - np.trace(squares)) / np.trace(squares))
    measure = jax.jit(jax.vmap(partial(jacobian.coupling, f, batch)))
    found = measure(jax.random.split(KEY, 100))
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(expected, rel=0.05)


NETWORKS = {
    'resnet': ('resnet', 20, {'width': 2}),
    'plain': ('plain', 20, {'width': 2}),
    'no norm': ('resnet', 20, {'width': 2, 'norm': 'none'}),
    'preactivation': ('resnet', 20, {'width': 2, 'preactivation': True}),
    'dropout': ('resnet', 20, {'width': 2, 'dropout': 0.5}),
    'bottleneck': ('resnet', 29, {'width': 1, 'block': 'bottleneck'}),
    'vgg': ('vgg', 9, {'width': 2, 'vgg_stages': 3}),
    'vgg with shortcuts': ('vgg', 14, {'width': 2, 'vgg_stages': 3, 'vgg_shortcuts': True}),
}


def network_of(name):
    """A network, its state and a batch."""
    family, depth, options = NETWORKS[name]
    described = grammar.network_spec(family, depth, **options)
    network = Network(described, 3)
    state = jax.jit(lambda: init_state(KEY, network, optax.sgd(0.1), (8, 8, 1)))()
    images = jax.random.normal(jax.random.key(1), (6, 8, 8, 1))
    return network, state, (images, jnp.array([0, 1, 2, 0, 1, 2]), jax.random.key(2))


def block_names(described):
    return [name for name in spec.observable_names(described) if name.count('/') == 1]


@pytest.fixture(scope='module', params=NETWORKS)
def case(request):
    """A network, its state, a batch, and what is found of it."""
    network, state, batch = network_of(request.param)
    found = jax.jit(partial(jacobian.observe, network=network))(state, *batch)
    return network, state, batch, layers.by_name(found, network.spec, block_names(network.spec))


def batch_statistics(network, state, images, key):
    """The statistics of a batch, from the difference that one update makes to the averages."""
    if not state.batch_stats:
        return {}
    variables = {'params': state.params, 'batch_stats': state.batch_stats}
    _, updated = network.apply(
        variables, images, train=True, rngs={'dropout': key}, mutable=('batch_stats',)
    )
    return jax.tree.map(
        lambda new, old: (new - 0.9 * old) / 0.1, updated['batch_stats'], state.batch_stats
    )


def unrolled(network, variables, images):
    """Of each block by name itself, its variables and its input, one after the other."""
    stem, stages = network.spec.stem, network.spec.stages
    x = images
    if stem:
        # Up to the first block the network is asked itself.
        _, kept = network.apply(
            variables,
            images,
            train=False,
            mutable=('intermediates',),
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

            own = {'params': take(variables['params'])}
            if block.norm:
                own['batch_stats'] = take(variables['batch_stats'])

            yield name, block, own, x
            x = applied(block, own, x)
        if stage.pool:
            x = x.reshape(*x.shape[:1], x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max((2, 4))


@partial(jax.jit, static_argnums=0)
def applied(block, variables, x):
    return Block(block).apply(variables, x, False)


@partial(jax.jit, static_argnums=0)
def of_one_image(block, variables, image):
    return jax.jacrev(lambda image: applied(block, variables, image[None])[0])(image)


def dense(block, variables, x):
    """The Jacobians of a block at some images, `[images, outputs, inputs]`."""
    found = [np.asarray(of_one_image(block, variables, image), np.float64) for image in x]
    return np.stack(found).reshape(len(x), -1, x[0].size)


@pytest.mark.slow
def test_blocks_against_their_dense_jacobians(case):
    network, state, (images, _, key), found = case
    statistics = batch_statistics(network, state, images, key)
    variables = {'params': state.params, 'batch_stats': statistics}
    seen = []
    for name, block, own, x in unrolled(network, variables, images[: jacobian.IMAGES]):
        matrices, inputs = dense(block, own, x), x[0].size
        norms = np.linalg.norm(matrices, 2, axis=(1, 2))
        assert found['spectral_norm'][name] == pytest.approx(norms.mean(), rel=0.02)
        assert found['spectral_norm'][name] <= norms.mean() * (1 + 1e-4)
        square = np.sum(matrices**2, axis=(1, 2)).mean() / inputs
        assert found['mean_square_gain'][name] == pytest.approx(square, rel=2e-3)
        away = found['identity_distance'][name]
        if matrices.shape[1:] == (inputs, inputs):
            squares = np.sum((matrices - np.eye(inputs)) ** 2, axis=(1, 2))
            assert away == pytest.approx(np.sqrt(squares.mean() / inputs), rel=2e-3)
            is_open = np.asarray(applied(block, own, x)).reshape(len(x), -1) > 0
            if network.spec.head.activation:
                is_open = np.ones_like(is_open)
            masks = np.stack([np.diag(each) for each in is_open])
            squares = np.sum((matrices - masks) ** 2, axis=(1, 2))
            expected = np.sqrt(squares.sum() / is_open.sum())
            assert found['relu_distance'][name] == pytest.approx(expected, rel=2e-3)
        else:
            assert np.isnan(away)
        seen.append(name)
    assert seen == list(found['chain_gain'])
    coupled = np.array(list(found['image_coupling'].values()))
    has_norm = network.spec.stages[0].blocks[0].norm
    assert (coupled > 0).all() if has_norm else not coupled.any()


@pytest.mark.slow
@pytest.mark.parametrize('case', ['resnet', 'no norm', 'preactivation'], indirect=True)
def test_the_chain_against_the_product_of_dense_jacobians(case):
    network, state, (images, _, key), found = case
    statistics = batch_statistics(network, state, images, key)
    variables = {'params': state.params, 'batch_stats': statistics}
    blocks = list(unrolled(network, variables, images[: jacobian.IMAGES]))
    product = np.eye(len(dense(*blocks[-1][1:])[0]))[None]
    for name, block, own, x in reversed(blocks):
        product = product @ dense(block, own, x)
        # E of the root mean square of Jᵀ u, over that of u.
        expected = np.sqrt(np.sum(product**2) / x.size)
        assert found['chain_gain'][name] == pytest.approx(expected, rel=0.3)
    assert len(found['chain_gain']) == 9


def test_running_averages_are_used_unless_they_are_those_of_a_fresh_network():
    def averages(mean, variance):
        return {'stem_norm': {'mean': jnp.full(2, mean), 'var': jnp.full(2, variance)}}

    of_batch = averages(3.0, 5.0)
    chosen = jacobian.frozen_statistics(averages(0.0, 1.0), of_batch)
    jax.tree.map(np.testing.assert_array_equal, chosen, of_batch)
    for mean, variance in ((0.1, 1.0), (0.0, 0.9)):
        running = averages(mean, variance)
        chosen = jacobian.frozen_statistics(running, of_batch)
        jax.tree.map(np.testing.assert_array_equal, chosen, running)
    assert jacobian.frozen_statistics({}, {}) == {}


def test_every_block_image_and_step_has_a_random_key_of_its_own():
    state = jax.eval_shape(lambda: network_of('resnet')[1])

    @jax.jit
    def keys(step):
        of_blocks = jax.tree.leaves(jacobian._keys(state.params, jax.random.fold_in(KEY, step)))
        of_blocks = jnp.concatenate([key.ravel() for key in of_blocks])
        of_images = jax.vmap(lambda key: jax.random.split(key, jacobian.IMAGES))(of_blocks)
        return jax.random.key_data(jnp.concatenate([of_blocks, of_images.ravel()]))

    seen = {tuple(key) for step in range(3) for key in np.asarray(keys(step)).tolist()}
    assert len(seen) == 3 * 9 * (1 + jacobian.IMAGES)


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
        assert found['spectral_norm'][name] == pytest.approx(1, rel=1e-4)
        assert found['relu_distance'][name] == 0
        assert found['image_coupling'][name] == 0
        closed = found['identity_distance'][name] ** 2
        assert found['mean_square_gain'][name] == pytest.approx(1 - closed, rel=1e-5)
        assert 0.2 < closed < 0.8
    # Two halvings by subsampling pass a quarter of the pixels to the padded half of the channels.
    chain = found['chain_gain']
    assert chain['stage1/block1'] == pytest.approx(chain['stage1/block2'], rel=1e-5)
    assert 0 < chain['stage1/block1'] < 0.5
