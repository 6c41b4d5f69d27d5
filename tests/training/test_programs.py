import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vggres.config import network_spec, program
from vggres.data import resident
from vggres.data.source import SPLITS, Split
from vggres.networks.network import Network
from vggres.training import programs
from vggres.training.loops import train_until
from vggres.training.optimizer import some_schedule
from vggres.training.train_step import train_step
from vggres.training.trainer import described_run


@pytest.fixture
def run(config, build, data):
    """(seed, stops) → the state and the sums of `config`, after one call for each stop."""

    def run(seed, stops):
        compiled, schedule = build(config), described_run(config, data.num_train).schedule
        state, sums, order_key = compiled.init(seed)
        for stop in stops:
            state, sums = compiled.train(state, sums, order_key, data, schedule, stop)
        return state, sums

    return run


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_an_epoch_may_be_cut_into_any_dispatches(run):
    whole = run(0, [5])
    assert int(whole[0].step) == 5
    assert_equal(whole, run(0, [1, 2, 3, 4, 5]))
    assert_equal(whole, run(0, [3, 5]))


def test_a_seed_decides_everything(run):
    assert_equal(run(1, [5]), run(1, [5]))
    first, second = (run(seed, [5])[1] for seed in (1, 2))
    assert float(first['loss']) != float(second['loss'])


@pytest.mark.slow
def test_rates_and_budgets_share_a_program_and_train_as_with_constants(config, build, data):
    """The program that takes the schedule as numbers does the updates of one that knows optax's."""
    config.optimizer.decay_at = (0.5,)
    compiled = build(config)
    init, _, _ = programs.functions(program(config), data)
    network = programs.described_network(program(config), data.num_classes)
    batching = programs.batching(program(config))
    for rate, epochs in ((0.1, 4), (0.03, 2)):
        config.optimizer.learning_rate, config.train.epochs = rate, epochs
        assert build(config) is compiled
        total = 5 * epochs  # 40 images in batches of 8
        warmup = round(0.1 * total)
        schedule = optax.join_schedules(
            [
                optax.linear_schedule(rate / warmup, rate, max(1, warmup - 1)),
                optax.piecewise_constant_schedule(rate, {total // 2 - warmup: 0.1}),
            ],
            [warmup],
        )
        sgd = optax.chain(optax.add_decayed_weights(1e-4), optax.sgd(schedule, momentum=0.9))
        update = partial(train_step, network=network, optimizer=sgd)
        known = jax.jit(partial(train_until, update=update, batching=batching))
        expected, sums, order_key = init(0, 0)
        found, _, _ = compiled.init(0)
        taken = described_run(config, data.num_train).schedule
        for stop in range(5, total + 1, 5):
            zeros = jax.tree.map(jnp.zeros_like, sums)
            expected, _ = known(expected, zeros, order_key, data, stop)
            zeros = jax.tree.map(jnp.zeros_like, sums)
            found, _ = compiled.train(found, zeros, order_key, data, taken, stop)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), found, expected)


def test_families_of_one_seed_start_from_the_same_weights(config, build):
    resnet = build(config)
    config.model.family = 'plain'
    plain = build(config)
    assert_equal(plain.init(4)[0].params, resnet.init(4)[0].params)


@pytest.mark.parametrize(
    'batch_size',
    [
        pytest.param(1, marks=pytest.mark.slow),
        7,
        40,
        pytest.param(64, marks=pytest.mark.slow),
    ],
)
def test_evaluation_counts_each_image_once_whatever_the_batch(config, build, data, run, batch_size):
    config.evaluation.batch_size = batch_size
    compiled = build(config)
    state, _ = run(0, [3])
    network = Network(network_spec(config), 4)
    for start, stop in map(data.range_of, SPLITS):
        images = np.asarray(data.images)[start:stop] / 255 - np.asarray(data.mean)
        labels = np.asarray(data.labels)[start:stop]
        logits = np.asarray(
            network.apply(state.variables, images.astype(np.float32), train=False), np.float64
        )
        log_sum = np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1)) + logits.max(1)
        loss, wrong = compiled.evaluate(state, data, start, stop)
        expected = (log_sum - logits[np.arange(len(labels)), labels]).sum()
        np.testing.assert_allclose(loss, expected, rtol=1e-4)
        assert int(wrong) == (logits.argmax(1) != labels).sum()


def test_augmentation_is_what_the_configuration_says(config):
    config.data.crop_padding, config.data.flip = 2, True
    batching = programs.batching(program(config))
    assert batching.size == 8
    expected = {'crop_padding': 2, 'flip': True, 'color_noise': 0.0}
    assert batching.augment.keywords == expected


@pytest.mark.slow
def test_families_and_depths_of_one_seed_see_the_same_batches(config, build):
    keys = []
    for family, depth in (('plain', 8), ('resnet', 8), ('resnet', 14)):
        config.model.family, config.model.depth = family, depth
        keys.append(jax.random.key_data(build(config).init(4)[2]))
    np.testing.assert_array_equal(keys[0], keys[1])
    np.testing.assert_array_equal(keys[0], keys[2])


@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
def test_all_programs_lower_for_other_platforms(config, data, platform):
    init, train, evaluate = programs.functions(program(config), data)
    state, sums, key = jax.eval_shape(init, 0, 0)
    for function, arguments in (
        (init, (0, 0)),
        (train, (state, sums, key, data, some_schedule(config.optimizer), 5)),
        (evaluate, (state, data, 0, 40)),
    ):
        lowered = jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,))
        assert ('stablehlo.convolution' in lowered.as_text()) == (function is not init)


@pytest.mark.slow
def test_bfloat16_trains(config, run):
    exact = run(0, [5])[1]['loss']
    config.model.compute_dtype = 'bfloat16'
    state, sums = run(0, [5])
    assert np.isfinite(sums['loss'])
    assert float(sums['loss']) != float(exact)  # it computes otherwise
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {jnp.dtype('float32')}


@pytest.mark.slow
def test_it_stops_where_the_loss_is_no_longer_finite(config, run):
    config.optimizer.learning_rate = 1e30
    config.optimizer.warmup = 'none'
    state, sums = run(0, [5])
    assert 1 <= int(state.step) < 5
    assert not np.isfinite(sums['loss'] + sums['gradient_norm'])


def lowered(config, image_size=8, batch_size=32, **model):
    """The training program of a network on random images, lowered and not compiled."""
    config.model.update(width=16, **model)
    config.train.batch_size = batch_size
    images = np.random.default_rng(0).integers(0, 256, (64, image_size, image_size, 3), np.uint8)
    splits = {name: Split(images, np.zeros(64, np.int32)) for name in SPLITS}
    data = resident.put(splits, num_classes=10)
    init, train, _ = programs.functions(program(config), data)
    state, sums, order_key = jax.eval_shape(init, 0, 0)
    jitted = jax.jit(train, donate_argnums=(0, 1))
    return jitted.lower(state, sums, order_key, data, some_schedule(config.optimizer), 0)


@pytest.mark.slow
@pytest.mark.parametrize('family', ['plain', 'resnet'])
def test_depth_adds_no_instruction(family, config):
    texts = [lowered(config, family=family, depth=depth).as_text() for depth in (20, 110, 1202)]
    counts = [text.count(' = ') for text in texts]
    assert counts[0] == counts[1] == counts[2] > 1000


@pytest.mark.slow
def test_compile_time_hardly_grows_with_depth(config):
    """In a second round as well where the first one was disturbed, with another batch size.

    A program is not compiled twice in a run.
    """

    def seconds(depth, batch_size):
        started = time.process_time()
        program = lowered(config, batch_size=batch_size, depth=depth)
        program.compile({'xla_backend_optimization_level': 3})
        return time.process_time() - started

    seconds(20, 31)
    rounds = []
    for batch_size in (32, 33):
        rounds.append([seconds(depth, batch_size) for depth in (20, 110, 1202)])
        shallow, deep, deepest = np.min(rounds, axis=0)
        if hardly_grows := deep <= 1.25 * shallow and deepest <= 1.5 * shallow:
            break
    assert shallow > 0.5  # nothing came from the cache
    assert hardly_grows, rounds


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
