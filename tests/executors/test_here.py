import dataclasses

from vggres.executors import here
from vggres.sweeps.cell import Cell


def test_a_cell_runs_in_this_process_with_the_events_of_a_worker(config, tmp_path):
    cell, events = Cell(config, tmp_path, ''), []
    begun = []
    here.run([cell], {cell.id: 1.0}, 1, tmp_path / 'logs', events.append, begun.append)
    kinds = [event.kind for event in events]
    assert len(begun) == 1
    assert kinds[:2] == ['ready', 'started']
    assert kinds.count('record') == 2  # epochs
    assert 'progress' in kinds
    assert events[0].values['platform'] == 'cpu'
    assert kinds[-1] == 'finished'
    assert events[-1].values == dataclasses.asdict(cell.result())
