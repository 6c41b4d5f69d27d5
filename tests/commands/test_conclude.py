import io
import json
import re
from types import SimpleNamespace

import pytest
from planted import finish, record, runs
from rich.console import Console

from experiments import depth
from vggres.commands import conclude
from vggres.files import write_json
from vggres.results import Failure
from vggres.sweeps.records import METRICS_FILE, RecordsFile
from vggres.sweeps.sweep import assemble, joined


@pytest.fixture
def planned(config, tmp_path):
    """A sweep of 2 families × 2 depths × 3 seeds, done: plain-14 errs by 40 to 42 %."""
    config.sweep.seeds = 3
    planned = assemble('depth', config, tmp_path, depth.cells(config))
    for cell in planned.cells:
        at = cell.coordinates()
        error = 40.0 + at['seed'] if (at['family'], at['depth']) == ('plain', 14) else 0.0
        cell.directory.mkdir(parents=True)
        RecordsFile(cell.directory / METRICS_FILE).append(record(1, error, error + 1))
        finish(cell, error=error, validation_error=error + 1)
    return planned


def test_a_sweep_ends_with_verdict_report_figures_and_table(planned):
    console = Console(file=io.StringIO(), width=100)
    conclude.conclude(planned, depth, [], console)
    verdict = json.loads((planned.directory / 'verdict.json').read_text())
    assert verdict['variants']['plain']['verdict'] == 'degrades'
    assert verdict['variants']['plain']['excess_error'] == 41
    assert verdict['variants']['plain']['n'] == 3
    assert verdict['variants']['resnet']['verdict'] == 'inconclusive'
    assert verdict['differences'][0]['excess_error'] == 41
    assert verdict['in_short'] == {'plain': 'degrades', 'resnet': 'inconclusive'}
    path = planned.directory / 'report.html'
    assert '<dt>degrades</dt><dd>plain</dd>' in path.read_text()
    for name in ('error_against_depth', 'learning_curves'):
        assert (planned.directory / 'figures' / f'{name}.png').stat().st_size > 10_000
        assert (planned.directory / 'figures' / f'{name}.svg').exists()
    assert len((planned.directory / 'results.csv').read_text().splitlines()) == 13
    text = console.file.getvalue()
    assert '41.00 (40.00–42.00)' in text
    assert '±' not in text
    assert 'half of that of guessing' in text
    assert 'plain: degrades.' in text
    assert str(path) in text


def test_mixed_commits_and_mixed_digits_are_named_in_the_report(planned):
    first, second, *_ = planned.cells
    finish(first, error=1.0, git_commit='abc1234', mixed_with=['a machine, 4 cores'])
    finish(second, error=1.0, git_commit='def5678')
    conclude.conclude(planned, depth, [], Console(file=io.StringIO(), width=100))
    text = (planned.directory / 'report.html').read_text()
    assert 'abc, abc1234, def5678' in text  # the others have the commit abc
    assert f'{first.id} (a machine, 4 cores)' in text
    assert text.count('(a machine, 4 cores)') == 1


@pytest.mark.parametrize('width', [60, 80])
def test_the_table_cuts_nothing_off(planned, width):
    judged = runs('resnet, 10×, rate 0.003', {110: [82, 84, 86]}, validation_error=13)
    asked = SimpleNamespace(**vars(depth) | {'judged': lambda sweep: judged})
    console = Console(file=io.StringIO(), width=width)
    conclude.conclude(planned, asked, [], console)
    rows = [line.split('│')[1:-1] for line in console.file.getvalue().splitlines() if '│' in line]
    columns = [''.join(''.join(parts).split()) for parts in zip(*rows, strict=True)]
    assert columns == ['resnet,10×,rate0.003', '110', '84.00(82.00–86.00)', '13.00', '3', '3']


@pytest.mark.parametrize('count', [0, 3, 12])
def test_the_table_shows_what_is_judged(planned, count):
    """The runs of plain-8, whose verdict is asked for; all of them where none is judged yet."""
    asked = SimpleNamespace(**vars(depth) | {'judged': lambda sweep: sweep.results()[:count]})
    console = Console(file=io.StringIO(), width=80)
    conclude.conclude(planned, asked, [], console)
    text = console.file.getvalue()
    rows = re.findall(r'│ (plain|resnet) +│ (\d+) ', text)
    every = [('plain', '8'), ('plain', '14'), ('resnet', '8'), ('resnet', '14')]
    assert rows == (every[:1] if count == 3 else every)
    assert ('these runs. The report shows all 12.' in text) == (count == 3)


def test_a_new_verdict_is_mirrored_once(planned, monkeypatch):
    calls = []
    monkeypatch.setattr(conclude, 'mirror_sweep', lambda *args: calls.append(args))
    conclude.conclude(planned, depth, [], Console(file=io.StringIO()))
    conclude.conclude(planned, depth, [], Console(file=io.StringIO()))
    ((_, directory, name, summary, _),) = calls
    assert (directory, name) == (planned.directory, 'depth')
    assert summary.notes.startswith('python launch.py --sweep depth')
    assert len(summary.results) == 12
    assert {len(chart.table.rows) for chart in summary.charts} == {12}
    assert summary.verdict['variants']['plain']['verdict'] == 'degrades'
    assert [figure.name for figure in summary.figures] == [
        'error_against_depth.png',
        'learning_curves.png',
    ]

    write_json(planned.directory / 'verdict.json', {'of': 'fewer cells'})
    conclude.conclude(planned, depth, [], Console(file=io.StringIO()))
    assert len(calls) == 2


def test_a_report_made_again_has_the_mode_of_its_own_time(planned, monkeypatch):
    calls, console = [], Console(file=io.StringIO(), width=200)
    joined(planned)
    path = planned.directory / 'sweep.json'
    path.write_text(path.read_text().replace('"mode": "disabled"', '"mode": "online"'))

    def mirror(config, directory, name, summary, on_failure):
        calls.append(config.wandb.mode)
        on_failure('W&B failed.')
        log = directory / 'wandb' / f'{config.wandb.mode}-run-1-a' / 'run-a.wandb'
        log.parent.mkdir(parents=True)
        log.write_bytes(b'more than a header')

    monkeypatch.setattr(conclude, 'mirror_sweep', mirror)
    for mode in ('disabled', 'offline'):
        monkeypatch.setenv('WANDB_MODE', mode)
        conclude.report_again(planned.directory, console)
        (planned.directory / 'verdict.json').unlink()
        text = console.file.getvalue()
        command = f'upload to W&B: wandb sync {planned.directory}/wandb\n'
        assert (command in text) == (mode == 'offline')
    assert calls == ['disabled', 'offline']
    assert 'W&B failed.\n' in text


def test_an_unfinished_sweep_says_what_is_missing(planned):
    for cell in planned.cells[3:6]:  # plain, depth 14
        (cell.directory / 'result.json').unlink()
    console = Console(file=io.StringIO(), width=100)
    failure = Failure(planned.cells[3].id, 'its worker died', 'worker0.log')
    (planned.cells[4].directory / 'result.json').write_text('{}')
    conclude.conclude(planned, depth, [failure], console)
    verdict = json.loads((planned.directory / 'verdict.json').read_text())
    assert verdict['variants']['plain']['verdict'] == 'inconclusive'
    assert verdict['variants']['resnet']['verdict'] == 'inconclusive'
    assert 'finished: 9 of 12 cells' in console.file.getvalue()
    page = (planned.directory / 'report.html').read_text()
    assert 'its worker died' in page
    assert page.count('not finished') == 1
    assert 'is damaged' in page


def test_a_sweep_that_diverged_at_once_has_no_curves(planned):
    for cell in planned.cells:
        (cell.directory / 'metrics.jsonl').write_text('')
        finish(cell, status='diverged', diverged_at_step=2, train_error=75.0, train_loss=None)
    console = Console(file=io.StringIO(), width=100)
    conclude.conclude(planned, depth, [], console)
    assert not (planned.directory / 'figures' / 'learning_curves.png').exists()
    verdict = json.loads((planned.directory / 'verdict.json').read_text())
    assert {family['verdict'] for family in verdict['variants'].values()} == {'budget insufficient'}
    assert 'nothing can be said about depth' in ' '.join(console.file.getvalue().split())
