"""The keys are written out here, since files of earlier releases have them."""

import hashlib
import json
from dataclasses import replace

import pytest

from vggres.errors import UserError
from vggres.results import Observation, Record
from vggres.sweeps import records
from vggres.sweeps.records import METRICS_FILE, PROBES_FILE, Mark, RecordsFile, mismatch

RECORD = Record(
    epoch=1,
    step=5,
    learning_rate=0.1,
    gradient_norm=2.0,
    batch_loss=0.7,
    batch_error=25.0,
    images_per_second=900.0,
)
EVALUATED = replace(
    RECORD,
    epoch=2,
    step=10,
    train_loss=0.5,
    train_error=20.0,
    validation_loss=0.6,
    validation_error=30.0,
)
LINE = (
    '{"epoch": 1, "step": 5, "learning_rate": 0.1, "gradient_norm": 2.0, "batch/loss": 0.7, '
    '"batch/error": 25.0, "images_per_second": 900.0}\n'
)
EVALUATED_LINE = (
    '{"epoch": 2, "step": 10, "learning_rate": 0.1, "gradient_norm": 2.0, "batch/loss": 0.7, '
    '"batch/error": 25.0, "images_per_second": 900.0, "train/loss": 0.5, "train/error": 20.0, '
    '"validation/loss": 0.6, "validation/error": 30.0}\n'
)
OBSERVATION = Observation(0, 0, 1, {'activation': {'stem': 1.0, 'head': None}})
OBSERVATION_LINE = '{"epoch": 0, "step": 0, "draw": 1, "activation": {"stem": 1.0, "head": null}}\n'


def test_records_are_on_disk_after_each_one_under_the_keys_of_the_format(tmp_path):
    path = tmp_path / METRICS_FILE
    file = RecordsFile(path)
    assert path.read_text() == ''
    file.append(RECORD)
    assert path.read_text() == LINE
    file.append(EVALUATED)
    assert path.read_text() == LINE + EVALUATED_LINE
    assert records.read_records(tmp_path) == [RECORD, EVALUATED]


def test_looks_stand_in_the_record_of_their_epoch(tmp_path):
    looked_at = replace(RECORD, looks=((2, 60.0), (5, 12.5)))
    RecordsFile(tmp_path / METRICS_FILE).append(looked_at)
    assert json.loads((tmp_path / 'metrics.jsonl').read_text())['looks'] == [[2, 60.0], [5, 12.5]]
    assert records.read_records(tmp_path) == [looked_at]


@pytest.mark.parametrize('looks', ['[[2]]', '[2, 60]', '[[2.5, 60]]', '"2"', '[[2, "60"]]'])
def test_looks_that_are_none(tmp_path, looks):
    (tmp_path / 'metrics.jsonl').write_text(LINE.replace('}', f', "looks": {looks}}}'))
    with pytest.raises(UserError, match=r"line 1, is no record .*'looks'"):
        records.read_records(tmp_path)


def test_observations_have_a_file_of_their_own(tmp_path):
    file = RecordsFile(tmp_path / PROBES_FILE)
    file.append(OBSERVATION)
    assert (tmp_path / 'probes.jsonl').read_text() == OBSERVATION_LINE
    assert records.read_observations(tmp_path) == [OBSERVATION]
    assert not (tmp_path / 'metrics.jsonl').exists()


def test_numbers_that_are_not_finite_become_null(tmp_path):
    RecordsFile(tmp_path / METRICS_FILE).append(replace(EVALUATED, train_loss=float('nan')))
    values = json.loads((tmp_path / 'metrics.jsonl').read_text())
    assert values == json.loads(EVALUATED_LINE) | {'train/loss': None}
    assert records.read_records(tmp_path) == [replace(EVALUATED, train_loss=None)]
    infinite = replace(OBSERVATION, values={'activation': {'stem': 1.0, 'head': float('inf')}})
    RecordsFile(tmp_path / PROBES_FILE).append(infinite)
    assert (tmp_path / 'probes.jsonl').read_text() == OBSERVATION_LINE


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_mark_tells_how_far_the_file_goes_up_to_a_step(tmp_path):
    file = RecordsFile(tmp_path / PROBES_FILE)
    draws = [replace(OBSERVATION, draw=draw) for draw in (0, 1)]
    for entry in (*draws, replace(OBSERVATION, step=5), replace(OBSERVATION, step=10)):
        file.append(entry)
    text = (tmp_path / PROBES_FILE).read_text()
    lines = text.splitlines(keepends=True)
    for step, count in ((0, 2), (4, 2), (5, 3), (9, 3), (10, 4), (99, 4)):
        kept = ''.join(lines[:count])
        assert file.mark_at(step) == Mark(len(kept), sha256(kept))


@pytest.mark.parametrize('kept', ['', LINE, LINE + EVALUATED_LINE])
def test_an_interrupted_attempt_is_kept_up_to_where_it_goes_on_from(tmp_path, kept):
    path = tmp_path / METRICS_FILE
    path.write_text(LINE + EVALUATED_LINE + '{"epoch": 3, "st')
    mark = Mark(len(kept), sha256(kept))
    assert mismatch(path, mark) is None
    file = RecordsFile(path, mark)
    assert path.read_text() == kept
    assert file.mark_at(0) == mark
    last = replace(RECORD, epoch=4, step=20)
    file.append(last)
    text = path.read_text()
    assert text.startswith(kept)
    assert records.read_records(tmp_path)[-1] == last
    assert file.mark_at(20) == Mark(len(text), sha256(text))


@pytest.mark.parametrize(
    ('content', 'why'),
    [
        (None, 'metrics.jsonl cannot be read (No such file or directory)'),
        (b'', 'metrics.jsonl is shorter than it was'),
        (LINE[:-1].encode(), 'metrics.jsonl is shorter than it was'),
        (LINE.replace('0.7', '0.8').encode(), 'metrics.jsonl is damaged'),
        (b'\0' * 200, 'metrics.jsonl is damaged'),
        (EVALUATED_LINE.encode(), 'metrics.jsonl is damaged'),
    ],
)
def test_a_file_that_is_not_what_it_was_is_named(tmp_path, content, why):
    path = tmp_path / METRICS_FILE
    if content is not None:
        path.write_bytes(content)
    assert mismatch(path, Mark(len(LINE), sha256(LINE))) == why


def test_what_may_not_be_written_is_not(tmp_path):
    def forbid():
        raise PermissionError

    file = RecordsFile(tmp_path / METRICS_FILE, is_allowed=forbid)
    with pytest.raises(PermissionError):
        file.append(RECORD)
    assert (tmp_path / METRICS_FILE).read_text() == ''


def test_a_file_that_begins_afresh_may_have_been_damaged(tmp_path):
    (tmp_path / 'metrics.jsonl').write_bytes(b'\xff\x00\n')
    RecordsFile(tmp_path / METRICS_FILE).append(RECORD)
    assert records.read_records(tmp_path) == [RECORD]


@pytest.mark.parametrize(
    ('line', 'why'),
    [
        (b'{"epoch": 1, "st', 'Unterminated string'),
        (b'\xff\xfe', 'utf-8'),
        (b'\x00\x00', 'Expecting value'),
        (b'', 'Expecting value'),
        (b'[1, 2]', 'it holds a list, not an object'),
        (b'{}', "has None as 'epoch'"),
        (LINE.replace('0.7', '"high"').strip().encode(), "has 'high' as 'batch_loss'"),
        (LINE.replace('0.7', 'NaN').strip().encode(), 'NaN is no number'),
        (LINE.replace('0.7', 'null').strip().encode(), "has None as 'batch_loss'"),
        (LINE.replace('0.7', 'true').strip().encode(), "has True as 'batch_loss'"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, why):
    path = tmp_path / 'metrics.jsonl'
    path.write_bytes(LINE.encode() + line + b'\n' + EVALUATED_LINE.encode())
    with pytest.raises(UserError) as error:
        records.read_records(tmp_path)
    assert str(error.value).startswith(f'{path}, line 2, is no record (')
    assert why in str(error.value)
    assert '\n' not in str(error.value)
    assert len(str(error.value)) < len(str(path)) + 150


@pytest.mark.parametrize(
    'line',
    [
        '{"epoch": 0, "step": 0}',
        '{"epoch": 0, "step": 0, "draw": 0, "activation": 1.0}',
        '{"epoch": 0, "step": 0, "draw": 0, "activation": {"stem": "1"}}',
    ],
)
def test_a_line_that_is_no_observation_is_named(tmp_path, line):
    path = tmp_path / 'probes.jsonl'
    path.write_text(line + '\n')
    with pytest.raises(UserError, match='line 1, is no observation'):
        records.read_observations(tmp_path)


def test_a_file_that_is_not_there_or_no_file(tmp_path):
    with pytest.raises(UserError, match=r'cannot read .*metrics.jsonl \(No such file'):
        records.read_records(tmp_path)
    (tmp_path / 'probes.jsonl').mkdir()
    with pytest.raises(UserError, match=r'cannot read .*probes.jsonl \(Is a directory'):
        records.read_observations(tmp_path)
