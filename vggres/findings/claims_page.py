"""Writes the findings as a page and as tables: `claims.html`, `.md`, `.zh.md` and `.json`."""

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vggres.files import write_atomically, write_json
from vggres.findings.claims import Case, Finding, Status
from vggres.findings.languages import LANGUAGES, Language, SweepProtocol, verdict_words
from vggres.findings.report import templates
from vggres.findings.tables import MISSING, number


@dataclass(frozen=True)
class Row:
    """The texts of a finding, under `Language.headings`."""

    claim: str
    source: str
    verdict: str
    measured: str
    n: str


@dataclass(frozen=True)
class Picture:
    """A figure that goes with one claim or more.

    Attributes:
        data: a data URI of the PNG.
        sentences: of the claims, by language.
        label: what a screen reader says.
        report: the address of the report that holds it.
    """

    data: str
    sentences: Mapping[str, str]
    label: str
    report: str


def write(
    directory: Path,
    findings: Sequence[Finding],
    commands: Mapping[str, str],
    protocols: Mapping[str, SweepProtocol],
) -> dict[str, Path]:
    """Writes the four files; `claims.json` holds the short rows by language.

    Args:
        directory: of the sweeps; figures are looked for in their folders.
        findings: one per claim.
        commands: what runs each sweep that is missing, by the sweep's name.
        protocols: what the findings of each sweep that is there hold for, by its name.

    Returns:
        Their paths, under 'html', the codes of the languages, and 'json'.
    """
    tables = {each.code: rows(findings, commands, each) for each in LANGUAGES}
    notes = {
        each.code: [each.note(sweep, protocol) for sweep, protocol in protocols.items()]
        for each in LANGUAGES
    }
    paths = {'en': directory / 'claims.md', 'zh': directory / 'claims.zh.md'}
    short = {each.code: [short_row(finding, each) for finding in findings] for each in LANGUAGES}
    write_json(directory / 'claims.json', short)
    for language in LANGUAGES:
        text = markdown(tables[language.code], notes[language.code], language)
        write_atomically(paths[language.code], text)
    page = templates().get_template('claims.html')
    html = page.render(
        languages=LANGUAGES, tables=tables, notes=notes, pictures=_pictures(directory, findings)
    )
    write_atomically(directory / 'claims.html', html)
    return {'html': directory / 'claims.html', **paths, 'json': directory / 'claims.json'}


def rows(findings: Iterable[Finding], commands: Mapping[str, str], language: Language) -> list[Row]:
    """The findings as rows of text in one language.

    Args:
        findings: one per claim.
        commands: what runs each sweep that is missing, by the sweep's name.
        language: of the texts.
    """
    return [_row(finding, commands.get(finding.claim.sweep), language) for finding in findings]


def _row(finding: Finding, command: str | None, language: Language) -> Row:
    claim, code = finding.claim, language.code
    measured, n = claim.quantity[code], MISSING
    if finding.cases:
        said = language.semicolon.join(_case(case, language) for case in finding.cases)
        measured = f'{measured}{language.colon}{said}'
        n = _repetitions(finding, language)
    measured += f'{language.stop}{claim.criterion[code]}'
    if not finding.cases and command:
        measured += f'{language.stop}{language.run} {command}'
    return Row(
        claim=claim.sentence[code],
        source=claim.source[code],
        verdict=verdict_words(finding, language),
        measured=measured,
        n=n,
    )


def short_row(finding: Finding, language: Language) -> list[str]:
    """A claim, its verdict, and one number with its interval and n: a row of a README.

    The number is that of the first case in which the claim holds, or is undecided where that is its
    status; or else of the first case.
    """
    claim, code = finding.claim, language.code
    wanted = None if finding.status is Status.UNDECIDED else True
    cases = sorted(finding.cases, key=lambda case: case.holds is not wanted)  # otherwise in order
    said = MISSING
    if cases:
        said = f'{_case(cases[0], language)} {claim.unit[code]} (n = {cases[0].n})'
    return [claim.sentence[code], verdict_words(finding, language), said]


def _repetitions(finding: Finding, language: Language) -> str:
    """The number of cases, if more than one, times what each repeats: '3 × 5 seeds'."""
    counts = sorted({case.n for case in finding.cases if case.n})
    if not counts:
        return MISSING
    repeated = finding.claim.repeated.one if counts == [1] else finding.claim.repeated.several
    span = f'{counts[0]}' if len(counts) == 1 else f'{counts[0]}–{counts[-1]}'
    times = f'{len(finding.cases)} × ' if len(finding.cases) > 1 else ''
    return f'{times}{span} {repeated[language.code]}'


def _case(case: Case, language: Language) -> str:
    where = language.comma.join(map(language.label, case.where.values()))
    if case.value is None:
        said = language.diverged if case.n == 0 else MISSING
    elif math.isinf(case.value):
        said = language.vanishes
    else:
        said = number(case.value)
    interval = language.to.join(map(number, case.interval)) if case.interval else ''
    return f'{where} {said}' + (f' [{interval}]' if interval else '')


def markdown(table: Sequence[Row], notes: Sequence[str], language: Language) -> str:
    """The table as Markdown, with its title above and what it holds for below."""
    lines = [
        f'# {language.title}',
        '',
        _markdown_row(language.headings),
        _markdown_row('---' for _ in language.headings),
    ]
    for row in table:
        lines.append(
            _markdown_row((row.claim, row.source, f'**{row.verdict}**', row.measured, row.n))
        )
    return '\n'.join([*lines, '', *(f'- {note}' for note in notes)]).rstrip() + '\n'


def _markdown_row(texts: Iterable[str]) -> str:
    return ' | '.join(['', *(text.replace('|', r'\|') for text in texts), '']).strip()


def _pictures(directory: Path, findings: Iterable[Finding]) -> list[Picture]:
    """The figures that go with the claims that were measured, each once."""
    shown: dict[Path, list[Finding]] = {}
    for finding in findings:
        claim = finding.claim
        path = directory / claim.sweep / 'figures' / f'{claim.figure}.png'
        if finding.cases and path.exists():
            shown.setdefault(path, []).append(finding)
    return [_picture(path, group) for path, group in shown.items()]


def _picture(path: Path, group: Sequence[Finding]) -> Picture:
    claim = group[0].claim
    return Picture(
        data=f'data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}',
        sentences={
            each.code: each.quoted([finding.claim.sentence[each.code] for finding in group])
            for each in LANGUAGES
        },
        label=f'{claim.figure.replace("_", " ")}, sweep {claim.sweep}',
        report=f'{claim.sweep}/report.html',
    )
