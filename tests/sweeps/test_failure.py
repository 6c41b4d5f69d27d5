import re

from vggres.sweeps.failure import (
    FailedAttempt,
    clear_failure,
    read_failure,
    write_failure,
)


def test_a_failure_stays_until_the_next_attempt_begins(tmp_path):
    cell = tmp_path / 'cells' / 'plain-d8-s0-3f9c1a'
    assert read_failure(cell) is None
    write_failure(cell, 'ValueError: no', 'logs/worker0.log')
    found = read_failure(cell)
    assert found == FailedAttempt('ValueError: no', 'logs/worker0.log', found.when, 1)
    assert re.fullmatch(r'\d{4}-\d\d-\d\d \d\d:\d\d', found.when)
    clear_failure(cell)
    assert read_failure(cell) is None
    clear_failure(cell)  # nothing to remove


def test_a_failure_knows_which_attempt_it_was(tmp_path):
    for number in (1, 2, 10):
        (tmp_path / f'lease-{number}.json').write_text('{}')
    write_failure(tmp_path, 'no', 'log')
    assert read_failure(tmp_path).attempt == 10


def test_what_cannot_be_written_or_read_ends_nothing(tmp_path):
    (tmp_path / 'file').write_text('')
    write_failure(tmp_path / 'file', 'no', 'log')  # the directory cannot be made
    for damaged in ('{"mess', '[]', '{"message": "no"}'):
        (tmp_path / 'failure.json').write_text(damaged)
        assert read_failure(tmp_path) is None
