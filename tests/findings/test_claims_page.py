"""The page and the tables say what was found, in every language, and need nothing else."""

import base64
import dataclasses
import math
import re

import pytest

import experiments
from vggres.findings import claims, claims_page
from vggres.findings.claims import Case, Finding, Status, Word
from vggres.findings.claims_page import Row
from vggres.findings.languages import CHINESE, ENGLISH, SweepProtocol

CLAIMS = {claim.key: claim for claim in experiments.claims()}
CLAIM = CLAIMS['shrinking']
CASES = [
    Case({'family': Word.PLAIN, 'scheme': Word.GLOROT}, True, 3.0, (2.0, 4.0), 5),
    Case({'family': Word.VGG, 'scheme': Word.GLOROT}, True, math.inf, None, 5),
    Case({'family': Word.VGG, 'scheme': Word.HE}, False, -0.25, (-0.5, 0.0), 5),
]
FOUND = Finding(CLAIM, *claims.decide(CASES), CASES)
NOTHING = Finding(CLAIM, *claims.decide([]), [])
PROTOCOL = SweepProtocol(
    finished=70,
    cells=72,
    data='digits',
    epochs=10,
    steps=0,
    depths=(8, 20),
    seeds=(1, 1),
    learning_rate=0.1,
)


def test_a_row_says_what_was_measured_and_where_it_holds():
    (row,) = claims_page.rows([FOUND], {}, ENGLISH)
    assert row.claim == 'The gradient shrinks geometrically towards the input.'
    assert 'Glorot & Bengio 2010' in row.source
    assert row.verdict == 'holds only with Glorot initialisation'
    assert 'plain networks, Glorot initialisation +3.00 [+2.00 to +4.00]' in row.measured
    assert 'VGG networks, Glorot initialisation vanishes' in row.measured
    assert 'VGG networks, He initialisation −0.25' in row.measured
    assert 'counts as true where the gradient shrinks by a factor of 10 or more' in row.measured
    assert row.n == '3 × 5 draws of the weights (in training: seeds)'


def test_the_same_in_chinese():
    (row,) = claims_page.rows([FOUND], {}, CHINESE)
    assert row.claim == '梯度向输入端成几何级数缩小。'
    assert row.source.startswith('流行说法')
    assert row.verdict == '仅在以下情形成立：采用 Glorot 初始化'
    assert '普通网络，Glorot 初始化 +3.00 [+2.00 至 +4.00]' in row.measured
    assert 'VGG 网络，Glorot 初始化 消失' in row.measured
    assert row.n == '3 × 5 次随机权重（训练中为随机种子）'


def test_a_short_row_has_one_number_of_a_case_in_which_the_claim_holds():
    sentence, verdict, said = claims_page.short_row(FOUND, ENGLISH)
    assert sentence == 'The gradient shrinks geometrically towards the input.'
    assert verdict == 'holds only with Glorot initialisation'
    assert said.startswith('plain networks, Glorot initialisation +3.00 [+2.00 to +4.00] decades')
    assert said.endswith('decades (n = 5)')
    first_false = dataclasses.replace(FOUND, cases=FOUND.cases[::-1])
    assert (
        'VGG networks, Glorot initialisation vanishes'
        in claims_page.short_row(first_false, ENGLISH)[2]
    )
    unclear = [FOUND.cases[2], dataclasses.replace(FOUND.cases[0], holds=None)]
    undecided = Finding(CLAIM, Status.UNDECIDED, [], unclear)
    assert 'plain networks' in claims_page.short_row(undecided, ENGLISH)[2]
    assert claims_page.short_row(NOTHING, CHINESE)[2] == '–'


def test_one_repetition_is_singular_and_a_diverged_run_has_no_number():
    claim = CLAIMS['identity']
    cases = [
        Case({'when': Word.AFTER_TRAINING}, True, 0.2, None, 1),
        Case({'when': Word.BEFORE_TRAINING}, None, None, None, 0),
    ]
    (row,) = claims_page.rows([Finding(claim, Status.HOLDS_IF, [], cases)], {}, ENGLISH)
    assert row.n == '2 × 1 block'
    assert 'after training +0.20; before training diverged' in row.measured


def test_what_is_missing_says_which_command_runs_it():
    commands = {CLAIM.sweep: 'python launch.py --sweep gradient_flow'}
    (row,) = claims_page.rows([NOTHING], commands, ENGLISH)
    assert row.verdict == 'not measured'
    assert row.measured.endswith('To measure it, run python launch.py --sweep gradient_flow')
    assert row.n == '–'


@pytest.mark.parametrize('claim', CLAIMS.values(), ids=lambda claim: claim.key)
def test_the_chinese_table_is_free_of_english_words(claim):
    """What is left in Latin letters are names and symbols."""
    names = {'VGG', 'He', 'Glorot', 'Bengio', 'ReLU'}
    (row,) = claims_page.rows([Finding(claim, Status.HOLDS, [], CASES)], {}, CHINESE)
    for text in dataclasses.astuple(row):
        assert set(re.findall(r'[A-Za-z]{2,}', text)) <= names


def test_markdown_has_a_row_per_claim_and_no_stray_bars():
    table = [Row('a | b', 'c', 'holds', 'd', '3')]
    assert claims_page.markdown(table, ['note'], ENGLISH).splitlines() == [
        '# The story, claim by claim',
        '',
        '| claim | source | verdict | measured | n |',
        '| --- | --- | --- | --- | --- |',
        r'| a \| b | c | **holds** | d | 3 |',
        '',
        '- note',
    ]


def test_the_page_stands_alone_with_its_figures(tmp_path):
    figures = tmp_path / CLAIM.sweep / 'figures'
    figures.mkdir(parents=True)
    picture = b'\x89PNG\r\n, not really'
    (figures / f'{CLAIM.figure}.png').write_bytes(picture)
    same = dataclasses.replace(CLAIMS['protection'], figure=CLAIM.figure)
    findings = [FOUND, NOTHING, Finding(same, Status.HOLDS, [], CASES[:1])]
    paths = claims_page.write(tmp_path, findings, {}, {'gradient_flow': PROTOCOL})
    html = paths['html'].read_text(encoding='utf-8')
    assert html.count('<img') == 1
    # A caption quotes the claims: it does not say that the figure shows them to be true.
    assert 'towards the input.” “Shortcuts keep the gradient from shrinking.”' in html
    assert base64.b64encode(picture).decode() in html
    assert 'lang="zh"' in html
    assert 'gradient_flow: 70 of 72 cells finished, on digits, 10 epochs per run' in html
    assert '流行' in html
    assert '<script' not in html
    assert paths['en'] == tmp_path / 'claims.md'
    assert '未测量' in (tmp_path / 'claims.zh.md').read_text(encoding='utf-8')
