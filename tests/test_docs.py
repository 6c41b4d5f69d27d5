"""What the READMEs say is what a run came to."""

import csv
import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / 'docs'
README = (ROOT / 'README.md').read_text()


def rows(text):
    """The rows of the table between the markers: claim, verdict and number."""
    (table,) = re.findall(r'<!-- claims -->\n(.*?)\n<!-- /claims -->', text, re.DOTALL)
    lines = [line.strip('| ').split(' | ') for line in table.splitlines()]
    return [[claim, verdict.strip('*'), number] for claim, verdict, number in lines[2:]]


@pytest.mark.parametrize(('language', 'name'), [('en', 'README.md'), ('zh', 'README.zh.md')])
def test_the_claims_of_a_readme_are_those_of_the_run(language, name):
    found = json.loads((DOCS / 'run' / 'claims.json').read_text())[language]
    assert rows((ROOT / name).read_text()) == found
    assert len(found) == 8


def said(path):
    """The text of a page, without its line breaks."""
    return ' '.join(path.read_text().split())


JUDGED = json.loads((DOCS / 'run' / 'depth.json').read_text())['variants']
EXCESS, (LOW, HIGH) = JUDGED['plain']['excess_error'], JUDGED['plain']['confidence_interval']
SEEDS = JUDGED['plain']['n']


@pytest.mark.parametrize(
    ('page', 'sentence'),
    [
        (
            'README.md',
            f'plain-56 has {EXCESS:.1f} points more training error than plain-8 (95 % interval '
            f'{LOW:.1f} to {HIGH:.1f}, n = {SEEDS} seeds)',
        ),
        (
            'README.zh.md',
            f'56 层普通网络的训练误差比 8 层高 {EXCESS:.1f} 个百分点（95% 区间 {LOW:.1f} 至 '
            f'{HIGH:.1f}，n = {SEEDS} 个种子）',
        ),
        (
            'docs/results.md',
            f'Depth 56 has {EXCESS:.2f} points more training error than depth 8, the best '
            f'shallower network (95 % interval {LOW:.2f} to {HIGH:.2f}, n = {SEEDS};',
        ),
        (
            'docs/story.md',
            f'{EXCESS:.2f} points (95 % interval {LOW:.2f} to {HIGH:.2f}, n = {SEEDS})',
        ),
        ('README.md', f'plain: degrades. {JUDGED["plain"]["reason"]}'),
        ('README.md', f'resnet: does not degrade. {JUDGED["resnet"]["reason"]}'),
        ('README.zh.md', f'plain: degrades. {JUDGED["plain"]["reason"]}'),
        ('README.zh.md', f'resnet: does not degrade. {JUDGED["resnet"]["reason"]}'),
    ],
)
def test_the_answer_is_that_of_the_run(page, sentence):
    assert JUDGED['plain']['verdict'] == 'degrades'
    assert JUDGED['resnet']['verdict'] == 'does not degrade'
    assert sentence in said(ROOT / page)


def test_the_table_of_the_results_is_that_of_the_run():
    """By hand from the runs that are kept beside it: mean, deviation and n of each network."""
    with (DOCS / 'run' / 'depth.csv').open() as file:
        runs = list(csv.DictReader(file))
    expected = []
    for network in dict.fromkeys((run['variant'], run['depth']) for run in runs):
        group = [run for run in runs if (run['variant'], run['depth']) == network]
        columns = [[float(run[f'{s}_error']) for run in group] for s in ('train', 'validation')]
        errors = [f'{np.mean(each):.2f} ± {np.std(each, ddof=1):.2f}' for each in columns]
        expected.append([*network, *errors, str(len(group))])
    text = (DOCS / 'results.md').read_text()
    (table,) = re.findall(r'<!-- table -->\n(.*?)\n<!-- /table -->', text, re.DOTALL)
    assert [line.strip('| ').split(' | ') for line in table.splitlines()[2:]] == expected
    # "ResNet-56 fits every image in all three runs."
    deep = [float(run['train_error']) for run in runs if run['cell'].startswith('resnet-d56')]
    assert deep == [0.0] * 3


def test_the_readme_is_one_screen():
    assert len(README.encode()) < 4500


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
