"""An interrupted cell goes on from its checkpoint only where all of its files still fit it."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import safetensors.numpy

from vggres.sweeps import attempt, lease
from vggres.sweeps.cell import WEIGHTS_FILE, Cell
from vggres.sweeps.failure import read_failure, write_failure
from vggres.sweeps.lease import LostError
from vggres.sweeps.records import METRICS_FILE, PROBES_FILE, read_records
from vggres.sweeps.run import run
from vggres.training.checkpoint import Checkpoints


class Killed(Exception):
    pass


@pytest.fixture
def config(config):
    """Four epochs of five updates, each observed; a checkpoint after each of the first three."""
    config.train.epochs, config.probes.every_epochs = 4, 1
    config.probes.names = ('stem', 'head')
    config.checkpoint.every_seconds = 0.0
    return config


@pytest.fixture
def whole(config, tmp_path):
    cell = Cell(config, tmp_path / 'whole', '')
    run(cell)
    return cell


@pytest.fixture
def cut(config, tmp_path, monkeypatch):
    """A cell that was killed in the fourth epoch: its checkpoints are of steps 10 and 15."""
    cell, begin_update = Cell(config, tmp_path / 'cut', ''), Checkpoints.begin_update

    def kill(self, snapshot):
        if snapshot.step == 15:
            raise Killed
        begin_update(self, snapshot)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, 'begin_update', kill)
        with pytest.raises(Killed):
            run(cell)
    assert cell.result() is None
    return cell


def go_on(cell):
    """Where the cell goes on from, and what it says of that."""
    steps, said = [], []
    run(cell, on_progress=lambda step, total: steps.append(step), on_notice=said.append)
    return steps[0], said


def assert_same(found, expected, attempts=2):
    """The same result, to the last bit, and the same lines without a gap and without a double."""
    measured = {'seconds': 0, 'compile_seconds': 0, 'peak_memory_mb': 0}
    assert replace(found.result(), **measured, attempts=1) == replace(expected.result(), **measured)
    assert found.result().attempts == attempts
    a, b = (
        safetensors.numpy.load_file(cell.directory / WEIGHTS_FILE) for cell in (found, expected)
    )
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])
    records = [
        [replace(record, images_per_second=0) for record in read_records(cell.directory)]
        for cell in (found, expected)
    ]
    assert records[0] == records[1]
    assert [record.epoch for record in records[0]] == [1, 2, 3, 4]
    probes = [(cell.directory / PROBES_FILE).read_text() for cell in (found, expected)]
    assert probes[0] == probes[1]
    assert not (found.directory / 'checkpoints').exists()


def test_a_cell_that_was_killed_comes_to_the_same_end(whole, cut):
    first, said = go_on(cut)
    assert first > 15
    assert said == []
    assert_same(cut, whole)


def _delete(path):
    path.unlink()


def _empty(path):
    path.write_bytes(b'')


def _garble_the_middle(path):
    content = path.read_bytes()
    path.write_bytes(content[:40] + b'\xff\x00' + content[42:])


def _end_with_nuls(path):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b''.join(lines[:2]) + b'\0' * len(b''.join(lines[2:])))


@pytest.mark.slow
@pytest.mark.parametrize('name', [METRICS_FILE, PROBES_FILE])
@pytest.mark.parametrize('damage', [_delete, _empty, _garble_the_middle])
def test_damaged_lines_are_named_and_the_cell_runs_again(whole, cut, name, damage):
    damage(cut.directory / name)
    first, said = go_on(cut)
    assert first <= 5
    assert [name in sentence for sentence in said] == [True, True]
    assert_same(cut, whole)


@pytest.mark.slow
def test_lines_that_a_crash_of_the_machine_took_cost_what_came_after_them(whole, cut):
    """The first two records are whole, so that the older checkpoint fits."""
    _end_with_nuls(cut.directory / METRICS_FILE)
    first, said = go_on(cut)
    assert 10 < first <= 15
    assert said == [
        'the checkpoint step-000000000015.ckpt cannot be used: metrics.jsonl is damaged.'
    ]
    assert_same(cut, whole)


@pytest.mark.slow
def test_what_was_not_observed_from_the_beginning_is_observed_anew(config, whole, tmp_path):
    config.probes.every_epochs = 0
    cell = Cell(config.copy_and_resolve_references(), tmp_path / 'cut', '')

    def kill(record):
        if record.epoch == 3:
            raise Killed

    with pytest.raises(Killed):
        run(cell, on_record=kill)
    config.probes.every_epochs = 1
    observed = Cell(config, tmp_path / 'cut', '')
    assert observed.id == cell.id
    first, said = go_on(observed)
    assert first <= 5
    assert 'other files belong to it' in said[0]
    assert_same(observed, whole)


def test_digits_of_two_machines_are_named(cut, monkeypatch):
    monkeypatch.setattr(attempt, '_surroundings', lambda: 'another machine, 64 cores')
    here = json.loads((cut.directory / 'config.json').read_text())
    assert here['model']['depth'] == 8
    _, said = go_on(cut)
    (sentence,) = said
    assert sentence.startswith('it goes on from a checkpoint of ')
    assert 'on another machine, 64 cores: its last digits are of both' in sentence
    (mixed,) = cut.result().mixed_with
    assert 'commit' in mixed
    assert mixed in sentence


@pytest.mark.parametrize(
    ('before', 'found', 'now', 'mixed'),
    [
        ([], 'a', 'a', ()),
        ([], 'a', 'b', ('a',)),
        (['a'], 'b', 'b', ('a',)),
        (['a'], 'b', 'c', ('a', 'b')),
        (['a'], 'b', 'a', ('b',)),  # it comes back to where it began
        (['b'], 'a', 'a', ('b',)),
    ],
)
def test_all_surroundings_but_the_last_are_remembered(before, found, now, mixed):
    notes = {'surroundings': found, 'mixed_with': before}
    said = []
    assert attempt._mixed(notes, now, said.append) == mixed
    assert bool(said) == (found != now)


def test_who_lost_the_cell_writes_nothing_more(config, tmp_path):
    cell = Cell(config, tmp_path, '')
    seen = []

    def lose(record):
        if record.epoch == 2:
            (cell.directory / 'lease-2.json').write_text('{}')
            seen.extend(path.read_bytes() for path in files)

    files = [cell.directory / METRICS_FILE, cell.directory / PROBES_FILE]
    with pytest.raises(LostError):
        run(cell, on_record=lose)
    assert [path.read_bytes() for path in files] == seen
    assert cell.result() is None


def test_a_cell_that_another_process_has_done_is_not_trained_again(whole):
    before = {path.name: path.read_bytes() for path in whole.directory.iterdir()}
    steps = []
    result = run(whole, on_progress=lambda step, total: steps.append(step))
    assert steps == []
    assert result == whole.result()
    after = {path.name: path.read_bytes() for path in whole.directory.iterdir()}
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == {'lease-1.json', 'lease-2.json'}


def test_a_cell_that_was_saved_and_given_back_is_left_alone(config, tmp_path):
    cell, saves = Cell(config, tmp_path, ''), []

    def end(step, total):
        if step > 5:
            assert saves[0](0)

    with pytest.raises(LostError):
        run(cell, on_progress=end, on_begin=saves.append)
    with lease.held(cell.directory) as mine:
        assert mine.attempt == 2


@pytest.mark.slow
def test_the_fragments_of_a_continued_cell_are_one_run_and_hold_each_epoch_once(config, tmp_path):
    config.wandb.mode = 'offline'
    cell = Cell(config, tmp_path, '')

    def kill(step, total):
        if step > 15:
            raise Killed

    with pytest.raises(Killed):
        run(cell, on_progress=kill)
    run(cell)
    fragments = sorted(tmp_path.glob('wandb/offline-run-*'), key=lambda path: path.stat().st_mtime)
    # Where two begin within a second, W&B calls the later one 'offline-run-<time>-<id>-1'.
    assert len({path.name.split('-')[3] for path in fragments}) == 1
    epochs = []
    for fragment in fragments:
        command = [sys.executable, '-m', 'wandb', 'leet', 'inspect', '--json', str(fragment)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        records = map(json.loads, text.splitlines())
        items = [record['history']['item'] for record in records if record['type'] == 'history']
        epochs.append([(item['epoch'], item['_step']) for item in items if 'train/error' in item])
    assert epochs == [[(1, 5), (2, 10), (3, 15)], [(4, 20)]]


def test_an_attempt_that_begins_removes_why_the_last_one_failed(config, cut):
    write_failure(cut.directory, 'no', 'worker0.log')

    def look(step, total):
        assert read_failure(cut.directory) is None
        raise Killed

    with pytest.raises(Killed):
        run(cut, on_progress=look)
