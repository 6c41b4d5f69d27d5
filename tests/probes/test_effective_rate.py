"""Kernels against Euler's theorem, a closed form with batch norm's ε, and real updates."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import traverse_util

from vggres.networks import batch_norm, grammar, spec
from vggres.networks.network import Network
from vggres.probes import effective_rate, layers
from vggres.training.train_step import init_state, train_step, training_loss
from vggres.training.trainer import described_run

NETWORKS = {
    'plain': ('plain', 14, {}),
    'resnet': ('resnet', 14, {'shortcut': 'B', 'gate': 'exclusive'}),
    'no norm': ('plain', 14, {'norm': 'none'}),
    'vgg': ('vgg', 11, {'vgg_stages': 3}),
    'preactivation': ('resnet', 14, {'shortcut': 'B', 'preactivation': True}),
}
SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)
CASES = [name if name == 'plain' else SLOW(name) for name in NETWORKS]
RATE = 1.0
PLAIN_SGD = optax.sgd(RATE)


def batch():
    images = jax.random.normal(jax.random.key(1), (16, 8, 8, 1))
    return images, jnp.arange(16) % 10, jax.random.key(2)


@functools.cache
def network_of(name):
    """A network, and its state: with scales, biases and averages that training has changed."""
    family, depth, options = NETWORKS[name]
    network = Network(grammar.network_spec(family, depth, width=4, **options), 10)
    state = init_state(jax.random.key(0), network, PLAIN_SGD, (8, 8, 1))
    flat = traverse_util.flatten_dict(state.params)
    rng = np.random.default_rng(3)
    for path, leaf in flat.items():
        if path[-1] in ('scale', 'bias'):
            flat[path] = leaf + 0.3 * rng.standard_normal(leaf.shape, np.float32)
    return network, state.replace(params=traverse_util.unflatten_dict(flat))


@functools.cache
def observe(name, rate=RATE):
    network, _ = network_of(name)
    return jax.jit(partial(effective_rate.observe, network=network, optimizer=optax.sgd(rate)))


def observed(name, state=None, rate=RATE):
    network, own = network_of(name)
    found = observe(name, rate)(state or own, *batch())
    return layers.by_name(found, network.spec, spec.observable_names(network.spec))


def loss(network, state, params):
    images, labels, key = batch()
    variables = {'params': params, 'batch_stats': state.batch_stats}
    found, _, updated = training_loss(network, variables, images, labels, key)
    return found, updated.get('batch_stats', {})


def at(tree, described, name):
    path, index = spec.place(described, name)
    for key in path:
        tree = tree[key]
    found = tree if index is None else jax.tree.map(lambda leaf: leaf[index], tree)
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), found)


def also_free(name):
    """The first block of this network normalises what its branch and its shortcut see."""
    return {'stem'} if name == 'preactivation' else set()


def kernel_names(described):
    kinds = ('convolution', 'dense')
    return [each.name for each in spec.layers(described, (8, 8, 1), 10) if each.kind in kinds]


@pytest.mark.parametrize(
    'name', [SLOW(name) for name in ('plain', 'resnet', 'vgg', 'preactivation')]
)
def test_the_loss_is_free_of_the_norms_of_the_named_kernels_and_of_no_others(name):
    """Each kernel is doubled by itself."""
    network, state = network_of(name)
    described, flat = network.spec, traverse_util.flatten_dict(state.params)
    value = jax.jit(lambda params: loss(network, state, params)[0])
    before, changes = float(value(state.params)), {}
    for layer in kernel_names(described):
        path, index = spec.place(described, layer)
        kernel = flat[*path, 'kernel']
        doubled = 2 * kernel if index is None else kernel.at[index].multiply(2)
        changed = traverse_util.unflatten_dict(flat | {(*path, 'kernel'): doubled})
        changes[layer] = abs(float(value(changed)) - before)
    free = effective_rate.scale_free(described)
    others = set(changes) - set(free) - also_free(name)
    assert all(changes[layer] < 1e-4 for layer in free)
    assert all(changes[layer] > 5e-4 for layer in others)
    assert len(free) >= 6
    assert 'head' in others


@pytest.mark.slow
@pytest.mark.parametrize('name', CASES)
def test_scale_free_kernels_are_orthogonal_to_their_gradient_and_the_others_are_not(name):
    """Euler's theorem; ε adds less than one part in ten thousand here."""
    network, _ = network_of(name)
    cosines = observed(name)['weight_gradient_cosine']
    assert set(cosines) == set(kernel_names(network.spec))
    free = effective_rate.scale_free(network.spec)
    assert all(abs(cosines[layer]) < 1e-4 for layer in free)
    others = set(cosines) - set(free) - also_free(name)
    assert all(abs(cosines[layer]) > 1e-3 for layer in others)
    assert bool(free) == (name != 'no norm')


@pytest.mark.slow
@pytest.mark.parametrize('name', ['plain', SLOW('resnet')])
def test_what_epsilon_adds_is_its_closed_form(name, monkeypatch):
    """⟨w, g⟩ = Σ ε / (variance + ε) · γ · ∂L/∂γ, with an ε as large as variances are."""
    monkeypatch.setattr(batch_norm, 'EPSILON', 0.5)
    observe.cache_clear()
    network, state = network_of(name)
    differentiate = jax.grad(partial(loss, network, state), has_aux=True)
    gradients, averages = jax.jit(differentiate)(state.params)
    found = observed(name)
    observe.cache_clear()
    for layer in effective_rate.scale_free(network.spec):
        stem, slash, convolution = layer.rpartition('/')
        norm = f'{convolution}_norm'
        if convolution.startswith('conv'):
            norm = convolution.replace('conv', 'norm')
        params, slopes, stats = (
            at(tree, network.spec, f'{stem}{slash}{norm}')
            for tree in (state.params, gradients, averages)
        )
        variance = (stats['var'] - 0.9) / 0.1  # the running average began at 1
        expected = np.sum(0.5 / (variance + 0.5) * params['scale'] * slopes['scale'])
        kernel, gradient = (
            at(tree, network.spec, layer)['kernel'] for tree in (state.params, gradients)
        )
        sizes = np.linalg.norm(kernel) * np.linalg.norm(gradient)
        cosine = found['weight_gradient_cosine'][layer]
        assert cosine == pytest.approx(expected / sizes, rel=1e-3, abs=1e-6)
        assert abs(cosine) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize('name', ['plain', SLOW('resnet')])
def test_plain_sgd_makes_kernels_grow_and_turn_as_predicted(name):
    """‖w‖² grows by η²‖g‖², and tan(turn) is η‖g‖/‖w‖, in three updates one after another."""
    network, state = network_of(name)
    step = jax.jit(partial(train_step, network=network, optimizer=PLAIN_SGD))
    differentiate = jax.jit(jax.grad(lambda params, state: loss(network, state, params)[0]))
    free = effective_rate.scale_free(network.spec)
    largest = 0.0
    for _ in range(3):
        found = observed(name, state)
        gradients = differentiate(state.params, state)
        after, _ = step(state, *batch())
        for layer in kernel_names(network.spec):
            old, new, gradient = (
                at(tree, network.spec, layer)['kernel']
                for tree in (state.params, after.params, gradients)
            )
            size, moved = np.linalg.norm(old), RATE * np.linalg.norm(gradient)
            assert found['weight_norm'][layer] == pytest.approx(size, rel=1e-6)
            cosine = np.sum(old * new) / np.linalg.norm(old) / np.linalg.norm(new)
            assert found['turn'][layer] == pytest.approx(np.arccos(cosine), rel=1e-3)
            if layer in free:
                growth = np.linalg.norm(new) ** 2 - size**2
                assert growth == pytest.approx(moved**2, rel=1e-2, abs=1e-5 * size**2)
                assert np.tan(found['turn'][layer]) == pytest.approx(moved / size, rel=1e-3)
                largest = max(largest, growth / size**2)
        state = after
    assert largest > 0.1  # the growth is one to speak of


@pytest.mark.slow
def test_a_kernel_turns_by_its_effective_rate_whatever_its_norm():
    """Twice the kernel at four times the rate turns alike: η/‖w‖² is the same."""
    _, state = network_of('plain')
    flat = traverse_util.flatten_dict(state.params)
    flat['stem', 'kernel'] *= 2
    doubled = state.replace(params=traverse_util.unflatten_dict(flat))
    before = observed('plain')['turn']['stem']
    after = observed('plain', doubled, 4 * RATE)['turn']['stem']
    assert after == pytest.approx(before, rel=1e-3)
    slower = observed('plain', doubled)['turn']['stem']
    assert np.tan(slower) == pytest.approx(np.tan(before) / 4, rel=1e-3)


@pytest.mark.parametrize(('angle', 'length'), [(1e-6, 1.0), (0.3, 2.0), (2.5, 0.7)])
def test_angles_are_known_to_rounding(angle, length):
    """A row of norm 5 and one that is turned by a given angle, up to beyond a right one."""
    row = np.array([3.0, 4.0])
    across = np.array([-4.0, 3.0])
    turned = length * (np.cos(angle) * row + np.sin(angle) * across)
    moves = np.float32(turned - row)
    found = effective_rate._angle(jnp.float32(row)[None], moves[None])
    np.testing.assert_allclose(found, [angle], rtol=0.2 if angle < 1e-5 else 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('fixed', [False, True])
def test_it_observes_the_update_that_comes_next(fixed, config, build, build_observer, data):
    """Momentum, weight decay and fixed norms are in the turn; the rate is that of the warm-up."""
    config.optimizer.fixed_norms, config.optimizer.weight_decay = fixed, 0.1
    config.probes.every_epochs, config.probes.also = 1, ('effective_rate',)
    compiled, observer = build(config), build_observer(config)
    schedule = described_run(config, data.num_train).schedule
    state, sums, order_key = compiled.init(0)
    first = np.linalg.norm(state.params['stem']['kernel'])
    for stop in range(1, 5):
        found = observer.observe(state, order_key, schedule)
        old = jax.device_get(state.params)
        rate = float(schedule(stop - 1))
        state, sums = compiled.train(state, sums, order_key, data, schedule, stop)
        for name in ('stem', 'head'):
            before, after = (np.ravel(tree[name]['kernel']) for tree in (old, state.params))
            size = np.linalg.norm(before)
            assert found['weight_norm'][name] == pytest.approx(size, rel=1e-5)
            cosine = np.float64(before) @ after / size / np.linalg.norm(after)
            turn = np.arccos(min(1.0, cosine))
            assert found['turn'][name] == pytest.approx(turn, rel=0.01, abs=2e-3)
        stem = np.linalg.norm(old['stem']['kernel'])
        assert found['effective_rate']['stem'] == pytest.approx(rate / stem**2, rel=1e-5)
        assert 'head' not in found['effective_rate']
        assert len(found['effective_rate']) == 7
    changed = abs(np.linalg.norm(state.params['stem']['kernel']) / first - 1)
    assert (changed < 1e-5) == fixed
    assert found['turn']['stem'] > 0.01


@pytest.mark.slow
def test_where_no_norm_stands_there_is_no_effective_rate(config, build, build_observer, data):
    config.model.norm = 'none'
    config.probes.every_epochs, config.probes.also = 1, ('effective_rate',)
    state, _, order_key = build(config).init(0)
    schedule = described_run(config, data.num_train).schedule
    found = build_observer(config).observe(state, order_key, schedule)
    assert found['effective_rate'] == {}
    assert len(found['weight_norm']) == len(found['turn']) == 8
