import io

import pytest
from rich.console import Console

from vggres.executors import progress as module
from vggres.executors.orders import Event
from vggres.executors.progress import Progress
from vggres.results import Failure
from vggres.sweeps.cell import Cell

FINISHED = {'status': 'finished', 'train_error': 1.5, 'validation_error': 12.25}


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [100.0]
    monkeypatch.setattr(module.time, 'monotonic', lambda: now[0])
    return now


@pytest.fixture
def cells(config, tmp_path):
    made = []
    for depth in (8, 14):
        cell_config = config.copy_and_resolve_references()
        cell_config.model.depth = depth
        made.append(Cell(cell_config, tmp_path, 'depth'))
    return made


def follow(cells, events, terminal=False, clock=None):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    costs = {cells[0].id: 1.0, cells[1].id: 3.0}
    with Progress(cells, costs, total=5, console=console) as progress:
        for seconds, event in events:
            if clock:
                clock[0] += seconds
            progress(event)
    return progress, console.file.getvalue()


def test_a_line_for_each_cell_that_ends(cells, clock):
    small, large = (cell.id for cell in cells)
    events = [
        (0, Event('started', large, {})),
        (30, Event('progress', large, {'step': 1, 'total': 2})),
        (30, Event('finished', large, FINISHED)),
        (0, Event('started', small, {})),
        (5, Event('finished', small, FINISHED | {'status': 'diverged', 'diverged_at_step': 7})),
    ]
    _, text = follow(cells, events, clock=clock)
    lines = text.splitlines()
    assert lines[0].startswith(f'running: {large} 50 % (training)')
    # Half of 3 of 4 in 30 s: 2.5 are left, 50 s.
    assert lines[0].endswith('about 50 s left')
    assert lines[1].startswith(f'[4/5] {large}')
    assert 'train  1.50 %, validation 12.25 %, 60 s; about 20 s left' in lines[1]
    assert lines[2].startswith(f'[5/5] {small}')
    assert 'diverged at step 7' in lines[2]
    assert '\x1b' not in text


def test_failures_are_kept_for_the_end(cells):
    failure = {'message': 'its worker died (signal 9)', 'log': 'logs/worker0.log'}
    name = cells[0].id
    progress, text = follow(
        cells, [(0, Event('started', name, {})), (0, Event('failed', name, failure))]
    )
    assert progress.failed == [Failure(name, **failure)]
    assert 'failed: its worker died (signal 9); see logs/worker0.log' in text


@pytest.mark.parametrize('terminal', [True, False])
def test_a_cell_that_is_lost_waits_and_starts_again(cells, clock, terminal):
    small, large = (cell.id for cell in cells)
    lost = {'message': 'its node n1 was lost (attempt 1)'}
    events = [
        (0, Event('started', large, {})),
        (0, Event('progress', large, {'step': 1, 'total': 2})),
        (10, Event('lost', large, lost)),
        (0, Event('started', small, {})),
        (35, Event('progress', small, {'step': 1, 'total': 2})),
        (0, Event('started', large, {})),
        (5, Event('finished', large, FINISHED)),
    ]
    progress, text = follow(cells, events, terminal, clock)
    assert f'{large}: its node n1 was lost (attempt 1); it waits to run again' in text
    if not terminal:
        # Half of the small one, 1 of 4, in 45 s: 3.5 of the 4 are left.
        assert f'running: {small} 50 % (training); about 5 min left' in text
        assert f'[4/5] {large}' in text
        assert '12.25 %, 5 s' in text
    assert progress.failed == []


def test_a_terminal_shows_a_bar_for_each_running_cell_with_its_errors(cells):
    small, large = (cell.id for cell in cells)
    record = {'train_error': 3.25, 'validation_error': 4.5}
    _, text = follow(
        cells,
        [
            (0, Event('started', large, {})),
            (0, Event('started', small, {})),
            (0, Event('progress', large, {'step': 3, 'total': 4})),
            (0, Event('record', large, record)),
        ],
        terminal=True,
    )
    assert '75%' in text
    assert 'train  3.25 %, validation  4.50 %' in text
    assert 'compiling' in text
    assert '3 of 5 cells done' in text


@pytest.mark.parametrize(('seconds', 'words'), [(20, '20 s'), (600, '10 min'), (3 * 3600, '3.0 h')])
def test_the_time_left_in_readable_units(cells, clock, seconds, words):
    # 1 of 4 done in a third of what is left.
    small = cells[0].id
    events = [(0, Event('started', small, {})), (seconds / 3, Event('finished', small, FINISHED))]
    _, text = follow(cells, events, clock=clock)
    assert f'about {words} left' in text


def test_a_variant_is_said_where_the_id_does_not_say_it(config, tmp_path):
    cells = [Cell(config, tmp_path, 'depth', variant) for variant in ('resnet', 'shortcut × 0.5')]
    assert [module._label(cell) for cell in cells] == [
        cells[0].id,
        f'{cells[1].id} (shortcut × 0.5)',
    ]


def test_what_is_noticed_trained_elsewhere_or_stopped_is_a_line(cells):
    small, large = (cell.id for cell in cells)
    progress, text = follow(
        cells,
        [
            (0, Event('started', large, {})),
            (0, Event('notice', large, {'message': 'the checkpoint a cannot be used: b.'})),
            (0, Event('started', small, {})),
            (0, Event('elsewhere', small, {'message': 'it is trained by c.'})),
            (0, Event('stopping', '', {})),
        ],
    )
    lines = text.splitlines()
    assert lines[0] == f'{large}: the checkpoint a cannot be used: b.'
    assert lines[1].startswith(f'[4/5] {small}')
    assert 'left alone: it is trained by c, 0 s' in lines[1]
    assert lines[2].startswith('stopping: the cells that run are saved first; Ctrl-C again ')
    assert progress.failed == []


def test_a_cell_that_says_nothing_is_said_to_be_silent(cells, clock):
    small, large = (cell.id for cell in cells)
    events = [
        (0, Event('started', large, {})),
        (0, Event('started', small, {})),
        (60, Event('progress', small, {'step': 1, 'total': 2})),
        (90, Event('silence', '', {})),
    ]
    _, text = follow(cells, events, clock=clock)
    last = text.splitlines()[-1]
    assert f'{large} 0 % (compiling, silent for 2 min)' in last  # 150 s
    assert f'{small} 50 % (training)' in last  # 90 s
    _, text = follow(cells, events, clock=clock, terminal=True)
    assert 'compiling, silent for 2 min' in text


def test_after_the_last_update_a_cell_is_evaluated(cells, clock):
    large = cells[1].id
    record = {'train_error': 1.0, 'validation_error': 12.25}
    events = [
        (0, Event('started', large, {})),
        (1, Event('record', large, record)),
        (30, Event('progress', large, {'step': 2, 'total': 2})),
        (30, Event('record', large, record)),
        (30, Event('silence', '', {})),
    ]
    _, text = follow(cells, events, clock=clock)
    assert f'{large} 100 % (evaluating)' in text.splitlines()[0]
    assert f'{large} 100 % (error: train  1.00 %' in text.splitlines()[-1]


def test_that_wandb_fails_is_said_once_and_not_by_each_worker(cells):
    small, large = (cell.id for cell in cells)
    failed = {'message': 'W&B failed, further runs are logged offline: no network'}
    events = [(0, Event('notice', cell, failed)) for cell in (small, large)]
    _, text = follow(cells, events)
    assert text.splitlines() == [failed['message']]
