from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vggres import architecture
from vggres.network import Network
from vggres.train_step import eval_step, init_state, train_step

NETWORK = Network(architecture.network_spec('resnet', 8, width=2), num_classes=3)
SGD = optax.sgd(1.0)
IMAGES = jax.random.normal(jax.random.key(5), (6, 4, 4, 1))
LABELS = jnp.array([0, 1, 2, 0, 1, 2], jnp.int32)


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
    after, metrics = STEP(state, IMAGES, LABELS)
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
    after, _ = STEP(state, IMAGES, LABELS)
    mean = after.batch_stats['stem_norm']['mean']
    assert np.abs(mean).max() > 0
    variables = {'params': state.params, 'batch_stats': state.batch_stats}
    logits = np.asarray(NETWORK.apply(variables, IMAGES, train=False), np.float64)
    loss, wrong = eval_step(state, IMAGES, LABELS, network=NETWORK)
    expected = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(6), np.asarray(LABELS)]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    np.testing.assert_array_equal(wrong, logits.argmax(1) != np.asarray(LABELS))


def test_the_train_step_lowers_for_gpu_and_tpu(state):
    traced = STEP.trace(state, IMAGES, LABELS)
    text = traced.lower(lowering_platforms=('cuda', 'tpu')).as_text()
    assert 'stablehlo.convolution' in text
