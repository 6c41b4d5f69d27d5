import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vggres.training import trainer
from vggres.training.checkpoint import Checkpoints
from vggres.training.trainer import Listeners, Observer, described_run


@pytest.fixture
def train(build, data):
    return functools.partial(train_with, build, data)


def train_with(build, data, config, weights=None, checkpoints=None, observer=None):
    """The outcome of a run, its records, and its progress."""
    records, steps = [], []
    listeners = Listeners(
        on_record=records.append, on_progress=lambda step, total: steps.append((step, total))
    )
    run = described_run(config, data.num_train, weights)
    outcome, _ = trainer.train(build(config), data, run, checkpoints, observer, listeners)
    return outcome, records, steps


def test_records_and_result_of_a_run(config, train):
    config.train.epochs = 3
    outcome, records, steps = train(config)
    assert [record.epoch for record in records] == [1, 2, 3]
    assert [record.step for record in records] == [5, 10, 15]  # 40 images, batches of 8
    # 10 % of 15 steps: round(1.5) = 2 of warm-up; ÷10 at round(7.5) = 8 and round(11.25) = 11.
    assert [record.learning_rate for record in records] == pytest.approx([0.1, 0.01, 0.001])
    assert all(record.gradient_norm > 0 for record in records)
    assert all(record.images_per_second > 0 for record in records)
    assert steps[-1] == (15, 15)
    assert [step for step, _ in steps] == sorted({step for step, _ in steps})
    assert outcome.status == 'finished'
    assert outcome.diverged_at_step is None
    assert outcome.train_error == records[-1].train_error
    assert outcome.validation_error == records[-1].validation_error
    # Errors are whole counts of 40, 5 and 7 images.
    for split, size in (('train', 40), ('validation', 5), ('test', 7)):
        count = getattr(outcome, f'{split}_error') / 100 * size
        assert count == pytest.approx(round(count), abs=1e-9)


def test_it_starts_from_given_weights(config, train, build):
    # A head of zeros finds all four classes equally likely: the first loss is ln 4.
    config.train.epochs, config.train.steps = 0, 1
    params = build(config).init(3)[0].params
    params['head'] = jax.tree.map(jnp.zeros_like, params['head'])
    _, records, _ = train(config, {'params': params})
    assert records[0].batch_loss == pytest.approx(math.log(4), rel=1e-6)


def test_a_checkpoint_comes_before_the_weights_it_started_from(config, build, data, tmp_path):
    # One of two epochs is done: the second goes on from there, not from the weights again.
    run = described_run(config, data.num_train, {'params': build(config).init(3)[0].params})
    whole, _ = trainer.train(build(config), data, run)
    checkpoints = Checkpoints(tmp_path, every_seconds=0)

    class Stopped(Exception):
        pass

    def stop_in_the_second_epoch(step, total):
        if step > 5:
            raise Stopped

    listeners = Listeners(on_progress=stop_in_the_second_epoch)
    with pytest.raises(Stopped):
        trainer.train(build(config), data, run, checkpoints, listeners=listeners)
    assert checkpoints.latest_step() == 5
    outcome, _ = trainer.train(build(config), data, run, checkpoints)
    assert outcome == whole


def test_it_learns(config, train):
    config.train.epochs = 60
    config.model.width = 8
    outcome, records, _ = train(config)
    assert outcome.train_error < 20  # 75 % by guessing
    assert records[-1].batch_loss < records[0].batch_loss


def test_training_may_end_within_an_epoch(config, train):
    config.train.epochs, config.train.steps = 0, 7
    _, records, steps = train(config)
    assert [record.epoch for record in records] == [1, 1.4]
    assert steps[-1] == (7, 7)
    assert records[-1].train_error is not None


def test_evaluation_now_and_then_and_always_at_the_end(config, train):
    config.train.epochs, config.evaluation.every_epochs = 5, 2
    _, records, _ = train(config)
    evaluated = [record.epoch for record in records if record.train_error is not None]
    assert evaluated == [2, 4, 5]


def test_how_often_it_is_evaluated_changes_no_result(config, train):
    often = train(config)[0]
    config.evaluation.every_epochs = 2
    assert train(config)[0] == often


def test_divergence_by_the_last_update_is_found_by_the_evaluation(config, train):
    config.train.epochs, config.train.steps = 0, 1
    config.optimizer.learning_rate, config.optimizer.warmup = 1e30, 'none'
    config.optimizer.decay_at = ()
    outcome, _, _ = train(config)
    assert (outcome.status, outcome.diverged_at_step) == ('diverged', 1)
    assert outcome.train_error == 75


def test_divergence_is_a_result(config, train):
    config.optimizer.learning_rate = 1e30
    config.optimizer.warmup = 'none'
    outcome, records, _ = train(config)
    assert outcome.status == 'diverged'
    assert 1 <= outcome.diverged_at_step < 5
    assert records == []
    # Guessing among four classes.
    errors = [getattr(outcome, f'{split}_error') for split in ('train', 'validation', 'test')]
    assert errors == [75, 75, 75]
    assert outcome.train_loss is None


def observed(config, build, data, run, **options):
    """What an observer that only knows how often it was asked tells, and when."""
    asked, observations = [], []

    def observe(state, order_key, schedule):
        assert schedule is run.schedule
        asked.append((jax.device_get(state), order_key))  # training uses up the state
        return {'times': {'asked': float(len(asked)), 'limit': math.inf}}

    observer = Observer(observe, **options)
    listeners = Listeners(on_observation=observations.append)
    outcome, state = trainer.train(build(config), data, run, None, observer, listeners)
    return outcome, state, asked, observations


def test_an_observer_is_asked_now_and_then_and_after_the_last_update(config, build, data):
    config.train.epochs = 3
    run = described_run(config, data.num_train)
    *_, asked, observations = observed(config, build, data, run, every_epochs=2)
    assert [(each.epoch, each.step, each.draw) for each in observations] == [
        (0, 0, 0),
        (2, 10, 0),
        (3, 15, 0),
    ]
    assert [int(state.step) for state, _ in asked] == [0, 10, 15]
    # What is not finite is None.
    assert observations[1].values == {'times': {'asked': 2.0, 'limit': None}}


def test_who_is_observed_trains_as_without(config, build, data):
    run = described_run(config, data.num_train)
    alone, last = trainer.train(build(config), data, run)
    outcome, state, _, _ = observed(config, build, data, run, every_epochs=1, draws=3)
    assert outcome == alone
    jax.tree.map(np.testing.assert_array_equal, state, last)


def test_other_draws_have_weights_and_an_order_of_their_own_and_the_same_scheme(
    config, build, data
):
    config.seed, config.init.scheme = 7, 'vgg'
    run = described_run(config, data.num_train)
    *_, asked, observations = observed(config, build, data, run, every_epochs=2, draws=3)
    assert [(each.step, each.draw) for each in observations] == [(0, 0), (0, 1), (0, 2), (10, 0)]
    for (state, order_key), seed in zip(asked, (7, 100_007, 200_007), strict=False):
        expected, _, key = build(config).init(seed, 'vgg')
        jax.tree.map(np.testing.assert_array_equal, state.params, expected.params)
        np.testing.assert_array_equal(jax.random.key_data(order_key), jax.random.key_data(key))


def test_a_run_that_goes_on_does_not_observe_its_beginning_again(config, build, data, tmp_path):
    checkpoints = Checkpoints(tmp_path, every_seconds=0)
    run = described_run(config, data.num_train)
    trainer.train(build(config), data, run, checkpoints)  # leaves its checkpoint of epoch 1
    observations = []
    observer = Observer(lambda *given: {}, every_epochs=1, draws=2)
    listeners = Listeners(on_observation=observations.append)
    trainer.train(build(config), data, run, checkpoints, observer, listeners)
    assert [each.epoch for each in observations] == [2]
