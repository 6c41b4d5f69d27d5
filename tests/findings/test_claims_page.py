import base64
import dataclasses
import math

import pytest

from vggres.findings import claims, claims_page
from vggres.findings.claims import Case, Finding

CLAIM = claims.CLAIMS[2]  # the gradient shrinks
CASES = [
    Case({'family': 'plain', 'scheme': 'glorot weights'}, True, 3.0, [2.0, 4.0], 5),
    Case({'family': 'vgg', 'scheme': 'glorot weights'}, True, math.inf, None, 5),
    Case({'family': 'vgg', 'scheme': 'he weights'}, False, -0.25, [-0.5, 0.0], 5),
]
FOUND = Finding(CLAIM, *claims.decide(CASES), CASES)
NOTHING = Finding(CLAIM, *claims.decide([]), [])
PROTOCOL = {
    **{'done': 70, 'cells': 72, 'data': 'digits', 'length': '10 epochs', 'depths': '8, 20'},
    **{'seeds': 1, 'learning_rate': 0.1},
}


def test_a_row_says_what_was_measured_and_where_it_holds():
    ((sentence, source, verdict, measured, n),) = claims_page.rows([FOUND], {}, 'en')
    assert sentence == 'The gradient shrinks geometrically towards the input.'
    assert 'Glorot & Bengio 2010' in source
    assert verdict == 'holds only if glorot weights'
    assert 'plain, glorot weights +3.00 [+2.00 to +4.00]' in measured
    assert 'vgg, glorot weights vanishes' in measured
    assert 'vgg, he weights −0.25' in measured
    assert n == '3 × 5 draws of weights or looks in training'


def test_the_same_in_chinese():
    ((sentence, source, verdict, measured, n),) = claims_page.rows([FOUND], {}, 'zh')
    assert sentence == '梯度向输入端成几何级数缩小。'
    assert source.startswith('流行说法')
    assert verdict == '仅在以下情形成立： Glorot 初始化'
    assert 'VGG, Glorot 初始化 消失' in measured
    assert n == '3 × 5 次随机权重或训练中的观测'


def test_what_is_missing_says_which_command_runs_it():
    commands = {CLAIM.sweep: 'python launch.py --sweep gradient_flow'}
    (row,) = claims_page.rows([NOTHING], commands, 'en')
    assert row[2] == 'not measured'
    assert 'run: python launch.py --sweep gradient_flow' in row[3]
    assert row[4] == '–'


@pytest.mark.parametrize(
    'status', ['holds', 'does not hold', 'undecided', 'not measured', claims.HOLDS_IF]
)
def test_every_status_has_its_words_in_both_languages(status):
    finding = Finding(CLAIM, status, [], [])
    assert claims_page.verdict_words(finding, 'en') == status
    assert not claims_page.verdict_words(finding, 'zh').isascii()


def test_markdown_has_a_row_a_claim_and_no_stray_bars():
    table = [['a | b', 'c', 'holds', 'd', '3']]
    assert claims_page.markdown(table, ['note'], 'en').splitlines() == [
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
    same = dataclasses.replace(claims.CLAIMS[6], figure=CLAIM.figure)
    findings = [FOUND, NOTHING, Finding(same, 'holds', [], CASES[:1])]
    paths = claims_page.write(tmp_path, findings, {}, {'gradient_flow': PROTOCOL})
    html = paths['html'].read_text(encoding='utf-8')
    assert html.count('<img') == 1
    assert 'towards the input. Shortcuts keep the gradient from shrinking. From' in html
    assert base64.b64encode(picture).decode() in html
    assert 'lang="zh"' in html
    assert 'gradient_flow: 70 of 72 cells on digits, 10 epochs, depths 8, 20' in html
    assert '流行' in html
    assert '<script' not in html
    assert paths['en'] == tmp_path / 'claims.md'
    assert '未测量' in (tmp_path / 'claims.zh.md').read_text(encoding='utf-8')


@pytest.mark.parametrize('claim', claims.CLAIMS, ids=lambda claim: claim.key)
def test_every_claim_is_said_in_both_languages(claim):
    for words in (claim.sentence, claim.quantity, claim.repeated):
        assert set(words) == set(claims.LANGUAGES)
        assert words['en'].isascii() or '‖' in words['en']
        assert not words['zh'].isascii()
