from dataclasses import replace

import jax
import numpy as np
import pytest

from vggres.sweeps.cell import Cell
from vggres.sweeps.records import read_records
from vggres.sweeps.run import run
from vggres.training.checkpoint import Checkpoints
from vggres.training.trainer import described_run


def trained(build, data, config, stops):
    compiled, schedule = build(config), described_run(config, data.num_train).schedule
    state, sums, order_key = compiled.init(0)
    for stop in stops:
        state, sums = compiled.train(state, sums, order_key, data, schedule, stop)
    return state


def test_the_newest_state_comes_back_to_the_last_bit(build, data, config, tmp_path):
    checkpoints = Checkpoints(tmp_path / 'checkpoints', every_seconds=0)
    assert checkpoints.latest_step() == 0
    fresh = trained(build, data, config, [])
    assert checkpoints.restore(fresh) is fresh
    saved = trained(build, data, config, [5])
    checkpoints.save_now_and_then(trained(build, data, config, [2]))
    checkpoints.save_now_and_then(saved)
    assert checkpoints.latest_step() == 5
    jax.tree.map(np.testing.assert_array_equal, checkpoints.restore(fresh), saved)
    checkpoints.remove()
    assert checkpoints.latest_step() == 0


def test_it_saves_no_more_often_than_asked(build, data, config, tmp_path):
    checkpoints = Checkpoints(tmp_path / 'checkpoints', every_seconds=3600)
    checkpoints.save_now_and_then(trained(build, data, config, [5]))
    assert not (tmp_path / 'checkpoints').exists()


class Killed(Exception):
    pass


@pytest.mark.parametrize('epoch', [2, 4])
def test_a_run_that_was_stopped_comes_to_the_same_end(config, tmp_path, epoch):
    config.train.epochs = 4
    config.checkpoint.every_seconds = 0.0
    whole, cut = Cell(config, tmp_path / 'whole', ''), Cell(config, tmp_path / 'cut', '')
    expected = run(whole)

    def kill(record):
        if record.epoch == epoch:
            raise Killed

    with pytest.raises(Killed):
        run(cut, on_record=kill)
    assert cut.result() is None
    steps = []
    found = run(cut, on_progress=lambda step, total: steps.append(step))
    # 5 updates an epoch; the epoch that was cut off before its save is done again.
    assert min(steps) > 5 * (epoch - 1)
    assert not (cut.directory / 'checkpoints').exists()
    measured = {'seconds': 0, 'compile_seconds': 0, 'peak_memory_mb': 0}
    assert replace(found, **measured) == replace(expected, **measured)
    records = [
        [replace(record, images_per_second=0) for record in read_records(cell.directory)]
        for cell in (whole, cut)
    ]
    assert records[0] == records[1]
    assert len(records[0]) == 4


def test_a_run_that_goes_on_remembers_the_errors_that_it_had_reached(config, tmp_path):
    """The first error is reached in the second epoch, and the second one epochs later."""
    config.model.width, config.train.epochs, config.optimizer.learning_rate = 8, 20, 0.03
    config.train.until_error, config.evaluation.every_steps = (60.0, 1.0), 2
    config.checkpoint.every_seconds = 0.0
    whole, cut = Cell(config, tmp_path / 'whole', ''), Cell(config, tmp_path / 'cut', '')
    expected = run(whole)
    early, late = expected.steps_to_error['60'], expected.steps_to_error['1']
    assert (expected.status, expected.steps) == ('finished', late)

    def kill(record):
        if record.step > early + 4:  # there is a checkpoint after it
            raise Killed

    with pytest.raises(Killed):
        run(cut, on_record=kill)
    steps = []
    found = run(cut, on_progress=lambda step, total: steps.append(step))
    assert early < min(steps) <= late
    measured = {'seconds': 0, 'compile_seconds': 0, 'peak_memory_mb': 0}
    assert replace(found, **measured) == replace(expected, **measured)
    assert cut.result() == found
