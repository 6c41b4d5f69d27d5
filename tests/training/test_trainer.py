import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vggres.training import trainer
from vggres.training.checkpoint import Checkpoints
from vggres.training.programs import evaluate_split
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
    assert min(path.name for path in tmp_path.iterdir()) == 'step-000000000005.ckpt'
    outcome, _ = trainer.train(build(config), data, run, Checkpoints(tmp_path, every_seconds=0))
    assert outcome == whole


def test_a_run_is_saved_within_an_epoch(config, build, data, tmp_path, monkeypatch):
    run = described_run(config, data.num_train)
    whole, _ = trainer.train(build(config), data, run)
    monkeypatch.setattr(trainer, '_FIRST_DISPATCH', 1)
    monkeypatch.setattr(trainer, 'SECONDS_PER_DISPATCH', 0.0)  # an update each

    class Stopped(Exception):
        pass

    def stop(step, total):
        if step == 3:  # of 5 in an epoch
            raise Stopped

    checkpoints = Checkpoints(tmp_path, every_seconds=0)
    with pytest.raises(Stopped):
        trainer.train(build(config), data, run, checkpoints, listeners=Listeners(on_progress=stop))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ['step-000000000002.ckpt', 'step-000000000003.ckpt']
    outcome, _ = trainer.train(build(config), data, run, Checkpoints(tmp_path, every_seconds=0))
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
    run = described_run(config, data.num_train)
    # It leaves its checkpoint of epoch 1.
    trainer.train(build(config), data, run, Checkpoints(tmp_path, every_seconds=0))
    observations, checkpoints = [], Checkpoints(tmp_path, every_seconds=0)
    observer = Observer(lambda *given: {}, every_epochs=1, draws=2)
    listeners = Listeners(on_observation=observations.append)
    trainer.train(build(config), data, run, checkpoints, observer, listeners)
    assert [each.epoch for each in observations] == [2]


# Training until the training error is at a target


@pytest.fixture
def learner(config):
    """A network that learns 40 images by heart in some 20 of 100 updates; 5 are an epoch."""
    config.model.width, config.train.epochs, config.optimizer.learning_rate = 8, 20, 0.03
    return config


def step_by_step(config, build, data, steps):
    """The training error after each update, and that of its batch, from updates done singly."""
    compiled, run = build(config), described_run(config, data.num_train)
    state, zeros, order_key = compiled.init(run.seed)
    errors, of_batches = {}, {}
    for step in range(1, steps + 1):
        sums = jax.tree.map(jnp.zeros_like, zeros)
        state, sums = compiled.train(state, sums, order_key, data, run.schedule, step)
        _, wrong = evaluate_split(compiled.evaluate, data, state, 'train')
        errors[step], of_batches[step] = 100 * wrong / 40, float(sums['error'])
    return errors, of_batches


def test_training_stops_at_the_first_look_that_sees_the_last_target(learner, train, build, data):
    errors, of_batches = step_by_step(learner, build, data, 30)
    learner.train.until_error, learner.evaluation.every_steps = (30.0, 1.0), 2
    outcome, records, steps = train(learner)
    # Looks are at even updates and at ends of epochs, each with the batches since the one before.
    # Those within an epoch whose batches are half wrong are left out.
    occasions = sorted({*range(2, 31, 2), *range(5, 31, 5)})
    windows = dict(zip(occasions, [0, *occasions], strict=False))
    expected = []
    for step in occasions:
        recent = [of_batches[each] for each in range(windows[step] + 1, step + 1)]
        if step % 5 == 0 or sum(recent) / len(recent) < 50:
            expected.append((step, errors[step]))
        if errors[step] <= 1:
            break
    assert len(expected) < occasions.index(expected[-1][0]) + 1  # some were left out
    assert [look for record in records for look in record.looks] == expected
    last, error = expected[-1]
    assert last % 5 != 0
    assert outcome.steps_to_error == {
        '30': next(step for step, each in expected if each <= 30),
        '1': last,
    }
    assert (outcome.status, outcome.train_error) == ('finished', error)
    # The last record is that of a part of an epoch, evaluated.
    assert (records[-1].step, records[-1].epoch) == (last, last / 5)
    assert records[-1].train_error == error
    assert records[-1].validation_error == outcome.validation_error
    first = last - last % 5 + 1
    assert records[-1].batch_error == pytest.approx(
        np.mean([of_batches[each] for each in range(first, last + 1)])
    )
    assert steps[-1] == (last, last)
    assert steps[-2] == (last, 100)


def test_by_default_looks_are_at_the_ends_of_epochs_however_seldom_it_is_evaluated(learner, train):
    learner.train.until_error = (30.0, 1.0)
    outcome, records, _ = train(learner)
    assert [record.looks for record in records] == [
        ((record.step, record.train_error),) for record in records
    ]
    assert outcome.steps_to_error['1'] == records[-1].step < 100
    learner.evaluation.every_epochs = 3
    seldom, records, _ = train(learner)
    assert seldom == outcome
    assert [record.train_error is None for record in records[:3]] == [True, True, False]


def test_what_is_not_reached_is_censored_and_looks_change_no_weight(learner, build, data):
    learner.train.epochs = 4
    run = described_run(learner, data.num_train)
    outcome, last = trainer.train(build(learner), data, run)
    assert outcome.steps_to_error is None
    learner.train.until_error, learner.evaluation.every_steps = (65.0, 0.5), 3
    run = described_run(learner, data.num_train)
    looked_at, state = trainer.train(build(learner), data, run)
    assert looked_at.steps_to_error['65'] < 20
    assert looked_at.steps_to_error['0.5'] is None
    assert dataclasses.replace(looked_at, steps_to_error=None) == outcome
    jax.tree.map(np.testing.assert_array_equal, state, last)


def test_a_target_above_half_of_the_images_is_not_missed(learner, train, build, data):
    errors, of_batches = step_by_step(learner, build, data, 4)
    assert min(of_batches.values()) >= 50
    target = min(errors.values()) + 0.1
    learner.train.until_error, learner.evaluation.every_steps = (99.0, target), 1
    outcome, _, _ = train(learner)
    first = next(step for step, error in errors.items() if error <= target)
    assert outcome.steps_to_error == {'99': 1, f'{target:g}': first}


def test_a_diverged_run_reaches_nothing(learner, train):
    learner.optimizer.learning_rate, learner.optimizer.warmup = 1e30, 'none'
    learner.train.until_error, learner.evaluation.every_steps = (5.0, 1.0), 2
    outcome, _, _ = train(learner)
    assert outcome.status == 'diverged'
    assert outcome.steps_to_error == {'5': None, '1': None}


def test_a_run_that_stops_is_observed_at_its_end_to_which_it_goes_on(
    learner, build, data, tmp_path
):
    learner.train.until_error, learner.evaluation.every_steps = (1.0,), 2
    run = described_run(learner, data.num_train)
    checkpoints, observations = Checkpoints(tmp_path, every_seconds=0), []
    observer = Observer(lambda *given: {}, every_epochs=1000)
    listeners = Listeners(on_observation=observations.append)
    outcome, _ = trainer.train(build(learner), data, run, checkpoints, observer, listeners)
    last = outcome.steps_to_error['1']
    assert [each.step for each in observations] == [0, last]
    again, _ = trainer.train(build(learner), data, run, Checkpoints(tmp_path, every_seconds=0))
    assert again == outcome  # as if it had been killed before it said so
