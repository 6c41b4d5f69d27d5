"""Lesions against networks that were built by hand without the block, or with two exchanged."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from random_network import random_network
from scipy.stats import kendalltau

from vggres.networks.network import Network
from vggres.probes import lesion
from vggres.probes.paths import first_input
from vggres.training import programs
from vggres.training.trainer import described_run

apply = jax.jit(lambda network, *given: network.apply(*given, train=False), static_argnums=0)
lesioned = jax.jit(lesion.logits, static_argnums=0)

FAMILIES = [
    {'depth': 20},
    {'depth': 20, 'preactivation': True},
    {'depth': 20, 'family': 'plain'},
    {'depth': 13, 'family': 'vgg', 'vgg_stages': 3},
]


def some_network(options):
    """A network with some images, and the lesion that changes nothing."""
    network, variables, image = random_network(**options)
    images = jnp.stack([image, image[::-1], 0.5 * image[:, ::-1]])
    order = lesion.unchanged(network.spec)
    return network, variables, images, np.ones(len(order), bool), order


@pytest.mark.parametrize('options', FAMILIES, ids=str)
def test_no_lesion_changes_nothing(options):
    network, variables, images, kept, order = some_network(options)
    found = np.asarray(lesioned(network, variables, images, kept, order))
    np.testing.assert_allclose(found, apply(network, variables, images), rtol=1e-6)
    assert np.ptp(found) > 0.01


@pytest.mark.parametrize('options', FAMILIES, ids=str)
def test_a_network_built_without_the_block(options):
    """The second block of a stage, which keeps its shape: the others go on without it."""
    network, variables, images, kept, order = some_network(options)
    first = network.spec.stages[0]
    stages = (dataclasses.replace(first, blocks=first.blocks[:1] + first.blocks[2:]),)
    shorter = dataclasses.replace(network.spec, stages=stages + network.spec.stages[1:])
    own = {
        name: each
        | {
            'stage1': each['stage1']
            | {'blocks': jax.tree.map(lambda leaf: leaf[1:], each['stage1']['blocks'])}
        }
        for name, each in variables.items()
    }
    expected = apply(Network(shorter, network.num_classes), own, images)
    kept[1] = False
    found = lesioned(network, variables, images, kept, order)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(found - apply(network, variables, images)).max() > 1e-3


@pytest.mark.parametrize('family', ['plain', 'resnet'])
def test_without_any_block_there_remains_what_passes_the_input_on(family):
    """Stem, two times every second pixel between channels of zeros, mean and head, in numpy."""
    network, variables, images, kept, order = some_network({'depth': 20, 'family': family})
    x = np.stack([np.asarray(first_input(network, variables, image)) for image in images])
    for new in (4, 8):
        x = np.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (new // 2, new // 2)))
    head = variables['params']['head']
    expected = x.mean((1, 2)) @ np.asarray(head['kernel']) + np.asarray(head['bias'])
    found = lesioned(network, variables, images, np.zeros_like(kept), order)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_branch_of_zero_may_be_deleted():
    """Nothing changes, to the bit; every other block that is deleted changes something."""
    network, variables, images, kept, order = some_network({'depth': 20})
    norm = variables['params']['stage2']['blocks']['norm2']  # blocks 2 and 3 of the stage
    for name in ('scale', 'bias'):
        norm[name] = norm[name].at[1].set(0)
    whole = np.asarray(lesioned(network, variables, images, kept, order))
    for number in range(len(kept)):
        lost = np.arange(len(kept)) != number
        found = np.asarray(lesioned(network, variables, images, lost, order))
        assert np.array_equal(found, whole) == (number == 5)


@pytest.mark.parametrize('options', FAMILIES, ids=str)
def test_swapped_blocks_are_exchanged_parameters(options):
    network, variables, images, kept, order = some_network(options)
    exchanged = jax.tree.map(lambda leaf: leaf, variables)
    for each in exchanged.values():
        stack = each['stage3']['blocks']
        each['stage3']['blocks'] = jax.tree.map(lambda leaf: leaf.at[:2].set(leaf[1::-1]), stack)
    second = len(order) - len(network.spec.stages[2].blocks) + 1
    order[[second, second + 1]] = order[[second + 1, second]]
    found = lesioned(network, variables, images, kept, order)
    np.testing.assert_allclose(found, apply(network, exchanged, images), rtol=1e-5, atol=1e-6)
    assert np.abs(found - apply(network, variables, images)).max() > 1e-3


def test_kendall_is_that_of_scipy():
    generator = np.random.default_rng(0)
    for blocks in (2, 9, 27):
        order = generator.permutation(blocks)
        expected = kendalltau(np.arange(blocks), order).statistic
        assert lesion.kendall(order) == pytest.approx(expected)


def test_random_sets_and_orders():
    network, *_ = random_network(depth=20)  # nine blocks, three in each stage
    generator = np.random.default_rng(0)
    sets = dict(lesion.random_sets(network.spec, generator))
    assert [(name, np.sum(~kept)) for name, kept in sets.items()] == [
        (f'{count}/{draw}', count) for count in (2, 3) for draw in range(lesion.DRAWS)
    ]
    orders = dict(lesion.random_orders(network.spec, generator))
    assert list(orders) == [f'{n}/{draw}' for n in (1, 2, 4, 8, 16) for draw in range(4)]
    for name, order in orders.items():
        assert sorted(order) == list(range(9))
        np.testing.assert_array_equal(order[::3], [0, 3, 6])  # the first block of each stage
        moved = [sorted(order[i + 1 : i + 3]) for i in (0, 3, 6)]
        assert moved == [[1, 2], [4, 5], [7, 8]]
        assert not name.startswith('1/') or np.sum(order != np.arange(9)) == 2


def test_where_no_blocks_are_alike_none_are_swapped():
    network, *_ = random_network(depth=8)
    assert dict(lesion.random_orders(network.spec, np.random.default_rng(0))) == {}


@pytest.mark.slow
def test_the_probe_measures_trained_networks_alone(config, build, build_observer, data):
    config.probes.every_epochs, config.probes.also, config.model.depth = 2, ('lesion',), 14
    compiled, observer = build(config), build_observer(config)
    state, sums, order_key = compiled.init(0)
    schedule = described_run(config, data.num_train).schedule
    before = observer.observe(state, order_key, schedule)
    assert not any(name.startswith('lesion') for name in before)
    state, _ = compiled.train(state, sums, order_key, data, schedule, 5)
    found = observer.observe(state, order_key, schedule)
    assert list(found['lesion_deleted']) == [
        f'stage{i}/block{j}' for i in (1, 2, 3) for j in (1, 2)
    ]
    _, wrong = programs.evaluate_split(compiled.evaluate, data, state, 'validation')
    assert found['lesion_several']['0'] == 100 * wrong / data.num_images['validation']
    assert len(found['lesion_several']) == 1 + 2 * lesion.DRAWS
    assert found['lesion_swapped'] == found['lesion_tau'] == {}  # one block in each stack
