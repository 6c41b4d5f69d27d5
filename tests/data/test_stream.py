"""A stream is another way to the same numbers: all of these compare it with resident data."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from vggres.config import program
from vggres.data import stream
from vggres.data.stream import Chunk
from vggres.probes import observation
from vggres.training import inputs, programs, trainer
from vggres.training.loops import next_batch
from vggres.training.trainer import described_run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def streamed(config, monkeypatch):
    """`small_color` as a stream of chunks of two batches."""
    monkeypatch.setattr(stream, '_CHUNK_BYTES', 2 * 8 * 6 * 6 * 3 + 1)
    config.data.input = 'stream'
    return inputs._stream_of_arrays.__wrapped__(program(config), '')


def test_it_describes_itself_as_resident_data_do(streamed, data):
    for name in ('num_train', 'num_images', 'image_shape', 'num_classes'):
        assert getattr(streamed, name) == getattr(data, name)
    np.testing.assert_array_equal(streamed.mean, data.mean)
    np.testing.assert_array_equal(streamed.deviation, data.deviation)


def test_a_chunk_holds_the_batches_of_its_updates(config, streamed, data):
    batching, key = programs.batching(program(config)), jax.random.key(5)
    ends = []
    step = 0
    while step < 11:  # five updates an epoch, two a chunk
        chunk, end = streamed.training(key, step, 11)
        assert isinstance(chunk, Chunk)
        assert jax.tree.map(np.shape, chunk) == jax.tree.map(np.shape, streamed.training_shapes())
        for each in range(step, end):
            ours = next_batch(np.int32(each), key, chunk, batching)
            theirs = next_batch(np.int32(each), key, data, batching)
            for a, b in zip(ours[:2], theirs[:2], strict=True):
                np.testing.assert_array_equal(a, b)
        ends.append(end)
        step = end
    assert ends == [2, 4, 5, 7, 9, 10, 11]  # a chunk ends with its epoch


def test_hosts_that_share_a_batch_read_it_between_them(streamed):
    whole, key = streamed.reader, (1, 2)
    halves = [dataclasses.replace(whole, host=(index, 2)) for index in range(2)]
    (expected, end), *parts = (reader.training(key, 1, 3) for reader in (whole, *halves))
    assert end == 3  # two updates of eight images
    for name in ('images', 'labels'):
        found = [getattr(part, name).reshape(2, 4, -1) for part, _ in parts]
        both = np.concatenate(found, axis=1).reshape(getattr(expected, name).shape)
        np.testing.assert_array_equal(both, getattr(expected, name))
    for split, size in (('test', 4), ('train', 6)):  # 7 images, whose last batch has 3; and 40
        batches = zip(*(reader.evaluation(split, size) for reader in (whole, *halves)), strict=True)
        for expected, *parts in batches:
            labels = np.concatenate([part.labels for part in parts])
            np.testing.assert_array_equal(labels[: len(expected.labels)], expected.labels)


@pytest.mark.slow
def test_training_and_evaluation_are_the_same_to_the_last_bit(config, streamed, data, build):
    config.data.crop_padding, config.data.flip = 1, True
    config.data.input = 'stream'
    compiled = programs.build(program(config), streamed)
    run = described_run(config, data.num_train)
    ours, our_state = trainer.train(compiled, streamed, run)
    config.data.input = 'resident'
    theirs, their_state = trainer.train(build(config), data, run)
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    jax.tree.map(np.testing.assert_array_equal, our_state.params, their_state.params)


@pytest.mark.slow
def test_training_stops_at_the_same_error(config, streamed, data, build):
    config.model.width, config.train.epochs, config.optimizer.learning_rate = 8, 20, 0.03
    config.train.until_error, config.evaluation.every_steps = (30.0, 1.0), 3
    run = described_run(config, data.num_train)
    config.data.input = 'resident'
    theirs, _ = trainer.train(build(config), data, run)
    config.data.input = 'stream'
    ours, _ = trainer.train(programs.build(program(config), streamed), streamed, run)
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert theirs.steps_to_error['1'] < 100


def test_every_image_of_a_split_is_evaluated_once(streamed, data):
    found = [
        (np.asarray(chunk.images[start:stop]), np.asarray(chunk.labels[start:stop]))
        for chunk, start, stop in streamed.evaluation('train')
    ]
    assert [len(labels) for _, labels in found] == [7, 7, 7, 7, 7, 5]  # evaluation.batch_size is 7
    start, stop = data.range_of('train')
    np.testing.assert_array_equal(np.concatenate([i for i, _ in found]), data.images[start:stop])
    np.testing.assert_array_equal(np.concatenate([t for _, t in found]), data.labels[start:stop])


def test_chunks_hold_at_least_a_batch():
    assert stream.updates_at_once(128, (32, 32, 3)) == 85  # of 384 KiB in 32 MiB
    assert stream.updates_at_once(256, (224, 224, 3)) == 1


@pytest.mark.slow
def test_observing_the_next_update_takes_its_images(config, streamed, data):
    config.probes.every_epochs = 1
    compiled = programs.build(program(config), data)
    state, _, order_key = compiled.init(0)
    schedule = described_run(config, data.num_train).schedule
    for step in (0, 3):
        state = state.replace(step=np.int32(step))
        ours = observation.build(program(config), streamed).observe(state, order_key, schedule)
        theirs = observation.build(program(config), data).observe(state, order_key, schedule)
        assert ours == theirs


@pytest.mark.slow
def test_a_batch_is_the_same_on_one_and_on_eight_devices():
    """A process of its own, because the number of devices is fixed when jax starts.

    Crops and flips move pixels and are equal to the bit. The shift of the colours is a sum of three
    products, which a compiler rounds in an order of its own: on some processors a last bit differs.
    """
    code = """
import jax, jax.numpy as jnp, numpy as np
jax.config.update('jax_num_cpu_devices', 8)
from functools import partial
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from vggres.data import batches
from vggres.data.resident import ResidentData
from vggres.training.loops import Batching, next_batch
images = np.random.default_rng(0).integers(0, 256, (50, 6, 6, 3), np.uint8)
data = ResidentData(jnp.asarray(images), jnp.arange(50), jnp.zeros((6, 6, 3)),
                    jnp.ones((1, 1, 3)), sizes=(40, 5, 5), num_classes=50)
mesh = jax.make_mesh((8,), ('batch',), axis_types=(AxisType.Auto,))
split = NamedSharding(mesh, PartitionSpec('batch'))
whole = NamedSharding(mesh, PartitionSpec())
for step, color_noise in ((0, 0.0), (1, 0.0), (2, 0.0), (2, 0.1)):
    augment = partial(batches.augment, crop_padding=2, flip=True, color_noise=color_noise)
    take = partial(next_batch, batching=Batching(16, augment))
    one = jax.jit(take)(step, jax.random.key(3), data)
    eight = jax.jit(take, out_shardings=(split, split, whole))(
        step, jax.random.key(3), jax.device_put(data, whole))
    assert len(eight[0].sharding.device_set) == 8
    np.testing.assert_allclose(one[0], eight[0], rtol=0, atol=2e-7 if color_noise else 0)
    np.testing.assert_array_equal(one[1], eight[1])
"""
    environment = os.environ | {'JAX_PLATFORMS': 'cpu'}
    subprocess.run([sys.executable, '-c', code], check=True, cwd=ROOT, env=environment)
