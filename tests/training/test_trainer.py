import functools
import math

import jax
import jax.numpy as jnp
import pytest

from vggres.training import trainer
from vggres.training.checkpoint import Checkpoints


@pytest.fixture
def train(build, device_data, tmp_path):
    return functools.partial(train_with, build, device_data, Checkpoints(tmp_path / 'none', 1e9))


def train_with(build, device_data, checkpoints, config, weights=None):
    records, steps = [], []
    result, _ = trainer.train(
        build(config),
        device_data,
        seed=0,
        every_epochs=config.evaluation.every_epochs,
        checkpoints=checkpoints,
        weights=weights,
        on_record=records.append,
        on_progress=lambda step, total: steps.append((step, total)),
    )
    return result, records, steps


def test_records_and_result_of_a_run(config, train):
    config.train.epochs = 3
    result, records, steps = train(config)
    assert [record['epoch'] for record in records] == [1, 2, 3]
    assert [record['step'] for record in records] == [5, 10, 15]  # 40 images, batches of 8
    # 10 % of 15 steps: round(1.5) = 2 of warm-up; ÷10 at round(7.5) = 8 and round(11.25) = 11.
    assert [record['learning_rate'] for record in records] == pytest.approx([0.1, 0.01, 0.001])
    assert all(record['gradient_norm'] > 0 for record in records)
    assert all(record['images_per_second'] > 0 for record in records)
    assert steps[-1] == (15, 15)
    assert [step for step, _ in steps] == sorted({step for step, _ in steps})
    assert result['status'] == 'finished'
    assert result['diverged_at_step'] is None
    assert result['train_error'] == records[-1]['train/error']
    assert result['validation_error'] == records[-1]['validation/error']
    # Errors are whole counts of 40, 5 and 7 images.
    for split, size in (('train', 40), ('validation', 5), ('test', 7)):
        count = result[f'{split}_error'] / 100 * size
        assert count == pytest.approx(round(count), abs=1e-9)


def test_it_starts_from_given_weights(config, train, build):
    # A head of zeros finds all four classes equally likely: the first loss is ln 4.
    config.train.epochs, config.train.steps = 0, 1
    params = build(config).init(3)[0].params
    params['head'] = jax.tree.map(jnp.zeros_like, params['head'])
    _, records, _ = train(config, {'params': params})
    assert records[0]['batch/loss'] == pytest.approx(math.log(4), rel=1e-6)


def test_a_checkpoint_comes_before_the_weights_it_started_from(
    config, build, device_data, tmp_path
):
    # One of two epochs is done: the second goes on from there, not from the weights again.
    params = build(config).init(3)[0].params
    whole = train_with(
        build, device_data, Checkpoints(tmp_path / 'a', 1e9), config, {'params': params}
    )
    checkpoints = Checkpoints(tmp_path / 'b', 0)

    class Stopped(Exception):
        pass

    def stop_in_the_second_epoch(step, total):
        if step > 5:
            raise Stopped

    arguments = {'seed': 0, 'every_epochs': 1, 'weights': {'params': params}}
    with pytest.raises(Stopped):
        trainer.train(
            build(config),
            device_data,
            checkpoints=checkpoints,
            on_progress=stop_in_the_second_epoch,
            **arguments,
        )
    assert checkpoints.latest_step() == 5
    result, _ = trainer.train(build(config), device_data, checkpoints=checkpoints, **arguments)
    assert result == whole[0]


def test_it_learns(config, train):
    config.train.epochs = 60
    config.model.width = 8
    result, records, _ = train(config)
    assert result['train_error'] < 20  # 75 % by guessing
    assert records[-1]['batch/loss'] < records[0]['batch/loss']


def test_training_may_end_within_an_epoch(config, train):
    config.train.epochs, config.train.steps = 0, 7
    _, records, steps = train(config)
    assert [record['epoch'] for record in records] == [1, 1.4]
    assert steps[-1] == (7, 7)
    assert 'train/error' in records[-1]


def test_evaluation_now_and_then_and_always_at_the_end(config, train):
    config.train.epochs, config.evaluation.every_epochs = 5, 2
    _, records, _ = train(config)
    evaluated = [record['epoch'] for record in records if 'train/error' in record]
    assert evaluated == [2, 4, 5]


def test_how_often_it_is_evaluated_changes_no_result(config, train):
    often = train(config)[0]
    config.evaluation.every_epochs = 2
    assert train(config)[0] == often


def test_divergence_by_the_last_update_is_found_by_the_evaluation(config, train):
    config.train.epochs, config.train.steps = 0, 1
    config.optimizer.learning_rate, config.optimizer.warmup = 1e30, 'none'
    config.optimizer.decay_at = ()
    result, _, _ = train(config)
    assert (result['status'], result['diverged_at_step']) == ('diverged', 1)
    assert result['train_error'] == 75


def test_divergence_is_a_result(config, train):
    config.optimizer.learning_rate = 1e30
    config.optimizer.warmup = 'none'
    result, records, _ = train(config)
    assert result['status'] == 'diverged'
    assert 1 <= result['diverged_at_step'] < 5
    assert records == []
    # Guessing among four classes.
    errors = [result[f'{split}_error'] for split in ('train', 'validation', 'test')]
    assert errors == [75, 75, 75]
    assert result['train_loss'] is None
