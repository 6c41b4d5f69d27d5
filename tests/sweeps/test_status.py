import json
import os
import time

import pytest

from vggres.errors import UserError
from vggres.sweeps import status
from vggres.sweeps.failure import write_failure
from vggres.sweeps.status import STATES, Queued, cell_status, sweep_status

NOW = time.time()
LONG_AGO = NOW - 3600


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    """The clock stands still: other tests may have taken minutes since it was read."""
    monkeypatch.setattr(status.time, 'time', lambda: NOW)


@pytest.fixture
def cell(tmp_path):
    path = tmp_path / 'cells' / 'plain-d8-s0-3f9c1a'
    path.mkdir(parents=True)
    return path


def lease(cell, changed, attempt=1, released=False):
    """Leaves the lease of an attempt whose last heartbeat was at a time."""
    path = cell / f'lease-{attempt}.json'
    path.write_text(json.dumps({'owner': 'a', 'host': 'n1', 'pid': 3, 'released': released}))
    os.utime(path, (changed, changed))


def test_a_cell_without_a_trace_waits(tmp_path, cell):
    assert cell_status(cell).state == 'waiting'
    assert cell_status(tmp_path / 'cells' / 'none').state == 'waiting'
    (cell / 'config.json').write_text('{}')  # it was begun, and stopped as it should be
    assert cell_status(cell).state == 'waiting'


def test_a_result_is_the_mark_of_a_cell_that_is_done(cell):
    lease(cell, NOW)
    write_failure(cell, 'no', 'log')
    (cell / 'result.json').write_text('{}')
    assert cell_status(cell).state == 'done'


def test_a_cell_that_is_done_has_its_errors_and_its_files(cell):
    (cell / 'result.json').write_text('{"train_error": 1.5, "validation_error": 2}')
    (cell / 'config.json').write_text('{}')
    found = cell_status(cell)
    assert found.errors == (1.5, 2)
    assert found.files == {'result.json', 'config.json'}
    (cell / 'result.json').write_text('{"train_error": 1.5}')
    assert cell_status(cell).errors is None
    assert cell_status(cell).state == 'done'


def test_a_heartbeat_shows_a_running_cell_and_its_end_a_lost_one(cell):
    lease(cell, NOW)
    found = cell_status(cell)
    assert (found.state, found.about) == ('running', 'attempt 1 on n1')
    lease(cell, LONG_AGO)
    found = cell_status(cell)
    assert found.state == 'lost'
    assert found.about.startswith('attempt 1 on n1, silent for 36')


@pytest.mark.parametrize('changed', [NOW, LONG_AGO], ids=['now', 'long ago'])
def test_a_cell_that_was_given_back_waits(cell, changed):
    lease(cell, changed, released=True)
    assert cell_status(cell).state == 'waiting'
    assert cell_status(cell, Queued(NOW)).state == 'running'  # the next attempt


def test_a_clock_that_was_set_back_leaves_no_cell_running(cell):
    lease(cell, NOW + 3600)
    assert cell_status(cell).state == 'lost'


def test_who_trains_a_cell_now_counts_more_than_who_failed_at_it(cell):
    write_failure(cell, 'LostError', 'log')
    lease(cell, NOW, attempt=2)
    assert cell_status(cell).state == 'running'
    lease(cell, LONG_AGO, attempt=2)
    assert cell_status(cell).state == 'failed'


@pytest.mark.parametrize('text', ['', '{"status": "fin', '[]', '\0' * 9])
def test_a_damaged_result_is_none(cell, text):
    (cell / 'result.json').write_text(text)
    found = cell_status(cell)
    assert found.state == 'failed'
    assert 'result.json is damaged' in found.about
    assert cell_status(cell, Queued(None)).state == 'waiting'
    lease(cell, NOW)
    assert cell_status(cell).state == 'running'


def test_the_newest_attempt_counts(cell):
    lease(cell, NOW, attempt=9)
    lease(cell, LONG_AGO, attempt=10)
    assert cell_status(cell).state == 'lost'
    lease(cell, NOW, attempt=11)
    assert cell_status(cell).about == 'attempt 11 on n1'


def test_a_failed_cell_says_why(cell):
    lease(cell, LONG_AGO, attempt=2)
    write_failure(cell, 'ValueError: no', 'logs/worker0.log')
    found = cell_status(cell)
    assert (found.state, found.log) == ('failed', 'logs/worker0.log')
    assert found.about.startswith('attempt 2, ')
    assert found.about.endswith(': ValueError: no')


def test_what_the_queue_holds_is_not_lost(cell):
    lease(cell, LONG_AGO)
    waits, starts, ran_before = Queued(None), Queued(LONG_AGO + 60), Queued(LONG_AGO - 60)
    assert cell_status(cell, waits).state == 'waiting'
    # It started after the last heartbeat: that was another attempt's.
    assert cell_status(cell, starts).state == 'running'
    assert cell_status(cell, ran_before).state == 'lost'


def test_a_failed_cell_that_is_queued_again_waits(cell):
    write_failure(cell, 'no', 'log')
    assert cell_status(cell, Queued(None)).state == 'waiting'
    assert cell_status(cell, Queued(NOW)).state == 'running'


@pytest.mark.parametrize('text', ['', '{"ow', '[]'])
def test_a_lease_that_is_being_written_is_no_error(cell, text):
    (cell / 'lease-1.json').write_text(text)
    assert cell_status(cell).state == 'waiting'


def test_a_sweep_in_the_order_of_its_grid(tmp_path, cell):
    grid = [{'cell': 'resnet-d8-s0-aaaaaa'}, {'cell': cell.name}]
    (tmp_path / 'sweep.json').write_text(json.dumps({'format': 2, 'grid': grid}))
    lease(cell, NOW)
    found = sweep_status(tmp_path, {'resnet-d8-s0-aaaaaa': Queued(None)})
    assert [(each.cell, each.state, each.about) for each in found] == [
        ('resnet-d8-s0-aaaaaa', 'waiting', 'queued'),
        (cell.name, 'running', 'attempt 1 on n1'),
    ]


def test_cells_that_are_known_to_be_done_are_not_looked_at(tmp_path, cell):
    grid = [{'cell': cell.name, 'variant': 'plain, rate 0.1'}, {'cell': 'resnet-d8-s0-aaaaaa'}]
    (tmp_path / 'sweep.json').write_text(json.dumps({'format': 2, 'grid': grid}))
    (cell / 'result.json').write_text('{}')
    first, second = sweep_status(tmp_path, {})
    assert (first.state, first.network, second.network) == ('done', 'plain, rate 0.1', '')
    (cell / 'result.json').unlink()
    assert sweep_status(tmp_path, {}, {cell.name: first})[0] is first
    assert sweep_status(tmp_path, {})[0].state == 'waiting'


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (None, 'there is no sweep in'),
        ('{"grid"', 'holds no JSON'),
        ('{"format": 2}', "is damaged .KeyError: 'grid'"),
        ('{"format": 2, "grid": [3]}', 'is damaged .TypeError'),
        ('{"format": 99, "grid": []}', 'is of format 99'),
    ],
)
def test_what_is_no_sweep_is_one_line(tmp_path, text, message):
    if text:
        (tmp_path / 'sweep.json').write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        sweep_status(tmp_path, {})
    assert '\n' not in str(caught.value)


def test_ten_thousand_cells_take_less_than_two_seconds(tmp_path):
    ids = [f'plain-d8-s{number}-3f9c1a' for number in range(10_000)]
    (tmp_path / 'sweep.json').write_text(
        json.dumps({'format': 2, 'grid': [{'cell': name} for name in ids]})
    )
    result = json.dumps({f'knob{i}': [0.1 * i, str(i)] for i in range(40)}, indent=2)  # 2 kB
    for number, name in enumerate(ids):
        path = tmp_path / 'cells' / name
        path.mkdir(parents=True)
        state = STATES[number % 5]
        if state == 'done':
            (path / 'result.json').write_text(result)
        elif state == 'failed':
            (path / 'failure.json').write_text('{}')
        elif state != 'waiting':
            lease(path, NOW if state == 'running' else LONG_AGO)
    begin = time.process_time()  # the machine may be busy with other tests
    found = sweep_status(tmp_path, {})
    assert time.process_time() - begin < 2
    assert [
        sum(each.state == state for each in found) for state in ('done', 'running', 'lost')
    ] == [2000] * 3
