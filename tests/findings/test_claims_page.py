"""The page and the tables say what was found, in every language, and need nothing else."""

import base64
import dataclasses
import html
import json
import re
from html.parser import HTMLParser

import pytest

import experiments
from vggres.findings import claims_page
from vggres.findings.claims import Description, Finding, Judged
from vggres.findings.claims_page import Row
from vggres.findings.contrasts import Barrier, Contrast, Counted, Status, Word, barred
from vggres.findings.controls import Control
from vggres.findings.languages import CHINESE, ENGLISH, LANGUAGES, SweepProtocol

CLAIMS = {claim.key: claim for claim in experiments.claims()}
CLAIM = CLAIMS['shrinking']
GLOROT = {'family': Word.PLAIN, 'scheme': Word.GLOROT}
HE = {'family': Word.VGG, 'scheme': Word.HE}
PASSED = Control(True, {'en': 'ResNet-56 trains', 'zh': '残差网络能够训练'})
TRUE = Judged(Contrast(GLOROT, 3.0, (2.0, 4.0), 5, prediction=2.9), True, 0.0004, None)
FALSE = Judged(Contrast(HE, -0.25, (-0.5, 0.0), 5), False, 0.0123, None)
OPEN = Judged(Contrast(HE, 1.25, (0.5, 2.0), 5), None, 0.9, 23)
LOOKS = Counted({'en': 'look', 'zh': '次观测'}, {'en': 'looks', 'zh': '次观测'})
BESIDE = [
    Description({'en': 'During training', 'zh': '训练中'}, HE, 21.17, 5, LOOKS),
    Description({'en': 'During training', 'zh': '训练中'}, GLOROT, None, 0, LOOKS),
]
PROTOCOL = SweepProtocol(
    finished=70,
    cells=72,
    data='digits',
    steps=(220, 220),
    depths=(8, 20),
    seeds=(1, 1),
    learning_rates=(0.1,),
    commits=('3f9c1a0',),
    hardware=('a CPU',),
)


def finding(status, *judged, claim=CLAIM, control=PASSED, beside=()):
    return Finding(claim, Status(status), control, judged, beside)


MIXED = finding('mixed', TRUE, FALSE, beside=BESIDE)
NOTHING = Finding(CLAIM, Status.NOT_MEASURED, None, [], [])


def row_of(found, language=ENGLISH, commands=()):
    (row,) = claims_page.rows([found], dict(commands), language)
    return row


def test_a_row_says_what_was_measured_where_it_holds_and_where_not():
    row = row_of(MIXED)
    claim, status, number, control, prediction, decides = row.cells
    assert claim == 'The gradient shrinks geometrically towards the input.'
    assert status == 'mixed'
    assert row.remarks == [
        'true for: plain networks, Glorot initialisation',
        'false for: VGG networks, He initialisation',
        'exploratory: thresholds amended after these data',
    ]
    assert number == (
        'plain networks, Glorot initialisation: +3.00 [+2.00 to +4.00] decades, '
        'n = 5 draws of the weights, p < 0.001; '
        'VGG networks, He initialisation: −0.25 [−0.50 to +0.00] decades, '
        'n = 5 draws of the weights, p = 0.012'
    )
    assert control == 'passed: ResNet-56 trains'
    assert prediction == '+2.90'
    assert decides == 'a run on fresh seeds, with these thresholds frozen'
    details = dict(row.details)
    assert 'Glorot & Bengio 2010' in details['Source'][0]
    assert 'true above 1, a factor of 10' in details['Number'][0]
    assert details['During training (descriptive, without weight in the status)'] == [
        'VGG networks, He initialisation: 21.2, n = 5 looks',
        'plain networks, Glorot initialisation: diverged, n = 0 looks',
    ]


def test_the_same_in_chinese():
    row = row_of(MIXED, CHINESE)
    assert row.cells[:2] == ('梯度向输入端成几何级数缩小。', '因条件而异')
    assert row.remarks[0] == '成立的条件：普通网络，Glorot 初始化'
    assert row.cells[2].startswith(
        '普通网络，Glorot 初始化：+3.00 [+2.00 至 +4.00] 个数量级，n = 5'
    )
    assert dict(row.details)['训练中（描述性数值，不影响结论）'][1].endswith('发散，n = 0 次观测')


def test_the_status_is_one_word_and_its_reason_stands_below():
    words = {'en': 'every run fits every image', 'zh': '全部拟合'}
    floor = Judged(
        dataclasses.replace(TRUE.contrast, barrier=Barrier(Status.FLOOR, words)), None, None, None
    )
    row = row_of(finding('floor', floor))
    assert row.cells[1] == 'floor'
    assert row.remarks[0] == 'every run fits every image'
    assert row.cells[5] == 'data or a measure with more room'
    assert 'p ' not in row.cells[2]
    # Of several conditions, it says of which it is the reason.
    row = row_of(finding('inconclusive', floor, OPEN))
    assert row.remarks[0] == ('plain networks, Glorot initialisation: every run fits every image')


def test_a_remark_says_what_decided_or_what_would():
    words = {'en': 'by the growth itself', 'zh': '由增长本身判定'}
    decided = dataclasses.replace(FALSE, contrast=dataclasses.replace(FALSE.contrast, remark=words))
    row = row_of(finding('fails', decided))
    assert row.remarks == [
        'by the growth itself',
        'exploratory: thresholds amended after these data',
    ]
    doubtful = Judged(decided.contrast, None, 1.0, None)
    row = row_of(finding('inconclusive', doubtful))
    assert row.remarks == ['exploratory: thresholds amended after these data']
    assert row.cells[5] == 'by the growth itself'


def test_a_control_that_is_not_passed_is_said_once():
    words = {'en': 'ResNet-110 does not train', 'zh': '未能训练'}
    stopped = Judged(
        dataclasses.replace(TRUE.contrast, barrier=Barrier(Status.BUDGET, words)), None, None, None
    )
    row = row_of(finding('budget insufficient', stopped, control=Control(False, words)))
    assert row.cells[3] == 'failed: ResNet-110 does not train'
    assert row.remarks == ['exploratory: thresholds amended after these data']
    assert row.cells[5] == 'a budget, or a learning rate, at which these networks train'
    missing = row_of(finding('not measured', stopped, control=Control(None, words)))
    assert missing.cells[3] == 'not run: ResNet-110 does not train'
    unneeded = row_of(finding('holds', TRUE, control=Control(True, words, is_needed=False)))
    assert unneeded.cells[3] == 'ResNet-110 does not train'


@pytest.mark.parametrize(
    ('judged', 'decides'),
    [
        (OPEN, 'about 23 draws of the weights, if mean and spread stay as observed'),
        (
            dataclasses.replace(OPEN, needed=None),
            'more than 1,000 draws of the weights: the mean is too close to the margin for its '
            'spread',
        ),
        (
            Judged(Contrast(HE, 1.25, None, 1), None, 1.0, None),
            'several draws of the weights: a single value has no spread',
        ),
    ],
)
def test_what_would_decide(judged, decides):
    row = row_of(finding('inconclusive', judged))
    assert row.cells[5] == decides
    assert ('p = ' in row.cells[2]) == (judged.contrast.n > 1)


def test_equal_values_have_no_interval_of_no_width():
    equal = Judged(Contrast(HE, 0.0, None, 3, is_constant=True), None, 1.0, 9)
    assert '+0.00 (all 3 equal) decades, n = 3' in row_of(finding('inconclusive', equal)).cells[2]
    assert (
        '+0.00（3 个值全部相等） 个数量级'
        in row_of(finding('inconclusive', equal), CHINESE).cells[2]
    )


def test_a_claim_whose_thresholds_were_frozen_says_by_which_commit():
    row = row_of(dataclasses.replace(MIXED, frozen='8919c85'))
    assert row.remarks[-1] == 'thresholds frozen by commit 8919c85'
    assert row.cells[5] == '–'
    holds = dataclasses.replace(finding('holds', TRUE), frozen='8919c85')
    assert claims_page.short_row(holds, ENGLISH)[1] == 'holds'
    assert claims_page.in_numbers(holds)['frozen'] == '8919c85'


def test_a_short_row_has_the_number_that_makes_the_status():
    sentence, status, said = claims_page.short_row(finding('fails', TRUE, FALSE), ENGLISH)
    assert sentence == 'The gradient shrinks geometrically towards the input.'
    assert status == 'fails (exploratory)'
    assert said.startswith('VGG networks, He initialisation: −0.25 [−0.50 to +0.00] decades, n = 5')
    assert claims_page.short_row(NOTHING, CHINESE)[1:] == ['未测量', '–']
    # Nothing was decided by an amended threshold here.
    assert claims_page.short_row(finding('inconclusive', OPEN), ENGLISH)[1] == 'inconclusive'


def test_what_is_missing_says_which_command_runs_it():
    row = row_of(NOTHING, commands={CLAIM.sweep: 'python launch.py --sweep gradient_flow'})
    assert row.cells[1:] == (
        *('not measured', '–', '–', '–'),
        'run python launch.py --sweep gradient_flow',
    )
    assert row.remarks == []


@pytest.mark.parametrize('claim', CLAIMS.values(), ids=lambda claim: claim.key)
def test_the_chinese_table_is_free_of_english_words(claim):
    """What is left in Latin letters are names and symbols."""
    names = {'VGG', 'He', 'Glorot', 'Bengio', 'Frobenius', 'ReLU'}
    row = row_of(finding('mixed', TRUE, FALSE, claim=claim), CHINESE)
    for text in (*row.cells, *row.remarks, *(t for _, texts in row.details for t in texts)):
        assert set(re.findall(r'[A-Za-z]{2,}', text)) <= names


def test_markdown_has_a_row_per_claim_and_no_stray_bars():
    row = Row(('a | b', 'holds', '3', 'passed', '–', '–'), ['amended'], [('Source', ['c', 'd'])])
    lines = claims_page.markdown([row], ['note'], ENGLISH).splitlines()
    assert lines[:5] == [
        '# The story, claim by claim',
        '',
        '| claim | status | number [95 % interval], n, p | control | prediction | '
        'what would decide |',
        '| --- | --- | --- | --- | --- | --- |',
        r'| a \| b | **holds**<br>amended | 3 | passed | – | – |',
    ]
    assert '- note' in lines
    assert lines[-4:] == ['1. a | b', '   - Source: c; d', '', '</details>']


def test_the_numbers_are_kept_for_programs():
    found = claims_page.in_numbers(MIXED)
    assert (found['key'], found['status'], found['frozen']) == ('shrinking', 'mixed', None)
    first, second = found['contrasts']
    assert first['where'] == {'family': 'plain', 'scheme': 'glorot'}
    assert (first['answer'], first['n'], first['interval']) == (True, 5, (2.0, 4.0))
    assert (second['adjusted_p'], second['prediction']) == (0.0123, None)
    reason = barred(Status.FLOOR, {'en': 'why', 'zh': ''})
    (barrier,) = claims_page.in_numbers(finding('floor', Judged(reason, None, None, None)))[
        'contrasts'
    ]
    assert barrier['barrier'] == {'status': 'floor', 'words': 'why'}


class Tags(HTMLParser):
    """The open tags at the end, which are none where all are closed in order."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attributes):
        if tag not in ('meta', 'img', 'br'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_with_its_figures(tmp_path):
    figures = tmp_path / CLAIM.sweep / 'figures'
    figures.mkdir(parents=True)
    picture = b'\x89PNG\r\n, not really'
    (figures / f'{CLAIM.figure.name}.png').write_bytes(picture)
    same = CLAIMS['protection']
    assert same.figure == CLAIM.figure
    findings = [MIXED, NOTHING, finding('holds', TRUE, claim=same)]
    paths = claims_page.write(tmp_path, findings, {}, {'gradient_flow': PROTOCOL})
    page = paths['html'].read_text(encoding='utf-8')
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert page.count('<img') == 1
    # A caption describes the figure, and does not say what it is to show.
    assert 'one line per depth. For claim 1, 3.' in html.unescape(page)
    assert CLAIM.sentence['en'] not in page[page.index('<figcaption>') :]
    assert base64.b64encode(picture).decode() in page
    assert 'gradient_flow: 70 of 72 cells finished, on digits, 220 updates per run' in page
    assert '<script' not in page
    # On a phone each cell stands under its heading; what decides nothing is folded away.
    assert f'data-heading="{ENGLISH.headings[2]}"' in page
    assert page.count('<details>') == len(findings) * len(LANGUAGES)
    assert paths['en'] == tmp_path / 'claims.md'
    assert '未测量' in (tmp_path / 'claims.zh.md').read_text(encoding='utf-8')
    written = json.loads((tmp_path / 'claims.json').read_text())
    assert [len(row) for row in written['en'] + written['zh']] == [3] * 6
    assert [each['status'] for each in written['claims']] == ['mixed', 'not measured', 'holds']
