import json
import os
import subprocess
import sys
from dataclasses import astuple, fields, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import struck_wandb

from vggres.results import Outcome
from vggres.sweeps.cell import WEIGHTS_FILE, Cell
from vggres.sweeps.records import read_records
from vggres.sweeps.run import run, train_in_process
from vggres.training.trainer import Listeners


def test_a_cell_leaves_config_metrics_and_result(config, tmp_path):
    cell = Cell(config, tmp_path, 'depth')
    records, progress = [], []
    result = run(cell, records.append, lambda step, total: progress.append((step, total)))
    assert (result.attempts, result.mixed_with) == (1, ())
    assert json.loads((cell.directory / 'config.json').read_text())['model']['depth'] == 8
    assert read_records(cell.directory) == records
    assert [record.epoch for record in records] == [1, 2]
    assert records[0].looks is None  # there is no error to stop at
    assert None not in astuple(replace(records[0], looks=()))
    assert progress[-1] == (10, 10)
    assert cell.result() == result
    assert result.family == 'resnet'
    assert result.steps == 10
    assert result.num_classes == 4
    assert tuple(result.image_shape) == (6, 6, 3)
    assert result.num_images == {'train': 40, 'validation': 5, 'test': 7}
    assert (result.validated_and_trained, result.unknown_archive) == (0, False)
    # Stem 9·3·2, stages of 2, 4 and 8 channels, norms, and a head of 8·4 + 4.
    convolutions = 9 * (3 * 2 + 2 * 2 * 2 + 2 * 4 + 4 * 4 + 4 * 8 + 8 * 8)
    norms = 2 * (2 + 2 * 2 + 2 * 4 + 2 * 8)
    assert result.parameters == convolutions + norms + 8 * 4 + 4


def test_the_same_cell_gives_the_same_numbers_and_a_second_seed_compiles_nothing(config, tmp_path):
    measured = {'seconds': 0, 'compile_seconds': 0, 'peak_memory_mb': 0}
    first = run(Cell(config, tmp_path / 'a', ''))
    config.seed = 1
    second = run(Cell(config, tmp_path / 'b', ''))
    assert second.compile_seconds < 0.1
    config.seed = 0
    again = run(Cell(config, tmp_path / 'c', ''))
    assert replace(first, **measured) == replace(again, **measured)
    assert second.train_loss != first.train_loss


def test_a_second_attempt_starts_its_metrics_afresh(config, tmp_path):
    cell = Cell(config, tmp_path, '')
    cell.directory.mkdir(parents=True)
    (cell.directory / 'metrics.jsonl').write_text('{"epoch": 1}\n{"epo')
    run(cell)
    lines = (cell.directory / 'metrics.jsonl').read_text().splitlines()
    assert [json.loads(line)['epoch'] for line in lines] == [1, 2]


def observations(cell):
    return [json.loads(line) for line in (cell.directory / 'probes.jsonl').read_text().splitlines()]


@pytest.mark.slow
def test_names_may_change_between_attempts_and_nothing_is_lost(config, tmp_path):
    config.probes.every_epochs, config.probes.names = 1, ('stem', 'head')
    config.checkpoint.every_seconds, config.wandb.mode = 0, 'offline'

    class Stopped(Exception):
        pass

    def stop_in_the_second_epoch(step, total):
        if step > 5:
            raise Stopped

    cell = Cell(config.copy_and_resolve_references(), tmp_path, '')
    with pytest.raises(Stopped):
        run(cell, on_progress=stop_in_the_second_epoch)
    config.probes.names = ('stage1/block1',)
    run(Cell(config, tmp_path, ''))
    assert cell.result().status == 'finished'
    assert list(observations(cell)[0]['activation']) == ['stem', 'head']
    assert list(observations(cell)[-1]['activation']) == ['stage1/block1']


@pytest.mark.slow
@pytest.mark.parametrize('how', ['SIGKILL', 'SIGSTOP'])
@pytest.mark.skipif(not Path('/proc/self/stat').exists(), reason='W&B is found by Linux')
def test_a_process_of_wandb_that_dies_or_hangs_costs_no_result(config, tmp_path, how):
    undisturbed = Cell(config.copy_and_resolve_references(), tmp_path / 'a', '')
    run(undisturbed)
    config.wandb.mode = 'offline'
    struck = Cell(config.copy_and_resolve_references(), tmp_path / 'b', '')
    config.seed = 1
    cells = [struck, Cell(config, tmp_path / 'b', '')]
    command = [sys.executable, struck_wandb.__file__, how]
    text = json.dumps([cell.to_json() for cell in cells])
    own = {name: os.environ[name] for name in os.environ if not name.startswith('WANDB_')}
    done = subprocess.run(  # with a process of W&B of its own
        command, input=text, capture_output=True, text=True, check=True, timeout=120, env=own
    )
    first, second = json.loads(done.stdout.splitlines()[-1])
    assert second < first  # it compiles nothing, and does not wait for W&B again
    assert all(cell.result() for cell in cells)
    assert struck.result().train_loss == undisturbed.result().train_loss
    assert len(read_records(struck.directory)) == 2
    np.testing.assert_equal(weights(struck), weights(undisturbed))


def weights(cell):
    return safetensors.numpy.load_file(cell.directory / WEIGHTS_FILE)


@pytest.mark.slow
def test_a_cell_starts_from_the_weights_of_another(config, tmp_path):
    first = Cell(config.copy_and_resolve_references(), tmp_path, '')
    run(first)
    # An update this small changes no weight; the running averages move.
    config.optimizer.learning_rate, config.train.epochs, config.train.steps = 1e-30, 0, 1
    config.init.weights, config.seed = str(first.directory / WEIGHTS_FILE), 5
    second = Cell(config.copy_and_resolve_references(), tmp_path, '')
    run(second)
    before, after = weights(first), weights(second)
    assert before.keys() == after.keys()
    for name, array in before.items():
        assert np.array_equal(array, after[name]) == ('running' not in name), name
    # With a new head the seed decides it, and nothing else.
    config.init.new_head = True
    third = Cell(config, tmp_path, '')
    run(third)
    for name, array in before.items():
        if 'running' not in name and name != 'linear.bias':  # zero in both
            assert np.array_equal(array, weights(third)[name]) == ('linear' not in name), name


@pytest.mark.slow
def test_the_data_are_normalised_as_the_configuration_says(config, tmp_path):
    losses = []
    for normalisation in ('mean_image', 'imagenet'):
        config.data.normalisation = normalisation
        cell = Cell(config.copy_and_resolve_references(), tmp_path, '')
        losses.append(run(cell).train_loss)
    assert losses[0] != losses[1]


def test_weights_are_left_only_if_asked_for(config, tmp_path):
    config.checkpoint.save_weights = False
    cell = Cell(config, tmp_path, '')
    run(cell)
    assert sorted(path.name for path in cell.directory.iterdir()) == [
        'config.json',
        'lease-1.json',
        'metrics.jsonl',
        'result.json',
    ]


def test_a_diverged_cell_is_done(config, tmp_path):
    config.optimizer.learning_rate, config.optimizer.warmup = 1e30, 'none'
    cell = Cell(config, tmp_path, '')
    run(cell)
    result = cell.result()
    assert result.status == 'diverged'
    assert result.train_error == 75
    assert not (cell.directory / WEIGHTS_FILE).exists()


def test_a_network_is_trained_in_this_process_without_files(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    records = []
    trained = train_in_process(config, Listeners(on_record=records.append))
    assert list(tmp_path.iterdir()) == []
    assert [record.epoch for record in records] == [1, 2]
    # The same network, trained as a cell: the same outcome and the same weights.
    cell = Cell(config, tmp_path, '')
    result = run(cell)
    assert trained.outcome == Outcome(
        **{field.name: getattr(result, field.name) for field in fields(Outcome)}
    )
    assert (trained.num_classes, trained.steps) == (4, 10)
    np.testing.assert_array_equal(
        weights(cell)['linear.bias'], trained.variables['params']['head']['bias']
    )
    assert sorted(trained.variables) == ['batch_stats', 'params']
