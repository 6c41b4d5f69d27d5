import time
from functools import partial

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vggres import config as configuration
from vggres.data import tfds
from vggres.networks.network import Network
from vggres.training import programs


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
    splits = tfds.load(config.data)
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


class Diary(flax.struct.PyTreeNode):
    """A state that only remembers which labels it saw, -1 before the first."""

    step: jax.Array
    labels: jax.Array


def visited(num_train, batch_size, epochs, seed=0, augment=lambda images, key: images):
    """The labels [epochs, steps, batch] of `train_until` where image i has label i, and images."""
    per_epoch = num_train // batch_size

    def update(diary, images, labels, key):
        seen = jnp.concatenate([labels.astype(jnp.float32), images[:, 0, 0, 0]])
        diary = Diary(diary.step + 1, diary.labels.at[diary.step].set(seen))
        return diary, {'loss': jnp.zeros(()), 'gradient_norm': jnp.zeros(())}

    train = jax.jit(
        partial(
            programs.train_until,
            update=update,
            num_train=num_train,
            batch_size=batch_size,
            augment=augment,
        )
    )
    diary = Diary(jnp.int32(0), jnp.full((epochs * per_epoch, 2 * batch_size), -1.0))
    sums = {'loss': jnp.zeros(()), 'gradient_norm': jnp.zeros(())}
    images = jnp.arange(num_train + 3, dtype=jnp.uint8)[:, None, None, None]
    labels = jnp.arange(num_train + 3)
    statistics = (jnp.zeros((1, 1, 1)), jnp.ones((1, 1, 1)))
    for epoch in range(epochs):
        stop = (epoch + 1) * per_epoch
        diary, sums = train(diary, sums, jax.random.key(seed), images, labels, *statistics, stop)
    seen = np.asarray(diary.labels).reshape(epochs, per_epoch, 2, batch_size)
    return seen[:, :, 0].astype(int), seen[:, :, 1]


def test_an_epoch_visits_each_training_image_at_most_once_in_an_order_of_its_own():
    labels, images = visited(num_train=22, batch_size=4, epochs=3)
    left_out = []
    for epoch in labels.reshape(3, 20):
        assert len(set(epoch)) == 20
        assert set(epoch) <= set(range(22))
        left_out.append(frozenset(range(22)) - set(epoch))
    assert len({tuple(epoch.ravel()) for epoch in labels}) == 3
    assert len(set(left_out)) > 1
    # Images come with their labels.
    np.testing.assert_allclose(images * 255, labels, atol=1e-4)


def test_the_order_follows_the_seed_alone():
    first = visited(num_train=22, batch_size=4, epochs=2)[0]
    np.testing.assert_array_equal(visited(num_train=22, batch_size=4, epochs=2)[0], first)
    assert (visited(num_train=22, batch_size=4, epochs=2, seed=1)[0] != first).any()


def test_each_step_drops_with_a_key_of_its_own():
    def update(diary, images, labels, key):
        diary = Diary(diary.step + 1, diary.labels.at[diary.step].set(jax.random.uniform(key)))
        return diary, {'loss': jnp.zeros(()), 'gradient_norm': jnp.zeros(())}

    diary, _ = programs.train_until(
        Diary(jnp.int32(0), jnp.full(4, -1.0)),
        {'loss': jnp.zeros(()), 'gradient_norm': jnp.zeros(())},
        jax.random.key(0),
        jnp.zeros((8, 1, 1, 1), jnp.uint8),
        jnp.zeros(8, jnp.int32),
        jnp.zeros((1, 1, 1)),
        jnp.ones((1, 1, 1)),
        4,
        update=update,
        num_train=8,
        batch_size=2,
        augment=lambda images, key: images,
    )
    assert len(set(np.asarray(diary.labels).tolist())) == 4


def test_training_and_evaluation_divide_by_the_deviation():
    arguments = (jnp.full((2, 1, 1, 1), 51, jnp.uint8), jnp.zeros(2, jnp.int32))
    statistics = (jnp.full((1, 1, 1), 0.1), jnp.full((1, 1, 1), 0.5))

    def update(diary, images, labels, key):
        diary = Diary(diary.step + 1, images[:, 0, 0, 0])
        return diary, {'loss': jnp.zeros(()), 'gradient_norm': jnp.zeros(())}

    diary, _ = programs.train_until(
        Diary(jnp.int32(0), jnp.zeros(2)),
        {'loss': jnp.zeros(()), 'gradient_norm': jnp.zeros(())},
        jax.random.key(0),
        *arguments,
        *statistics,
        1,
        update=update,
        num_train=2,
        batch_size=2,
        augment=lambda images, key: images,
    )
    np.testing.assert_allclose(diary.labels, (51 / 255 - 0.1) / 0.5, rtol=1e-6)
    loss, _ = programs.evaluate_range(
        diary,
        *arguments,
        *statistics,
        0,
        2,
        step=lambda state, images, labels: (images[:, 0, 0, 0], labels > 0),
        batch_size=2,
    )
    np.testing.assert_allclose(loss, 2 * (51 / 255 - 0.1) / 0.5, rtol=1e-6)


def test_each_step_augments_with_a_key_of_its_own():
    noise = visited(
        num_train=8,
        batch_size=4,
        epochs=2,
        augment=lambda images, key: jnp.full_like(images, jax.random.uniform(key)),
    )[1]
    assert len({float(step[0]) for epoch in noise for step in epoch}) == 4


def test_augmentation_is_what_the_configuration_says(config, device_data):
    config.data.crop_padding, config.data.flip = 2, True
    _, train, _, _ = programs.functions(configuration.program(config), device_data)
    assert train.keywords['augment'].keywords == {'crop_padding': 2, 'flip': True}


@pytest.mark.slow
def test_families_and_depths_of_one_seed_see_the_same_batches(config, build):
    keys = []
    for family, depth in (('plain', 8), ('resnet', 8), ('resnet', 14)):
        config.model.family, config.model.depth = family, depth
        keys.append(jax.random.key_data(build(config).init(4)[2]))
    np.testing.assert_array_equal(keys[0], keys[1])
    np.testing.assert_array_equal(keys[0], keys[2])


@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
def test_all_programs_lower_for_other_platforms(config, device_data, platform):
    init, train, evaluate, _ = programs.functions(configuration.program(config), device_data)
    state, sums, key = jax.eval_shape(init, 0)
    for function, arguments in (
        (init, (0,)),
        (train, (state, sums, key, *device_data.arrays, 5)),
        (evaluate, (state, *device_data.arrays, 0, 40)),
    ):
        lowered = jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,))
        assert ('stablehlo.convolution' in lowered.as_text()) == (function is not init)


@pytest.mark.slow
def test_bfloat16_trains(config, build, device_data):
    exact = run(build(config), device_data, 0, [5])[1]['loss']
    config.model.compute_dtype = 'bfloat16'
    state, sums = run(build(config), device_data, 0, [5])
    assert np.isfinite(sums['loss'])
    assert float(sums['loss']) != float(exact)  # it computes otherwise
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype('float32')}


@pytest.mark.slow
def test_it_stops_where_the_loss_is_no_longer_finite(config, build, device_data):
    config.optimizer.learning_rate = 1e30
    config.optimizer.warmup = 'none'
    compiled = build(config)
    state, sums = run(compiled, device_data, 0, [5])
    assert 1 <= int(state.step) < 5
    assert not np.isfinite(sums['loss'] + sums['gradient_norm'])


def lowered(config, image_size=8, **model):
    """The training program of a network on random images, lowered and not compiled."""
    config.model.update(width=16, **model)
    config.train.batch_size = 32
    images = np.random.default_rng(0).integers(0, 256, (64, image_size, image_size, 3), np.uint8)
    splits = {name: tfds.Split(images, np.zeros(64, np.int32)) for name in tfds.SPLITS}
    device_data = programs.to_device(splits, num_classes=10)
    init, train, _, _ = programs.functions(configuration.program(config), device_data)
    state, sums, order_key = jax.eval_shape(init, 0)
    jitted = jax.jit(train, donate_argnums=(0, 1))
    return jitted.lower(state, sums, order_key, *device_data.arrays, 0)


@pytest.mark.parametrize('family', ['plain', 'resnet'])
def test_depth_adds_no_instruction(family, config):
    texts = [lowered(config, family=family, depth=depth).as_text() for depth in (20, 110, 1202)]
    counts = [text.count(' = ') for text in texts]
    assert counts[0] == counts[1] == counts[2] > 1000


@pytest.mark.slow
def test_compile_time_hardly_grows_with_depth(config):
    def seconds(depth):
        started = time.process_time()
        lowered(config, depth=depth).compile({'xla_backend_optimization_level': 3})
        return time.process_time() - started

    seconds(20)
    rounds = [[seconds(depth) for depth in (20, 110, 1202)] for _ in range(3)]
    shallow, deep, deepest = np.median(rounds, axis=0)
    assert deep <= 1.25 * shallow
    assert deepest <= 1.5 * shallow


@pytest.mark.slow
def test_1202_layers_fit_where_blocks_are_computed_again(config):
    def temporaries(remat):
        compiled = lowered(config, image_size=32, depth=1202, remat=remat).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(remat=True) < 4e9
    assert temporaries(remat=True) < temporaries(remat=False) / 4


@pytest.mark.parametrize(
    ('platform', 'memory', 'images'),
    [
        ('cpu', 64e9, 256),
        ('gpu', None, 256),
        # 8·8 pixels of 16 channels: 4,096 bytes an output, 65,536 for sixteen.
        ('gpu', 65_536 * 1000, 512),
        ('gpu', 80e9, 4096),
        ('tpu', 1, 1),
    ],
)
def test_evaluation_is_batched_to_the_device(platform, memory, images, config, monkeypatch):
    class Device:
        def memory_stats(self):
            return memory and {'bytes_limit': int(memory)}

    Device.platform = platform
    monkeypatch.setattr(jax, 'local_devices', lambda: [Device()])
    config.model.width = 16
    config.evaluation.batch_size = 0
    assert programs.evaluation_batch_size(config, (8, 8, 1)) == images
    config.evaluation.batch_size = 77
    assert programs.evaluation_batch_size(config, (8, 8, 1)) == 77
