import io
import json
import os
import time

import pytest
from fake_slurm import FakeSlurm
from planted import finish
from rich.console import Console

from vggres.commands import status
from vggres.errors import UserError
from vggres.executors import slurm
from vggres.executors.options import SlurmOptions
from vggres.sweeps.cell import Cell
from vggres.sweeps.failure import write_failure
from vggres.sweeps.sweep import Sweep, joined


@pytest.fixture
def fake(tmp_path, monkeypatch):
    found = FakeSlurm(tmp_path / 'fake')
    monkeypatch.setenv('PATH', f'{found.programs}:{os.environ["PATH"]}')
    return found


@pytest.fixture
def cells(config, tmp_path):
    """Five cells of a sweep whose directory has been made."""
    made = []
    for seed in range(5):
        own = config.copy_and_resolve_references()
        own.seed = seed
        made.append(Cell(own, tmp_path / 'depth', 'depth', 'resnet'))
    (tmp_path / 'depth' / 'logs').mkdir(parents=True)
    joined(Sweep('depth', config, tmp_path / 'depth', tuple(made)))
    return made


def shown(directory, command=status.show):
    console = Console(file=io.StringIO(), width=80, markup=False, highlight=False)
    command(directory, console)
    return console.file.getvalue()


def lease(cell, seconds_ago):
    cell.directory.mkdir(parents=True, exist_ok=True)
    path = cell.directory / 'lease-2.json'
    path.write_text(json.dumps({'owner': 'a', 'host': 'n1', 'pid': 3, 'attempt': 2}))
    os.utime(path, (time.time() - seconds_ago,) * 2)


def test_counts_come_first_and_then_what_is_known(cells, tmp_path):
    finish(cells[0])
    lease(cells[1], 1)
    lease(cells[2], 500)
    log = tmp_path / 'depth' / 'logs' / 'worker0.log'
    log.write_text('\n'.join(['early', *(f'line {n}' for n in range(1, 5)), '', 'ValueError: no']))
    # The log is found whatever directory the launch was in.
    write_failure(cells[3].directory, 'ValueError: no', 'somewhere/else/logs/worker0.log')
    lines = shown(tmp_path / 'depth').splitlines()
    assert lines[0] == (
        f'{tmp_path}/depth: 5 cells: 1 done, 1 running, 1 waiting, 1 failed, 1 lost'
    )
    assert lines[1] == f'  running  {cells[1].id}  attempt 2 on n1'
    assert lines[2].startswith(f'  failed   {cells[3].id}  attempt 1, ')
    assert lines[2].endswith(': ValueError: no')
    assert [line.strip() for line in lines[3:9]] == [
        f'see {log}:',
        *(f'line {n}' for n in range(1, 5)),
        'ValueError: no',
    ]
    assert lines[9] == f'  lost     {cells[2].id}  attempt 2 on n1, silent for 500 s'
    assert len(lines) == 10  # somebody is at work, who may run the others


def test_what_nobody_works_on_is_named(cells, tmp_path):
    finish(cells[0])
    assert shown(tmp_path / 'depth').splitlines()[-1] == (
        '4 cells will run when the sweep is launched again.'
    )
    for cell in cells:
        finish(cell)
    assert 'All cells are done: --report_only' in shown(tmp_path / 'depth')


def test_a_log_that_is_gone_is_no_error(cells, tmp_path):
    write_failure(cells[0].directory, 'no', 'logs/gone.log')
    assert '(not readable: No such file or directory)' in shown(tmp_path / 'depth')


def test_of_many_cells_the_first_are_shown(cells, tmp_path, monkeypatch):
    monkeypatch.setattr(status, '_SHOWN', 2)
    for cell in cells:
        lease(cell, 500)
    lines = shown(tmp_path / 'depth').splitlines()
    assert lines[3] == '  lost     and 3 more'


def submitted(cells):
    return slurm.submit(cells, {c.id: 1.0 for c in cells}, SlurmOptions(), cells[0].workdir)


def test_the_queue_tells_waiting_from_lost(cells, tmp_path, fake):
    submitted(cells)
    for cell in cells[1:]:
        lease(cell, 500)
    fake.says('squeue', '101 1 PENDING N/A vggres-depth\n')
    text = shown(tmp_path / 'depth')
    assert '0 done, 0 running, 2 waiting, 0 failed, 3 lost' in text
    page = (tmp_path / 'index.html').read_text()
    assert '5 cells: 2 waiting, 3 lost' in page
    assert 'queued' in page
    assert text.endswith('4 cells will run when the sweep is launched again.\n')


def test_files_alone_will_do(cells, tmp_path, fake, monkeypatch):
    submitted(cells)
    finish(cells[0])
    monkeypatch.setenv('PATH', str(tmp_path))
    text = shown(tmp_path / 'depth')
    assert '1 done, 0 running, 4 waiting, 0 failed, 0 lost' in text
    assert 'Slurm was not asked: there is no squeue on this machine' in text


def test_cancelling_says_what_was_cancelled(cells, tmp_path, fake):
    submitted(cells)
    fake.says('squeue', '101 3 PENDING N/A vggres-depth\n101 4 RUNNING N/A vggres-depth\n')
    text = shown(tmp_path / 'depth', status.cancel)
    assert 'cancelled job 101: 2 cells not done.' in text
    assert 'stays' in text
    assert fake.calls('scancel') == [['101']]


def test_where_nothing_is_queued_nothing_is_cancelled(cells, tmp_path, fake):
    assert 'nothing to cancel' in shown(tmp_path / 'depth', status.cancel)
    assert fake.calls('scancel') == []


@pytest.mark.parametrize('command', [status.show, status.cancel])
def test_where_there_is_no_sweep_it_is_one_line(tmp_path, command):
    with pytest.raises(UserError, match='there is no sweep in'):
        shown(tmp_path / 'none', command)
