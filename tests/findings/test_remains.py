"""The last page says what the tables say, in fewer words, and what cures."""

import dataclasses
import html
import itertools
from html.parser import HTMLParser

import pytest

import experiments
from vggres.findings import cures_telling, remains
from vggres.findings.claims import Finding, Judged
from vggres.findings.contrasts import Contrast, Status
from vggres.findings.fastest import TunedRate

CLAIMS = {claim.key: claim for claim in [*experiments.claims(), *experiments.causes()]}
RATE = TunedRate(0.01, (0.003, 0.01, 0.03), {}, '', 1)
UPDATES = {
    ('plain', 44): {0: 300, 1: 250, 2: 270},
    ('resnet', 44): {0: 40, 1: 45, 2: 35},
    ('plain, clipped', 44): {0: None, 1: None, 2: None},
    ('plain, equal', 44): {0: 44, 1: 46, 2: 40},
}
TREATED = dict.fromkeys(('plain, equal', 'plain, clipped'), ('plain', 'resnet'))
ARMS = cures_telling.verdict(UPDATES, dict.fromkeys(UPDATES, RATE), TREATED, '5', 600)
COMMAND = 'python launch.py --sweep surgery'


def finding(key, status, *judged):
    return Finding(CLAIMS[key], Status(status), None, judged, [])


FINDINGS = [
    finding('fit', 'holds', Judged(Contrast({}, 2.0, (1.0, 3.0), 5), True, 0.001, None)),
    finding('gain', 'fails', Judged(Contrast({}, 0.5, (0.25, 0.75), 8), False, 0.001, None)),
    finding('failure', 'not measured'),
    finding('gradient_size', 'mixed'),
]


@pytest.fixture
def page(tmp_path):
    """The texts of the three files."""
    paths = remains.write(tmp_path, FINDINGS, {'surgery': ARMS}, COMMAND)
    assert set(paths) == {'html', 'en', 'zh'}
    return {name: path.read_text() for name, path in paths.items()}


def between(text, first, last):
    return text[text.index(first) : text.index(last)]


def test_each_sentence_stands_under_its_fate(page):
    places = {
        'What holds': ['fit'],
        'What fails': ['gain'],
        'What is open': ['gradient_size'],
        'What was not measured': ['failure'],
    }
    headings = [*places, 'What cures']
    for heading, following in itertools.pairwise(headings):
        section = between(page['en'], f'## {heading}', f'## {following}')
        for key, claim in CLAIMS.items():
            assert (claim.sentence['en'] in section) == (key in places[heading]), key
    assert '**holds (exploratory)**. +2.00 [+1.00 to +3.00]' in page['en']
    assert 'n = 8' in between(page['en'], '## What fails', '## What is open')
    assert '- ' + CLAIMS['failure'].sentence['en'] + ' **not measured**\n' in page['en']


def test_what_cures_comes_first_with_its_factors(page):
    rows = [line for line in page['en'].splitlines() if line.startswith('| plain')]
    # ∛(44/40 · 46/45 · 40/35) = 1.087; ∛(44/300 · 46/250 · 40/270) = 0.159.
    assert rows[0].startswith('| plain, equal | 44 | cures | 44 | 1.09 (')
    assert '| 0.16 (' in rows[0]
    assert rows[0].endswith('| 3 |')
    # 600 stands in the place of each censored run: ∛(600/300 · 600/250 · 600/270) = 2.201.
    assert rows[1].startswith('| plain, clipped | 44 | harms | 0/3 | ≥ ')
    assert '| ≥ 2.20 (' in rows[1]
    assert len(rows) == 2


def test_the_same_in_chinese(page):
    assert page['zh'].startswith('# 流行的解释还剩下什么')
    assert CLAIMS['fit'].sentence['zh'] in between(page['zh'], '## 成立', '## 不成立')
    assert '| plain, equal | 44 | 治愈 | 44 | 1.09 (' in page['zh']


def test_the_page_has_both_languages_and_one_picture(page):
    found = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append(tag)
    parser.feed(page['html'])
    assert found.count('section') == 2
    assert found.count('img') == 1
    assert found.count('tr') == 2 * (1 + 2)
    text = html.unescape(page['html'])
    for words in ('What remains of the story', '流行的解释还剩下什么', 'plain, equal'):
        assert words in text


def test_without_interventions_it_says_what_would_try_one(tmp_path):
    not_run = dataclasses.replace(ARMS, arms=())
    paths = remains.write(tmp_path, FINDINGS, {'surgery': not_run}, COMMAND)
    assert COMMAND in paths['en'].read_text()
    assert COMMAND in html.unescape(paths['html'].read_text())
    assert not (tmp_path / remains.PICTURE).exists()


def test_a_list_without_sentences_says_so(tmp_path):
    paths = remains.write(tmp_path, FINDINGS[:1], {}, COMMAND)
    assert paths['en'].read_text().count('None of the sentences.') == 3
