import dataclasses
from functools import partial

import flax
import jax
import jax.numpy as jnp
import numpy as np

from vggres.data.resident import ResidentData
from vggres.training.loops import Batching, evaluate_range, next_batch, train_until


def unchanged(images, key):
    return images


def resident_data(images, labels, sizes):
    """Images that normalisation only divides by 255."""
    statistics = {'mean': jnp.zeros((1, 1, 1)), 'deviation': jnp.ones((1, 1, 1))}
    return ResidentData(images, labels, **statistics, sizes=sizes, num_classes=1)


class Diary(flax.struct.PyTreeNode):
    """A state that only remembers which labels it saw, -1 before the first."""

    step: jax.Array
    labels: jax.Array


def visited(num_train, batch_size, epochs, seed=0, augment=unchanged):
    """The labels [epochs, steps, batch] of `train_until` where image i has label i, and images."""
    per_epoch = num_train // batch_size

    def update(diary, images, labels, key):
        seen = jnp.concatenate([labels.astype(jnp.float32), images[:, 0, 0, 0]])
        diary = Diary(diary.step + 1, diary.labels.at[diary.step].set(seen))
        return diary, {'loss': jnp.zeros(()), 'gradient_norm': jnp.zeros(())}

    batching = Batching(batch_size, augment)
    train = jax.jit(partial(train_until, update=update, batching=batching))
    diary = Diary(jnp.int32(0), jnp.full((epochs * per_epoch, 2 * batch_size), -1.0))
    sums = {'loss': jnp.zeros(()), 'gradient_norm': jnp.zeros(())}
    images = jnp.arange(num_train + 3, dtype=jnp.uint8)[:, None, None, None]
    data = resident_data(images, jnp.arange(num_train + 3), sizes=(num_train, 2, 1))
    for epoch in range(epochs):
        stop = (epoch + 1) * per_epoch
        diary, sums = train(diary, sums, jax.random.key(seed), data, stop)
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

    images, labels = jnp.zeros((8, 1, 1, 1), jnp.uint8), jnp.zeros(8, jnp.int32)
    diary, _ = train_until(
        Diary(jnp.int32(0), jnp.full(4, -1.0)),
        {'loss': jnp.zeros(()), 'gradient_norm': jnp.zeros(())},
        jax.random.key(0),
        resident_data(images, labels, sizes=(8, 0, 0)),
        4,
        update=update,
        batching=Batching(2, unchanged),
    )
    assert len(set(np.asarray(diary.labels).tolist())) == 4


def test_training_and_evaluation_divide_by_the_deviation():
    data = dataclasses.replace(
        resident_data(
            jnp.full((2, 1, 1, 1), 51, jnp.uint8), jnp.zeros(2, jnp.int32), sizes=(2, 0, 0)
        ),
        mean=jnp.full((1, 1, 1), 0.1),
        deviation=jnp.full((1, 1, 1), 0.5),
    )

    def update(diary, images, labels, key):
        diary = Diary(diary.step + 1, images[:, 0, 0, 0])
        return diary, {'loss': jnp.zeros(()), 'gradient_norm': jnp.zeros(())}

    diary, _ = train_until(
        Diary(jnp.int32(0), jnp.zeros(2)),
        {'loss': jnp.zeros(()), 'gradient_norm': jnp.zeros(())},
        jax.random.key(0),
        data,
        1,
        update=update,
        batching=Batching(2, unchanged),
    )
    np.testing.assert_allclose(diary.labels, (51 / 255 - 0.1) / 0.5, rtol=1e-6)
    loss, _ = evaluate_range(
        diary,
        data,
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


def test_the_next_batch_is_the_one_that_training_takes():
    batching = Batching(4, lambda images, key: images + jax.random.uniform(key))

    def update(diary, images, labels, key):
        seen = jnp.concatenate([labels.astype(jnp.float32), images[:, 0, 0, 0]])
        seen = jnp.append(seen, jax.random.uniform(key))
        diary = Diary(diary.step + 1, diary.labels.at[diary.step].set(seen))
        return diary, {'loss': jnp.zeros(()), 'gradient_norm': jnp.zeros(())}

    images = jnp.arange(10, dtype=jnp.uint8)[:, None, None, None]
    data, key = resident_data(images, jnp.arange(10), sizes=(10, 0, 0)), jax.random.key(3)
    diary = Diary(jnp.int32(0), jnp.zeros((4, 9)))
    sums = {'loss': jnp.zeros(()), 'gradient_norm': jnp.zeros(())}
    for stop in (2, 4):  # two epochs of two batches
        diary, sums = train_until(diary, sums, key, data, stop, update=update, batching=batching)
    for step in range(4):
        images, labels, drop = next_batch(jnp.int32(step), key, data, batching)
        seen = jnp.concatenate([labels.astype(jnp.float32), images[:, 0, 0, 0]])
        np.testing.assert_array_equal(diary.labels[step, :8], seen)
        assert float(diary.labels[step, 8]) == float(jax.random.uniform(drop))
