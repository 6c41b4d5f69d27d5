"""Features of different images against numpy and against the arc-cosine recursion.

Images of one pixel make every convolution its middle tap, so that the recursion for wide layers
applies. He's variance counts nine taps: kernels times three keep the variance, which a residual
sum needs; the cosine of a plain network does not depend on it.
"""

import jax
import numpy as np
import optax
import pytest
from flax import traverse_util

from vggres.findings.random_networks import plain_cosines, preactivation_cosines
from vggres.networks import grammar, spec
from vggres.networks.blocks import Block
from vggres.networks.network import Network
from vggres.probes import collapse, gram, jacobian
from vggres.training.train_step import init_state

SHAPE = (1, 1, 64)


def found(family, depth, width, **options):
    """The cosines between eight images by name, without norm."""
    described = grammar.network_spec(family, depth, width=width, norm='none', **options)
    network = Network(described, 10)
    state = init_state(jax.random.key(0), network, optax.sgd(0.1), SHAPE)
    flat = traverse_util.flatten_dict(state.params)
    scaled = {path: leaf * 3 if leaf.ndim > 3 else leaf for path, leaf in flat.items()}
    state = state.replace(params=traverse_util.unflatten_dict(scaled))
    images = jax.random.normal(jax.random.key(1), (8, *SHAPE))
    variables = jacobian.evaluated_variables(network, state, images, jax.random.key(2))
    matrices = collapse.feature_cosines(network, variables, images, jax.random.key(3))
    rows = np.asarray(images, np.float64).reshape(8, -1)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    names = spec.observable_names(described)
    return state.params, rows, unit @ unit.T, gram._by_name(matrices, described, names)


def between(matrix):
    return matrix[~np.eye(8, dtype=bool)]


@pytest.mark.slow
def test_features_by_hand_in_numpy():
    params, rows, of_images, by_name = found('plain', 8, 16)
    assert list(by_name) == ['stem', 'stage1/block1', 'stage2/block1', 'stage3/block1', 'head']
    np.testing.assert_allclose(by_name['stem'], of_images, atol=1e-5)
    x = np.maximum(rows @ np.asarray(params['stem']['kernel'])[1, 1], 0)
    for name in ('stage1/block1', 'stage2/block1'):
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        np.testing.assert_allclose(by_name[name], unit @ unit.T, atol=1e-4)
        for layer in ('conv1', 'conv2'):
            kernel = params[name[:6]]['block1'][layer]['kernel']
            x = np.maximum(x @ np.asarray(kernel)[1, 1], 0)


@pytest.mark.slow
def test_wide_plain_networks_follow_the_arc_cosine():
    _, _, of_images, by_name = found('plain', 8, 192)
    pairs = between(of_images)
    expected = np.mean([plain_cosines(cosine, 7) for cosine in pairs], axis=0)
    for name, layers in (('stage1/block1', 1), ('stage2/block1', 3), ('head', 7)):
        # A layer more or less would be off by 0.1 at first.
        assert between(by_name[name]).mean() == pytest.approx(expected[layers], abs=0.04)
    assert expected[7] > 0.8  # they do become alike


def test_wide_residual_blocks_add_variances():
    """Preactivation blocks whose shortcut starts from their input, on normal inputs."""
    described = grammar.network_spec('resnet', 20, width=256, norm='none', preactivation=True)
    block = Block(described.stages[0].blocks[-1])
    assert not block.spec.shared_activation
    x = jax.random.normal(jax.random.key(0), (8, 1, 1, 256))
    cosines = between(np.asarray(gram.cosines(x), np.float64))
    expected = np.mean([preactivation_cosines(cosine, 2) for cosine in cosines], axis=0)
    for key, cosine in zip(jax.random.split(jax.random.key(1)), expected[1:], strict=True):
        params = block.init(key, x, False)
        params = jax.tree.map(lambda leaf: leaf * 3 if leaf.ndim > 3 else leaf, params)
        x = block.apply(params, x, False)
        assert between(np.asarray(gram.cosines(x))).mean() == pytest.approx(cosine, abs=0.04)
