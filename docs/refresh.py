"""Brings the results of a run into the documentation: figures, claims, and the tables of READMEs.

    python docs/refresh.py runs/digits
    python docs/refresh.py runs/fashion_mnist

The directory is named after its configuration, and holds the finished sweeps and what `launch.py
--claims` wrote. All of it but the weights goes into an archive, from which everything can be
rebuilt without training:

    tar -xf docs/run/digits.tar.xz && python launch.py --claims --workdir digits

The digits are what READMEs and figures show. Of other data, the claims and the pages of the sweeps
go to a folder of `docs/run/`, and the claims into a table beside those on digits.

Tests compare the documentation with what this leaves in `docs/run/`, and that with the archives.
"""

import csv
import io
import json
import shutil
import statistics
import sys
import tarfile
from pathlib import Path

import experiments
from vggres.commands.claims import protocol
from vggres.findings.languages import ENGLISH
from vggres.findings.outcomes import failing_error
from vggres.findings.tables import error_range
from vggres.sweeps import sweep as sweeps

DOCS = Path(__file__).parent
# Sweeps whose verdict is a page of its own, in words and tables.
PAGES = ('depth', 'depth_tuned', 'convergence', 'gradient_flow', 'identity_shortcut')
READMES = {'en': DOCS.parent / 'README.md', 'zh': DOCS.parent / 'README.zh.md'}
HEADINGS = {'en': ('claim', 'status', 'one number'), 'zh': ('说法', '结论', '一个数字')}
RATE = 'rate/verdict.json'
GAPS = 'depth_tuned/figures/gap_against_budget.png'
COPIES = {
    'claims.json': 'run/claims.json',
    'claims.md': 'claims.md',
    'claims.zh.md': 'claims.zh.md',
    'depth/verdict.json': 'run/depth.json',
    'depth/results.csv': 'run/depth.csv',
    'depth/figures/error_against_depth.png': 'error_against_depth.png',
    RATE: 'run/rate.json',
    'depth_tuned/verdict.json': 'run/depth_tuned.json',
    'convergence/verdict.json': 'run/convergence.json',
    'convergence/figures/updates_against_depth.png': 'updates_against_depth.png',
    'gradient_flow/figures/gradient_by_layer_glorot.png': 'gradient_by_depth.png',
    'identity_shortcut/figures/error_by_shortcut.png': 'error_by_shortcut.png',
}
MAIN = 'digits'
OTHERS = ('digits_noise', 'fashion_mnist', 'cifar10_16px')
# Of each sweep and of each cell; what is left out is weights, or follows from these.
FILES = ('config.json', 'result.json', 'metrics.jsonl', 'probes.jsonl')
KEPT = ('sweep.json', *(f'cells/*/{name}' for name in FILES))


def archive(workdir: Path) -> None:
    """Packs the results of all sweeps, in the same bytes for the same results."""
    with tarfile.open(DOCS / 'run' / f'{workdir.name}.tar.xz', 'w:xz', preset=9) as packed:
        for path in sorted(path for name in KEPT for path in workdir.glob(f'*/{name}')):
            content = path.read_bytes()
            entry = tarfile.TarInfo(f'{workdir.name}/{path.relative_to(workdir)}')
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))


def page(name: str, workdir: Path) -> str:
    """The verdict of a sweep in words and tables, and what it rests on, as Markdown."""
    experiment, sweep = experiments.load(name), sweeps.load(workdir / name)
    verdict = experiment.analyse(sweep)
    asked = f'The claim under test, which the findings may contradict: “{experiment.CLAIM}”'
    parts = [f'# {experiment.TITLE}', f'`python launch.py --sweep {name}`. {asked}']
    parts.append(ENGLISH.note(name, protocol(sweep)))
    parts.append('\n'.join(f'- {line}' for line in experiment.words(verdict).splitlines()))
    for each in experiment.tables(verdict):
        lines = [tuple(column.heading for column in each.columns), ('---',) * len(each.columns)]
        body = '\n'.join(f'| {" | ".join(line)} |' for line in [*lines, *each.rows])
        parts += [f'## {each.title}', body, each.note]
    return '\n\n'.join(part for part in parts if part) + '\n'


def table(language: str) -> str:
    """The claims of `docs/run/claims.json` as a Markdown table in one language."""
    rows = json.loads((DOCS / 'run' / 'claims.json').read_text())[language]
    lines = [HEADINGS[language], ('---',) * 3]
    lines += [(sentence, f'**{status}**', number) for sentence, status, number in rows]
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def error_table(results: Path) -> str:
    """The errors in a `results.csv` as a Markdown table: the median, the lowest and the highest.

    Errors are bounded and often bimodal, so that a mean and a deviation would describe no run.
    """
    runs: dict[tuple[str, str], list[dict[str, str]]] = {}
    with results.open() as file:
        for row in csv.DictReader(file):
            runs.setdefault((row['variant'], row['depth']), []).append(row)
    lines = [
        '| network | depth | training error | validation error | failed | n |',
        '|---|---|---|---|---|---|',
    ]
    for (variant, depth), group in runs.items():
        errors = []
        for split in ('train', 'validation'):
            values = [float(run[f'{split}_error']) for run in group]
            errors.append(error_range(statistics.median(values), min(values), max(values)))
        failed = sum(
            run['status'] == 'diverged'
            or float(run['train_error']) >= failing_error(int(run['num_classes']))
            for run in group
        )
        lines.append(f'| {variant} | {depth} | {" | ".join(errors)} | {failed} | {len(group)} |')
    return '\n'.join(lines)


def rate_table(stored: Path) -> str:
    """The validation losses by learning rate in the verdict of `--sweep rate`, as Markdown."""
    verdict = json.loads(stored.read_text())
    rows = [(f'{each["family"]} {each["depth"]}', each) for each in verdict['networks']]
    lines = [('network', *(f'{rate:g}' for rate in verdict['choice']['rates']), 'best')]
    lines.append(('---',) * len(lines[0]))
    for name, each in [*rows, ('all', verdict)]:
        choice = each['choice']
        failed = each.get('failed', [0] * len(choice['rates']))
        losses = [
            f'{loss:.3g}{f" ({count})" if count else ""}'
            for loss, count in zip(choice['losses'], failed, strict=True)
        ]
        lines.append((name, *losses, f'{choice["rate"]:g}{"*" if choice["edge"] else ""}'))
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def updates_table(stored: Path) -> str:
    """The median updates by depth in the verdict of `--sweep convergence`, as Markdown."""
    growth = json.loads(stored.read_text())['growth']
    depths = next(iter(growth.values()))['5']['depths']
    lines = [('network', 'training error', *map(str, depths)), ('---',) * (len(depths) + 2)]
    for family, by_target in growth.items():
        for target, found in by_target.items():
            medians = ['more' if each is None else f'{each:.0f}' for each in found['medians']]
            lines.append((family, f'{target} %', *medians))
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def data_table() -> str:
    """The claims on digits beside those on other data, as Markdown: status and number of each."""
    stored = {MAIN: DOCS / 'run' / 'claims.json'}
    stored |= {name: DOCS / 'run' / name / 'claims.json' for name in OTHERS}
    found = {name: json.loads(path.read_text())['en'] for name, path in stored.items()}
    lines = [('claim', *found), ('---',) * (len(found) + 1)]
    for rows in zip(*found.values(), strict=True):
        lines.append((rows[0][0], *(f'**{status}**<br>{said}' for _, status, said in rows)))
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def replace(path: Path, marker: str, text: str) -> None:
    """Writes a text between the markers of a page, `<!-- marker -->` and `<!-- /marker -->`."""
    begin, end = f'<!-- {marker} -->', f'<!-- /{marker} -->'
    before, rest = path.read_text().split(begin)
    _, after = rest.split(end)
    path.write_text(f'{before}{begin}\n{text}\n{end}{after}')


def main(workdir: Path) -> None:
    """Copies the files and rewrites the tables."""
    archive(workdir)
    if workdir.name == MAIN:
        _refresh_main(workdir)
    else:
        _refresh_other(workdir)
    replace(DOCS / 'results.md', 'data', data_table())


def _refresh_other(workdir: Path) -> None:
    folder = DOCS / 'run' / workdir.name
    folder.mkdir(parents=True, exist_ok=True)
    for name in ('claims.json', 'claims.md', 'claims.zh.md', GAPS):
        shutil.copy(workdir / name, folder / Path(name).name)
    for name in PAGES:
        if (workdir / name).exists():
            (folder / f'{name}.md').write_text(page(name, workdir))


def _refresh_main(workdir: Path) -> None:
    for source, target in COPIES.items():
        if source != RATE or (workdir / source).exists():  # chosen once, and seldom run again
            shutil.copy(workdir / source, DOCS / target)
    for name in PAGES:
        (DOCS / 'run' / f'{name}.md').write_text(page(name, workdir))
    for language, path in READMES.items():
        replace(path, 'claims', table(language))
    replace(DOCS / 'results.md', 'table', error_table(DOCS / 'run' / 'depth.csv'))
    replace(DOCS / 'results.md', 'rates', rate_table(DOCS / 'run' / 'rate.json'))
    replace(DOCS / 'results.md', 'updates', updates_table(DOCS / 'run' / 'convergence.json'))


if __name__ == '__main__':
    asked = Path(sys.argv[1]).resolve() if len(sys.argv) == 2 else Path()
    if asked.name not in (MAIN, *OTHERS) or not (asked / 'claims.json').exists():
        sys.exit(
            'usage: python docs/refresh.py WORKDIR, after launch.py --claims wrote into it; it is '
            f'named {", ".join((MAIN, *OTHERS))}'
        )
    main(asked)
