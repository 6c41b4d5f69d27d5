"""Responses and sizes against the modules' own outputs, a closed form of γ and β, and theory."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vggres.findings.expected_response import branch_parts
from vggres.networks import grammar, spec
from vggres.networks.network import Network
from vggres.probes import layers, response
from vggres.training.train_step import init_state
from vggres.training.trainer import described_run

CASES = {
    'resnet': ('resnet', 8, {'shortcut': 'B'}),
    'plain': ('plain', 8, {}),
    'preactivation': ('resnet', 8, {'preactivation': True}),
    'no norm': ('resnet', 8, {'norm': 'none'}),
}


def observed(
    family, depth, options, width=4, seed=0, size=8, batch=8, change=lambda params: params
):
    """A network, its state, its images, and what is observed of it by name."""
    described = grammar.network_spec(family, depth, width=width, **options)
    network = Network(described, 10)
    state = init_state(jax.random.key(seed), network, optax.sgd(0.1), (size, size, 3))
    state = state.replace(params=change(state.params))
    images = jax.random.normal(jax.random.key(1), (batch, size, size, 3))
    observe = jax.jit(partial(response.observe, network=network))
    found = observe(state, images, jnp.zeros(batch, int), jax.random.key(2))
    return (
        network,
        state,
        images,
        layers.by_name(found, described, spec.observable_names(described)),
    )


@pytest.mark.parametrize('name', CASES)
def test_responses_are_the_standard_deviations_of_the_modules_outputs(name):
    """Flax's own record of all outputs, and which module's output is meant by He's definition."""
    family, depth, options = CASES[name]
    network, state, images, found = observed(family, depth, options)
    _, updated = network.apply(
        state.variables, images, train=True, mutable=['batch_stats', 'intermediates'],
        capture_intermediates=True,
    )  # fmt: skip
    kept = updated['intermediates']
    norm = name in ('resnet', 'plain')
    expected = {}
    for layer in spec.positions(network.spec):
        if layer == 'stem' or 'conv' in layer:
            named = layer.replace('conv', 'norm') if norm else layer
            named = 'stem_norm' if named == 'stem' and norm else named
            path, index = spec.place(network.spec, named)
            output = functools.reduce(lambda tree, key: tree[key], path, kept)['__call__'][0]
            output = output if index is None else output[index]
            expected[layer] = np.std(np.asarray(output, np.float64))
    assert found['response'] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('family', ['plain', 'resnet'])
def test_a_fresh_norm_leaves_a_deviation_of_one(family):
    _, _, _, found = observed(family, 14, {})
    assert len(found['response']) == 13
    assert list(found['response'].values()) == pytest.approx([1] * 13, abs=1e-3)


def test_a_response_is_what_scale_and_bias_say():
    """Channel c has the mean β_c and the deviation γ_c: the variance is mean γ² + var β."""

    def change(params):
        scale, bias = jnp.array([1.0, 2.0, 3.0, 4.0]), jnp.array([0.0, 1.0, 0.0, -1.0])
        return params | {'stem_norm': {'scale': scale, 'bias': bias}}

    _, _, _, found = observed('resnet', 8, {}, change=change)
    # mean of 1, 4, 9, 16 is 7.5; the variance of 0, 1, 0, −1 is 0.5
    assert found['response']['stem'] == pytest.approx(np.sqrt(8.0), rel=1e-3)


def test_stacked_blocks_are_told_apart():
    def change(params):
        norm = params['stage1']['blocks']['norm1']
        scale = norm['scale'] * jnp.array([[2.0], [3.0]])
        blocks = params['stage1']['blocks'] | {'norm1': norm | {'scale': scale}}
        return params | {'stage1': params['stage1'] | {'blocks': blocks}}

    _, _, _, found = observed('resnet', 20, {}, change=change)
    names = [f'stage1/block{j}/conv1' for j in (1, 2, 3)]
    assert [found['response'][name] for name in names] == pytest.approx([1, 2, 3], rel=1e-3)


def test_branch_and_shortcut_add_up_to_what_the_block_computes():
    """A constant factor belongs to what is added; zero factors leave the other summand alone."""
    for options, zero, other in (
        ({'branch_scale': 0.0}, 'branch_size', 'shortcut_size'),
        ({'shortcut_scale': 0.0}, 'shortcut_size', 'branch_size'),
    ):
        _, _, _, found = observed('resnet', 8, options)
        assert list(found[zero].values()) == [0, 0, 0]
        assert found[other]['stage1/block1'] > 0.5
    _, _, _, whole = observed('resnet', 8, {})
    _, _, _, half = observed('resnet', 8, {'branch_scale': 0.5})
    first = 'stage1/block1'
    assert whole['branch_size'][first] == pytest.approx(1, rel=1e-3)  # behind a fresh norm
    assert half['branch_size'][first] == pytest.approx(0.5, rel=1e-3)
    assert half['shortcut_size'][first] == pytest.approx(whole['shortcut_size'][first], rel=1e-5)


def test_where_the_summands_are_not_known_there_are_none():
    assert observed('plain', 8, {})[3]['branch_size'] == {}
    assert observed('resnet', 8, {'gate': 'exclusive'})[3]['branch_size'] == {}
    assert len(observed('resnet', 8, {'gate': 'shortcut_only'})[3]['branch_size']) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    'options',
    [{}, {'preactivation': True}, {'norm': 'none'}, {'norm': 'none', 'preactivation': True}],
)
def test_wide_random_networks_have_the_parts_of_the_closed_forms(options):
    """Nine blocks, of 64, 128 and 256 channels; the mean over draws of the weights.

    The error of the mean is at most 0.014.
    """
    described = grammar.network_spec('resnet', 20, width=64, **options)
    network = Network(described, 10)
    images, labels = jax.random.normal(jax.random.key(1), (8, 16, 16, 3)), jnp.zeros(8, int)

    @jax.jit
    def observe(seed):
        state = init_state(jax.random.key(seed), network, optax.sgd(0.1), images.shape[1:])
        return response.observe(state, images, labels, jax.random.key(2), network=network)

    parts = []
    for seed in range(16):
        found = layers.by_name(observe(seed), described, spec.observable_names(described))
        branch, shortcut = (
            np.square(list(found[name].values())) for name in ('branch_size', 'shortcut_size')
        )
        parts.append(branch / (branch + shortcut))
    expected = branch_parts(described, images.shape[1:])
    assert np.mean(parts, axis=0) == pytest.approx(expected, abs=0.04)


def test_no_square_leaves_the_range_of_float32():
    x = jnp.array([1e30, -1e30, 3e30, -3e30])
    assert float(response.standard_deviation(x)) == pytest.approx(np.sqrt(5) * 1e30, rel=1e-5)


def test_the_mean_does_not_count():
    x = jnp.array([[100.0, 101.0], [102.0, 103.0]])
    assert float(response.standard_deviation(x)) == pytest.approx(np.sqrt(1.25), rel=1e-5)


@pytest.mark.slow
def test_the_observer_measures_it_when_it_is_asked_for(config, build, build_observer, data):
    config.probes.every_epochs, config.probes.also = 1, ('response',)
    config.probes.names = ('stem', 'stage1/block1', 'stage1/block1/conv2')
    state, _, order_key = build(config).init(0)
    schedule = described_run(config, data.num_train).schedule
    found = build_observer(config).observe(state, order_key, schedule)
    assert list(found['response']) == ['stem', 'stage1/block1/conv2']
    assert list(found['branch_size']) == list(found['shortcut_size']) == ['stage1/block1']
    assert found['response']['stem'] == pytest.approx(1, abs=0.01)
