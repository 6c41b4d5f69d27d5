"""Interventions into single layers, on trees worked out by hand and on those of networks."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from vggres.networks.grammar import network_spec
from vggres.networks.network import Network
from vggres.training import layerwise
from vggres.training.optimizer import optimizer, some_schedule

# A stem with its norm, a stack of two blocks, and a head: four layers.
TREE = {
    'stem': {'kernel': np.float32([[3.0]])},
    'stem_norm': {'scale': np.float32([0.0]), 'bias': np.float32([4.0])},
    'stage1': {
        'blocks': {
            'conv1': {'kernel': np.float32([[[1.0, 2.0]], [[0.0, 12.0]]])},
            'norm1': {'scale': np.float32([[2.0], [5.0]]), 'bias': np.float32([[0.0], [0.0]])},
        }
    },
    'head': {'kernel': np.float32([[7.0]]), 'bias': np.float32([24.0])},
}


def updated(transform, gradients, params=None):
    found, _ = transform.update(gradients, transform.init(params or gradients), params or gradients)
    return found


def test_a_layer_and_its_norm_are_rescaled_together():
    """The norms of the four layers are 5, 3, 13 and 25, and the whole has norm 1: each has 1/2."""
    found = updated(layerwise.equal_gradients(), TREE)
    np.testing.assert_allclose(found['stem']['kernel'], [[0.3]], rtol=1e-6)
    np.testing.assert_allclose(found['stem_norm']['bias'], [0.4], rtol=1e-6)
    blocks = found['stage1']['blocks']
    np.testing.assert_allclose(blocks['conv1']['kernel'], [[[1 / 6, 1 / 3]], [[0, 6 / 13]]], 1e-6)
    np.testing.assert_allclose(blocks['norm1']['scale'], [[1 / 3], [2.5 / 13]], rtol=1e-6)
    np.testing.assert_allclose(found['head']['kernel'], [[0.14]], rtol=1e-6)
    np.testing.assert_allclose(found['head']['bias'], [0.48], rtol=1e-6)


def test_each_update_is_the_same_part_of_its_layer():
    weights = jax.tree.map(np.ones_like, TREE)  # norms √3, √4, √4 and √2
    found = updated(layerwise.relative_updates(), TREE, weights)
    np.testing.assert_allclose(found['stem']['kernel'], [[0.6 * 3**0.5]], rtol=1e-6)
    np.testing.assert_allclose(found['stem_norm']['bias'], [0.8 * 3**0.5], rtol=1e-6)
    blocks = found['stage1']['blocks']
    np.testing.assert_allclose(blocks['conv1']['kernel'], [[[2 / 3, 4 / 3]], [[0, 24 / 13]]], 1e-6)
    np.testing.assert_allclose(found['head']['bias'], [0.96 * 2**0.5], rtol=1e-6)


def test_a_gradient_of_zero_stays_zero_and_one_near_the_smallest_float_keeps_its_direction():
    tree = {'stem': {'kernel': np.zeros((2, 2), np.float32)}}
    tree['head'] = {'kernel': np.float32([[3e-37, 4e-37]])}
    found = updated(layerwise.equal_gradients(), tree)
    np.testing.assert_array_equal(found['stem']['kernel'], 0)
    np.testing.assert_allclose(found['head']['kernel'] * 2**0.5, [[0.6, 0.8]], rtol=1e-6)


def network_params(family='resnet', depth=14, **options):
    spec = network_spec(family, depth, width=2, **options)
    network = Network(spec, num_classes=3)
    images = jnp.zeros((1, 8, 8, 1))
    return spec, jax.jit(lambda: network.init(jax.random.key(0), images, train=False))()['params']


def random_like(params, seed):
    leaves, tree = jax.tree.flatten(params)
    rng = np.random.default_rng(seed)
    drawn = [rng.standard_normal(leaf.shape, np.float32) for leaf in leaves]
    return jax.tree.unflatten(tree, drawn)


@pytest.mark.slow
@pytest.mark.parametrize('rescaling', ['relative_updates', 'equal_gradients'])
def test_a_planted_power_of_two_changes_no_bit_of_a_trajectory(rescaling, config):
    """Ten updates with momentum and weight decay, each layer's gradient off by its own factor."""
    config.optimizer.layerwise = rescaling
    spec, start = network_params()
    schedule = some_schedule(config.optimizer)
    schedule = type(schedule)(0, 0.0, 0.0, schedule.decay_steps, schedule.rates + np.float32(0.1))
    chain = optimizer(config.optimizer, schedule, spec)

    def trajectory(factors):
        params, state = start, chain.init(start)
        for step in range(10):
            gradients = jax.tree.map(jnp.multiply, random_like(params, step), factors)
            update, state = chain.update(gradients, state, params)
            params = jax.tree.map(jnp.add, params, update)
        return params

    ones = jax.tree.map(lambda leaf: np.float32(1), start)
    flat = traverse_util.flatten_dict(start)
    planted = {path: np.float32(1) for path in flat}
    for path in flat:
        if 'block1' in path and path[0] == 'stage2' and path[2] in ('conv1', 'norm1'):
            planted[path] = np.float32(2.0**-90)
        if path[0] == 'head':
            planted[path] = np.float32(2.0**60)
        if path[:2] == ('stage1', 'blocks') and path[2] in ('conv2', 'norm2'):
            planted[path] = np.float32(2.0**33)
    plain, off = trajectory(ones), trajectory(traverse_util.unflatten_dict(planted))
    jax.tree.map(np.testing.assert_array_equal, plain, off)
    assert np.abs(plain['head']['kernel'] - start['head']['kernel']).max() > 0.01


def test_without_rescaling_a_planted_factor_shows(config):
    spec, start = network_params()
    chain = optimizer(config.optimizer, lambda step: 0.1, spec)
    gradients = random_like(start, 0)
    once, _ = chain.update(gradients, chain.init(start), start)
    twice, _ = chain.update(jax.tree.map(lambda g: 2 * g, gradients), chain.init(start), start)
    assert np.abs(twice['head']['kernel'] - once['head']['kernel']).max() > 0.01


def moved(spec, params, first, last):
    """The names of the modules of which some number changes, with the block in a stack."""
    ones = jax.tree.map(jnp.ones_like, params)
    found = traverse_util.flatten_dict(
        updated(layerwise.frozen(spec, first, last), ones, params), sep='/'
    )
    names = set()
    for path, each in found.items():
        module = path.rpartition('/')[0]
        parts = each if '/blocks/' in path else [each]
        for number, part in enumerate(parts):
            assert np.ptp(part) == 0
            if np.max(part):
                names.add(module.replace('/blocks/', f'/block{number + 2}/'))
    return names


def test_the_first_and_the_last_layers_are_frozen_by_their_number():
    """A resnet of depth 14 has a stem, two blocks of two layers in each of 3 stages, and a head."""
    spec, params = network_params(shortcut='B')
    everything = moved(spec, params, 0, 0)
    assert len(everything) == 2 + 24 + 4 + 1  # with its norm: stem, 12 layers, 2 projections; head
    stem = {'stem', 'stem_norm'}
    of_first_block = {f'stage1/block1/{each}' for each in ('conv1', 'norm1', 'conv2', 'norm2')}
    second = {'stage1/block2/conv1', 'stage1/block2/norm1'}
    assert everything - moved(spec, params, 4, 0) == stem | of_first_block | second
    last = {f'stage3/block2/{each}' for each in ('conv1', 'norm1', 'conv2', 'norm2')}
    projected = {'stage3/block1/conv2', 'stage3/block1/norm2'}
    assert everything - moved(spec, params, 0, 3) == last | projected
    projection = {'stage3/block1/projection', 'stage3/block1/projection_norm'}
    fourth = {'stage3/block1/conv1', 'stage3/block1/norm1'}
    assert everything - moved(spec, params, 0, 4) == last | projected | fourth | projection
    assert moved(spec, params, 13, 0) == {'head'}


@pytest.mark.slow
def test_the_factors_of_fading_shortcuts_fall_by_the_same_amount_until_they_are_zero(config):
    """From 0.8 over four updates: 0.6, 0.4, 0.2, 0, and 0 again. Nothing else changes."""
    options = {'shortcut_fade_steps': 4, 'shortcut_scale': 0.8}
    spec, params = network_params(**options)
    chains = [
        optimizer(config.optimizer, lambda step: 0.1, each)
        for each in (spec, network_params(shortcut_scale=0.8)[0])
    ]
    states, found = [chain.init(params) for chain in chains], [params, params]
    factors = []
    for number in range(5):
        gradients = random_like(params, number)
        for k, chain in enumerate(chains):
            updates, states[k] = chain.update(gradients, states[k], found[k])
            found[k] = optax.apply_updates(found[k], updates)
        block = found[0]['stage2']['block1']
        factors.append(float(block['shortcut_scale']['scale'][0]))
    np.testing.assert_allclose(factors, [0.6, 0.4, 0.2, 0, 0], atol=1e-6)
    faded, others = (traverse_util.flatten_dict(tree) for tree in found)
    for path, leaf in faded.items():
        if 'shortcut_scale' in path:
            np.testing.assert_allclose(leaf, 0, atol=1e-6)
        else:
            np.testing.assert_array_equal(leaf, others[path])


def test_kernels_below_a_norm_keep_their_norms():
    """Each points where the plain update would have taken it; all other arrays are free."""
    _, params = network_params()
    drawn = random_like(params, 1)
    weights, plain, found = (
        traverse_util.flatten_dict(each)
        for each in (params, drawn, updated(layerwise.fixed_norms(), drawn, params))
    )
    held = list(layerwise.normed_kernels(weights))
    assert len(held) == 1 + 2 * (1 + 1) * 3  # the stem; two layers of a block and of a stack of one
    for path in weights:
        if path not in held:
            np.testing.assert_array_equal(found[path], plain[path])
            continue
        old, free, new = (
            np.reshape(each, (weights[path].shape[0] if 'blocks' in path else 1, -1))
            for each in (weights[path], weights[path] + plain[path], weights[path] + found[path])
        )
        sizes = [np.linalg.norm(each, axis=1) for each in (old, free, new)]
        np.testing.assert_allclose(sizes[2], sizes[0], rtol=1e-5)
        np.testing.assert_allclose(np.sum(free * new, 1) / sizes[1] / sizes[2], 1, rtol=1e-5)
        assert np.all(abs(sizes[1] / sizes[0] - 1) > 0.01)


def test_a_clipped_gradient_has_the_norm_that_is_asked_for(config):
    config.optimizer.clip_norm, config.optimizer.weight_decay = 0.5, 0.0
    tree = {'stem': {'kernel': np.float32([[3.0]])}, 'head': {'kernel': np.float32([[4.0]])}}
    chain = optimizer(config.optimizer, lambda step: 1.0, network_spec('plain', 8))
    found = updated(chain, tree)
    np.testing.assert_allclose(found['stem']['kernel'], [[-0.3]], rtol=1e-6)
    np.testing.assert_allclose(found['head']['kernel'], [[-0.4]], rtol=1e-6)
