"""Surfaces against quadratics, Li's invariance, and norms by numpy."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vggres.networks import grammar
from vggres.networks.network import Network
from vggres.probes import landscape
from vggres.training.train_step import TrainState, init_state
from vggres.training.trainer import described_run

MATRIX = np.array([[2.0, 0.5], [0.5, 1.0]])


class Quadratic(nn.Module):
    """Logits 0 and log(e^q − 1): the cross-entropy for label 0 is q = 1 + ½ wᵀ A w."""

    @nn.compact
    def __call__(self, images, train):
        weights = self.param('kernel', nn.initializers.ones, (2, 1))
        q = 1 + (weights.T @ jnp.asarray(MATRIX, jnp.float32) @ weights)[0, 0] / 2
        logits = jnp.stack([jnp.zeros(()), jnp.log(jnp.expm1(q))])
        return jnp.broadcast_to(logits[None], (len(images), 2))


def test_the_surface_of_a_quadratic_is_that_quadratic():
    weights = np.array([[1.0], [-2.0]])
    along = np.array([[1.0], [0.5]]), np.array([[0.0], [3.0]])
    state = TrainState(jnp.zeros((), int), {'kernel': jnp.asarray(weights, jnp.float32)}, {}, ())
    given = tuple({'kernel': jnp.asarray(each, jnp.float32)} for each in along)
    batch = jnp.zeros((3, 1)), jnp.zeros(3, int)
    found = landscape.surface(state, given, batch, network=Quadratic())
    expected = []
    for a in np.linspace(-1, 1, 21):
        for b in np.linspace(-1, 1, 21):
            w = weights + a * along[0] + b * along[1]
            expected.append(1 + (w.T @ MATRIX @ w)[0, 0] / 2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def trained(seed=0, depth=14):
    """A network of stacked blocks with weights and running averages of no special kind."""
    network = Network(grammar.network_spec('resnet', depth, width=4), 10)
    state = init_state(jax.random.key(seed), network, optax.sgd(0.1), (8, 8, 1))

    def moved(leaf, add):
        noise = jax.random.normal(jax.random.key(leaf.size), leaf.shape)
        return leaf + add * jnp.abs(noise)

    params = jax.tree.map(partial(moved, add=0.1), state.params)
    statistics = jax.tree.map(partial(moved, add=0.5), state.batch_stats)
    return network, state.replace(params=params, batch_stats=statistics)


def losses(network, state):
    images = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))
    batch = images, jnp.arange(2)

    @jax.jit
    def run(state):
        along = landscape.directions(jax.random.key(2), state.params)
        return landscape.surface(state, along, batch, network=network)

    return np.asarray(run(state))


@pytest.mark.slow
def test_a_factor_that_batch_norm_undoes_leaves_the_surface():
    """Li et al. 2018, §4: all kernels before a norm times 4, with what the norm remembers of them.

    Directions without filter normalisation would be four times weaker on the scaled network.
    """
    network, state = trained(depth=8)

    def scaled(path, leaf):
        is_kernel = path[-1].key == 'kernel' and path[0].key != 'head'
        return leaf * 4 if is_kernel else leaf

    params = jax.tree_util.tree_map_with_path(scaled, state.params)
    statistics = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * (4 if path[-1].key == 'mean' else 16), state.batch_stats
    )
    before = losses(network, state)
    after = losses(network, state.replace(params=params, batch_stats=statistics))
    assert before.std() > 0.05  # it is no plain
    np.testing.assert_allclose(after, before, rtol=2e-3)


@pytest.mark.slow
def test_each_filter_of_a_direction_has_the_norm_of_that_of_the_weights():
    _, state = trained()
    first, second = landscape.directions(jax.random.key(0), state.params)
    stacked = 'stage2', 'blocks', 'conv2', 'kernel'  # [blocks, 3, 3, inputs, outputs]
    single = 'stem', 'kernel'
    for path, axes in ((stacked, (1, 2, 3)), (single, (0, 1, 2)), (('head', 'kernel'), (0,))):
        weights, one, two = (
            np.asarray(pick(tree, path), np.float64) for tree in (state.params, first, second)
        )
        wanted = np.sqrt((weights**2).sum(axes))
        for drawn in (one, two):
            np.testing.assert_allclose(np.sqrt((drawn**2).sum(axes)), wanted, rtol=1e-5)
        assert abs((one * two).sum()) < 0.5 * (one**2).sum()  # two directions, and not the same
    for tree in (first, second):
        assert not np.any(tree['head']['bias'])
        assert not np.any(tree['stage2']['blocks']['norm1']['scale'])


def pick(tree, path):
    for key in path:
        tree = tree[key]
    return tree


def test_points_are_named_by_their_coordinates():
    names = [landscape.name(*point) for point in landscape.grid()]
    assert (names[0], names[1], names[220], names[-1]) == ('-1,-1', '-1,-0.9', '0,0', '1,1')
    assert len(set(names)) == 441
    assert landscape.name(-1e-17, 0.30000000000000004) == '0,0.3'


@pytest.mark.slow
def test_it_looks_after_the_last_change_of_the_rate(config, build, build_observer, data):
    config.probes.every_epochs, config.probes.also = 1, ('landscape',)
    compiled, observer = build(config), build_observer(config)
    schedule = described_run(config, data.num_train).schedule  # of ten updates; changes at 5 and 8
    state, _, order_key = compiled.init(0)
    for step in (0, 7):
        early = state.replace(step=jnp.asarray(step, jnp.int32))
        assert 'surface' not in observer.observe(early, order_key, schedule)
    late = state.replace(step=jnp.asarray(8, jnp.int32))
    found = observer.observe(late, order_key, schedule)['surface']
    assert len(found) == 441
    # The middle is the mean loss of the first 16 images in the order of the first epoch.
    take = data.in_order(order_key, 0, 8)
    network = Network(grammar.network_spec('resnet', 8, width=2), data.num_classes)
    each = []
    for step in (0, 1):
        images, labels = take(step)
        images = images.astype(jnp.float32) / 255 - data.mean[None]
        logits = network.apply(state.variables, images, train=False)
        each.append(optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean())
    assert found['0,0'] == pytest.approx(float(np.mean(each)), rel=1e-4)
    assert math.isfinite(sum(found.values()))
