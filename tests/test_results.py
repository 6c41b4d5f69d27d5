import dataclasses
import json

import pytest

from vggres.results import Outcome, Record, Result, parsed, steps_to_error, target_name

OUTCOME = {
    'status': 'finished',
    'diverged_at_step': None,
    'train_error': 1.5,
    'validation_error': 2,
    'test_error': 3.0,
    'train_loss': None,
    'validation_loss': 0.1,
    'test_loss': 0.2,
}
MORE = {
    'cell': 'plain-d8-s0-abcdef',
    'variant': 'plain',
    'family': 'plain',
    'depth': 8,
    'seed': 0,
    'steps': 10,
    'parameters': 5,
    'num_classes': 4,
    'image_shape': [6, 6, 3],
    'num_images': {'train': 40},
    'seconds': 1.0,
    'compile_seconds': 0.5,
    'peak_memory_mb': 9.0,
    'hardware': 'a CPU',
    'git_commit': None,
    'versions': {'jax': '1'},
}


def test_a_result_comes_back_from_json():
    result = parsed(Result, OUTCOME | MORE | {'unknown': 1})
    assert (result.train_error, result.image_shape) == (1.5, (6, 6, 3))
    assert parsed(Result, json.loads(json.dumps(dataclasses.asdict(result)))) == result
    assert isinstance(result, Outcome)


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('train_error', 'none'),
        ('train_error', None),
        ('train_error', True),
        ('status', 1),
        ('depth', 8.5),
        ('image_shape', 6),
        ('num_images', [40]),
        ('versions', None),
        ('versions', {'jax': 1}),
        ('test_error', float('inf')),
    ],
)
def test_another_type_is_named(key, value):
    with pytest.raises(ValueError, match=f'has .* as .{key}'):
        parsed(Result, OUTCOME | MORE | {key: value})


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="lacks 'test_loss'"):
        parsed(Outcome, {key: OUTCOME[key] for key in OUTCOME if key != 'test_loss'})
    with pytest.raises(ValueError, match='a list, not an object'):
        parsed(Outcome, [])


def test_records_cannot_be_changed():
    record = Record(1, 5, 0.1, 1.0, 1.0, 50.0, 9.0)
    assert record.train_error is None  # it was not evaluated
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.epoch = 2


def test_the_updates_to_an_error_are_those_of_the_first_look_at_or_below_it():
    looks = [(11, 40.0), (22, 5.0), (33, 20.0), (44, 0.9)]
    assert steps_to_error(looks, (50.0, 5.0, 1.0)) == {'50': 11, '5': 22, '1': 44}
    assert steps_to_error(looks[:3], (4.9, 0.5)) == {'4.9': None, '0.5': None}
    assert steps_to_error(looks, ()) is None


def test_targets_are_called_as_people_write_them():
    assert [target_name(each) for each in (5, 5.0, 0.5, 12.25)] == ['5', '5', '0.5', '12.25']


def test_the_updates_to_an_error_come_back_and_older_results_lack_them():
    reached = {'steps_to_error': {'5': 120, '1': None}}
    result = parsed(Result, OUTCOME | MORE | reached)
    assert result.steps_to_error == reached['steps_to_error']
    assert parsed(Result, json.loads(json.dumps(dataclasses.asdict(result)))) == result
    assert parsed(Result, OUTCOME | MORE).steps_to_error is None
    with pytest.raises(ValueError, match='steps_to_error'):
        parsed(Result, OUTCOME | MORE | {'steps_to_error': {'5': 1.5}})
