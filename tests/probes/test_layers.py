"""Probes against jax.grad taken directly, sums by hand, and what an update really does."""

import functools
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vggres.networks import grammar, spec
from vggres.networks.blocks import Block
from vggres.networks.network import Network
from vggres.probes import layers, quantities
from vggres.training.train_step import TrainState, init_state

NETWORKS = {
    'resnet': ('resnet', 14, {'shortcut': 'B'}),
    'plain': ('plain', 14, {}),
    'no norm': ('resnet', 14, {'norm': 'none'}),
    'vgg': ('vgg', 11, {'vgg_stages': 3}),
    'preactivation, gated': ('resnet', 14, {'preactivation': True, 'gate': 'exclusive'}),
}
SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)
SGD = optax.chain(optax.add_decayed_weights(0.01), optax.sgd(0.1, momentum=0.9))


def rms(x):
    return np.sqrt(np.mean(np.asarray(x, np.float64) ** 2))


def batch(size=8):
    images = jax.random.normal(jax.random.key(1), (4, size, size, 1))
    return images, jnp.arange(4), jax.random.key(2)


@functools.cache
def observed(name, remat=False):
    """A network, its state, and what is observed of it by name."""
    family, depth, options = NETWORKS[name]
    described = grammar.network_spec(family, depth, width=4, **options)
    network = Network(described, 10, remat=remat)
    state = init_state(jax.random.key(0), network, SGD, (8, 8, 1))
    found = jax.jit(partial(layers.observe, network=network, optimizer=SGD))(state, *batch())
    names = spec.observable_names(described)
    return network, state, layers.by_name(found, described, names)


def loss(network, params, state):
    images, labels, _ = batch()
    variables = {'params': params, 'batch_stats': state.batch_stats}
    logits, _ = network.apply(variables, images, train=True, mutable=['batch_stats'])
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def at(tree, described, name):
    path, index = spec.place(described, name)
    for key in path:
        tree = tree[key]
    return tree if index is None else jax.tree.map(lambda leaf: leaf[index], tree)


CASES = [name if name == 'resnet' else SLOW(name) for name in NETWORKS]


@pytest.mark.slow
@pytest.mark.parametrize('name', NETWORKS)
def test_weight_gradients_and_updates_are_those_of_jax_grad(name):
    network, state, found = observed(name)
    gradients = jax.jit(jax.grad(partial(loss, network)))(state.params, state)
    names = [n for n in spec.observable_names(network.spec) if n in found['weight_gradient']]
    assert len(names) >= network.spec.depth
    for layer in names:
        gradient, kernel = (at(t, network.spec, layer)['kernel'] for t in (gradients, state.params))
        assert found['weight_gradient'][layer] == pytest.approx(rms(gradient), rel=1e-4)
        # The first update: momentum is zero, weight decay 0.01, learning rate 0.1.
        ratio = 0.1 * rms(gradient + 0.01 * kernel) / rms(kernel)
        assert found['update_ratio'][layer] == pytest.approx(ratio, rel=1e-4)


@pytest.mark.slow
def test_a_profile_is_measured_below_the_smallest_float32():
    """Without norm and bias, a factor of the head's kernel is a factor of all gradients behind it.

    The other kernels are halved three times, so that the logits hardly leave zero and the gradient
    shrinks by three bits a layer. Behind a head with a factor of 2⁻¹⁰⁰ it ends below 2⁻¹⁴⁹.
    """
    described = grammar.network_spec('plain', 20, norm='none', width=4)
    network = Network(described, 10)
    observe = jax.jit(partial(layers.observe, network=network, optimizer=SGD))
    state = init_state(jax.random.key(0), network, SGD, (8, 8, 1))
    params = jax.tree.map(lambda leaf: leaf / 8, state.params)
    found = []
    for exponent in (0, -100):
        head = jax.tree.map(partial(jnp.multiply, 2.0**exponent), params['head'])
        given = state.replace(params=params | {'head': head})
        names = [n for n in spec.observable_names(described) if n != 'head']
        found.append(layers.by_name(observe(given, *batch()), described, names))
    for quantity in ('input_gradient', 'weight_gradient'):
        expected = {name: value * 2.0**-100 for name, value in found[0][quantity].items()}
        assert found[1][quantity] == pytest.approx(expected, rel=1e-4, abs=0)
    assert 0 < found[1]['input_gradient']['stage1/block1'] < 2.0**-149
    # What an update does is not scaled: weight decay alone is left, 0.1 · 0.01.
    assert found[1]['update_ratio']['stage1/block1/conv1'] == pytest.approx(0.001, rel=1e-4)


@pytest.mark.parametrize('name', CASES)
def test_block_inputs_and_their_gradients_are_those_of_an_unrolled_loop(name):
    network, state, found = observed(name)
    images, labels, _ = batch()
    blocks = [
        (name, block, stage.pool and j == len(stage.blocks))
        for i, stage in enumerate(network.spec.stages, start=1)
        for j, block in enumerate(stage.blocks, start=1)
        for name in [f'stage{i}/block{j}']
    ]

    def run(x, first):
        """The loss from the input of block `first` on, and the inputs of all blocks from there."""
        inputs = []
        for block_name, block, pools in blocks[first:]:
            inputs.append(x)
            variables = {
                collection: at(getattr(state, collection), network.spec, block_name)
                for collection in ('params', 'batch_stats')
                if getattr(state, collection)
            }
            x, _ = Block(block).apply(variables, x, train=True, mutable=['batch_stats'])
            x = nn.max_pool(x, (2, 2), (2, 2)) if pools else x
        if network.spec.head.norm:
            mean, variance = (f(x, (0, 1, 2), keepdims=True) for f in (jnp.mean, jnp.var))
            x = nn.relu((x - mean) / jnp.sqrt(variance + 1e-5))
        head = state.params['head']
        logits = x.mean((1, 2)) @ head['kernel'] + head['bias'][None]
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), inputs

    x = images
    if network.spec.stem:
        variables = {'params': state.params, 'batch_stats': state.batch_stats}
        _, taken = network.apply(
            variables,
            images,
            train=True,
            mutable=['batch_stats', 'intermediates'],
            capture_intermediates=lambda module, _: module.name in ('stem', 'stem_norm'),
        )
        kept = taken['intermediates']
        x = nn.relu(kept['stem_norm' if network.spec.stem.norm else 'stem']['__call__'][0])
        x = kept['stem']['__call__'][0] if not network.spec.stem.activation else x
    inputs = jax.jit(partial(run, first=0))(x)[1]
    for first, (block_name, _, _) in enumerate(blocks):
        assert found['activation'][block_name] == pytest.approx(rms(inputs[first]), rel=1e-4)
        if first in (0, 1, len(blocks) - 1):
            gradient = jax.jit(jax.grad(lambda x, first=first: run(x, first)[0]))(inputs[first])
            assert found['input_gradient'][block_name] == pytest.approx(rms(gradient), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('family', 'depth', 'options'),
    [
        ('resnet', 8, {'shortcut': 'B', 'gate': 'exclusive', 'shortcut_dropout': 0.5}),
        ('resnet', 11, {'block': 'bottleneck', 'preactivation': True, 'shortcut': 'C'}),
    ],
)
def test_every_layer_sees_the_gradient_of_a_shift_of_its_input(family, depth, options):
    # One block a stage, so that nothing is scanned and a shift may be any array.
    described = grammar.network_spec(family, depth, width=4, **options)
    network = Network(described, 10)
    state = init_state(jax.random.key(0), network, SGD, (8, 8, 1))
    images, labels, key = batch()
    names = spec.observable_names(described)
    observe = partial(layers.observe, network=network, optimizer=SGD)
    found = layers.by_name(jax.jit(observe)(state, images, labels, key), described, names)

    def loss_of(shifts):
        given = {}

        def shifted(call, args, kwargs, context):
            name = '/'.join(context.module.path)
            if context.method_name != '__call__' or name not in names:
                return call(*args, **kwargs)
            given[name] = args[0]
            return call(args[0] + shifts.get(name, 0), *args[1:], **kwargs)

        variables = {'params': state.params, 'batch_stats': state.batch_stats}
        with nn.intercept_methods(shifted):
            logits, _ = network.apply(
                variables, images, train=True, rngs={'dropout': key}, mutable=['batch_stats']
            )
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return losses.mean(), given

    _, inputs = jax.jit(loss_of)({})
    assert set(inputs) == set(names)
    zeros = jax.tree.map(jnp.zeros_like, inputs)
    gradients, _ = jax.jit(jax.grad(loss_of, has_aux=True))(zeros)
    for name in names:
        assert found['activation'][name] == pytest.approx(rms(inputs[name]), rel=1e-4)
        expected = pytest.approx(rms(gradients[name]), rel=1e-3)
        assert found['input_gradient'][name] == expected


def test_two_layers_by_hand():
    class TwoLayers(nn.Module):
        @nn.compact
        def __call__(self, x, train):
            x = nn.relu(nn.Dense(2, use_bias=False, name='dense1')(x))
            return nn.Dense(2, use_bias=False, name='head')(x)

    # x = (1, 2); W = (1 0; 0 1) → h = (1, 2); V = (1 0; 0 0.5) → logits (1, 1): p = (½, ½).
    # Of label 0: dL/dlogits = (−½, ½); dL/dV = h ⊗ that = (−½ ½; −1 1); dL/dh = (−½, ¼);
    # dL/dW = x ⊗ (−½, ¼) = (−½ ¼; −1 ½); dL/dx = (−½, ¼).
    params = {
        'dense1': {'kernel': jnp.eye(2)},
        'head': {'kernel': jnp.array([[1.0, 0.0], [0.0, 0.5]])},
    }
    sgd = optax.sgd(0.2)
    state = TrainState(jnp.zeros((), jnp.int32), params, {}, sgd.init(params))
    found = layers.observe(
        state,
        jnp.array([[1.0, 2.0]]),
        jnp.array([0]),
        jax.random.key(0),
        network=TwoLayers(),
        optimizer=sgd,
    )
    expected = {
        'activation': (np.sqrt(2.5), np.sqrt(2.5)),
        'input_gradient': (np.sqrt(0.3125 / 2), np.sqrt(0.3125 / 2)),
        'weight_gradient': (np.sqrt(1.5625 / 4), np.sqrt(2.5 / 4)),
        'update_ratio': (0.2 * np.sqrt(1.5625 / 2), 0.2 * np.sqrt(2.5 / 1.25)),
    }
    described = grammar.network_spec('plain', 8)  # names without a stage are the same everywhere
    actual = layers.by_name(found, described, ('dense1', 'head'))
    for quantity, values in expected.items():
        np.testing.assert_allclose(list(actual[quantity].values()), values, rtol=1e-6)


@pytest.mark.slow
def test_without_a_shortcut_a_block_and_its_first_layer_see_the_same():
    _, _, plain = observed('plain')
    _, _, residual = observed('resnet')
    for quantity in ('activation', 'input_gradient'):
        for j in (1, 2):
            name = f'stage2/block{j}'
            assert plain[quantity][name] == plain[quantity][f'{name}/conv1']
    name = 'stage2/block2'
    assert residual['activation'][name] == residual['activation'][f'{name}/conv1']
    assert residual['input_gradient'][name] != residual['input_gradient'][f'{name}/conv1']


@pytest.mark.slow
def test_blocks_computed_again_are_observed_alike():
    _, _, kept = observed('resnet')
    _, _, again = observed('resnet', remat=True)
    assert set(kept) == set(quantities.names(jacobians=False))
    for quantity in kept:
        assert again[quantity] == pytest.approx(kept[quantity], rel=1e-4)


@pytest.mark.parametrize('scale', [1e-36, 1.0, 1e37])
def test_no_square_leaves_the_range_of_float32(scale):
    x = scale * jnp.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(layers.root_mean_square(x, (1,)), [scale * 12.5**0.5, 0], rtol=1e-6)
    both = float(layers.root_mean_square(x, (0, 1)))
    assert both == pytest.approx(scale * 2.5, rel=1e-6, abs=0)


def test_what_is_not_finite_stays_so():
    for value in (np.inf, np.nan):
        assert not np.isfinite(layers.root_mean_square(jnp.array([1.0, value]), (0,)))
