import json
import os
import time
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from planted import finish, record

from experiments import depth
from vggres.commands import index
from vggres.commands.index import Index
from vggres.files import write_json
from vggres.sweeps.failure import write_failure
from vggres.sweeps.records import METRICS_FILE, RecordsFile
from vggres.sweeps.status import CellStatus
from vggres.sweeps.sweep import assemble, joined


@pytest.fixture
def cells(config, tmp_path):
    """The cells of a sweep whose directory has been made: one is done, another one runs."""
    config.sweep.depths = (8,)
    (tmp_path / 'depth').mkdir()
    made = joined(assemble('depth', config, tmp_path, depth.cells(config))).cells
    finish(made[0], error=12.345, validation_error=23.4)
    lease(made[1], time.time())
    return made


def lease(cell, changed):
    cell.directory.mkdir(parents=True, exist_ok=True)
    path = cell.directory / 'lease-1.json'
    path.write_text(json.dumps({'owner': 'a', 'host': 'n1', 'pid': 3, 'attempt': 1}))
    os.utime(path, (changed, changed))


class Read(HTMLParser):
    """The text of a page in lines, and the addresses that it links to."""

    def __init__(self, path):
        super().__init__()
        self.lines, self.links, self._hidden = [], [], 0
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        self._hidden += tag in ('script', 'style')
        self.links += [value for name, value in attrs if (tag, name) == ('a', 'href')]

    def handle_endtag(self, tag):
        self._hidden -= tag in ('script', 'style')

    def handle_data(self, data):
        if data.strip() and not self._hidden:
            self.lines.append(' '.join(data.split()))

    @property
    def text(self):
        return ' '.join(self.lines)


def written(workdir, **values):
    Index(workdir).write(**values)
    return Read(workdir / 'index.html')


def test_a_sweep_has_its_question_its_counts_and_its_cells(cells, tmp_path):
    page = written(tmp_path)
    for said in (
        depth.TITLE,
        depth.CLAIM,
        '4 cells: 1 done, 1 running, 2 waiting',
        *tmp_path.parts,
    ):
        assert said in page.text
    place = page.lines.index(cells[0].id)
    assert page.lines[place : place + 4] == [cells[0].id, 'done', '12.35', '23.40']
    assert 'attempt 1 on n1' in page.lines
    assert [page.lines.count(cell.id) for cell in cells] == [1, 2, 1, 1]  # what runs stands above


def test_links_lead_to_files_that_are_there(cells, tmp_path):
    for cell in cells[:2]:
        RecordsFile(cell.directory / METRICS_FILE).append(record(1, 50.0))
    write_failure(cells[2].directory, 'ValueError: no', 'elsewhere/logs/worker 0.log')
    (tmp_path / 'depth' / 'logs').mkdir()
    (tmp_path / 'depth' / 'logs' / 'worker 0.log').write_text('no')
    (tmp_path / 'depth' / 'report.html').write_text('')
    page = written(tmp_path)
    assert {f'depth/cells/{cell.id}/metrics.jsonl' for cell in cells[:2]} < {*page.links}
    assert {'depth/logs/worker%200.log', 'depth/report.html'} < {*page.links}
    for link in page.links:
        assert (tmp_path / link.replace('%20', ' ')).exists(), link
    assert 'ValueError: no' in page.text


def test_a_running_cell_says_how_far_it_is(cells, tmp_path):
    path = cells[1].directory / METRICS_FILE
    records = RecordsFile(path)
    for epoch in range(1, 40):  # more than the end of the file that is looked at
        records.append(record(epoch, 90.0 - epoch))
    with path.open('a') as file:
        file.write('{"epoch": 40, "tr')  # it is being written
    assert 'epoch 39, training error 51.00 %; attempt 1 on n1' in written(tmp_path).lines
    path.write_text('garbage\n')
    assert 'attempt 1 on n1' in written(tmp_path).lines


def test_an_interrupted_cell_says_that_it_goes_on(cells, tmp_path):
    said = 'goes on from its checkpoint'
    assert said not in written(tmp_path).text
    (cells[2].directory / 'checkpoints').mkdir(parents=True)
    assert written(tmp_path).text.count(said) == 1


def test_the_verdict_stands_there_in_short(cells, tmp_path):
    write_json(tmp_path / 'depth' / 'verdict.json', {'in_short': {'plain': 'degrades'}})
    page = written(tmp_path)
    assert page.lines[page.lines.index('degrades') + 1] == 'plain'
    for damaged in ('{"in_short": 3}', '{"variants": {}}', '{"in'):
        (tmp_path / 'depth' / 'verdict.json').write_text(damaged)
        assert 'degrades' not in written(tmp_path).text


def test_claims_have_their_statuses_at_a_glance(cells, tmp_path):
    told = [['One.', 'holds', '1'], ['Two.', 'fails', '2'], ['Three.', 'holds', '–']]
    write_json(tmp_path / 'claims.json', {'en': told, 'zh': []})
    (tmp_path / 'claims.html').write_text('')
    (tmp_path / 'causes.html').write_text('')  # whose numbers are gone
    (tmp_path / 'remains.html').write_text('')
    page = written(tmp_path)
    assert 'holds: 2, fails: 1' in page.text
    assert 'Two. fails' in page.text
    assert page.links[:3] == ['claims.html', 'causes.html', 'remains.html']


def test_single_networks_and_damaged_sweeps_are_listed_too(cells, config, tmp_path):
    (tmp_path / 'cells' / 'plain-d20-s0-abcdef').mkdir(parents=True)
    (tmp_path / 'broken').mkdir()
    (tmp_path / 'broken' / 'sweep.json').write_text('{"grid')
    (tmp_path / 'of mine').mkdir()
    (tmp_path / 'of mine' / 'sweep.json').write_text('{"format": 2, "grid": [{"cell": "<b>"}]}')
    page = written(tmp_path)
    assert 'Single networks' in page.lines
    assert 'plain-d20-s0-abcdef' in page.lines
    assert 'broken/sweep.json is damaged' in page.text
    assert {'of mine', '<b>'} < {*page.lines}


def test_it_loads_itself_again_only_while_somebody_works(cells, tmp_path):
    def seconds():
        found = (tmp_path / 'index.html').read_text().split('http-equiv="refresh" content="')
        return int(found[1].split('"')[0]) if len(found) > 1 else None

    written(tmp_path, is_attended=True)
    assert seconds() == 5
    written(tmp_path)  # a cell runs, and nobody goes on writing
    assert seconds() == 60
    lease(cells[1], time.time() - 3600)
    written(tmp_path)
    assert seconds() is None
    assert '1 lost' in Read(tmp_path / 'index.html').text


def test_while_cells_run_it_is_written_every_few_seconds(cells, tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(index.time, 'monotonic', lambda: now[0])
    costs = [0.01, 0.01, 0.5]
    written_at = []

    def write(*args):
        written_at.append(now[0])
        now[0] += costs[len(written_at) - 1]

    monkeypatch.setattr(index.index_page, 'write', write)
    page = Index(tmp_path)
    while now[0] < 160:
        page.write_if_due()
        now[0] += 0.25
        del costs[3:]
        costs.append(0.01)
    gaps = [after - before for before, after in pairwise(written_at)]
    # Once it took half a second, which may be a fiftieth of the time: 25 s until the next one.
    assert gaps[:2] == pytest.approx([5.0, 5.0], abs=0.3)
    assert gaps[2] == pytest.approx(25.5, abs=0.6)


def test_cells_that_are_done_are_not_looked_at_again(cells, tmp_path, monkeypatch):
    page = Index(tmp_path)
    page.write(is_attended=True)
    looked = []
    found = index.sweep_status

    def sweep_status(directory, queue, done):
        looked.append({*done})
        return found(directory, queue, done)

    monkeypatch.setattr(index, 'sweep_status', sweep_status)
    finish(cells[1])
    page.write(is_attended=True)
    page.write(is_attended=True)
    assert looked == [{cells[0].id}, {cells[0].id, cells[1].id}]
    assert '2 done, 2 waiting' in Read(tmp_path / 'index.html').text


def test_what_is_known_of_a_queue_is_taken_as_it_is(cells, tmp_path):
    known = [CellStatus('a', 'waiting', 'queued'), CellStatus('b', 'done', errors=(1.0, 2.0))]
    Index(tmp_path, {'depth': known}).write()
    assert '2 cells: 1 done, 1 waiting' in Read(tmp_path / 'index.html').text


@pytest.mark.parametrize('reason', ['directory', 'full', 'broken'])
def test_where_it_cannot_be_written_nothing_happens(cells, tmp_path, monkeypatch, reason):
    def fails(*args):
        raise OSError(28, 'No space left on device') if reason == 'full' else RuntimeError

    if reason == 'directory':
        (tmp_path / 'index.html').mkdir()
    else:
        monkeypatch.setattr(index.index_page, 'write', fails)
    page = Index(tmp_path)
    page.write_if_due()
    page.write()
    assert not (tmp_path / 'index.html').is_file()
    assert not list(tmp_path.glob('.index*'))


def test_very_many_cells_are_cut_short_and_counted(tmp_path):
    grid = [{'cell': f'plain-d8-s{number}-3f9c1a', 'variant': 'plain'} for number in range(1200)]
    (tmp_path / 'depth').mkdir()
    (tmp_path / 'depth' / 'sweep.json').write_text(json.dumps({'format': 2, 'grid': grid}))
    page = written(tmp_path)
    assert '1,200 cells: 1200 waiting' in page.text
    assert 'The first 1,000 cells' in page.text
    assert sum(line.startswith('plain-d8') for line in page.lines) == 1000
