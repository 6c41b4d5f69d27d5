import jax
import numpy as np
import pytest

from vggres import config as configuration
from vggres import data
from vggres.network import Network


@pytest.fixture
def compiled(config, build):
    return build(config)


def run(compiled, device_data, seed, stops):
    state, sums, order_key = compiled.init(seed)
    for stop in stops:
        state, sums = compiled.train(state, sums, order_key, *device_data.arrays, stop)
    return state, sums


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_the_splits_lie_one_after_another(device_data, config):
    splits = data.load(config.data)
    assert device_data.ranges == {'train': (0, 40), 'validation': (40, 45), 'test': (45, 52)}
    for name, (start, stop) in device_data.ranges.items():
        np.testing.assert_array_equal(device_data.images[start:stop], splits[name].images)
        np.testing.assert_array_equal(device_data.labels[start:stop], splits[name].labels)
    expected = splits['train'].images.astype(float).mean(axis=0) / 255
    np.testing.assert_allclose(device_data.mean, expected, atol=1e-6)


def test_an_epoch_may_be_cut_into_any_dispatches(compiled, device_data):
    whole = run(compiled, device_data, 0, [5])
    assert int(whole[0].step) == 5
    assert_equal(whole, run(compiled, device_data, 0, [1, 2, 3, 4, 5]))
    assert_equal(whole, run(compiled, device_data, 0, [3, 5]))


def test_a_seed_decides_everything(compiled, device_data):
    assert_equal(run(compiled, device_data, 1, [5]), run(compiled, device_data, 1, [5]))
    first, second = (run(compiled, device_data, seed, [5])[1] for seed in (1, 2))
    assert float(first['loss']) != float(second['loss'])


def test_families_of_one_seed_start_from_the_same_weights(compiled, config, build):
    config.model.family = 'plain'
    plain = build(config)
    assert_equal(plain.init(4)[0].params, compiled.init(4)[0].params)


@pytest.mark.parametrize('batch_size', [1, 7, 40, 64])
def test_evaluation_counts_each_image_once_whatever_the_batch(
    config, build, device_data, batch_size
):
    config.evaluation.batch_size = batch_size
    compiled = build(config)
    state, _ = run(compiled, device_data, 0, [3])
    network = Network(configuration.network_spec(config), 4)
    for start, stop in device_data.ranges.values():
        images = np.asarray(device_data.images)[start:stop] / 255 - np.asarray(device_data.mean)
        labels = np.asarray(device_data.labels)[start:stop]
        variables = {'params': state.params, 'batch_stats': state.batch_stats}
        logits = np.asarray(
            network.apply(variables, images.astype(np.float32), train=False), np.float64
        )
        log_sum = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
        loss, wrong = compiled.evaluate(state, *device_data.arrays, start, stop)
        expected = (log_sum - logits[np.arange(len(labels)), labels]).sum()
        np.testing.assert_allclose(loss, expected, rtol=1e-4)
        assert int(wrong) == (logits.argmax(1) != labels).sum()


def test_it_stops_where_the_loss_is_no_longer_finite(config, build, device_data):
    config.optimizer.learning_rate = 1e30
    config.optimizer.warmup = 'none'
    compiled = build(config)
    state, sums = run(compiled, device_data, 0, [5])
    assert 1 <= int(state.step) < 5
    assert not np.isfinite(sums['loss'] + sums['gradient_norm'])
