"""The fused network against the one that was trained, and RepVGG's branches against a formula."""

import jax
import numpy as np
import pytest

from vggres.errors import UserError
from vggres.networks import batch_norm, grammar, reparameterisation, spec
from vggres.networks.blocks import Block
from vggres.networks.network import Network

IMAGES = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))


def trained(network):
    """Variables whose norms have arbitrary scales, biases, means and variances."""
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), IMAGES, train=False))
    rng = np.random.default_rng(0)

    def drawn(path, leaf):
        name = path[-1].key
        if name in ('var', 'scale'):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
        deviation = leaf.shape[-2] ** -0.5 / 3 if name == 'kernel' else 0.3
        return (deviation * rng.normal(size=leaf.shape)).astype(np.float32)

    return jax.tree_util.tree_map_with_path(drawn, shapes)


@pytest.mark.parametrize('options', [{'reparameterised': True}, {}, {'activation': 'tanh'}])
def test_the_fused_network_has_the_logits_of_the_trained_one(options):
    described = grammar.network_spec('plain', 20, width=4, **options)
    network = Network(described, 10)
    variables = trained(network)
    logits = network.apply(variables, IMAGES, train=False)
    after = Network(reparameterisation.fused_spec(described), 10)
    params = reparameterisation.fused(described, variables)
    found = after.apply(params, IMAGES, train=False)
    assert np.abs(logits).max() > 0.1
    np.testing.assert_allclose(found, logits, rtol=1e-5, atol=1e-5 * np.abs(logits).max())
    layers = spec.layers(after.spec, (8, 8, 3), 10)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == sum(
        layer.parameters for layer in layers
    )
    assert not any(layer.kind == 'norm' for layer in spec.layers(after.spec, (8, 8, 3), 10))


def test_a_block_is_the_sum_of_its_branches():
    """Kernels of zeros and fresh norms leave the identity: relu(relu(x) + 0), twice."""
    block = grammar.network_spec('plain', 14, width=4, reparameterised=True).stages[0].blocks[0]
    x = jax.random.normal(jax.random.key(2), (2, 5, 5, 4))
    module = Block(block)
    variables = module.init(jax.random.key(0), x, train=False)
    zeroed = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * 0 if path[-1].key == 'kernel' else leaf, variables
    )
    y = module.apply(zeroed, x, train=False)
    np.testing.assert_allclose(y, np.maximum(x, 0) / (1 + 1e-5), rtol=1e-6)
    assert set(variables['params']) == {
        *('conv1', 'norm1', 'pointwise1', 'pointwise1_norm', 'identity1_norm'),
        *('conv2', 'norm2', 'pointwise2', 'pointwise2_norm', 'identity2_norm'),
    }


def test_where_the_shape_changes_there_is_no_identity():
    described = grammar.network_spec('plain', 14, reparameterised=True)
    names = {layer.name for layer in spec.layers(described, (8, 8, 3), 10)}
    assert {'stage2/block1/pointwise1', 'stage2/block1/identity2_norm'} <= names
    assert 'stage2/block1/identity1_norm' not in names
    assert described.depth == 14


def test_what_is_no_plain_network_with_norm_is_not_fused():
    for family, options in (('resnet', {}), ('plain', {'norm': 'none'})):
        with pytest.raises(UserError, match='only plain networks with batch norm'):
            reparameterisation.fused_spec(grammar.network_spec(family, 20, **options))
    with pytest.raises(UserError, match='reparameterised networks have basic blocks'):
        grammar.network_spec('plain', 20, norm='none', reparameterised=True)


def test_both_add_the_same_number_to_a_variance():
    assert reparameterisation._EPSILON == batch_norm.EPSILON
