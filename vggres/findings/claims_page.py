"""Writes findings as a page and as tables: `claims.html`, `.md`, `.zh.md` and `.json`."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from vggres.files import write_atomically, write_json
from vggres.findings.claims import Description, Finding, Judged
from vggres.findings.contrasts import Contrast, Counted, Status
from vggres.findings.controls import Control
from vggres.findings.languages import LANGUAGES, Language, SweepProtocol
from vggres.findings.page_templates import templates
from vggres.findings.tables import MISSING, number, p_value

_DECIDED = (Status.HOLDS, Status.FAILS, Status.MIXED)


@dataclass(frozen=True)
class Row:
    """The texts of a finding.

    Attributes:
        cells: one text for each of `Language.headings`; the second is the status in one word.
        remarks: on the status: whether it is exploratory, its conditions, or the reason.
        details: what folds away, as pairs of a label and texts.
    """

    cells: tuple[str, ...]
    remarks: Sequence[str]
    details: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class Shown:
    """A figure on the page.

    Attributes:
        data: a data URI of the PNG.
        captions: what it shows and for which claims, by language.
        label: what a screen reader says.
        report: the address of the report that holds it.
    """

    data: str
    captions: Mapping[str, str]
    label: str
    report: str


def write(
    directory: Path,
    findings: Sequence[Finding],
    commands: Mapping[str, str],
    protocols: Mapping[str, SweepProtocol],
    page: str = 'claims',
) -> dict[str, Path]:
    """Writes the four files, which have the name of the page.

    `claims.json` holds the findings in numbers under 'claims', and the short rows of a README under
    the codes of the languages.

    Args:
        directory: of the sweeps; figures are looked for in their folders.
        findings: one per claim.
        commands: what runs each sweep that is missing, by the sweep's name.
        protocols: what the findings of each sweep that is there hold for, by its name.
        page: 'claims' or 'causes'.

    Returns:
        Their paths, under 'html', the codes of the languages, and 'json'.
    """
    tables = {each.code: rows(findings, commands, each) for each in LANGUAGES}
    notes = {
        each.code: [each.note(sweep, protocol) for sweep, protocol in protocols.items()]
        for each in LANGUAGES
    }
    paths = {'en': directory / f'{page}.md', 'zh': directory / f'{page}.zh.md'}
    short = {each.code: [short_row(finding, each) for finding in findings] for each in LANGUAGES}
    write_json(directory / f'{page}.json', short | {'claims': [*map(in_numbers, findings)]})
    for language in LANGUAGES:
        text = markdown(tables[language.code], notes[language.code], language, page)
        write_atomically(paths[language.code], text)
    html = (
        templates()
        .get_template('claims.html')
        .render(
            page=page,
            missing=MISSING,
            languages=LANGUAGES,
            tables=tables,
            notes=notes,
            pictures=_pictures(directory, findings),
        )
    )
    write_atomically(directory / f'{page}.html', html)
    return {'html': directory / f'{page}.html', **paths, 'json': directory / f'{page}.json'}


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
    predictions = [each.contrast.prediction for each in finding.primary]
    predicted = [number(each) for each in predictions if each is not None]
    cells = (
        claim.sentence[code],
        language.statuses[finding.status],
        _numbers(finding.primary, finding, language) or MISSING,
        _control(finding.control, language),
        language.semicolon.join(predicted) or MISSING,
        _would_decide(finding, command, language),
    )
    return Row(cells, _remarks(finding, language), _details(finding, language))


def short_row(finding: Finding, language: Language) -> list[str]:
    """A claim, its status, and the number it rests on with interval and n: a row of a README."""
    status = language.statuses[finding.status]
    if finding.status in _DECIDED and finding.frozen is None:
        status = _remark(status, language.exploratory_tag, language)
    numbers = [
        _number(each.contrast, finding, language) + f'{language.comma}n = {each.contrast.n}'
        for each in finding.primary
        if each.contrast.value is not None
    ]
    said = language.semicolon.join(numbers) or MISSING
    return [finding.claim.sentence[language.code], status, said]


def _remark(text: str, remark: str, language: Language) -> str:
    return text + language.brackets[0] + remark + language.brackets[1]


def _remarks(finding: Finding, language: Language) -> list[str]:
    """What belongs to the status: its conditions, why nothing is decided, and how it came about."""
    said = []
    if len({each.answer for each in finding.judged}) > 1:
        said = [
            words + language.colon + language.semicolon.join(where)
            for words, answer in ((language.true_for, True), (language.false_for, False))
            if (where := _where(finding.judged, answer, language))
        ]
    if finding.status not in _DECIDED:
        said += _reasons(finding, language)
    else:
        remarks = [each.contrast.remark for each in finding.primary if each.contrast.remark]
        said += dict.fromkeys(remark[language.code] for remark in remarks)
    if finding.judged:
        frozen = finding.frozen
        said.append(language.frozen.format(frozen) if frozen else language.exploratory)
    return said


def _where(judged: Iterable[Judged], answer: bool, language: Language) -> list[str]:
    return [
        language.conditions(each.contrast.where)
        for each in judged
        if each.answer is answer and each.contrast.where
    ]


def _reasons(finding: Finding, language: Language) -> list[str]:
    """Why contrasts are behind a barrier, each reason once, the control's own aside."""
    where: dict[str, list[str]] = {}
    for each in finding.judged:
        if each.contrast.barrier:
            words = each.contrast.barrier.words[language.code]
            where.setdefault(words, []).append(language.conditions(each.contrast.where))
    known = finding.control.words[language.code] if finding.control else ''
    return [
        words if len(places) == len(finding.judged) else _at(places, words, language)
        for words, places in where.items()
        if words != known
    ]


def _at(places: Iterable[str], words: str, language: Language) -> str:
    return language.semicolon.join(places) + language.colon + words


def _numbers(judged: Iterable[Judged], finding: Finding, language: Language) -> str:
    return language.semicolon.join(
        _contrast(each, finding, language) for each in judged if each.contrast.value is not None
    )


def _contrast(judged: Judged, finding: Finding, language: Language) -> str:
    """A number with its conditions, interval, unit, n and p."""
    said = _number(judged.contrast, finding, language) + language.comma
    said += _count(judged.contrast.n, finding.claim.counted, language)
    # A doubt is no matter of the number, and its p-value would be read as the number's.
    is_doubted = judged.answer is None and judged.contrast.remark
    if judged.p is None or judged.contrast.n < 2 or is_doubted:
        return said
    return said + language.comma + _p(judged.p, language)


def _number(contrast: Contrast, finding: Finding, language: Language) -> str:
    """A number with its conditions, interval and unit."""
    where = language.conditions(contrast.where)
    said = (where + language.colon if where else '') + number(contrast.value)
    if contrast.is_constant:
        said = _remark(said, language.equal.format(contrast.n), language)
    elif contrast.interval:
        said += f' [{language.to.join(map(number, contrast.interval))}]'
    return said + f' {finding.claim.unit[language.code]}'.replace(' （', '（')


def _count(n: int, counted: Counted, language: Language) -> str:
    return language.seeds.format(n, counted.words(n, language.code))


def _p(p: float, language: Language) -> str:
    return language.adjusted.format(p_value(p)).replace('= <', '<')


def _control(control: Control | None, language: Language) -> str:
    if control is None:
        return MISSING
    if not control.is_needed:
        return control.words[language.code]
    heading = {True: language.passed, False: language.failed, None: language.missing}
    return heading[control.passed] + language.colon + control.words[language.code]


def _would_decide(finding: Finding, command: str | None, language: Language) -> str:
    """What would change the status, or confirm it."""
    counted = finding.claim.counted.several[language.code]
    if finding.status is Status.NOT_MEASURED:
        return f'{language.run} {command}' if command else MISSING
    if finding.status is Status.FLOOR:
        return language.more_room
    if finding.status is Status.BUDGET:
        return language.longer
    if finding.status in _DECIDED:
        return MISSING if finding.frozen else language.confirm
    said = [
        _needed(each, counted, language)
        for each in finding.judged
        if each.answer is None and each.contrast.barrier is None
    ]
    return language.semicolon.join(dict.fromkeys(said))


def _needed(judged: Judged, counted: str, language: Language) -> str:
    if judged.contrast.n < 2:
        return language.one_is_none.format(counted)
    if judged.needed is None and judged.contrast.remark:
        return judged.contrast.remark[language.code]
    if judged.needed is None:
        return language.too_many.format(counted)
    return language.more_needed.format(judged.needed, counted)


def _details(finding: Finding, language: Language) -> list[tuple[str, Sequence[str]]]:
    claim, code = finding.claim, language.code
    said: list[tuple[str, Sequence[str]]] = [
        (language.source, [claim.source[code]]),
        (language.number, [f'{claim.quantity[code]}{language.stop}{claim.criterion[code]}']),
    ]
    if len(finding.judged) > 1:
        said.append((language.all_contrasts, [_full(e, finding, language) for e in finding.judged]))
    described: dict[str, list[str]] = {}
    for each in finding.descriptions:
        described.setdefault(each.what[code], []).append(_description(each, language))
    said += [(_remark(what, language.descriptive, language), described[what]) for what in described]
    return said


def _full(judged: Judged, finding: Finding, language: Language) -> str:
    """A contrast with its answer or the reason why there is none."""
    barrier, where = judged.contrast.barrier, language.conditions(judged.contrast.where)
    said = where if judged.contrast.value is None else _contrast(judged, finding, language)
    predicted = judged.contrast.prediction
    if predicted is not None:
        said += language.comma + language.headings[4] + ' ' + number(predicted)
    if barrier:
        return f'{said}{language.semicolon if said else ""}{barrier.words[language.code]}'
    if judged.contrast.remark:
        said += language.semicolon + judged.contrast.remark[language.code]
    return said + language.semicolon + language.answers[judged.answer]


def _description(description: Description, language: Language) -> str:
    where = language.conditions(description.where)
    said = language.diverged if description.value is None else number(description.value, '.3g')
    said += language.comma + _count(description.n, description.counted, language)
    return where + language.colon + said if where else said


def in_numbers(finding: Finding) -> dict:
    """A finding as JSON holds it: conditions by their names, and no texts but the control's."""
    claim, control = finding.claim, finding.control
    return {
        'key': claim.key,
        'sweep': claim.sweep,
        'status': finding.status,
        'frozen': finding.frozen,
        'control': control and {'passed': control.passed, 'words': control.words['en']},
        'contrasts': [_judged_in_numbers(each) for each in finding.judged],
    }


def _judged_in_numbers(judged: Judged) -> dict:
    contrast: Contrast = judged.contrast
    barrier = contrast.barrier
    return {
        'where': {name: _name(each) for name, each in contrast.where.items()},
        'answer': judged.answer,
        'value': contrast.value,
        'interval': contrast.interval,
        'n': contrast.n,
        'p_true': contrast.p_true,
        'p_false': contrast.p_false,
        'adjusted_p': judged.p,
        'prediction': contrast.prediction,
        'n_to_decide': judged.needed,
        'barrier': barrier and {'status': barrier.status, 'words': barrier.words['en']},
    }


def _name(condition: object) -> object:
    return condition.name.lower() if isinstance(condition, Enum) else condition


def markdown(
    table: Sequence[Row], notes: Sequence[str], language: Language, page: str = 'claims'
) -> str:
    """The table as Markdown, with the details of each claim below, folded away."""
    lines = [
        f'# {language.titles[page]}',
        '',
        _markdown_row(language.headings),
        _markdown_row('---' for _ in language.headings),
    ]
    for row in table:
        claim, status, *others = row.cells
        status = '<br>'.join([f'**{status}**', *row.remarks])
        lines.append(_markdown_row((claim, status, *others)))
    lines += ['', language.method, '', *(f'- {note}' for note in notes), '']
    lines += [f'<details><summary>{language.details}</summary>', '']
    for index, row in enumerate(table, 1):
        lines.append(f'{index}. {row.cells[0]}')
        for label, texts in row.details:
            lines.append(f'   - {label}{language.colon}{language.semicolon.join(texts)}')
    return '\n'.join([*lines, '', '</details>']) + '\n'


def _markdown_row(texts: Iterable[str]) -> str:
    return ' | '.join(['', *(text.replace('|', r'\|') for text in texts), '']).strip()


def _pictures(directory: Path, findings: Sequence[Finding]) -> list[Shown]:
    """The figures that go with the claims that were measured, each once."""
    shown: dict[Path, list[int]] = {}
    for index, finding in enumerate(findings):
        claim = finding.claim
        path = directory / claim.sweep / 'figures' / f'{claim.figure.name}.png'
        if finding.judged and path.exists():
            shown.setdefault(path, []).append(index)
    return [_picture(path, indices, findings) for path, indices in shown.items()]


def _picture(path: Path, indices: Sequence[int], findings: Sequence[Finding]) -> Shown:
    claim = findings[indices[0]].claim
    captions = {}
    for language in LANGUAGES:
        numbers = language.comma.join(str(index + 1) for index in indices)
        caption = claim.figure.caption[language.code]
        captions[language.code] = f'{caption} {language.bears_on.format(numbers)}'
    return Shown(
        data=f'data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}',
        captions=captions,
        label=f'{claim.figure.name.replace("_", " ")}, sweep {claim.sweep}',
        report=f'{claim.sweep}/report.html',
    )
