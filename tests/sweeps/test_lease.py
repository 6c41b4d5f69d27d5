import json
import os
import subprocess
import sys
import threading
import time

import pytest

from vggres.sweeps import lease
from vggres.sweeps.lease import LostError, TakenError, held

# A process that takes the lease of the directory in its arguments, says so, and waits.
HOLDER = (
    'import sys, time; from pathlib import Path; from vggres.sweeps.lease import held\n'
    'with held(Path(sys.argv[1])) as mine:\n'
    '    print(mine.attempt, flush=True)\n'
    '    time.sleep(60)\n'
)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(lease, '_HEARTBEAT', 0.05)
    monkeypatch.setattr(lease, 'STALE', 0.6)
    monkeypatch.setattr(lease, '_LAST_WORDS', 0.2)


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lease; it is killed in the end."""
    command = [sys.executable, '-c', HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == '1\n'
        yield process
        process.kill()


def stored(directory):
    (path,) = directory.glob('lease-*.json')
    return path.name, json.loads(path.read_text())


def plant(directory, number, **values):
    """The lease of a living process of another machine, unless `values` say otherwise."""
    found = {'host': 'elsewhere', 'boot': 'b', 'namespace': 'n', 'pid': os.getpid(), 'beats': 0}
    path = directory / f'lease-{number}.json'
    path.write_text(json.dumps(found | {'owner': 'somebody', 'released': False} | values))
    return path


def test_attempts_are_numbered_and_the_last_one_is_known(tmp_path):
    for attempt in (1, 2, 3):
        with held(tmp_path) as mine:
            assert mine.attempt == attempt
            mine.check()
            name, values = stored(tmp_path)
            assert name == f'lease-{attempt}.json'
            assert (values['attempt'], values['pid']) == (attempt, os.getpid())
            assert not values['released']
        assert stored(tmp_path)[1]['released']


def test_it_changes_while_it_is_held_and_not_afterwards(tmp_path):
    with held(tmp_path):
        before = stored(tmp_path)
        time.sleep(0.5)
        assert stored(tmp_path) != before
    before = stored(tmp_path)
    time.sleep(0.2)
    assert stored(tmp_path) == before


def test_two_processes_never_hold_it_at_once(holder, tmp_path):
    with pytest.raises(TakenError, match=f'trained by process {holder.pid} on '), held(tmp_path):
        pass


def test_a_killed_owner_of_this_machine_is_followed_at_once(holder, tmp_path, monkeypatch):
    monkeypatch.setattr(lease, 'STALE', 1e9)
    holder.kill()
    holder.wait()
    with held(tmp_path) as mine:
        assert mine.attempt == 2


def test_an_owner_that_was_not_waited_for_is_dead_too(holder, tmp_path):
    holder.kill()
    time.sleep(0.3)  # it is a zombie until this process waits for it
    with held(tmp_path) as mine:
        assert mine.attempt == 2


def test_another_process_of_the_same_number_is_not_the_owner(tmp_path):
    plant(tmp_path, 4, **lease._machine() | {'started': 'long ago'})
    with held(tmp_path) as mine:
        assert mine.attempt == 5


def test_a_living_owner_elsewhere_is_left_alone(tmp_path):
    path, ends = plant(tmp_path, 1), threading.Event()

    def beat():
        beats = 0
        while not ends.wait(0.05):
            beats += 1
            path.write_text(json.dumps({'owner': 'somebody', 'beats': beats}))

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        with pytest.raises(TakenError, match='trained by somebody'), held(tmp_path):
            pass
    finally:
        ends.set()
        thread.join()


def test_a_silent_owner_elsewhere_is_taken_over_after_a_while_and_finds_out(tmp_path):
    silent = lease.Lease(tmp_path, 1)
    silent._ends.set()  # as on a machine that sleeps
    silent._thread.join()
    path = tmp_path / 'lease-1.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'host': 'elsewhere'}))
    silent.check()
    started, noticed = time.monotonic(), []
    with held(tmp_path, noticed.append) as mine:
        assert time.monotonic() - started >= 0.6
        assert mine.attempt == 2
        mine.check()
        with pytest.raises(LostError):
            silent.check()
        with pytest.raises(FileNotFoundError):
            silent._write('r+')
        mine.check()
    assert [path.name for path in tmp_path.iterdir()] == ['lease-2.json']
    (sentence,) = noticed
    assert sentence.startswith(f'process {os.getpid()} on ')
    assert 'within 0.6 s' in sentence


def test_a_clock_that_jumps_changes_nothing(tmp_path, monkeypatch):
    with held(tmp_path) as mine:
        monkeypatch.setattr(time, 'time', lambda: 4e9)
        os.utime(tmp_path / 'lease-1.json', (0, 0))
        mine.check()
        with pytest.raises(TakenError), held(tmp_path):
            pass


def test_others_that_came_and_went_meanwhile_are_not_overlooked(tmp_path, monkeypatch):
    """Of four attempts it has seen the first; the number two is free again."""
    plant(tmp_path, 1, released=True)
    listed = lease._numbers
    seen = iter([[1]])
    monkeypatch.setattr(lease, '_numbers', lambda path: next(seen, None) or listed(path))
    newest = plant(tmp_path, 4, **lease._machine())
    (tmp_path / 'lease-1.json').unlink()
    monkeypatch.setattr(lease, '_is_over', lambda path, on_notice: path.name == 'lease-1.json')
    with pytest.raises(TakenError), held(tmp_path):
        pass
    assert newest.exists()


def test_a_full_disk_leaves_no_empty_lease(tmp_path, monkeypatch):
    def fail(values):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(lease.json, 'dumps', fail)
    with pytest.raises(OSError, match='No space'), held(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('content', ['', '{', '[]', '{"released": 7', '\0' * 40])
def test_a_damaged_lease_is_taken_over_after_a_while(tmp_path, content):
    (tmp_path / 'lease-1.json').write_text(content)
    with held(tmp_path) as mine:
        assert mine.attempt == 2


def test_of_many_that_want_it_at_once_one_gets_it(tmp_path):
    got, refused, go = [], [], threading.Barrier(8)

    def want():
        go.wait()
        try:
            with held(tmp_path) as mine:
                got.append(mine.attempt)
                time.sleep(1)
        except TakenError:
            refused.append(1)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (got, len(refused)) == ([1], 7)


def test_what_was_given_back_is_not_written_to(tmp_path):
    with held(tmp_path) as mine:
        mine.release()
        with pytest.raises(LostError):
            mine.check()


def test_the_last_attempt_by_the_names_of_files():
    assert lease.latest(['config.json', 'lease-2.json', 'lease-10.json', 'lease-x.json']) == 10
    assert lease.latest(['config.json', '.lease-3.json.417']) == 0
