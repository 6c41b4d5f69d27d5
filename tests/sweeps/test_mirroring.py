import contextlib
import json
import re

import pytest
import wandb_files
from planted import finish

from vggres.config import observed_names
from vggres.results import Observation, Record
from vggres.sweeps import mirroring
from vggres.sweeps.cell import WEIGHTS_FILE, Cell
from vggres.sweeps.records import RecordsFile
from vggres.sweeps.run import run
from vggres.tracking import run_ids


def observations(cell):
    return [json.loads(line) for line in (cell.directory / 'probes.jsonl').read_text().splitlines()]


@pytest.mark.slow
def test_observations_go_to_wandb_by_layer_and_as_pictures(config, tmp_path):
    config.probes.every_epochs, config.wandb.mode = 2, 'offline'
    cell = Cell(config, tmp_path, '')
    run(cell)
    (directory,) = tmp_path.glob('wandb/offline-run-*')
    summary, last = wandb_files.inspect(tmp_path, '--summary')['summary'], observations(cell)[-1]
    for quantity in ('activation', 'input_gradient', 'weight_gradient', 'update_ratio'):
        key = f'{quantity}/stage2/block1/conv2'
        assert summary[key] == pytest.approx(last[quantity]['stage2/block1/conv2'])
        for picture in ('heat_map', 'by_layer'):
            assert [*directory.glob(f'files/media/images/{picture}/{quantity}_*.png')]


class Told:
    """A mirror that keeps what it is told."""

    def __init__(self):
        self.logged, self.ends, self.kept = [], [], []
        self.run, self.first_step = 'a run', 0

    def log(self, record, step, is_last):
        self.logged.append((record, step))
        self.ends.append(is_last)

    def keep(self, files, *named):
        self.kept.extend(files)

    def guard(self):
        return contextlib.nullcontext()


def observation(config, depth, draw=0):
    """What is observed of a plain network by default: its layers have four values, blocks two."""
    config = config.copy_and_resolve_references()
    config.model.family, config.model.depth = 'plain', depth
    names = observed_names(config)
    layers = [name for name in names if not name.rpartition('/')[2].startswith('block')]
    assert len(layers) == depth
    of = {'activation': names, 'input_gradient': names}
    of |= {'weight_gradient': layers, 'update_ratio': layers}
    values = {quantity: dict.fromkeys(own, 0.5) for quantity, own in of.items()}
    return Observation(epoch=1.0, step=5, draw=draw, values=values)


def test_the_curves_of_networks_of_over_thirty_layers_are_drawn_only_where_asked(config, tmp_path):
    shallow, deep = observation(config, 26), observation(config, 32)
    told = Told()
    for entry in (shallow, deep, observation(config, 26, draw=1)):  # the last is of other weights
        mirroring.tell_observation(told, entry, Cell(config, tmp_path, ''))
    ((record, step),) = told.logged
    # Of 26 layers, 12 blocks: four values of each layer, two of each block, the place.
    assert len(record) == 4 * 26 + 2 * 12 + 3
    assert (record['activation/stage1/block2'], record['epoch'], step) == (0.5, 1.0, 5)
    config.wandb.all_curves = True
    mirroring.tell_observation(told, deep, Cell(config, tmp_path, ''))
    assert len(told.logged[-1][0]) == 4 * 32 + 2 * 15 + 3
    assert len(told.logged) == 2


def done(config, workdir, mode='offline'):
    """A cell that is done and of which the server lacks the end."""
    config.probes.every_epochs, config.wandb.mode = 1, mode
    cell = Cell(config, workdir, 'depth')
    finish(cell)
    run_ids.draw_id(workdir)
    for name in ('metrics.jsonl', 'probes.jsonl'):
        (cell.directory / name).write_text('{"epoch": 1}\n{"epo\n')
    return cell


def test_what_is_damaged_or_cannot_be_read_never_fails_a_cell(config, tmp_path, monkeypatch):
    """Each attempt to tell of a cell from its damaged files costs one line."""
    cell, told = done(config, tmp_path), []
    with mirroring.begin(cell, told.append) as mirror:
        mirroring.tell_earlier(mirror, cell)
        mirroring.tell_result(mirror, cell.result(), cell)
        assert mirror.run  # the rest is told
    (line,) = told
    assert re.search(rf'^W&B lacks a part of {cell.id}: .*metrics.jsonl, line 1, is no rec', line)
    mirroring.complete(cell, told.append)
    assert len(told) == 2

    def fail(path):
        raise PermissionError(path)

    monkeypatch.setattr(run_ids, 'text', fail)  # as on a network folder
    with mirroring.begin(cell, told.append) as mirror:
        mirroring.tell_earlier(mirror, cell)
        mirroring.tell_result(mirror, cell.result(), cell)
        mirroring.keep_weights(mirror, cell)
    assert [line.partition(': ')[0] for line in told[2:]] == ['W&B failed, going on']
    assert not mirroring.is_cut_off(cell)


@pytest.mark.parametrize('is_observed', [True, False])
def test_earlier_records_are_told_step_by_step(config, tmp_path, is_observed):
    """W&B takes no record of a step that is past, and holds a step back until its last one."""
    config.probes.every_epochs = 2 * is_observed
    cell = Cell(config, tmp_path, '')
    cell.directory.mkdir(parents=True)
    records, observations = (
        RecordsFile(cell.directory / name) for name in ('metrics.jsonl', 'probes.jsonl')
    )
    for epoch in (1, 2):
        records.append(Record(epoch, 5 * epoch, 0.1, 1.0, 0.5, 50.0, 9.0))
    for step in (0, 10):
        observations.append(Observation(step / 5, step, 0, {'activation': {'stem': 1.0}}))
    told = Told()
    mirroring.tell_earlier(told, cell)
    assert [step for _, step in told.logged] == ([0, 5, 10, 10] if is_observed else [5, 10])
    assert told.ends == ([True, False, False, True] if is_observed else [True, True])


@pytest.mark.parametrize('is_asked_for', [True, False])
def test_weights_are_kept_where_they_are_saved_and_asked_for(config, tmp_path, is_asked_for):
    config.wandb.weights = is_asked_for
    cell, told = Cell(config, tmp_path, ''), Told()
    mirroring.keep_weights(told, cell)
    assert told.kept == []
    finish(cell)
    path = cell.directory / WEIGHTS_FILE
    path.touch()
    mirroring.keep_weights(told, cell)
    assert told.kept == [path] * is_asked_for
