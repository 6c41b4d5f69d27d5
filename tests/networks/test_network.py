import functools
import math
import re
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

import vggres
from vggres.errors import UserError
from vggres.networks import blocks, grammar, published, spec
from vggres.networks.network import Network, Stage, average_pool
from vggres.training.compiling import compile_quickly

KEY = jax.random.key(0)
IMAGES = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))
# One network for each way in which a block, a stem or a head can differ.
STRUCTURES = {
    'plain': ('plain', 14, {}),
    'option A': ('resnet', 14, {}),
    'option B': ('resnet', 14, {'shortcut': 'B'}),
    'option C': ('resnet', 14, {'shortcut': 'C'}),
    'without norm': ('resnet', 14, {'norm': 'none', 'shortcut': 'B'}),
    'preactivation': ('resnet', 14, {'preactivation': True, 'shortcut': 'B'}),
    'plain preactivation': ('plain', 14, {'preactivation': True}),
    'bottleneck': ('resnet', 20, {'block': 'bottleneck', 'shortcut': 'B'}),
    'bottleneck preactivation': ('resnet', 20, {'block': 'bottleneck', 'preactivation': True}),
    'scaled': ('resnet', 14, {'shortcut_scale': 0.5, 'branch_scale': 0.5}),
    'learned factor': ('resnet', 14, {'norm': 'none', 'learned_branch_scale': True}),
    'exclusive gate': ('resnet', 14, {'gate': 'exclusive'}),
    'shortcut-only gate': ('resnet', 14, {'gate': 'shortcut_only'}),
    'shortcut dropout': ('resnet', 14, {'shortcut_dropout': 0.5}),
    'imagenet': ('resnet', 18, {'images': 'imagenet', 'shortcut': 'B'}),
    'vgg': ('vgg', 10, {'vgg_stages': 3}),
    'vgg without norm': ('vgg', 10, {'vgg_stages': 3, 'norm': 'none'}),
    'vgg configuration C': ('vgg', 12, {'vgg_stages': 3, 'vgg_pointwise': True}),
    'tanh': ('plain', 14, {'norm': 'none', 'activation': 'tanh'}),
    'tailored': ('plain', 32, {'norm': 'none', 'activation': 'tailored_relu'}),
    'reparameterised': ('plain', 14, {'reparameterised': True}),
    'vgg of 20 layers': ('vgg', 20, {'vgg_stages': 3}),
    'vgg of 50 layers': ('vgg', 50, {'vgg_stages': 3}),
    'vgg of 100 layers': ('vgg', 100, {'vgg_stages': 3}),
}
QUICK = {'plain', 'bottleneck preactivation', 'exclusive gate'}


def build(family, depth, width=16, dtype=jnp.float32, **options):
    return Network(grammar.network_spec(family, depth, width=width, **options), 10, dtype)


@functools.lru_cache
def initialised(network):
    return jax.jit(lambda: network.init(KEY, IMAGES, train=False))()


def evaluated(network, variables):
    return jax.jit(lambda v: network.apply(v, IMAGES, train=False))(variables)


def shapes(network, image_shape=(32, 32, 3)):
    """The variables without a number in them: nothing is allocated."""
    return jax.eval_shape(lambda: network.init(KEY, jnp.zeros((1, *image_shape)), train=False))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def main_path_kernels(params):
    """Kernels of convolutions and dense layers; each entry of a stack is one."""
    found = 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        *modules, name = [key.key for key in path]
        if name == 'kernel' and not modules[-1].startswith(('projection', 'gate', 'pointwise')):
            found += leaf.shape[0] if 'blocks' in modules else 1
    return found


@pytest.mark.parametrize('name', published.VARIANTS)
def test_flax_has_the_layers_that_the_description_says(name):
    variant = published.variant(name)
    network = vggres.create(name, variant.num_classes)
    variables = shapes(network, (64, 64, 3))
    layers = list(spec.layers(network.spec, (64, 64, 3), variant.num_classes))
    assert count(variables['params']) == sum(layer.parameters for layer in layers)
    assert main_path_kernels(variables['params']) == network.spec.depth
    for layer in layers:
        path, index = spec.place(network.spec, layer.name)
        leaves = functools.reduce(lambda tree, key: tree[key], path, variables['params'])
        shape = leaves['scale' if layer.kind == 'norm' else 'kernel'].shape
        assert (shape if index is None else shape[1:]) == layer.shape
        assert ('bias' in leaves) == layer.bias


@pytest.mark.parametrize(
    ('family', 'depth', 'options'),
    [
        *[('resnet', depth, {}) for depth in (8, 14, 62, 104)],
        *[('plain', depth, {'block': 'bottleneck'}) for depth in (11, 29, 164)],
        *[('vgg', depth, {}) for depth in (8, 9, 20, 33, 50, 100)],
        *[('vgg', depth, {'images': 'imagenet'}) for depth in (10, 12, 20, 50, 100)],
    ],
)
def test_weighted_layers_are_the_depth_at_arbitrary_depths(family, depth, options):
    params = shapes(build(family, depth, width=4, **options))['params']
    assert main_path_kernels(params) == depth


def projecting(name, **options):
    params = shapes(vggres.create(name, 10, **options))['params']
    found = set()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        names = [key.key for key in path]
        if names[-2:] == ['projection', 'kernel']:
            numbers = range(2, leaf.shape[0] + 2) if names[1] == 'blocks' else [1]
            found |= {f'{names[0]}/block{j}' for j in numbers}
    return found


CHANGING = {f'stage{i}/block1' for i in (1, 2, 3, 4)}


@pytest.mark.parametrize(
    ('name', 'options', 'expected'),
    [
        ('resnet18', {}, CHANGING - {'stage1/block1'}),
        ('resnet34', {}, CHANGING - {'stage1/block1'}),
        ('resnet50', {}, CHANGING),
        ('resnet101', {}, CHANGING),
        ('resnet152', {}, CHANGING),
        ('resnet50', {'stride_placement': 'he'}, CHANGING),
        ('resnet18', {'shortcut': 'A'}, set()),
        ('plain18', {}, set()),
        (
            'resnet18',
            {'shortcut': 'C'},
            {f'stage{i}/block{j}' for i in (1, 2, 3, 4) for j in (1, 2)},
        ),
        ('cifar_resnet20', {}, set()),
        ('cifar_resnet56', {'shortcut': 'B'}, {'stage2/block1', 'stage3/block1'}),
        ('cifar_preresnet164', {}, CHANGING - {'stage4/block1'}),
    ],
)
def test_which_blocks_project(name, options, expected):
    assert projecting(name, **options) == expected


@pytest.mark.parametrize(
    ('depth', 'options'),
    [
        (14, {}),
        pytest.param(14, {'preactivation': True}, marks=pytest.mark.slow),
        pytest.param(14, {'norm': 'none'}, marks=pytest.mark.slow),
        pytest.param(11, {'block': 'bottleneck'}, marks=pytest.mark.slow),
        (11, {'block': 'bottleneck', 'preactivation': True}),
    ],
    ids=str,
)
def test_plain_is_the_residual_network_with_its_shortcut_times_zero(depth, options):
    options = options | {'width': 4}
    plain, residual = build('plain', depth, **options), build('resnet', depth, **options)
    without = build('resnet', depth, shortcut_scale=0.0, **options)
    variables = initialised(plain)
    jax.tree.map(np.testing.assert_array_equal, variables, initialised(residual))
    logits = evaluated(plain, variables)
    assert np.abs(evaluated(residual, variables) - logits).max() > 0.1
    np.testing.assert_array_equal(evaluated(without, variables), logits)


def block_outputs(network, variables):
    """The features of the stem, before its norm, and the outputs of all blocks, in order."""
    _, captured = network.apply(
        variables, IMAGES, train=False, capture_intermediates=True, mutable=['intermediates']
    )
    found = captured['intermediates']
    blocks_of = [
        found[f'stage{i}'][f'block{j}']['__call__'][0]
        for i, stage in enumerate(network.spec.stages, start=1)
        for j in range(1, len(stage.blocks) + 1)
    ]
    return np.maximum(found['stem']['__call__'][0], 0), blocks_of


@pytest.mark.slow
@pytest.mark.parametrize('norm', ['none', 'batch'])
def test_with_factors_of_zero_each_block_passes_the_features_of_the_stem_on(norm):
    """They are those behind the ReLU of the stem, subsampled and padded between the stages."""
    options = {'branch_scale': 0.0, 'learned_branch_scale': True, 'width': 4, 'norm': norm}
    network = build('resnet', 8, **options)
    variables = initialised(network)
    features, found = block_outputs(network, variables)
    features = features if norm == 'none' else features / np.sqrt(1 + 1e-5)
    padded = np.pad(features[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (2, 2)))
    twice = np.pad(padded[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (4, 4)))
    assert features.max() > 0.1
    for output, expected in zip(found, (features, padded, twice), strict=True):
        np.testing.assert_allclose(output, expected, rtol=1e-6)
    head = jax.tree.map(np.asarray, variables['params']['head'])
    logits = twice.mean((1, 2)) @ head['kernel'] + head['bias']
    np.testing.assert_allclose(evaluated(network, variables), logits, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_learned_factor_is_a_constant_one_that_has_a_gradient():
    """Each block has one of its own; the gradient is the difference quotient of the logits."""
    options = {'branch_scale': 0.3, 'width': 4, 'norm': 'none'}
    constant = build('resnet', 14, **options)
    learned = build('resnet', 14, learned_branch_scale=True, **options)
    variables = initialised(learned)
    logits = evaluated(constant, initialised(constant))
    np.testing.assert_allclose(evaluated(learned, variables), logits, rtol=1e-5, atol=1e-6)
    params = variables['params']
    factors = params['stage2']['blocks']['branch_scale']['scale']
    np.testing.assert_allclose(factors, np.full((1, 1), 0.3), rtol=1e-6)

    def total(params):
        return jnp.sum(jnp.sin(learned.apply({'params': params}, IMAGES, train=False)))

    gradient = jax.grad(total)(params)['stage3']['block1']['branch_scale']['scale']
    sides = []
    for step in (0.01, -0.01):
        moved = jax.tree.map(jnp.copy, params)
        moved['stage3']['block1']['branch_scale']['scale'] += step
        sides.append(total(moved))
    np.testing.assert_allclose(gradient, [(sides[0] - sides[1]) / 0.02], rtol=2e-2)


@pytest.mark.slow
def test_a_shortcut_that_has_faded_leaves_the_plain_network():
    options = {'width': 4, 'shortcut_scale': 0.8, 'shortcut_fade_steps': 10}
    plain, fading = build('plain', 14, width=4), build('resnet', 14, **options)
    full = build('resnet', 14, width=4, shortcut_scale=0.8)
    variables = initialised(fading)
    start = evaluated(full, initialised(full))
    np.testing.assert_allclose(evaluated(fading, variables), start, rtol=1e-5, atol=1e-6)

    def with_factor(path, leaf):
        return leaf * 0 if 'shortcut_scale' in [key.key for key in path] else leaf

    faded = jax.tree_util.tree_map_with_path(with_factor, variables)
    np.testing.assert_array_equal(evaluated(fading, faded), evaluated(plain, initialised(plain)))

    def total(params):
        return jnp.sum(fading.apply(variables | {'params': params}, IMAGES, train=False))

    gradient = jax.jit(jax.grad(total))(variables['params'])['stage2']
    np.testing.assert_array_equal(gradient['blocks']['shortcut_scale']['scale'], 0)
    assert np.abs(gradient['blocks']['conv1']['kernel']).max() > 0


def test_option_a_subsamples_and_pads_with_zero_channels():
    x = jax.random.normal(KEY, (2, 5, 4, 3))
    y = np.asarray(blocks.pad_shortcut(x, channels=7, stride=2))
    assert y.shape == (2, 3, 2, 7)
    np.testing.assert_array_equal(y[..., 2:5], np.asarray(x)[:, ::2, ::2])
    np.testing.assert_array_equal(y[..., [0, 1, 5, 6]], 0)
    np.testing.assert_array_equal(blocks.pad_shortcut(x, channels=3, stride=1), x)


def without_branches(variables):
    """The same with every convolution of a residual branch zero."""

    def zeroed(path, leaf):
        names = [key.key for key in path]
        return leaf * 0 if names[-1] == 'kernel' and names[-2].startswith('conv') else leaf

    return jax.tree_util.tree_map_with_path(zeroed, variables)


@pytest.mark.slow
@pytest.mark.parametrize(('block', 'depth'), [('basic', 20), ('bottleneck', 29)])
def test_a_preactivation_stage_of_zeroed_branches_passes_its_input_through(block, depth):
    network = grammar.network_spec('resnet', depth, width=4, block=block, preactivation=True)
    x = jax.random.normal(KEY, (2, 6, 6, network.stages[0].blocks[0].channels))
    same, halving = spec.StageSpec(network.stages[0].blocks[1:]), network.stages[1]
    for stage in (same, halving, network.stages[0]):
        module = Stage(stage)
        variables = without_branches(module.init(KEY, x, train=False))
        y = module.apply(variables, x, train=False)
        if stage is same:  # negative numbers too: no ReLU in the way
            np.testing.assert_array_equal(y, x)
        elif stage is not halving:  # the first unit branches off behind the stem's activation
            activated = np.maximum(np.asarray(x) / np.sqrt(1 + 1e-5), 0)
            np.testing.assert_allclose(y, activated, rtol=1e-6)
        else:
            quarter = x.shape[-1] // 2
            np.testing.assert_array_equal(y[..., quarter:-quarter], x[:, ::2, ::2])
            np.testing.assert_array_equal(y[..., :quarter], 0)
            np.testing.assert_array_equal(y[..., -quarter:], 0)


def test_a_preactivation_network_ends_in_norm_and_relu_and_starts_without():
    network = build('resnet', 8, width=4, preactivation=True)
    variables = without_branches(initialised(network))
    params = variables['params']
    x = blocks.Convolution(network.spec.stem.convolution).apply({'params': params['stem']}, IMAGES)
    x = np.asarray(x, np.float64)[:, ::4, ::4]  # padded by 2 · 2 and 2 · 4 zero channels
    features = np.zeros((4, 16))
    features[:, 6:10] = np.maximum(x / (1 + 1e-5), 0).mean(axis=(1, 2))  # first unit and head
    expected = features @ np.asarray(params['head']['kernel'], np.float64)
    np.testing.assert_allclose(evaluated(network, variables), expected, rtol=1e-4, atol=1e-5)


def test_a_preactivation_projection_starts_from_the_activated_input():
    # As in the authors' code: conv(ReLU(norm(x))); fresh running averages are 0 and 1.
    x = jax.random.normal(KEY, (2, 6, 6, 4))
    options = {'preactivation': True, 'shortcut': 'C', 'branch_scale': 0.0}
    y, params = joined(x, **options)
    kernel = np.asarray(params['projection']['kernel'], np.float64)[0, 0]
    expected = np.maximum(np.asarray(x, np.float64) / np.sqrt(1 + 1e-5), 0) @ kernel
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def joined(x, train=False, **options):
    """A block with an identity shortcut, its variables, and what it makes of x [.., 4]."""
    network = grammar.network_spec('resnet', 14, width=4, **options)
    module = blocks.Block(network.stages[0].blocks[1])
    variables = module.init(KEY, x, train=False)
    key = jax.random.key(9)
    y, _ = module.apply(variables, x, train, rngs={'dropout': key}, mutable=['batch_stats'])
    return y, variables['params']


def test_constant_scaling_weighs_shortcut_and_branch():
    x = jax.random.normal(KEY, (2, 6, 6, 4))
    branch = joined(x, preactivation=True, shortcut_scale=0.0)[0]
    scaled = joined(x, preactivation=True, shortcut_scale=0.5, branch_scale=0.25)[0]
    np.testing.assert_allclose(scaled, 0.5 * x + 0.25 * branch, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('gate', ['exclusive', 'shortcut_only'])
def test_gates_are_those_of_identity_mappings(gate):
    # He et al. 2016, §3.1: g(x) = σ(W x + b); shortcut · (1 − g), and exclusively F · g.
    x = jax.random.normal(KEY, (2, 6, 6, 4))
    branch = joined(x, preactivation=True, shortcut_scale=0.0)[0]
    y, params = joined(x, preactivation=True, gate=gate, gate_bias=-1.5)
    np.testing.assert_array_equal(params['gate']['bias'], -1.5)
    kernel = np.asarray(params['gate']['kernel'], np.float64)[0, 0]
    g = 1 / (1 + np.exp(1.5 - np.asarray(x, np.float64) @ kernel))
    expected = (1 - g) * x + (g * branch if gate == 'exclusive' else branch)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_shortcut_dropout_has_an_expectation_of_what_it_keeps():
    x = jax.random.normal(KEY, (2, 50, 50, 4))
    options = {'preactivation': True, 'branch_scale': 0.0, 'shortcut_dropout': 0.25}
    np.testing.assert_allclose(joined(x, **options)[0], 0.75 * x, rtol=1e-6)
    trained = np.asarray(joined(x, train=True, **options)[0])
    kept = trained != 0
    np.testing.assert_allclose(trained[kept], np.asarray(x)[kept], rtol=1e-6)
    assert kept.mean() == pytest.approx(0.75, abs=4 * (0.25 * 0.75 / x.size) ** 0.5)


def test_each_block_of_a_stage_drops_elements_of_its_own():
    options = {'preactivation': True, 'branch_scale': 0.0, 'shortcut_dropout': 0.25}
    scanned = grammar.network_spec('resnet', 32, width=4, **options).stages[0].blocks[1:]
    stage = Stage(spec.StageSpec(scanned))
    x = jnp.ones((2, 30, 30, 4))
    variables = stage.init(KEY, x, train=False)
    y, _ = stage.apply(variables, x, True, rngs={'dropout': KEY}, mutable=['batch_stats'])
    survived = 0.75**4  # four blocks
    spread = (survived * (1 - survived) / x.size) ** 0.5
    assert np.asarray(y).mean() == pytest.approx(survived, abs=4 * spread)


@pytest.mark.slow
def test_the_hidden_dense_layers_drop_half_of_their_outputs_in_training():
    network = build('vgg', 10, width=2, images='imagenet', vgg_stages=3, norm='none')
    assert network.spec.head.dropout == 0.5
    variables = initialised(network)

    def hidden(train, key):
        _, state = network.apply(
            variables,
            IMAGES,
            train=train,
            rngs={'dropout': key},
            capture_intermediates=lambda module, _: (module.name or '').startswith('Dropout'),
        )
        found = state['intermediates']
        return [np.asarray(found[f'Dropout_{i}']['__call__'][0]) for i in (0, 1)]

    clean, dropped = hidden(False, KEY), hidden(True, KEY)
    alive = clean[0] > 0
    assert (dropped[0][alive] == 0).mean() == pytest.approx(0.5, abs=0.05)
    kept = dropped[0] > 0
    np.testing.assert_allclose(dropped[0][kept], 2 * clean[0][kept], rtol=1e-5)
    # The second: half are zero by ReLU, and half of the rest are dropped.
    assert (clean[1] == 0).mean() == pytest.approx(0.5, abs=0.05)
    assert (dropped[1] == 0).mean() == pytest.approx(0.75, abs=0.05)
    assert (hidden(True, jax.random.key(5))[1] != dropped[1]).any()


def test_average_pooling_to_a_size_of_its_own():
    # Six pixels to four: ⌊6i/4⌋ … ⌈6(i + 1)/4⌉ are 0–2, 1–3, 3–5, 4–6.
    x = jnp.arange(6.0).reshape(1, 1, 6, 1)
    np.testing.assert_allclose(average_pool(x, 4)[0, 0, :, 0], [0.5, 1.5, 3.5, 4.5])
    # One pixel to four: repeated.
    np.testing.assert_allclose(average_pool(x, 4)[0, :, 0, 0], 4 * [0.5])
    # A multiple: plain windows. The same size: untouched.
    y = jax.random.normal(KEY, (2, 8, 12, 3))
    windows = np.asarray(y).reshape(2, 4, 2, 4, 3, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(average_pool(y, 4), windows, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(average_pool(y[:, :, :8], 8), y[:, :, :8])


def test_images_too_small_for_the_pools_are_refused():
    network = vggres.create('cifar_vgg16_bn', 10)
    with pytest.raises(UserError, match=r'8×8 pixels are too small .* 32×32 is the smallest'):
        shapes(network, (8, 8, 3))
    shapes(network, (32, 32, 3))
    with pytest.raises(UserError, match=r'must be \[batch, .*\], not of shape \(32, 32, 3\)'):
        network.init(KEY, jnp.zeros((32, 32, 3)), train=False)


@pytest.mark.parametrize('num_classes', [0, -1, '10', 10.5, None])
def test_the_number_of_classes_is_a_number(num_classes):
    with pytest.raises(UserError, match=r'num_classes must be a whole number of at least 1, not '):
        vggres.create('cifar_resnet20', num_classes)


@pytest.mark.parametrize('dtype', ['float99', 'int32', bool, None, object(), 'complex64'])
def test_the_data_type_holds_floats(dtype):
    with pytest.raises(
        UserError, match=r"dtype must be a floating-point .*'bfloat16', not "
    ) as error:
        vggres.create('cifar_resnet20', 10, dtype)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('dtype', ['bfloat16', jnp.bfloat16, jnp.dtype('bfloat16')])
def test_the_data_type_may_be_a_name(dtype):
    assert vggres.create('cifar_resnet20', 10, dtype).dtype == jnp.bfloat16


@pytest.mark.parametrize('name', ['cifar_plain20', 'cifar_vgg16_bn', 'resnet18', 'vgg11'])
@pytest.mark.parametrize('train', [False, True])
def test_images_that_are_not_those_of_the_start_are_refused(name, train):
    network = vggres.create(name, 10, width=2)
    variables = shapes(network)

    def applied(*shape):
        images = jax.ShapeDtypeStruct(shape, jnp.float32)
        keys = {'dropout': KEY}
        run = functools.partial(network.apply, train=train, rngs=keys, mutable=['batch_stats'])
        return jax.eval_shape(run, variables, images)

    assert applied(2, 32, 32, 3)[0].shape == (2, 10)
    for shape, message in (
        ((2, 3, 32, 32), r'images with 3 channels, .* not for .*\(2, 3, 32, 32\)\. .* come first'),
        ((2, 3, 32, 40), r'images with 3 channels, .* come first: images.transpose\(0, 2, 3, 1\)'),
        ((2, 32, 32, 1), r'images with 3 channels, .* not for images of shape \(2, 32, 32, 1\)'),
        ((2, 32, 32), r'must be \[batch, height, width, channels\], not of shape \(2, 32, 32\)'),
    ):
        with pytest.raises(UserError, match=message) as caught:
            applied(*shape)
        assert '\n' not in str(caught.value)
        assert ('come first' in str(caught.value)) == (shape[1] == 3)


@pytest.mark.parametrize('shape', [(2, 3, 32, 32), (2, 1, 28, 28), (1, 3, 8, 8)])
@pytest.mark.parametrize('name', ['cifar_resnet20', 'vgg11'])
def test_channels_that_come_first_are_recognised_at_the_start(name, shape):
    with pytest.raises(UserError, match=r'not of shape .* seem to come first: images.transpose'):
        vggres.create(name, 10).init(KEY, jnp.zeros(shape), train=False)


@pytest.mark.parametrize('shape', [(3, 3, 3), (1, 1, 1), (3, 32, 3), (1, 40, 12), (8, 8, 8)])
def test_images_of_few_rows_or_many_channels_are_not_mistaken(shape):
    kernels = jax.tree.leaves(shapes(vggres.create('cifar_resnet20', 10), shape)['params']['stem'])
    assert (3, 3, shape[-1], 16) in [kernel.shape for kernel in kernels]


def reference_convolution(x, kernel, stride):
    """Cross-correlation with zero padding 1, [height, width, channels], by scipy."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    out = [
        correlate(padded, kernel[..., channel], mode='valid')[..., 0]
        for channel in range(kernel.shape[-1])
    ]
    return np.stack(out, axis=-1)[::stride, ::stride]


def normalise(z):
    """By the batch: what comes out, mean and variance."""
    mean, variance = z.mean(axis=(0, 1, 2)), z.var(axis=(0, 1, 2))
    return (z - mean) / np.sqrt(variance + 1e-5), mean, variance


def convolve(z, layer, stride):
    kernel = np.asarray(layer['kernel'], np.float64)
    return np.stack([reference_convolution(image, kernel, stride) for image in z])


def test_a_preactivation_block_computes_what_the_paper_draws():
    # "Identity mappings", Fig. 1b: norm, ReLU, convolution, twice; nothing after the addition.
    network = grammar.network_spec('resnet', 8, width=3, preactivation=True)
    block = blocks.Block(network.stages[1].blocks[0])
    x = np.array(jax.random.normal(KEY, (3, 6, 6, 3)))
    variables = block.init(KEY, x, train=False)
    keys = iter(jax.random.split(KEY, 100))
    params = jax.tree.map(  # scales of either sign: norm and ReLU do not commute
        lambda leaf: jax.random.normal(next(keys), leaf.shape), variables['params']
    )
    variables = {**variables, 'params': params}
    y, _ = block.apply(variables, x, train=True, mutable=['batch_stats'])
    z = x.astype(np.float64)
    for k, stride in ((1, 2), (2, 1)):
        norm = jax.tree.map(np.asarray, params[f'norm{k}'])
        z = np.maximum(normalise(z)[0] * norm['scale'] + norm['bias'], 0)
        z = convolve(z, params[f'conv{k}'], stride)
    z[..., 1:4] += x[:, ::2, ::2]
    np.testing.assert_allclose(y, z, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('has_shortcut', [False, True])
def test_a_block_computes_what_the_paper_draws(has_shortcut):
    family = 'resnet' if has_shortcut else 'plain'
    block = blocks.Block(grammar.network_spec(family, 8, width=3).stages[1].blocks[0])
    x = np.array(jax.random.normal(KEY, (3, 6, 6, 3)), np.float64)
    variables = block.init(KEY, x, train=False)
    y, updated = block.apply(variables, x, train=True, mutable=['batch_stats'])
    params = variables['params']
    z, mean, variance = normalise(convolve(x, params['conv1'], 2))
    z, _, _ = normalise(convolve(np.maximum(z, 0), params['conv2'], 1))
    if has_shortcut:
        z[..., 1:4] += x[:, ::2, ::2]  # three channels into six
    np.testing.assert_allclose(y, np.maximum(z, 0), atol=2e-5)
    # torch's momentum 0.1, from a running mean of 0 and a running variance of 1.
    running = updated['batch_stats']['norm1']
    np.testing.assert_allclose(running['mean'], 0.1 * mean, atol=1e-6)
    np.testing.assert_allclose(running['var'], 0.9 + 0.1 * variance, atol=1e-5)


@pytest.mark.parametrize(
    ('family', 'options'), [('resnet', {'shortcut': 'B'}), ('resnet', {'preactivation': True})]
)
def test_a_scanned_stage_is_the_loop_over_its_blocks(family, options):
    network = build(family, 20, width=4, **options)
    variables = initialised(network)
    stage = network.spec.stages[1]
    x = jax.random.normal(KEY, (2, 4, 4, 4))
    part = {name: tree['stage2'] for name, tree in variables.items()}
    scanned = Stage(stage).apply(part, x, train=False)

    first = {name: tree['block1'] for name, tree in part.items()}
    y = blocks.Block(stage.blocks[0]).apply(first, x, train=False)
    for j in range(2):
        block = {
            name: jax.tree.map(lambda leaf, j=j: leaf[j], tree['blocks'])
            for name, tree in part.items()
        }
        y = blocks.Block(stage.blocks[1]).apply(block, y, train=False)
    # The body of a loop may be fused in another way, which rounds in another way.
    np.testing.assert_allclose(scanned, y, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    'structure',
    [
        pytest.param('option A', marks=pytest.mark.slow),
        pytest.param('bottleneck preactivation', marks=pytest.mark.slow),
        pytest.param('shortcut dropout', marks=pytest.mark.slow),
    ],
)
def test_computing_blocks_again_changes_no_gradient(structure):
    family, depth, options = STRUCTURES[structure]
    described = grammar.network_spec(family, depth, width=4, **options)
    kept, again = (Network(described, 10, remat=remat) for remat in (False, True))
    variables = initialised(kept)
    jax.tree.map(np.testing.assert_array_equal, variables, initialised(again))

    def gradients(network):
        def loss(params):
            logits, updated = network.apply(
                {**variables, 'params': params},
                IMAGES,
                train=True,
                mutable=['batch_stats'],
                rngs={'dropout': KEY},
            )
            return jnp.sum(logits**2), updated

        return jax.jit(jax.grad(loss, has_aux=True))(variables['params'])

    for ours, others in zip(
        jax.tree.leaves(gradients(again)), jax.tree.leaves(gradients(kept)), strict=True
    ):
        np.testing.assert_allclose(ours, others, rtol=1e-4, atol=1e-5 * np.abs(others).max())


@pytest.mark.slow
def test_kernels_follow_he_initialisation():
    params = initialised(build('plain', 20, width=32))['params']
    widening = params['stage3']['block1']['conv1']['kernel']  # 64 → 128 channels: not 2 / (9 · 64)
    assert widening.std() == pytest.approx((2 / (9 * 128)) ** 0.5, rel=0.02)
    kernels = params['stage3']['blocks']['conv1']['kernel']
    assert kernels.shape == (2, 3, 3, 128, 128)
    # He et al. 2015 (1502.01852), eq. 14: variance 2 / (k² · output channels).
    expected = (2 / (9 * 128)) ** 0.5
    assert kernels.std() == pytest.approx(expected, rel=0.01)
    assert abs(np.asarray(kernels[0] - kernels[1])).max() > expected  # blocks differ
    # The head keeps the variance of its outputs: 2 / inputs; 1,280 draws.
    assert params['head']['kernel'].std() == pytest.approx((2 / 128) ** 0.5, rel=0.1)
    np.testing.assert_array_equal(params['head']['bias'], 0)
    vgg = build('vgg', 10, width=2, images='imagenet', vgg_stages=3)
    hidden = initialised(vgg)['params']['dense2']['kernel']
    assert hidden.std() == pytest.approx((2 / 4096) ** 0.5, rel=0.01)


def drawn(network, images):
    """Variables with He's random kernels, by NumPy: XLA takes half a minute for those of a VGG."""
    random = np.random.default_rng(0)
    described = jax.eval_shape(lambda: network.init(KEY, images, train=False))

    def draw(path, leaf):
        name = path[-1].key
        if name in ('scale', 'var'):
            return jnp.ones(leaf.shape)
        if name in ('bias', 'mean'):
            return jnp.zeros(leaf.shape)
        fan_in = math.prod(leaf.shape[-4:-1] if len(leaf.shape) > 3 else leaf.shape[-2:-1])
        values = random.standard_normal(leaf.shape, dtype=np.float32)
        return jnp.asarray(values * np.float32((2 / fan_in) ** 0.5))

    return jax.tree_util.tree_map_with_path(draw, described)


def assert_output_is_finite_and_every_parameter_gets_a_gradient(network, images):
    variables = drawn(network, images)

    def loss(params):
        logits, _ = network.apply(
            {**variables, 'params': params},
            images,
            train=True,
            mutable=['batch_stats'],
            rngs={'dropout': KEY},
        )
        return jnp.sum(logits[:, 0] ** 2), logits

    differentiate = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(variables['params'])
    (_, logits), gradients = compile_quickly(differentiate)(variables['params'])
    assert np.isfinite(logits).all()
    for layer in spec.layers(network.spec, images.shape[1:], network.num_classes):
        path, index = spec.place(network.spec, layer.name)
        leaves = functools.reduce(lambda tree, key: tree[key], path, gradients)
        for name, leaf in leaves.items():
            leaf = np.asarray(leaf if index is None else leaf[index])
            assert np.isfinite(leaf).all(), (layer.name, name)
            # A bias in front of batch norm is subtracted again: its gradient is rounding error.
            normalised = layer.kind == 'convolution' and 'batch_stats' in variables
            if not (name == 'bias' and normalised):
                assert np.abs(leaf).max() > 0, (layer.name, name)


@pytest.mark.parametrize(
    'structure',
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in STRUCTURES],
)
def test_output_is_finite_and_every_parameter_gets_a_gradient(structure):
    family, depth, options = STRUCTURES[structure]
    network = build(family, depth, width=4, **options)
    assert_output_is_finite_and_every_parameter_gets_a_gradient(network, IMAGES)


def kinds():
    """The deepest published network of each kind: the others have fewer of the same layers."""
    deepest = {}
    for name in sorted(published.VARIANTS, key=lambda name: published.variant_spec(name).depth):
        block = published.variant_spec(name).stages[-1].blocks[-1]
        deepest[re.sub(r'\d+', '', name), len(block.convolutions)] = name
    return list(deepest.values())


@pytest.mark.slow
@pytest.mark.parametrize('name', kinds())
def test_the_same_of_published_networks_of_every_kind(name):
    network = vggres.create(name, 10)
    images = jax.random.normal(KEY, (2, 32, 32, 3))
    assert_output_is_finite_and_every_parameter_gets_a_gradient(network, images)


@pytest.mark.parametrize(
    ('name', 'changes'), [('cifar_resnet1202', {}), ('resnet152', {}), ('vgg16', {'depth': 100})]
)
def test_creating_and_counting_takes_less_than_a_second(name, changes):
    def seconds():  # of this process: other work on the machine does not count
        started = time.process_time()
        network = vggres.create(name, num_classes=1000, **changes)
        variables = shapes(network)
        assert count(variables['params']) > 1e7
        assert spec.count_parameters(network.spec, (32, 32, 3), 1000) > 1e7
        return time.process_time() - started

    assert min(seconds() for _ in range(3)) < 1


def test_importing_takes_less_than_two_seconds():
    code = 'import time, vggres; vggres.create; print(time.process_time())'

    def seconds():
        done = subprocess.run([sys.executable, '-c', code], capture_output=True, check=True)
        return float(done.stdout)

    assert min(seconds() for _ in range(3)) < 2


@pytest.mark.slow
def test_bfloat16_computes_the_same_roughly_and_keeps_float32_parameters():
    network = build('resnet', 14, width=4)
    variables = initialised(network)
    half = build('resnet', 14, width=4, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(initialised(half))} == {jnp.dtype('float32')}
    logits = evaluated(network, variables)
    rough = evaluated(half, variables)
    assert rough.dtype == jnp.float32
    np.testing.assert_allclose(rough, logits, atol=0.05 * np.abs(logits).max())
    assert (rough != logits).any()
    _, state = half.apply(initialised(half), IMAGES, train=False, capture_intermediates=True)
    for path, leaf in jax.tree_util.tree_leaves_with_path(state['intermediates']['stage1']):
        assert leaf.dtype == jnp.bfloat16, path
