"""A task of Ray, without Ray: in this process, with a worker that trains nothing."""

import json
import sys
import time
from pathlib import Path

import fake_worker
import pytest

from vggres.executors import process, ray_task
from vggres.executors.orders import Event, order

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _fake(monkeypatch):
    monkeypatch.setattr(process, 'WORKER', (sys.executable, fake_worker.__file__))


def arguments(cell, log_dir, **values):
    given = {
        'order': order(cell).to_json(),
        'log': str(log_dir / f'{cell.id}.log'),
        'cwd': str(ROOT),
        'variables': {},
        'patience': 0.0,
    }
    return json.dumps(given | values)


def said(generator):
    return [Event(**json.loads(line)) for line in generator]


def test_an_attempt_relays_what_the_worker_says(make, tmp_path):
    cell = make(8, 0)
    events = said(ray_task.run_once(arguments(cell, tmp_path)))
    assert [event.kind for event in events] == ['started', 'ready', 'progress', 'finished']
    assert {event.cell for event in events} == {cell.id, ''}  # 'ready' is said of none
    assert not Path(f'/proc/{events[-1].values["pid"]}').exists()
    text = (tmp_path / f'{cell.id}.log').read_text()
    assert 'noise of a library' in text
    assert 'no event at all' in text


@pytest.mark.parametrize(
    ('seed', 'message'),
    [
        (fake_worker.DIES, 'signal 9, out of memory?: no event at all'),
        (fake_worker.GARBLES, 'exit code 3: {"kind": "finis'),
    ],
)
def test_a_worker_without_a_last_word_has_died(make, tmp_path, seed, message):
    *_, last = said(ray_task.run_once(arguments(make(8, seed), tmp_path)))
    assert (last.kind, last.values) == ('died', {'message': message})


@pytest.mark.parametrize('missing', ['log', 'cwd'])
def test_a_node_without_the_shared_folder_is_one_line(make, tmp_path, missing):
    cell, nowhere = make(8, 0), tmp_path / 'nowhere'
    log_dir = nowhere if missing == 'log' else tmp_path
    cwd = nowhere if missing == 'cwd' else tmp_path
    _, last = said(ray_task.run_once(arguments(cell, log_dir, cwd=str(cwd))))
    assert last.kind == 'failed'
    assert last.values['message'].endswith(f'has no {nowhere}, which all nodes have to share')


def test_a_cell_whose_lease_has_to_run_out_first_is_asked_for_until_it_is_free(
    make, tmp_path, monkeypatch
):
    monkeypatch.setattr(process, '_SECONDS_BETWEEN_ORDERS', 0.1)
    events = said(ray_task.run_once(arguments(make(8, fake_worker.FREE_LATER), tmp_path)))
    assert [event.kind for event in events] == ['started', 'ready', 'elsewhere']
    given = arguments(make(8, fake_worker.FREE_LATER), tmp_path, patience=60.0)
    events = said(ray_task.run_once(given))
    assert [event.kind for event in events] == ['started', 'ready', 'finished']


def test_the_worker_of_a_cancelled_attempt_is_gone(make, tmp_path):
    generator = ray_task.run_once(arguments(make(8, fake_worker.HANGS), tmp_path))
    while json.loads(next(generator))['kind'] != 'progress':
        pass
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob('*.pid')) and time.monotonic() < deadline:
        time.sleep(0.05)
    generator.close()
    (pid,) = (int(path.read_text()) for path in tmp_path.glob('*.pid'))
    assert not Path(f'/proc/{pid}').exists()


def test_a_worker_that_does_not_stop_is_killed(make, tmp_path, monkeypatch):
    monkeypatch.setattr(process, 'SECONDS_TO_END', 0.5)
    code = (
        'import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);'
        'print(\'{"kind": "progress", "cell": "", "values": {}}\', flush=True); time.sleep(600)'
    )
    monkeypatch.setattr(process, 'WORKER', (sys.executable, '-c', code))
    generator = ray_task.run_once(arguments(make(8, 0), tmp_path))
    next(generator)
    next(generator)
    started = time.monotonic()
    generator.close()
    assert 0.5 <= time.monotonic() - started < 5
