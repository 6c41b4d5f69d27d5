"""Statistics of features against numpy, and a run that goes on from a shallower network's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vggres.config import cell_id, identity
from vggres.data import batches
from vggres.networks import deepening, grammar, torch_weights
from vggres.networks.network import Network, Stage
from vggres.sweeps.cell import WEIGHTS_FILE, Cell
from vggres.sweeps.run import run
from vggres.training.deepening import moments_of_stages


def normalised(data):
    start, stop = data.range_of('train')
    return batches.normalise(data.images[start:stop], data.mean, data.deviation)


def settled(network, images):
    """Variables whose running averages are the statistics of these images: 0.9²⁰⁰ is nothing."""
    variables = network.init(jax.random.key(0), images, train=False)

    @jax.jit
    def update(variables):
        _, updated = network.apply(variables, images, train=True, mutable=['batch_stats'])
        return variables | updated

    for _ in range(200):
        variables = update(variables)
    return jax.tree.map(np.asarray, variables)


@pytest.fixture(scope='module')
def shallow():
    return Network(grammar.network_spec('plain', 8, width=2), 4)


@pytest.mark.slow
def test_moments_are_those_of_the_features(data, shallow):
    """In batches of 7, of which the last is not full, against numpy on all images at once."""
    images = normalised(data)
    variables = settled(shallow, images)
    found = moments_of_stages(shallow.spec, variables, data, 7)
    _, state = shallow.apply(
        variables,
        images,
        train=False,
        capture_intermediates=lambda module, _: isinstance(module, Stage),
        mutable=['intermediates'],
    )
    assert len(found) == 3
    for i, moments in enumerate(found, start=1):
        (features,) = state['intermediates'][f'stage{i}']['__call__']
        features = np.asarray(features, np.float64).reshape(-1, features.shape[-1])
        np.testing.assert_allclose(moments.mean, features.mean(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(moments.variance, features.var(0), rtol=1e-4, atol=1e-6)


def test_added_layers_change_nothing_in_training_either(data, shallow):
    """On the very images whose statistics the batch norms hold, where both modes are one."""
    images = normalised(data)
    variables = settled(shallow, images)
    deep = Network(grammar.network_spec('plain', 20, width=2), 4)
    moments = moments_of_stages(shallow.spec, variables, data, 7)
    found = deepening.deepened(variables, shallow.spec, deep.spec, moments)
    found = jax.tree.map(jnp.asarray, found)
    logits, updated = deep.apply(found, images, train=True, mutable=['batch_stats'])
    expected = shallow.apply(variables, images, train=False)
    np.testing.assert_allclose(logits, expected, atol=1e-3)
    for old, new in zip(
        jax.tree.leaves(found['batch_stats']), jax.tree.leaves(updated['batch_stats']), strict=True
    ):
        np.testing.assert_allclose(new, old, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_cell_goes_on_from_where_another_one_ended(config, tmp_path):
    """At a rate of next to nothing, the deeper network keeps loss and error of the shallow one."""
    config.model.family, config.train.epochs = 'plain', 10
    first = Cell(config, tmp_path, '')
    before = run(first)
    config.model.depth, config.init.deepened_from = 20, first.id
    config.optimizer.learning_rate = 1e-9
    config.train.epochs, config.optimizer.weight_decay = 1, 0.0
    after = run(Cell(config, tmp_path, ''))
    # The running averages move a little towards the statistics of the batches.
    assert after.train_loss == pytest.approx(before.train_loss, abs=0.1)
    assert after.parameters > before.parameters


def test_a_cell_is_known_by_the_cell_that_it_starts_from(config):
    config.model.family = 'plain'
    plain, config.init.deepened_from = cell_id(config), 'plain-d8-s0-3f9c1a'
    name = cell_id(config)
    assert name != plain
    for folder in ('/a/sweep/cells', '/b/cells'):
        config.init.deepened_from = f'{folder}/plain-d8-s0-3f9c1a/{WEIGHTS_FILE}'
        assert cell_id(config) == name
    config.init.deepened_from = '/a/mine.safetensors'
    assert identity(config)['init']['deepened_from'] == 'mine.safetensors'


def test_a_file_without_a_description_is_refused(tmp_path):
    torch_weights.save(tmp_path / 'a.safetensors', {'a': np.zeros(1, np.float32)})
    with pytest.raises(ValueError, match='does not say which network'):
        torch_weights.described_network(tmp_path / 'a.safetensors')
