"""Writes the last page, "What remains of the story": what holds, what fails, and what cures.

It asserts nothing of its own. Sentences and statuses are those of the two tables of claims, and the
interventions are those of the sweeps that tune arms. The page is `remains.html`, `.md` and
`.zh.md`, with the figure in `remains.png`.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vggres.figures.cures import NetworkUpdates, cure_by_depth
from vggres.figures.rendering import to_png
from vggres.files import write_atomically
from vggres.findings.claims import Finding
from vggres.findings.claims_page import short_row
from vggres.findings.contrasts import Status
from vggres.findings.cures import CLEAR, CURED
from vggres.findings.cures_telling import ArmOutcome, ArmsVerdict, factor
from vggres.findings.languages import CHINESE, ENGLISH, Language
from vggres.findings.outcomes import CONFIDENCE
from vggres.findings.page_templates import templates
from vggres.findings.tables import MISSING

PAGE, TITLE = 'remains.html', 'What remains of the story'
PICTURE = 'remains.png'


@dataclass(frozen=True)
class _Words:
    """What the page says in one language.

    Attributes:
        language: of the claims.
        title: of the page.
        holds: heads the sentences that hold.
        fails: heads those that fail.
        open: heads those that nothing has decided, or that hold under some conditions only.
        waiting: heads those whose sweep was not run.
        cures: heads the interventions.
        columns: of their table.
        statuses: what becomes of an intervention, by `cures.Cure.status`.
        method: how they are judged.
        none: where a list has no entry.
        no_sweep: where no intervention was tried, before the command that would.
    """

    language: Language
    title: str
    holds: str
    fails: str
    open: str
    waiting: str
    cures: str
    columns: tuple[str, ...]
    statuses: Mapping[str, str]
    method: str
    none: str
    no_sweep: str


_STATUSES = (
    'cures',
    'helps',
    'no effect',
    'harms',
    'nothing to cure',
    'budget insufficient',
    'inconclusive',
)
_WORDS = (
    _Words(
        language=ENGLISH,
        title=TITLE,
        holds='What holds',
        fails='What fails',
        open='What is open',
        waiting='What was not measured',
        cures='What cures a deep network',
        columns=(
            'intervention',
            'depth',
            'outcome',
            'updates',
            f'to the control ({100 * CONFIDENCE:g} % interval)',
            'to the untreated network',
            'n',
        ),
        statuses={each: each for each in _STATUSES},
        method=(
            'Updates are counted until a training error is reached, each network at its own '
            'fastest constant rate, on seeds that did not choose it: the median of all runs, or, '
            'as in 3/8, how many runs get there where most do not. Beside them, how many times the '
            'updates of the control (the residual network, as a rule) and of the untreated network '
            'they are, seed by seed, n seeds. An intervention cures where the network is less than '
            f'{CURED:g} times slower than the control; it helps or harms where it makes the '
            f'network {CLEAR:g} times faster or slower. ≥ and ≤ stand before factors that hold '
            'runs ended by the budget.'
        ),
        none='None of the sentences.',
        no_sweep='No intervention was tried yet. To begin:',
    ),
    _Words(
        language=CHINESE,
        title='流行的解释还剩下什么',
        holds='成立的说法',
        fails='不成立的说法',
        open='尚无定论的说法',
        waiting='尚未测量的说法',
        cures='什么能治愈深层网络',
        columns=(
            '干预（网络名称与图中一致）',
            '深度',
            '结果',
            '更新次数',
            f'与对照之比（{100 * CONFIDENCE:g}% 区间）',
            '与未干预网络之比',
            'n',
        ),
        statuses=dict(
            zip(
                _STATUSES,
                ('治愈', '有帮助', '无效果', '有害', '无需治愈', '训练预算不足', '无法判定'),
                strict=True,
            )
        ),
        method=(
            '更新次数计到训练误差达标为止，取全部训练的中位数；多数训练未达标时，如 3/8，'
            '给出达标的个数。每个网络取各自最快的恒定学习率，计数所用的随机种子不参与选择学习率。'
            '右侧两列是逐个随机种子与对照（通常为残差网络）及未干预网络的更新次数之比，'
            f'n 为随机种子数。比对照慢不到 {CURED:g} 倍即为治愈；'
            f'使网络快或慢 {CLEAR:g} 倍以上即为有帮助或有害。'
            '≥ 与 ≤ 表示其中有被预算终止的训练。'
        ),
        none='没有。',
        no_sweep='尚未尝试任何干预。可先运行：',
    ),
)
# From what cures to what says nothing.
_ORDER = {status: place for place, status in enumerate(_STATUSES)}


@dataclass(frozen=True)
class _Section:
    """Sentences of one fate: [sentence, status, number], each in one language."""

    heading: str
    rows: Sequence[Sequence[str]]


def write(
    directory: Path,
    findings: Sequence[Finding],
    sweeps: Mapping[str, ArmsVerdict],
    command: str,
) -> dict[str, Path]:
    """Writes the page.

    Args:
        directory: where the sweeps are.
        findings: one for each claim about the story and about causes.
        sweeps: what interventions do, by the name of the sweep that says so.
        command: that would run a sweep of interventions.

    Returns:
        The paths, under 'html' and the codes of the languages.
    """
    judged = {name: each for name, each in sweeps.items() if any(arm.updates for arm in each.arms)}
    picture = b''
    if judged:
        drawn = cure_by_depth({name: [*_networks(each)] for name, each in judged.items()})
        picture = to_png(drawn)
        write_atomically(directory / PICTURE, picture)
    paths = {'html': directory / PAGE}
    pages = []
    for words in _WORDS:
        sections, cures = _sections(findings, words), _cures(judged, words)
        code = words.language.code
        paths[code] = directory / ('remains.md' if code == 'en' else f'remains.{code}.md')
        write_atomically(paths[code], _markdown(words, sections, cures, command))
        pages.append((words, sections, cures))
    html = (
        templates()
        .get_template('remains.html')
        .render(pages=pages, command=command, picture=base64.b64encode(picture).decode())
    )
    write_atomically(paths['html'], html)
    return paths


def _sections(findings: Sequence[Finding], words: _Words) -> list[_Section]:
    """The sentences by their fate."""
    headings = {
        Status.HOLDS: words.holds,
        Status.FAILS: words.fails,
        Status.NOT_MEASURED: words.waiting,
    }
    fates: dict[str, list[Finding]] = {
        heading: [] for heading in (words.holds, words.fails, words.open, words.waiting)
    }
    for finding in findings:
        fates[headings.get(finding.status, words.open)].append(finding)
    return [
        _Section(heading, [short_row(each, words.language) for each in own])
        for heading, own in fates.items()
    ]


def _cures(sweeps: Mapping[str, ArmsVerdict], words: _Words) -> list[list[str]]:
    """The interventions as rows of a table, what cures first."""
    treated = [arm for each in sweeps.values() for arm in each.arms if arm.cure]
    treated.sort(key=lambda arm: _ORDER[arm.status])  # stable: in the order of the sweeps
    return [_cure(arm, words) for arm in treated]


def _cure(arm: ArmOutcome, words: _Words) -> list[str]:
    cure, to = arm.cure, words.language.to
    assert cure
    return [
        arm.arm,
        str(arm.depth),
        words.statuses[cure.status],
        _updates(arm),
        factor(cure.to_control, to),
        factor(cure.to_untreated, to),
        str(min(cure.to_control.n, cure.to_untreated.n)),
    ]


def _updates(arm: ArmOutcome) -> str:
    if arm.median_updates is None:
        return f'{arm.reached}/{len(arm.updates)}'
    return f'{arm.median_updates:,.0f}'


def _networks(found: ArmsVerdict) -> Iterator[NetworkUpdates]:
    for arm in found.arms:
        if arm.updates:
            yield NetworkUpdates(
                name=arm.arm,
                depth=arm.depth,
                updates=arm.median_updates,
                reached=arm.reached,
                runs=len(arm.updates),
                status=arm.status,
            )


def _markdown(
    words: _Words, sections: Sequence[_Section], cures: Sequence[Sequence[str]], command: str
) -> str:
    lines = [f'# {words.title}', '']
    for section in sections:
        lines += [f'## {section.heading}', '']
        lines += [_item(row) for row in section.rows] or [words.none]
        lines.append('')
    lines += [f'## {words.cures}', '']
    if not cures:
        return '\n'.join([*lines, words.no_sweep, '', f'    {command}', ''])
    lines += [f'![{words.cures}]({PICTURE})', '']
    lines += [_row(words.columns), _row('---' for _ in words.columns), *map(_row, cures)]
    return '\n'.join([*lines, '', words.method, ''])


def _item(row: Sequence[str]) -> str:
    sentence, status, number = row
    return f'- {sentence} **{status}**' + (f'. {number}' if number != MISSING else '')


def _row(texts: Iterable[str]) -> str:
    return f'| {" | ".join(texts)} |'
