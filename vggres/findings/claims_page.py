"""`claims.html`, `claims.md` and `claims.zh.md`: the findings as a page and as tables."""

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from vggres.files import write_atomically
from vggres.findings import claims, report
from vggres.findings.claims import Finding

_HEADINGS = {
    'en': ('claim', 'source', 'verdict', 'measured', 'n'),
    'zh': ('说法', '出处', '结论', '测量', 'n'),
}
_PROTOCOL = {
    'en': '{sweep}: {done} of {cells} cells on {data}, {length}, depths {depths}, seeds a network: '
    '{seeds}, one learning rate, {learning_rate}',
    'zh': '{sweep}：{data} 上 {cells} 个单元中的 {done} 个，{length}，深度 {depths}，'
    '每个网络 {seeds} 个种子，单一学习率 {learning_rate}',
}
_TITLES = {'en': 'The story, claim by claim', 'zh': '逐条检验流行的解释'}
_ZH = {
    claims.HOLDS: '成立',
    claims.FAILS: '不成立',
    claims.ONLY_IF: '仅在以下情形成立：',
    claims.HOLDS_IF: '至少在以下情形成立：',
    claims.UNDECIDED: '未定',
    claims.NOT_MEASURED: '未测量',
    'and': '且',
    'or': '；或',
    'vgg': 'VGG',
    'plain': '普通网络',
    'resnet': '残差网络',
    'no norm': '无归一化',
    'batch norm': '批归一化',
    'he weights': 'He 初始化',
    'glorot weights': 'Glorot 初始化',
    'vgg weights': 'VGG 初始化',
    'before training': '训练前',
    'after training': '训练后',
    'in training': '训练中',
    'postactivation': '后激活',
    'postactivation but for its last ReLU': '后激活，不计末端 ReLU',
    'preactivation': '预激活',
    'among all depths': '所有深度',
    'among one depth': '同一深度',
    'vanishes': '消失',
    'diverged': '发散',
    'run': '请运行',
    'popular account': '流行说法',
    'asked by': '提问者：',
    'denied by': '否认者：',
    'doubted by': '质疑者：',
}


def write(
    directory: Path,
    findings: Sequence[Finding],
    commands: Mapping[str, str],
    protocols: Mapping[str, Mapping[str, object]],
) -> dict[str, Path]:
    """Writes the three files.

    Args:
        directory: of the sweeps; figures are looked for in its sweeps' folders.
        findings: one a claim.
        commands: of each sweep that is missing, what runs it.
        protocols: of each sweep that is there, what its claims hold for, by `_PROTOCOL`'s keys.

    Returns:
        Their paths: 'html', and the languages.
    """
    tables = {language: rows(findings, commands, language) for language in claims.LANGUAGES}
    pages = [
        {
            'language': language,
            'title': _TITLES[language],
            'headings': _HEADINGS[language],
            'rows': tables[language],
            'notes': notes(protocols, language),
        }
        for language in claims.LANGUAGES
    ]
    figures = _figures(directory, findings)
    template = report.templates().get_template('claims.html')
    paths = {
        'html': directory / 'claims.html',
        'en': directory / 'claims.md',
        'zh': directory / 'claims.zh.md',
    }
    for language, table in tables.items():
        write_atomically(paths[language], markdown(table, notes(protocols, language), language))
    write_atomically(paths['html'], template.render(pages=pages, figures=figures))
    return paths


def rows(findings: Sequence[Finding], commands: Mapping[str, str], language: str) -> list[list]:
    """A row of texts for each claim, under `_HEADINGS`."""
    table = []
    for finding in findings:
        claim = finding.claim
        if finding.cases:
            measured = f'{claim.quantity[language]}: {_cases(finding, language)}'
            counts = sorted({case.n for case in finding.cases if case.n})
            n = f'{_range(counts)} {claim.repeated[language]}'
            if len(finding.cases) > 1:
                n = f'{len(finding.cases)} × {n}'
        else:
            measured, n = claim.quantity[language], report.MISSING
            if claim.sweep in commands:
                measured += f' ({_say("run", language)}: {commands[claim.sweep]})'
        source = claim.source
        if language == 'zh':
            for english in ('popular account', 'asked by', 'denied by', 'doubted by'):
                source = source.replace(english, _ZH[english])
        table.append(
            [claim.sentence[language], source, verdict_words(finding, language), measured, n]
        )
    return table


def verdict_words(finding: Finding, language: str) -> str:
    """The status, with its conditions."""
    status = _say(finding.status, language)
    if not finding.condition:
        return status
    conditions = [
        f' {_say("and", language)} '.join(_say(value, language) for value in condition)
        for condition in finding.condition
    ]
    between = f' {_say("or", language)} '
    return f'{status} {between.join(conditions)}'


def notes(protocols: Mapping[str, Mapping[str, object]], language: str) -> list[str]:
    """What the claims hold for: a line a sweep."""
    return [
        _PROTOCOL[language].format(sweep=sweep, **protocol) for sweep, protocol in protocols.items()
    ]


def markdown(table: Sequence[Sequence[str]], protocol: Sequence[str], language: str) -> str:
    """The table, with its title, and what it holds for."""
    lines = [
        f'# {_TITLES[language]}',
        '',
        _markdown_row(_HEADINGS[language]),
        _markdown_row('---' for _ in _HEADINGS[language]),
    ]
    for sentence, source, status, *rest in table:
        lines.append(_markdown_row((sentence, source, f'**{status}**', *rest)))
    return '\n'.join([*lines, '', *(f'- {note}' for note in protocol)]).rstrip() + '\n'


def _markdown_row(texts: Sequence[str]) -> str:
    return ' | '.join(['', *(text.replace('|', r'\|') for text in texts), '']).strip()


def _cases(finding: Finding, language: str) -> str:
    said = []
    for case in finding.cases:
        where = ', '.join(_say(value, language) for value in case.where.values())
        if case.value is None:
            number = _say('diverged', language) if case.n == 0 else report.MISSING
        elif math.isinf(case.value):
            number = _say('vanishes', language)
        else:
            number = report.number(case.value)
        interval = f' [{report.interval(case.interval)}]' if case.interval else ''
        said.append(f'{where} {number}{interval}')
    return '; '.join(said)


def _say(words: str, language: str) -> str:
    if language == 'en':
        return words
    if words.startswith('depth '):
        return f'深度 {words[len("depth ") :]}'
    return _ZH[words]


def _range(counts: Sequence[int]) -> str:
    return f'{counts[0]}' if len(counts) == 1 else f'{counts[0]}–{counts[-1]}'


def _figures(directory: Path, findings: Sequence[Finding]) -> list[dict[str, str]]:
    """The pictures that go with claims, each once, as data URIs."""
    found: dict[Path, dict[str, str]] = {}
    for finding in findings:
        claim = finding.claim
        path = directory / claim.sweep / 'figures' / f'{claim.figure}.png'
        if path in found:
            found[path]['sentences'] += f' {claim.sentence["en"]}'
        elif finding.cases and path.exists():
            data = base64.b64encode(path.read_bytes()).decode()
            found[path] = {
                'source': f'data:image/png;base64,{data}',
                'sentences': claim.sentence['en'],
                'alt': f'{claim.figure.replace("_", " ")}, sweep {claim.sweep}',
                'report': f'{claim.sweep}/report.html',
            }
    return list(found.values())
