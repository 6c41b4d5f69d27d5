"""What the READMEs say is what a run came to."""

import json
import re
import runpy
from pathlib import Path

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


def test_the_answer_has_the_number_of_the_run():
    judged = json.loads((DOCS / 'run' / 'depth.json').read_text())['variants']['plain']
    low, high = judged['confidence_interval']
    for number in (
        f'{judged["excess_error"]:.1f}',
        f'{low:.1f} to {high:.1f}',
        f'n = {judged["n"]}',
    ):
        assert number in README, number
    assert judged['verdict'] == 'degrades'


def test_the_readme_is_one_screen():
    assert len(README.encode()) < 5500


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
