import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fake_worker
import numpy as np
import pytest

from vggres import environment
from vggres.errors import UserError
from vggres.executors import local, process
from vggres.executors.placement import default_environment
from vggres.sweeps.failure import read_failure


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    monkeypatch.setattr(process, 'WORKER', (sys.executable, fake_worker.__file__))


class ByDepth(dict):
    """The cost of each cell is its depth, which stands in its id: plain-d8-s0-…"""

    def __missing__(self, name):
        return float(name.split('-')[1].removeprefix('d'))


COSTS = ByDepth()


def run(cells, num_workers, tmp_path):
    events = []
    local.run(cells, COSTS, num_workers, tmp_path / 'logs', events.append)
    return events


def ended(events):
    return {event.cell: event for event in events if event.kind in ('finished', 'failed')}


def test_every_cell_starts_and_ends_once(make, tmp_path):
    cells = [make(depth, seed) for depth in (8, 14, 20) for seed in range(3)]
    events = run(cells, 2, tmp_path)
    for kind in ('started', 'finished'):
        assert sorted(e.cell for e in events if e.kind == kind) == sorted(c.id for c in cells)
    assert len({event.values['pid'] for event in ended(events).values()}) == 2


def test_the_seeds_of_one_network_follow_one_another(make, tmp_path):
    events = run([make(depth, seed) for seed in range(3) for depth in (8, 14)], 1, tmp_path)
    started = [event.cell for event in events if event.kind == 'started']
    assert [cell.split('-')[1] for cell in started] == ['d14'] * 3 + ['d8'] * 3


@pytest.mark.parametrize(
    ('seed', 'message'),
    [
        (fake_worker.DIES, r'its worker died \(signal 9'),
        (fake_worker.RAISES, 'ValueError: no such thing'),
        (fake_worker.GARBLES, r'its worker died \(exit code 3'),
    ],
)
def test_a_cell_that_dies_takes_no_other_along(make, tmp_path, seed, message):
    bad, good = make(20, seed), [make(8, 0), make(8, 1), make(14, 0)]
    events = ended(run([bad, *good], 1, tmp_path))
    assert len(events) == 4
    assert all(events[cell.id].kind == 'finished' for cell in good)
    failed = events[bad.id]
    assert failed.kind == 'failed'
    assert re.search(message, failed.values['message'])
    assert 'noise of a library' in Path(failed.values['log']).read_text()
    left = read_failure(bad.directory)
    assert (left.message, left.log) == (failed.values['message'], failed.values['log'])
    assert all(read_failure(cell.directory) is None for cell in good)


def test_after_an_interrupt_no_worker_is_left(make, tmp_path):
    hanging = [make(8, fake_worker.HANGS), make(14, fake_worker.HANGS)]
    interrupted = []

    def interrupt_when_both_hang():
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob('*.pid'))) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        interrupted.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt_when_both_hang).start()
    with pytest.raises(KeyboardInterrupt):
        run(hanging, 2, tmp_path)
    assert time.monotonic() - interrupted[0] < 5
    pids = [int(path.read_text()) for path in tmp_path.glob('*.pid')]
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize('interrupts', [1, 2])
def test_workers_have_time_to_save_unless_they_are_interrupted_again(make, tmp_path, interrupts):
    interrupted = []

    def interrupt():
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob('*.pid')) and time.monotonic() < deadline:
            time.sleep(0.1)
        for _ in range(interrupts):
            interrupted.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.4)

    events = []
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        local.run([make(8, fake_worker.SAVES)], COSTS, 1, tmp_path / 'logs', events.append)
    assert time.monotonic() - interrupted[0] < 5
    assert events[-1].kind == 'stopping'
    assert bool(list(tmp_path.glob('*.saved'))) == (interrupts == 1)


def test_workers_save_although_the_terminal_is_gone(make, tmp_path):
    def hear(event):
        if event.kind == 'stopping':
            raise OSError(5, 'Input/output error')
        if event.kind == 'progress':
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        local.run([make(8, fake_worker.SAVES)], COSTS, 1, tmp_path / 'logs', hear)
    assert list(tmp_path.glob('*.saved'))


def test_workers_save_whatever_ends_the_launcher(make, tmp_path):
    def hear(event):
        if event.kind == 'progress':
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        local.run([make(8, fake_worker.SAVES)], COSTS, 1, tmp_path / 'logs', hear)
    assert list(tmp_path.glob('*.saved'))


def test_what_is_trained_elsewhere_is_passed_on_and_the_next_cell_starts(make, tmp_path):
    busy, good = make(8, fake_worker.ELSEWHERE), make(8, 0)
    events = run([busy, good], 1, tmp_path)
    of_busy = [event.kind for event in events if event.cell == busy.id]
    assert of_busy == ['started', 'progress', 'notice', 'elsewhere']
    assert [event.kind for event in events if event.cell == good.id][-1] == 'finished'


def test_silence_is_an_event_too(make, tmp_path, monkeypatch):
    monkeypatch.setattr(local, 'SECONDS_OF_SILENCE', 0.1)
    heard = []

    def hear(event):
        heard.append(event.kind)
        if heard.count('silence') == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        local.run([make(8, fake_worker.HANGS)], COSTS, 1, tmp_path / 'logs', hear)
    assert (heard[0], heard[-1]) == ('started', 'stopping')


def test_a_worker_that_dies_after_its_work_has_done_it(make, tmp_path):
    events = ended(run([make(8, fake_worker.DIES_LATE), make(8, 0)], 1, tmp_path))
    assert {event.kind for event in events.values()} == {'finished'}


@pytest.mark.parametrize(
    ('how', 'message'),
    [
        ('unable', 'a worker cannot start: jax finds no device'),
        ('aborts', r'a worker cannot start .exit code 1.: Unknown flag in XLA_FLAGS$'),
    ],
)
def test_a_worker_that_cannot_start_is_one_line(make, tmp_path, monkeypatch, how, message):
    monkeypatch.setenv('FAKE_WORKER', how)
    with pytest.raises(UserError, match=message) as caught:
        run([make(8, 0), make(8, 1)], 1, tmp_path)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('how', ['unable', 'aborts'])
def test_cells_of_a_worker_that_cannot_start_are_left_to_those_that_can(
    make, tmp_path, monkeypatch, how
):
    monkeypatch.setattr(environment, 'cores', lambda: [0, 1])
    monkeypatch.setenv('FAKE_WORKER_OF_CORE_1', how)
    cells = [make(depth, 0) for depth in (8, 14, 20, 26)]
    events = run(cells, 2, tmp_path)
    found = ended(events)
    assert {found[cell.id].kind for cell in cells} == {'finished'}
    assert {event.values['cores'] for event in found.values()} == {'0'}
    (lost,) = [event for event in events if event.kind == 'lost']
    assert lost.values['message'].startswith('its worker cannot start')
    assert [event.kind for event in events].count('ready') == 1


@pytest.mark.slow
def test_an_heir_that_cannot_start_and_has_no_cell_changes_nothing(make, tmp_path, monkeypatch):
    """The second worker dies by its cell, the last one, and another one in its place cannot start.

    The first one works until that has been noticed.
    """
    monkeypatch.setattr(environment, 'cores', lambda: [0, 1])
    holds, dies = make(20, fake_worker.HOLDS), make(8, fake_worker.DIES)
    events = []

    def hear(event):
        events.append(event)
        if event.kind == 'failed':
            monkeypatch.setenv('FAKE_WORKER_OF_CORE_1', 'unable')
            threading.Timer(3.0, (tmp_path / 'go').touch).start()

    local.run([holds, dies], COSTS, 2, tmp_path / 'logs', hear)
    found = ended(events)
    assert {cell.id: found[cell.id].kind for cell in (holds, dies)} == {
        holds.id: 'finished',
        dies.id: 'failed',
    }
    assert not [event for event in events if event.kind == 'lost']


def test_the_first_worker_is_told_once_even_if_it_dies(make, tmp_path):
    events = run([make(20, fake_worker.DIES), make(8, 0)], 1, tmp_path)
    assert [event.kind for event in events].count('ready') == 1


def test_what_libraries_print_is_kept_in_the_log(make, tmp_path):
    run([make(8, 0)], 1, tmp_path)
    assert 'no event at all' in (tmp_path / 'logs' / 'worker0.log').read_text()


def test_a_lone_cell_gets_no_more_than_its_share_of_the_cores(make, tmp_path, monkeypatch):
    # So that a cell run again alone computes with the threads it would have had.
    monkeypatch.setattr(environment, 'cores', lambda: [0, 1, 2, 3])
    (event,) = ended(run([make(8, 0)], 2, tmp_path)).values()
    assert event.values['cores'] == '0,1'


def test_what_the_user_sets_wins_over_defaults_and_not_over_the_placement(
    monkeypatch, make, tmp_path
):
    monkeypatch.setenv('JAX_COMPILATION_CACHE_DIR', 'mine')
    monkeypatch.setenv('VGGRES_CORES', '7')
    monkeypatch.setattr(environment, 'cores', lambda: [0, 1])
    (event,) = ended(run([make(8, 0)], 2, tmp_path)).values()
    assert (event.values['cache'], event.values['cores']) == ('mine', '0')


def test_workers_share_the_cores(make, tmp_path, monkeypatch):
    monkeypatch.setattr(environment, 'cores', lambda: [0, 1, 2, 3])
    events = ended(run([make(8, 0), make(14, 0)], 2, tmp_path))
    assert sorted(event.values['cores'] for event in events.values()) == ['0,1', '2,3']


@pytest.mark.slow
def test_the_compilation_cache_may_be_shared_and_damaged(tmp_path):
    """Several processes on one cache, and entries cut short by a kill, change no result."""
    code = (
        'import warnings, jax, jax.numpy as jnp; warnings.simplefilter("ignore"); '
        'print(float(jax.jit(lambda x: jnp.sin(x @ x).sum())(jnp.eye(9))))'
    )
    (variable,) = (name for name in default_environment() if 'CACHE' in name)
    surroundings = os.environ | {
        variable: str(tmp_path),
        'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
    }

    def outputs(count):
        processes = [
            subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, env=surroundings)
            for _ in range(count)
        ]
        return {process.communicate()[0] for process in processes}

    (first,) = outputs(3)
    entries = [path for path in tmp_path.rglob('*-cache') if path.is_file()]
    assert entries
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:100])
    assert outputs(2) == {first}
    assert float(first) == pytest.approx(9 * np.sin(1))


def test_the_devices_are_told_once(make, tmp_path):
    events = run([make(8, 0), make(14, 0), make(20, 0)], 3, tmp_path)
    (ready,) = (event.values for event in events if event.kind == 'ready')
    assert ready == {'hardware': 'a fake device', 'platform': 'fake'}
