"""What the READMEs say is what a run came to."""

import csv
import dataclasses
import json
import math
import re
import runpy
import tarfile
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import experiments
from vggres.commands.claims import judge
from vggres.sweeps import sweep as sweeps

ROOT = Path(__file__).parents[1]
DOCS = ROOT / 'docs'
README = (ROOT / 'README.md').read_text()
REFRESH = runpy.run_path(str(DOCS / 'refresh.py'))


def rows(text):
    """The rows of the table between the markers: claim, verdict and number."""
    (table,) = re.findall(r'<!-- claims -->\n(.*?)\n<!-- /claims -->', text, re.DOTALL)
    lines = [line.strip('| ').split(' | ') for line in table.splitlines()]
    return [[claim, verdict.strip('*'), number] for claim, verdict, number in lines[2:]]


@pytest.mark.parametrize(('language', 'name'), [('en', 'README.md'), ('zh', 'README.zh.md')])
def test_the_claims_of_a_readme_are_those_of_the_run(language, name):
    found = json.loads((DOCS / 'run' / 'claims.json').read_text())[language]
    assert rows((ROOT / name).read_text()) == found
    assert len(found) == 10


def unpack(name, root):
    """The sweeps behind the documentation, without their weights, as a user would unpack them."""
    with tarfile.open(DOCS / 'run' / f'{name}.tar.xz') as packed:
        packed.extractall(root, filter='data')
    return root / name


@pytest.fixture(scope='module')
def unpacked(tmp_path_factory):
    return unpack('digits', tmp_path_factory.mktemp('unpacked'))


def leaves(value, path=()):
    """The leaves of nested dictionaries and lists, by path."""
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for key, part in parts for k, v in leaves(part, (*path, key)).items()}
    return {path: value}


def assert_close(found, committed):
    """Equal, but for the last digits of sums that another release of a library orders otherwise."""
    found, committed = leaves(found), leaves(committed)
    assert found.keys() == committed.keys()
    for path, value in committed.items():
        expected = pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
        assert found[path] == expected, path


@pytest.mark.slow
def test_the_committed_claims_follow_from_the_committed_runs(unpacked):
    """The present code comes to what stands in the READMEs, from results alone."""
    judge(unpacked, [], Console(quiet=True))
    found, committed = (
        json.loads((folder / 'claims.json').read_text()) for folder in (unpacked, DOCS / 'run')
    )
    assert_close(found, committed)
    for name in ('claims.md', 'claims.zh.md'):
        assert (unpacked / name).read_text() == (DOCS / name).read_text()


@pytest.mark.slow
@pytest.mark.parametrize('name', REFRESH['PAGES'])
def test_the_pages_of_the_sweeps_follow_from_the_committed_runs(unpacked, name):
    assert REFRESH['page'](name, unpacked) == (DOCS / 'run' / f'{name}.md').read_text()


@pytest.mark.slow
@pytest.mark.parametrize('data', REFRESH['OTHERS'])
def test_what_is_said_of_other_data_follows_from_the_committed_runs(data, tmp_path):
    workdir, folder = unpack(data, tmp_path), DOCS / 'run' / data
    judge(workdir, [f'--config=configs/{data}.py'], Console(quiet=True))
    found, committed = (
        json.loads((place / 'claims.json').read_text()) for place in (workdir, folder)
    )
    assert_close(found, committed)
    frozen = {claim['frozen'] for claim in found['claims'] if claim['contrasts']}
    assert frozen == {experiments.FROZEN.get(data)}
    for name in ('claims.md', 'claims.zh.md'):
        assert (workdir / name).read_text() == (folder / name).read_text()
    for name in REFRESH['PAGES']:
        if (workdir / name).exists():
            assert REFRESH['page'](name, workdir) == (folder / f'{name}.md').read_text()


@pytest.mark.parametrize(
    'page', ['README.md', 'README.zh.md', 'docs/results.md', 'configs/fashion_mnist.py']
)
def test_what_is_said_of_data_never_looked_at_is_that_of_the_run(page, tmp_path):
    sweep = sweeps.load(unpack('fashion_mnist', tmp_path) / 'depth_tuned')
    assert sweep.missing() == []
    verdict = experiments.load('depth_tuned').analyse(sweep)
    assert not any(network.outcome.failed for network in verdict.networks)
    plain = [gap for gap in verdict.gaps if gap.family == 'plain']
    assert [gap.status for gap in plain] == ['degrades', 'degrades']
    assert all(gap.loss.mean < 0 for gap in verdict.gaps if gap.family == 'resnet')
    text = said(ROOT / page)
    if page.endswith('.py'):
        assert f'{plain[0].error.mean:.0f} points more training error than plain-8' in text
        return
    for gap in plain:
        assert f'{gap.error.mean:.2f}' in text
        low, high = gap.error.interval
        assert page == 'README.zh.md' or f'{low:.2f} to {high:.2f})' in text.replace(', n = 8', '')
        low, high = gap.loss.interval
        assert page != 'docs/results.md' or f'{low:.2f} to {high:.2f})' in text


def test_what_is_said_of_cifar10_is_that_of_the_run(tmp_path):
    sweep = sweeps.load(unpack('cifar10_16px', tmp_path) / 'depth_tuned')
    verdict = experiments.load('depth_tuned').analyse(sweep)
    assert verdict.updates == {'1': 780}
    assert {each.outcome.n for each in verdict.networks if each.budget == 1} == {8}
    plain, resnet = verdict.gaps
    assert (plain.status, resnet.status) == ('fails to train', 'inconclusive')
    errors = {}
    for run in experiments.load('depth_tuned').judged(sweep):
        errors.setdefault((run.family, run.depth), []).append(run.train_error)
    assert sum(error >= 45 for error in errors['plain', 56]) == len(errors['plain', 56]) == 8
    deep = errors['plain', 56]
    text = said(DOCS / 'results.md')
    assert f'{np.median(deep):.1f} % training error ({min(deep):.1f} to {max(deep):.1f})' in text
    for depth in (20, 8):
        assert (
            f'plain-{depth} {"has " * (depth == 20)}{np.median(errors["plain", depth]):.1f} %'
            in text
        )
    networks = {(each.family, each.depth, each.budget): each for each in verdict.networks}
    tuned = networks['resnet', 20, 1]
    fits = {fit.rate: f'{fit.error:.1f}' for fit in tuned.fits}
    assert f'{fits[0.03]} and {fits[0.1]} % (means of the three tuning seeds) at rates of' in text
    assert tuned.rate == 0.3
    for estimate, unit in ((resnet.error, 'points'), (resnet.loss, 'decades')):
        low, high = (f'{end:.2f}'.replace('-', '−') for end in estimate.interval)
        assert f'{estimate.mean:.2f} {unit} ({low} to {high})' in text
    on_gpu = [run.seed for run in sweep.results() if 'H200' in run.hardware]
    assert (len(on_gpu), sum(seed < 1000 for seed in on_gpu)) == (126 + 6, 6)


def test_what_is_said_of_random_labels_is_that_of_the_run(tmp_path):
    sweep = sweeps.load(unpack('digits_noise', tmp_path) / 'depth_tuned')
    assert sweep.missing() == []
    verdict = experiments.load('depth_tuned').analyse(sweep)
    gaps = {(gap.family, gap.budget): gap for gap in verdict.gaps}
    assert [gaps['plain', budget].status for budget in (1, 3)] == [
        'budget insufficient',
        'degrades',
    ]
    assert [gaps['resnet', budget].status for budget in (1, 3)] == ['degrades', 'floor']
    plain, resnet = gaps['plain', 3], gaps['resnet', 1]
    low, high = plain.loss.interval
    text = said(DOCS / 'results.md')
    assert f'{resnet.error.mean:.2f} points above that of ResNet-{resnet.shallower}' in text
    assert f'{plain.error.mean:.2f} points above that of plain-{plain.shallower}' in text
    assert f'{plain.loss.mean:.2f} decades ({low:.2f} to {high:.2f})' in text
    longest = [run for run in sweep.results() if (run.family, run.steps) == ('resnet', 660)]
    assert max(run.train_error for run in longest if run.seed < 1000) <= 1


def test_the_claims_on_all_data_stand_side_by_side():
    text = (DOCS / 'results.md').read_text()
    (table,) = re.findall(r'<!-- data -->\n(.*?)\n<!-- /data -->', text, re.DOTALL)
    heading, _, *lines = [line.strip('| ').split(' | ') for line in table.splitlines()]
    assert heading == ['claim', 'digits', *REFRESH['OTHERS']]
    places = [DOCS / 'run', *(DOCS / 'run' / name for name in REFRESH['OTHERS'])]
    for column, place in enumerate(places, 1):
        stored = json.loads((place / 'claims.json').read_text())['en']
        expected = [[sentence, f'**{status}**<br>{said}'] for sentence, status, said in stored]
        assert [[line[0], line[column]] for line in lines] == expected


@pytest.mark.parametrize('name', ['depth', 'depth_tuned', 'convergence'])
def test_the_committed_verdicts_follow_from_the_committed_runs(unpacked, name):
    sweep = sweeps.load(unpacked / name)
    assert sweep.missing() == []
    experiment = experiments.load(name)
    verdict = experiment.analyse(sweep)
    stored = dataclasses.asdict(verdict) | {'in_short': experiment.in_short(verdict)}
    committed = json.loads((DOCS / 'run' / f'{name}.json').read_text())
    assert_close(json.loads(json.dumps(stored)), committed)


def said(path):
    """The text of a page, without its line breaks."""
    return ' '.join(path.read_text().split())


RUN = json.loads((DOCS / 'run' / 'depth.json').read_text())
JUDGED, (CONTRAST,) = RUN['variants'], RUN['differences']
PLAIN, RESNET = (JUDGED[family]['reason'] for family in ('plain', 'resnet'))
FAILED, FAILED_TOO = (f'{count} of {CONTRAST["n"]}' for count in CONTRAST['failed'])
TEST = f'exact test: p = {CONTRAST["failure_p"]:.2g}'
EXCESS = JUDGED['plain']['mean_error'][-1] - JUDGED['plain']['mean_error'][0]


TUNED = json.loads((DOCS / 'run' / 'depth_tuned.json').read_text())


@pytest.mark.parametrize('page', ['README.zh.md', 'docs/results.md', 'docs/story.md'])
def test_what_networks_do_at_their_own_rates_is_that_of_the_run(page):
    first, longer = (gap for gap in TUNED['gaps'] if gap['family'] == 'plain')
    assert (first['status'], longer['status']) == ('fails to train', 'degrades')
    assert (first['failed'], longer['failed'], len(first['seeds'])) == ([5, 0], [0, 0], 8)
    text, to = said(ROOT / page), ' 至 ' if page == 'README.zh.md' else ' to '
    assert ('8 次训练仍有 5 次失败' if to == ' 至 ' else '5 of 8 runs') in text
    assert f'{longer["error"]["mean"]:.2f}' in text
    assert to.join(f'{end:.2f}' for end in longer['error']['interval']) in text


GROWTH = json.loads((DOCS / 'run' / 'convergence.json').read_text())['growth']


def factor(family):
    """By what factor the updates to 5 % grow, by the law that fits better, and the interval."""
    law = max(GROWTH[family]['5']['laws'].values(), key=lambda law: law['log_likelihood'])
    values = (law['factor'], *law['factor_interval'])
    return [f'{each:.1f}' if each < 10 else f'{each:.0f}' for each in values]


@pytest.mark.parametrize('page', ['README.md', 'README.zh.md', 'docs/results.md', 'docs/story.md'])
def test_the_growth_of_the_updates_is_that_of_the_run(page):
    to = ' 至 ' if page == 'README.zh.md' else ' to '
    text = said(ROOT / page)
    for family in ('plain', 'resnet'):
        middle, low, high = factor(family)
        place = text.index(f'{low}{to}{high}')
        assert middle in text[place - 40 : place]


@pytest.mark.parametrize(
    ('page', 'sentence'),
    [
        (
            'README.md',
            f'plain-56 fails to train in {FAILED} runs, ResNet-56 in {FAILED_TOO} ({TEST})',
        ),
        ('README.md', f'one learning rate ({RUN["learning_rate"]:g}) and one budget '),
        ('README.md', f'one budget ({RUN["updates"]} updates)'),
        ('README.md', f'above {RUN["failing_error"]:g} % training error, half of guessing'),
        ('README.md', f'plain: fails to train. {PLAIN}'),
        ('README.zh.md', f'（{FAILED_TOO.replace(" of ", " / ")}；精确检验 p = 0.016）'),
        ('README.zh.md', f'plain: fails to train. {PLAIN}'),
        ('README.zh.md', f'resnet: inconclusive. {RESNET}'),
        ('docs/results.md', f'**plain fails to train.** {PLAIN}'),
        ('docs/results.md', f'**resnet: inconclusive.** {RESNET}'),
        ('docs/results.md', f'plain failed to train in {FAILED} runs and resnet in {FAILED_TOO}'),
        ('docs/story.md', f'its mean error is {EXCESS:.2f} points above that of plain-8'),
    ],
)
def test_the_answer_is_that_of_the_run(page, sentence):
    assert JUDGED['plain']['verdict'] == 'fails to train'
    assert JUDGED['resnet']['verdict'] == 'inconclusive'
    assert sentence in said(ROOT / page)


def test_the_table_of_the_results_is_that_of_the_run():
    """By hand from the runs that are kept beside it: median, range, failures and n."""
    with (DOCS / 'run' / 'depth.csv').open() as file:
        runs = list(csv.DictReader(file))
    expected = []
    for network in dict.fromkeys((run['variant'], run['depth']) for run in runs):
        group = [run for run in runs if (run['variant'], run['depth']) == network]
        columns = [[float(run[f'{s}_error']) for run in group] for s in ('train', 'validation')]
        errors = []
        for column in columns:
            ends = [f'{end:.2f}' for end in (min(column), max(column))]
            spread = f' ({"–".join(ends)})' if ends[0] != ends[1] else ''
            errors.append(f'{np.median(column):.2f}{spread}')
        failed = sum(error >= 45 for error in columns[0])  # ten classes, of which guessing errs 90
        expected.append([*network, *errors, str(failed), str(len(group))])
    text = (DOCS / 'results.md').read_text()
    (table,) = re.findall(r'<!-- table -->\n(.*?)\n<!-- /table -->', text, re.DOTALL)
    assert [line.strip('| ').split(' | ') for line in table.splitlines()[2:]] == expected


def test_the_updates_in_the_results_are_those_of_the_run():
    text = (DOCS / 'results.md').read_text()
    for family in ('plain', 'resnet'):
        found = [
            f'{"more than " * each["updates"]["is_exceeded"]}{each["updates"]["value"]:.0f}'
            for each in JUDGED[family]['networks']
        ]
        assert f'| {family} | {" | ".join(found)} |' in text


def test_the_rates_in_the_results_are_those_of_the_run():
    """The default rate is the one that the rule chose, and the table shows its losses."""
    chosen = json.loads((DOCS / 'run' / 'rate.json').read_text())
    assert chosen['choice']['rate'] == chosen['default'] == RUN['learning_rate']
    text = (DOCS / 'results.md').read_text()
    (table,) = re.findall(r'<!-- rates -->\n(.*?)\n<!-- /rates -->', text, re.DOTALL)
    *networks, overall = [line.strip('| ').split(' | ') for line in table.splitlines()[2:]]
    assert len(networks) == len(chosen['networks'])
    logs = np.array([
        [math.log(float(loss.split(' ')[0])) for loss in row[1:-1]] for row in networks
    ])  # fmt: skip
    assert [float(loss) for loss in overall[1:-1]] == pytest.approx(
        np.exp(logs.mean(axis=0)).tolist(), rel=0.01
    )


def test_the_counted_updates_in_the_results_are_those_of_the_run(unpacked):
    """By hand from the results of the fresh seeds: the middle one of five counts at each depth."""
    counts = {}
    for cell in sweeps.load(unpacked / 'convergence').cells:
        run = cell.result()
        if run.seed < 1000:
            for target, updates in run.steps_to_error.items():
                place = counts.setdefault((run.family, f'{target} %'), {})
                place.setdefault(run.depth, []).append(updates)
    text = (DOCS / 'results.md').read_text()
    (table,) = re.findall(r'<!-- updates -->\n(.*?)\n<!-- /updates -->', text, re.DOTALL)
    rows = [line.strip('| ').split(' | ') for line in table.splitlines()[2:]]
    assert len(rows) == 4
    for family, target, *medians in rows:
        expected = [sorted(found)[2] for _, found in sorted(counts[family, target].items())]
        assert medians == [str(each) for each in expected]


def test_the_readme_is_one_screen():
    assert len(README.encode()) < 4950


def links(path):
    """The relative targets of links and pictures in a page."""
    found = re.findall(r'\]\(([^)#\s]+)', path.read_text())
    return [target for target in found if '://' not in target]


@pytest.mark.parametrize(
    'path', [*ROOT.glob('*.md'), *DOCS.glob('*.md')], ids=lambda path: path.name
)
def test_links_lead_somewhere(path):
    assert [target for target in links(path) if not (path.parent / target).exists()] == []


@pytest.mark.parametrize(
    'path', [*ROOT.glob('*.md'), *DOCS.glob('*.md')], ids=lambda path: path.name
)
def test_knobs_and_files_in_the_pages_exist(path):
    text = path.read_text()
    base = runpy.run_path(str(ROOT / 'configs' / 'base.py'))['get_config']()
    for knob in re.findall(r'--config\.([a-z_.]+)=', text):
        part = base
        for key in knob.split('.'):
            assert key in part, knob
            part = part[key]
    for name in re.findall(r'`((?:vggres|experiments|configs|tests)/[\w/]+\.py)`', text):
        assert (ROOT / name).exists(), name
