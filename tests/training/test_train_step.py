from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vggres.networks import grammar
from vggres.networks.network import Network, create
from vggres.training.train_step import eval_step, init_state, train_step, with_weights

NETWORK = Network(grammar.network_spec('resnet', 8, width=2), num_classes=3)
SGD = optax.sgd(1.0)
IMAGES = jax.random.normal(jax.random.key(5), (6, 4, 4, 1))
LABELS = jnp.array([0, 1, 2, 0, 1, 2], jnp.int32)
KEY = jax.random.key(7)


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(scope='module')
def state():
    return jax.jit(lambda: init_state(jax.random.key(0), NETWORK, SGD, (4, 4, 1)))()


STEP = jax.jit(partial(train_step, network=NETWORK, optimizer=SGD))
LOGITS = jax.jit(
    lambda variables: NETWORK.apply(variables, IMAGES, train=True, mutable=['batch_stats'])[0]
)


def loss_in_numpy(params, state):
    variables = {'params': params, 'batch_stats': state.batch_stats}
    logits = np.asarray(LOGITS(variables), np.float64)
    log_sum = np.log(np.exp(logits).sum(axis=1))
    return (log_sum - logits[np.arange(6), np.asarray(LABELS)]).mean(), logits


def test_metrics_are_those_of_the_batch_and_the_update_descends_its_gradient(state):
    after, metrics = STEP(state, IMAGES, LABELS, KEY)
    loss, logits = loss_in_numpy(state.params, state)
    assert float(metrics['loss']) == pytest.approx(loss, rel=1e-5)
    assert float(metrics['error']) == pytest.approx(
        100 * (logits.argmax(1) != np.asarray(LABELS)).mean()
    )
    assert int(after.step) == 1

    # At learning rate 1 the update is minus the gradient; its directional derivative is −|g|².
    update = jax.tree.map(lambda new, old: new - old, after.params, state.params)
    squared = sum(float(jnp.sum(leaf**2)) for leaf in jax.tree.leaves(update))
    assert float(metrics['gradient_norm']) == pytest.approx(squared**0.5, rel=1e-4)
    epsilon = 1e-3 / squared**0.5
    moved = [
        loss_in_numpy(
            jax.tree.map(lambda p, u, sign=sign: p + sign * epsilon * u, state.params, update),
            state,
        )[0]
        for sign in (1, -1)
    ]
    assert (moved[0] - moved[1]) / (2 * epsilon) == pytest.approx(-squared, rel=0.02)


def test_batch_statistics_move_in_training_and_not_in_evaluation(state):
    after, _ = STEP(state, IMAGES, LABELS, KEY)
    mean = after.batch_stats['stem_norm']['mean']
    assert np.abs(mean).max() > 0
    variables = {'params': state.params, 'batch_stats': state.batch_stats}
    logits = np.asarray(NETWORK.apply(variables, IMAGES, train=False), np.float64)
    loss, wrong = eval_step(state, IMAGES, LABELS, network=NETWORK)
    expected = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(6), np.asarray(LABELS)]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_array_equal(wrong, logits.argmax(1) != np.asarray(LABELS))


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'options'),
    [
        ('cifar_plain20', {}),
        ('cifar_resnet20', {'shortcut': 'C', 'gate': 'exclusive', 'shortcut_dropout': 0.5}),
        ('cifar_vgg16_bn', {'depth': 100}),
        slow('cifar_resnet20', {}),
        slow('cifar_preresnet164', {}),
        slow('vgg16', {}),
        slow('vgg16c_bn', {}),
        slow('resnet18', {}),
        slow('resnet50', {}),
    ],
)
@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
def test_every_familys_train_step_lowers_for_other_platforms(name, options, platform):
    network = create(name, 10, **options)
    image_shape = (32, 32, 3)
    key = jax.random.key(0)
    state = jax.eval_shape(lambda: init_state(key, network, SGD, image_shape))
    step = jax.jit(partial(train_step, network=network, optimizer=SGD))
    images, labels = jnp.zeros((2, *image_shape)), jnp.zeros(2, jnp.int32)
    lowered = step.trace(state, images, labels, key).lower(lowering_platforms=(platform,))
    assert 'stablehlo.convolution' in lowered.as_text()


def test_weights_replace_those_of_the_seed_but_for_a_head_that_is_left_out(state):
    params = jax.tree.map(lambda leaf: leaf + 1, state.params)
    del params['head']
    batch_stats = jax.tree.map(lambda leaf: leaf + 2, state.batch_stats)
    changed = with_weights(state, {'params': params, 'batch_stats': batch_stats})
    for name, leaves in changed.params.items():
        expected = state.params['head'] if name == 'head' else params[name]
        jax.tree.map(np.testing.assert_array_equal, leaves, expected)
    jax.tree.map(np.testing.assert_array_equal, changed.batch_stats, batch_stats)
    assert int(changed.step) == 0


@pytest.mark.slow
def test_dropout_follows_the_key():
    network = create('vgg11', 3, width=2, vgg_stages=3, depth=10)
    fresh = jax.jit(lambda: init_state(jax.random.key(0), network, SGD, (8, 8, 1)))()
    assert fresh.batch_stats == {}
    step = jax.jit(partial(train_step, network=network, optimizer=SGD))
    images = jax.random.normal(jax.random.key(5), (6, 8, 8, 1))
    losses = [float(step(fresh, images, LABELS, jax.random.key(k))[1]['loss']) for k in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
