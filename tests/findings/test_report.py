"""The report says what it was given, needs nothing but itself, and appears whole."""

import csv
import dataclasses
import os
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import planted
import pytest
from matplotlib.figure import Figure

from configs import cifar10, digits
from vggres.figures import error
from vggres.findings import report
from vggres.findings.estimates import Median
from vggres.findings.report import LostRun, Report
from vggres.findings.tables import outcomes_table, verdict_table
from vggres.findings.verdict import DepthOutcome, Difference, LossChange, VariantVerdict, Verdict

VOID = {'meta', 'link', 'br', 'img', 'hr', 'input', 'col', 'source', 'wbr'}
LOADS = ('src', 'srcset', 'href', 'xlink:href', 'data', 'poster', 'action', 'background')


class Page(HTMLParser):
    """What the tests ask of a page: tags that close, ids, loads, and the text of its cells."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.loads, self.links, self.tags = [], [], [], [], []
        self.rows, self.headings, self.text = [], [], ''
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        self._attributes(tag, dict(attrs))
        if tag == 'tr':
            self.rows.append([])
        if tag in ('td', 'th'):
            self.rows[-1].append('')
        if tag in ('h1', 'h2', 'h3'):
            self.headings.append('')

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self._attributes(tag, dict(attrs))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if 'td' in self.open or 'th' in self.open:
            self.rows[-1][-1] += data
        if self.open and self.open[-1] in ('h1', 'h2', 'h3'):
            self.headings[-1] += data

    def _attributes(self, tag, attributes):
        if 'id' in attributes:
            self.ids.append(attributes['id'])
        for name in LOADS:
            if name in attributes:
                (self.links if tag == 'a' else self.loads).append(attributes[name])
        assert not [name for name in attributes if name.startswith('on')]

    def row(self, *start):
        """The one row that begins with these cells."""
        (found,) = [row for row in self.rows if row[: len(start)] == list(start)]
        return found


def result(variant, depth, seed, train_error, **more):
    values = {
        'train_error': train_error,
        'validation_error': train_error + 2.0,
        'test_error': train_error + 3.0,
        'train_loss': 0.1234567890123,
        'validation_loss': None,
        'parameters': 75290,
        'seconds': 3.0 + seed,
        'hardware': 'two cores',
    }
    return planted.result(variant, depth, seed, **values | more)


RESULTS = [
    result('resnet', 20, 0, 0.0),
    result('plain', 56, 1, 5.0),
    result('plain', 56, 0, 1.0),
    result('plain', 20, 0, 0.25),
    result('plain', 20, 1, 90.0, status='diverged', diverged_at_step=1234, train_loss=None),
]
RESNET = VariantVerdict(
    verdict='inconclusive',
    reason='one depth',
    excess_error=None,
    confidence_interval=None,
    trained=0,
    failure_p=None,
    loss=None,
    exchangeability_p=None,
    seeds_needed=None,
    n=1,
    depths=(20,),
    mean_error=(0.0,),
    deepest=20,
    best_shallower=None,
)
PLAIN = VariantVerdict(
    verdict='degrades',
    reason='because',
    excess_error=68.766,
    confidence_interval=(-1.5, 117.6),
    trained=2,
    failure_p=0.03,
    loss=LossChange(-0.25, None, 20, 2),
    exchangeability_p=0.0002,
    seeds_needed=None,
    n=2,
    depths=(20, 56),
    mean_error=(0.25, 3.0),
    deepest=56,
    best_shallower=20,
    networks=(
        DepthOutcome(20, 2, 0, (0.0, 0.842), 0.25, 0.0, 0.5, Median(33.0, False)),
        DepthOutcome(56, 2, 1, (0.013, 0.987), 3.0, 3.0, 3.0, Median(220.0, True)),
    ),
)
VERDICT = Verdict(
    metric='train_error',
    confidence=0.95,
    margin=1.0,
    significance=0.05,
    tolerated_failures=1 / 3,
    failing_error=45.0,
    target_error=5.0,
    resolution=11,
    learning_rate=0.1,
    updates=220,
    variants={'resnet': RESNET, 'plain': PLAIN},
    differences=(
        Difference(
            variants=('plain', 'resnet'),
            excess_error=-0.001,
            confidence_interval=(-2.0, 2.0),
            trained=2,
            depth=56,
            failed=(1, 0),
            failure_p=0.25,
            n=2,
        ),
    ),
)
PROTOCOL = {
    'epochs': 20,
    'optimizer': {'learning_rate': 0.1, 'schedule': {'decay_epochs': [10, 15], 'factor': 0.1}},
    'augment': {},
    'note': None,
}


REPORT = Report(
    title='Error against depth',
    claim='Deeper is worse.',
    source='He et al. 2015, https://arxiv.org/abs/1512.03385',
    words='The plain net degrades.',
    tables=[verdict_table(VERDICT)],
    results=RESULTS,
    figures={},
    protocol=PROTOCOL,
    environment={'git commit': 'abc123', 'versions': {'jax': '0.10.2'}},
    lost=[LostRun('plain-d110-s0-99aa00', 'failed', {'message': 'out of memory'})],
)


def changed(**changes):
    return dataclasses.replace(REPORT, **changes)


def two_figures():
    return {
        'error_against_depth': (error.error_against_depth(RESULTS), 'Error of all runs.'),
        'other': (error.error_against_depth(RESULTS[:1]), ''),
    }


@pytest.fixture(scope='module')
def directory(tmp_path_factory):
    where = tmp_path_factory.mktemp('sweep')
    assert report.write(where, changed(figures=two_figures())) == where / 'report.html'
    return where


@pytest.fixture(scope='module')
def html(directory):
    return (directory / 'report.html').read_text(encoding='utf-8')


@pytest.fixture(scope='module')
def page(html):
    return Page(html)


def write_and_parse(tmp_path, **changes):
    path = report.write(tmp_path, changed(**changes))
    return Page(path.read_text(encoding='utf-8'))


def files(directory):
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob('*')
        if path.is_file()
    }


def test_writes_these_files_and_leaves_no_others(directory):
    assert set(files(directory)) == {
        'report.html',
        'results.csv',
        'figures/error_against_depth.png',
        'figures/error_against_depth.svg',
        'figures/other.png',
        'figures/other.svg',
    }


def test_verdict_comes_first(page):
    assert page.headings[:2] == ['Error against depth', 'Verdict']
    places = [page.text.index(text) for text in ('Deeper is worse.', 'The plain net degrades.')]
    assert places == sorted(places)


def test_ids_are_unique_and_every_label_exists(page, html):
    assert len(page.ids) == len(set(page.ids))
    assert set(re.findall(r'aria-labelledby="([^"]*)"', html)) <= set(page.ids)


def test_loads_nothing(page, html):
    assert page.loads
    assert all(re.match(r'#fig-', address) for address in page.loads)
    assert not re.search(r'@import|url\((?!#)', html)
    assert not {'script', 'link', 'iframe', 'object', 'embed', 'img', 'base'} & set(page.tags)


def test_links_go_to_the_source_and_to_files_that_exist(page, directory):
    local = [link for link in page.links if link != 'https://arxiv.org/abs/1512.03385']
    assert len(local) == len(page.links) - 1 == 5
    assert all((directory / link).is_file() for link in local)


def test_every_inline_figure_is_xml_with_a_name(html):
    svgs = [ElementTree.fromstring(svg) for svg in re.findall(r'<svg.*?</svg>', html, re.DOTALL)]
    assert [svg.get('aria-label') for svg in svgs] == ['Error of all runs.', 'other']
    assert all(svg.get('role') == 'img' for svg in svgs)


@pytest.mark.parametrize('name', ['error_against_depth', 'other'])
def test_figure_files_are_what_they_are_called(directory, name):
    svg = ElementTree.fromstring((directory / 'figures' / f'{name}.svg').read_bytes())
    assert svg.tag == '{http://www.w3.org/2000/svg}svg'
    assert (directory / 'figures' / f'{name}.png').read_bytes().startswith(b'\x89PNG\r\n')


def test_the_verdict_is_a_table(page):
    assert page.row('plain', 'degrades') == [
        *('plain', 'degrades', '56 against 20', '1 of 2', '0.030', '+68.77', '−1.50 to +117.60'),
        *('2', '−0.25', '–', '< 0.001', '2'),
    ]
    assert page.row('resnet', 'inconclusive')[2:] == [*['–'] * 5, '0', *['–'] * 3, '1']
    # −0.001 is neither −0.00 nor more than nothing.
    assert page.row('plain − resnet')[2:8] == [
        *('56', '1 − 0', '0.250', '+0.00', '−2.00 to +2.00', '2')
    ]
    assert '95 % CI (pp)' in page.row('network', 'verdict')
    assert 'training error of the deepest network' in page.text


def test_what_became_of_the_runs_is_a_table(tmp_path):
    shown = write_and_parse(tmp_path, tables=[outcomes_table(VERDICT)])
    assert [row for row in shown.rows if len(row) == 7][1:] == [
        ['plain', '20', '0.25 (0.00–0.50)', '0', '0.00 to 0.84', '33', '2'],
        ['plain', '56', '3.00', '1', '0.01 to 0.99', '> 220', '2'],
    ]
    assert '45 % or more' in shown.text
    assert 'resolution of 11 updates' in shown.text


def test_verdict_without_difference(tmp_path):
    verdict = dataclasses.replace(VERDICT, differences=())
    shown = write_and_parse(tmp_path, tables=[verdict_table(verdict)])
    assert not [row for row in shown.rows if '−' in row[0]]


def test_results_table(page):
    assert page.row('network', 'depth') == [
        *('network', 'depth', 'runs', 'failed to train', 'diverged'),
        *('training error (%)', 'validation error (%)', 'test error (%)'),
        *('parameters', 'time per run (s)'),
    ]
    errors = ['3.00 (1.00–5.00)', '5.00 (3.00–7.00)', '6.00 (4.00–8.00)']
    assert page.row('plain', '56') == ['plain', '56', '2', '0', '0', *errors, '75,290', '3.5']
    assert page.row('resnet', '20')[2:] == ['1', '0', '0', '0.00', '2.00', '3.00', '75,290', '3.0']
    assert page.row('plain', '20')[2:5] == ['2', '1', '1']
    variants = [row[0] for row in page.rows if len(row) == 10 and row[1].isdigit()]
    assert variants == ['plain', 'plain', 'resnet']


CIFAR10 = cifar10.get_config().to_dict()
ON_CIFAR10 = {
    'steps': 64_000,
    'num_images': {'train': 45_000, 'validation': 5_000, 'test': 10_000},
}


def test_published_errors_stand_beside_ours(tmp_path):
    runs = [
        result('plain', 56, 0, 3.0, test_error=12.0, **ON_CIFAR10),
        result('plain', 56, 1, 5.0, test_error=14.0, **ON_CIFAR10),
        result('plain', 8, 0, 50.0, **ON_CIFAR10),  # on which nothing is published
    ]
    shown = write_and_parse(tmp_path, results=runs, protocol=CIFAR10)
    assert shown.headings.count('Published errors beside ours') == 1
    ours = ['13.00 ± 1.41', '2', '45,000']  # √2 is the sample standard deviation of 12 and 14
    channels = 'normalised by the mean and deviation of each channel'
    augmented = 'training error of augmented images, while the network trains'
    assert [row for row in shown.rows if len(row) == 11 and row[2].endswith('error')] == [
        [
            *('network', 'depth', 'error', 'ours (%)', 'n', 'images'),
            *('published (%)', 'n', 'images', 'source', 'differs in'),
        ],
        [
            *('plain', '56', 'test error', *ours, '12.95 ± 0.22', '5', '45,000'),
            *('nabla0001/resnet', channels),
        ],
        [
            *('plain', '56', 'test error', *ours, '12.90', '1', '50,000'),
            *('a-martyn/resnet', '–'),
        ],
        [
            *('plain', '56', 'training error', '4.00 ± 1.41', '2', '45,000'),
            *('3.42', '1', '50,000', 'a-martyn/resnet', augmented),
        ],
    ]
    assert 'a-martyn/resnet: means over the last ten epochs' in shown.text
    assert 'Table 6' not in shown.text
    assert 'Not comparable' not in shown.text


def test_a_shortened_protocol_is_not_compared(tmp_path):
    runs = [result('plain', 56, 0, 3.0, **ON_CIFAR10 | {'steps': 300})]
    changed = CIFAR10 | {'train': CIFAR10['train'] | {'batch_size': 64, 'steps': 300}}
    shown = write_and_parse(tmp_path, results=runs, protocol=changed)
    words = ' '.join(shown.text.split())
    assert (
        'Published errors beside ours Not comparable: 300 updates instead of 64,000; '
        'train.batch_size 64 instead of 128.' in words
    )
    assert '12.95' not in words


def test_networks_on_which_nothing_is_published_say_so(tmp_path):
    runs = [result('resnet', 8, 0, 1.0, **ON_CIFAR10)]
    shown = write_and_parse(tmp_path, results=runs, protocol=CIFAR10)
    assert 'Nothing is published on these networks.' in shown.text


def test_what_the_splits_consisted_of_is_shown(tmp_path, html):
    assert '<h2 id="data">' not in html  # results of earlier releases do not say
    contents = {
        'class_counts': {'train': [900, 537], 'validation': [100, 80]},
        'fingerprints': {'train': 'a' * 64, 'validation': 'b' * 64},
    }
    results = [result('plain', 8, seed, 0.0, **contents) for seed in range(3)]
    table = report.data_table(results)
    assert table.rows == [
        ['train', '1,437', '2', '537', '900', 'a' * 12],
        ['validation', '180', '2', '80', '100', 'b' * 12],
    ]
    path = report.write(tmp_path, dataclasses.replace(REPORT, results=results))
    shown = path.read_text(encoding='utf-8')
    assert '<h2 id="data">Data</h2>' in shown
    assert 'b' * 12 in shown
    changed_images = contents | {'fingerprints': {'train': 'c' * 64, 'validation': 'b' * 64}}
    more = [*results, result('plain', 8, 3, 0.0, **changed_images)]
    assert [row[0] for row in report.data_table(more).rows] == ['train', 'validation', 'train']
    assert report.data_table([result('plain', 8, 0, 0.0)]) is None


def test_validation_images_that_were_trained_on_are_marked():
    def note(*runs):
        contents = {
            'class_counts': {'train': [20, 20], 'validation': [3, 2]},
            'fingerprints': {'train': 'a' * 64, 'validation': 'b' * 64},
        }
        return report.data_table(
            [result('plain', 8, 0, 0.0, **contents, **run) for run in runs]
        ).note

    assert 'trained on' not in note({}, {'validated_and_trained': 0})
    assert note({}, {'validated_and_trained': 5}).startswith(
        'All 5 validation images were also trained on: '
    )
    assert note({'validated_and_trained': 2}).startswith('2 of the 5 validation images were also')


def test_other_data_sets_have_no_published_errors(tmp_path, page):
    assert 'ublished' not in page.text
    shown = write_and_parse(tmp_path, protocol=digits.get_config().to_dict())
    assert 'ublished' not in shown.text


def test_table_of_runs_has_every_run_and_no_empty_column(page):
    cells = [row[0] for row in page.rows if row[0].endswith('-3f9c1a')]
    assert cells == [
        'plain-d20-s0-3f9c1a',
        'plain-d20-s1-3f9c1a',
        'plain-d56-s0-3f9c1a',
        'plain-d56-s1-3f9c1a',
        'resnet-d20-s0-3f9c1a',
    ]
    assert 'diverged at step' in page.row('cell')
    assert 'validation loss' not in page.row('cell')


def test_diverged_and_failed_runs_are_named(page):
    text = ' '.join(page.text.split())
    assert 'plain, depth 20, seed 1, plain-d20-s1-3f9c1a: diverged at step 1,234' in text
    assert 'plain-d110-s0-99aa00: failed message: out of memory' in text


def test_nothing_lost_is_said_too(tmp_path):
    shown = write_and_parse(tmp_path, results=RESULTS[:3], lost=[])
    assert 'Diverged, failed and unfinished runs None.' in ' '.join(shown.text.split())


def test_protocol_and_environment_have_dotted_names(page):
    assert page.row('epochs') == ['epochs', '20']
    assert page.row('optimizer.schedule.decay_epochs')[1] == '10, 15'
    assert page.row('optimizer.learning_rate')[1] == '0.1'
    assert page.row('augment')[1] == '–'
    assert page.row('note')[1] == 'None'
    assert page.row('versions.jax')[1] == '0.10.2'
    assert page.row('git commit')[1] == 'abc123'


def test_a_sweep_that_only_failed_has_a_report(tmp_path):
    verdict = dataclasses.replace(VERDICT, variants={}, differences=())
    shown = write_and_parse(tmp_path, results=[], tables=[verdict_table(verdict)])
    assert 'No run has finished.' in shown.text
    assert 'out of memory' in shown.text


HOSTILE = '<script>alert("1")</script>&amp;"\'-->'


def test_hostile_text_is_shown_and_not_run(tmp_path):
    judged = dataclasses.replace(PLAIN, verdict=HOSTILE)
    verdict = dataclasses.replace(VERDICT, variants={'plain': judged})
    hostile = Report(
        title=HOSTILE,
        claim=HOSTILE,
        source=HOSTILE,
        words=HOSTILE,
        tables=[dataclasses.replace(verdict_table(verdict), title=HOSTILE, note=HOSTILE)],
        results=[result('plain', 20, 0, 1.0, cell=HOSTILE, hardware=HOSTILE)],
        figures={'empty': (Figure(), HOSTILE)},
        protocol={HOSTILE: {HOSTILE: HOSTILE}},
        environment={HOSTILE: [HOSTILE]},
        lost=[LostRun(HOSTILE, HOSTILE, {'message': HOSTILE})],
    )
    path = report.write(tmp_path, hostile)
    shown = Page(path.read_text(encoding='utf-8'))
    assert 'script' not in shown.tags
    assert shown.text.count(HOSTILE) > 15
    assert shown.headings[0] == HOSTILE


def test_csv_holds_what_came_in(directory):
    with (directory / 'results.csv').open(newline='') as file:
        rows = list(csv.DictReader(file))
    place = ('variant', 'depth', 'seed')
    given = sorted(map(dataclasses.asdict, RESULTS), key=lambda r: [r[name] for name in place])
    assert len(rows) == len(given)
    for row, expected in zip(rows, given, strict=True):
        for key, text in row.items():
            value = expected[key]
            if isinstance(value, float):
                assert float(text) == value
            else:
                assert text == ('' if value is None else str(value))


def test_csv_does_not_depend_on_the_order_of_results(directory, tmp_path):
    write_and_parse(tmp_path, results=RESULTS[::-1])
    text = (tmp_path / 'results.csv').read_text()
    assert text == (directory / 'results.csv').read_text()
    header = text.partition('\n')[0]
    assert header.startswith('cell,variant,family,depth,seed,status,diverged_at_step,train_error,')
    assert header.endswith(
        ',compile_seconds,git_commit,hardware,num_classes,peak_memory_mb,steps_to_error'
    )


def test_updates_to_an_error_are_said_in_words():
    reached = {'steps_to_error': {'5': 1200, '1': None}}
    results = [planted.result(seed=0, **reached), planted.result(seed=1)]
    rows = list(csv.DictReader(report.results_csv(results).splitlines()))
    assert [row['steps_to_error'] for row in rows] == ['5 %: 1200; 1 %: not reached', '']
    table = report.runs_table(results)
    at = [column.heading for column in table.columns].index('steps to error')
    assert table.rows[0][at] == '5 %: 1200; 1 %: not reached'
    columns = [column.heading for column in report.runs_table(results[1:]).columns]
    assert 'steps to error' not in columns


def test_csv_keeps_texts_with_commas_and_lines_and_drops_what_is_no_scalar(tmp_path):
    note = 'a, "b"\nc'
    write_and_parse(tmp_path, results=[result('plain', 20, 0, 1.0, hardware=note)])
    with (tmp_path / 'results.csv').open(newline='') as file:
        (row,) = csv.DictReader(file)
    assert row['hardware'] == note
    assert 'versions' not in row


def test_writing_again_gives_the_same_bytes(directory):
    before = files(directory)
    report.write(directory, changed(figures=two_figures()))
    assert files(directory) == before


def test_who_reads_while_it_is_replaced_sees_the_old_report(tmp_path):
    first = report.write(tmp_path, changed(title='First'))
    before = first.read_text()
    with first.open() as reader:
        report.write(tmp_path, changed(title='Second'))
        assert reader.read() == before
    assert 'Second' in first.read_text()


def test_a_crash_leaves_the_old_report(tmp_path, monkeypatch):
    path = report.write(tmp_path, REPORT)
    before = path.read_bytes()

    def crash(descriptor):
        raise OSError('disk full')

    monkeypatch.setattr(os, 'fsync', crash)
    with pytest.raises(OSError, match='disk full'):
        report.write(tmp_path, changed(title='Second'))
    assert path.read_bytes() == before


@pytest.mark.parametrize('name', ['', '../escape', 'a b', '1', 'ä', 'a"b'])
def test_figure_names_are_file_names(tmp_path, name):
    with pytest.raises(ValueError, match='figure name'):
        report.write(tmp_path, changed(figures={name: (Figure(), '')}))
    assert files(tmp_path) == {}
