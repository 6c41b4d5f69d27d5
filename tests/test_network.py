import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

from vggres import architecture, blocks
from vggres.network import Network

KEY = jax.random.key(0)
IMAGES = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))


def build(family, depth, width=16, **kwargs):
    return Network(architecture.network_spec(family, depth, width), num_classes=10, **kwargs)


@functools.lru_cache
def initialised(network):
    return jax.jit(lambda: network.init(KEY, IMAGES, train=False))()


def evaluated(network, variables):
    return jax.jit(lambda v: network.apply(v, IMAGES, train=False))(variables)


def shapes(family, depth, image_shape=(32, 32, 3), width=16):
    network = build(family, depth, width)
    return jax.eval_shape(lambda: network.init(KEY, jnp.zeros((1, *image_shape)), train=False))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize('family', architecture.FAMILIES)
@pytest.mark.parametrize(
    ('depth', 'parameters'), [(8, 75_290), (20, 269_722), (56, 853_018), (1202, 19_421_274)]
)
def test_parameters_of_the_paper(family, depth, parameters):
    assert count(shapes(family, depth)['params']) == parameters


@pytest.mark.parametrize('depth', [8, 14, 20, 56])
def test_weighted_layers_are_the_depth(depth):
    # A stacked kernel of a scanned stage holds one layer for each entry of its first axis.
    kernels = [
        leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes('plain', depth)['params'])
        if path[-1].key == 'kernel'
    ]
    assert sum(leaf.shape[0] if leaf.ndim == 5 else 1 for leaf in kernels) == depth


def test_plain_is_the_residual_network_with_its_shortcuts_zeroed(monkeypatch):
    plain, residual = build('plain', 14, width=4), build('resnet', 14, width=4)
    variables = initialised(plain)
    jax.tree.map(np.testing.assert_array_equal, variables, initialised(residual))
    with_shortcuts = evaluated(residual, variables)
    logits = evaluated(plain, variables)
    assert np.abs(with_shortcuts - logits).max() > 0.1
    real = blocks.shortcut
    monkeypatch.setattr(blocks, 'shortcut', lambda *args: 0 * real(*args))
    np.testing.assert_array_equal(evaluated(residual, variables), logits)


def test_option_a_subsamples_and_pads_with_zero_channels():
    x = jax.random.normal(KEY, (2, 5, 4, 3))
    y = np.asarray(blocks.shortcut(x, channels=5, stride=2))
    assert y.shape == (2, 3, 2, 5)
    np.testing.assert_array_equal(y[..., :3], np.asarray(x)[:, ::2, ::2])
    np.testing.assert_array_equal(y[..., 3:], 0)
    np.testing.assert_array_equal(blocks.shortcut(x, channels=3, stride=1), x)


def reference_convolution(x, kernel, stride):
    """Cross-correlation with zero padding 1, [height, width, channels], by scipy."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    out = [
        correlate(padded, kernel[..., channel], mode='valid')[..., 0]
        for channel in range(kernel.shape[-1])
    ]
    return np.stack(out, axis=-1)[::stride, ::stride]


@pytest.mark.parametrize('has_shortcut', [False, True])
def test_a_block_computes_what_the_paper_draws(has_shortcut):
    block = blocks.Block(channels=6, stride=2, has_shortcut=has_shortcut)
    x = np.array(jax.random.normal(KEY, (3, 6, 6, 4)), np.float64)
    variables = block.init(KEY, x, train=False)
    y, updated = block.apply(variables, x, train=True, mutable=['batch_stats'])
    params = variables['params']

    def normalise(z):
        mean, variance = z.mean(axis=(0, 1, 2)), z.var(axis=(0, 1, 2))
        return (z - mean) / np.sqrt(variance + 1e-5), mean, variance

    def convolve(z, name, stride):
        kernel = np.asarray(params[name]['kernel'], np.float64)
        return np.stack([reference_convolution(image, kernel, stride) for image in z])

    z, mean, variance = normalise(convolve(x, 'conv1', 2))
    z, _, _ = normalise(convolve(np.maximum(z, 0), 'conv2', 1))
    if has_shortcut:
        z[..., :4] += x[:, ::2, ::2]
    np.testing.assert_allclose(y, np.maximum(z, 0), atol=2e-5)
    # torch's momentum 0.1, from a running mean of 0 and a running variance of 1.
    running = updated['batch_stats']['norm1']
    np.testing.assert_allclose(running['mean'], 0.1 * mean, atol=1e-6)
    np.testing.assert_allclose(running['var'], 0.9 + 0.1 * variance, atol=1e-5)


def test_a_scanned_stage_is_the_loop_over_its_blocks():
    network = build('resnet', 20, width=4)
    variables = initialised(network)
    stage = architecture.Stage(channels=8, num_blocks=3, stride=2)
    from vggres.network import Stage

    x = jax.random.normal(KEY, (2, 4, 4, 4))
    part = {name: tree['stage2'] for name, tree in variables.items()}
    scanned = Stage(stage, has_shortcuts=True).apply(part, x, train=False)

    y = blocks.Block(8, 2, True).apply(
        {name: tree['block1'] for name, tree in part.items()}, x, train=False
    )
    for j in range(2):
        block = {
            name: jax.tree.map(lambda leaf, j=j: leaf[j], tree['blocks'])
            for name, tree in part.items()
        }
        y = blocks.Block(8, 1, True).apply(block, y, train=False)
    np.testing.assert_allclose(scanned, y, rtol=1e-6, atol=1e-6)


def test_kernels_follow_he_initialisation():
    params = initialised(build('plain', 20, width=32))['params']
    kernels = params['stage3']['blocks']['conv1']['kernel']
    assert kernels.shape == (2, 3, 3, 128, 128)
    # He et al. 2015 (1502.01852), eq. 14: variance 2 / (k² · output channels).
    expected = (2 / (9 * 128)) ** 0.5
    assert kernels.std() == pytest.approx(expected, rel=0.01)
    assert abs(np.asarray(kernels[0] - kernels[1])).max() > expected  # blocks differ
    # The head keeps the variance of its outputs: 2 / inputs; 1,280 draws.
    assert params['head']['kernel'].std() == pytest.approx((2 / 128) ** 0.5, rel=0.1)
    np.testing.assert_array_equal(params['head']['bias'], 0)


@pytest.mark.parametrize('family', architecture.FAMILIES)
def test_every_parameter_gets_a_gradient(family):
    network = build(family, 14, width=4)
    variables = initialised(network)

    def loss(params):
        logits, _ = network.apply(
            {**variables, 'params': params}, IMAGES, train=True, mutable=['batch_stats']
        )
        return jnp.sum(logits[:, 0] ** 2)

    gradients = jax.jit(jax.grad(loss))(variables['params'])
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradients):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


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
