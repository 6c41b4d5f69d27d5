"""The report of a sweep: `report.html`, `figures/` and `results.csv` from plain data.

`report.html` is one file that needs nothing else: its figures are inline SVG, it has no scripts
and loads nothing.
"""

import csv
import io
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from vggres.figures.rendering import to_png, to_svg
from vggres.figures.style import order_variants
from vggres.files import write_atomically
from vggres.findings.verdict import METRIC_WORDS

# These columns come first in results.csv and are always there; other scalars follow by name.
FIRST_COLUMNS = (
    'cell',
    'variant',
    'family',
    'depth',
    'seed',
    'status',
    'diverged_at_step',
    'train_error',
    'validation_error',
    'test_error',
    'train_loss',
    'validation_loss',
    'test_loss',
    'parameters',
    'steps',
    'seconds',
)
MISSING = '–'

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """What was found, as text.

    Attributes:
        title: what it shows, in a few words.
        columns: the headings.
        words: which of them hold words rather than numbers.
        rows: a text a column.
        note: what the headings mean.
    """

    title: str
    columns: Sequence[str]
    words: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ''


def write(
    directory: Path,
    *,
    title: str,
    claim: str,
    source: str,
    verdict_words: str,
    tables: Sequence[Table],
    results: Sequence[Result],
    figures: Mapping[str, tuple[Figure, str]],
    protocol: Mapping[str, Any],
    environment: Mapping[str, Any],
    failed: Sequence[Mapping[str, Any]],
) -> Path:
    """Writes `figures/*.png,*.svg`, `results.csv` and, last, `report.html` into the directory.

    Every file is replaced as a whole: who reads it meanwhile sees the old one or the new one. The
    same input gives the same bytes.

    Args:
        claim: the question, or what is claimed; `source` says by whom.
        verdict_words: what was found, a line a finding.
        tables: the same in numbers.
        results: one dict a run, as in `result.json`; errors in %.
        figures: name → (figure, caption). The name becomes a file name.
        protocol: the configuration, nested.
        environment: versions, hardware, commit, devices and times, nested.
        failed: one dict a cell without a result: its id as `cell`, `what` happened to it, and
            whatever else is known.

    Returns:
        The path of `report.html`.

    Raises:
        ValueError: a figure's name that is no letter followed by letters, digits, `_` or `-`.
    """
    for name in figures:
        if not re.fullmatch(r'[A-Za-z][\w-]*', name, re.ASCII):
            raise ValueError(f'figure name {name!r}: use a letter, then letters, digits, _ or -')
    directory = Path(directory)
    (directory / 'figures').mkdir(parents=True, exist_ok=True)
    variants = order_variants(result['variant'] for result in results)
    results = sorted(results, key=lambda r: (variants.index(r['variant']), r['depth'], r['seed']))
    shown = [
        {'name': name, 'caption': caption, 'svg': _write_figure(directory, name, figure, caption)}
        for name, (figure, caption) in figures.items()
    ]
    write_atomically(directory / 'results.csv', results_csv(results))

    page = templates().get_template('report.html')
    html = page.render(
        title=title,
        claim=claim,
        source=source,
        verdict_words=verdict_words,
        tables=tables,
        figures=shown,
        results=results_table(results),
        runs=runs_table(results),
        lost=lost_runs(results, failed),
        protocol=groups(protocol),
        environment=groups(environment),
    )
    path = directory / 'report.html'
    write_atomically(path, html)
    return path


def _write_figure(directory: Path, name: str, figure: Figure, caption: str) -> Markup:
    """Writes the figure's files and returns what stands in the page."""
    label = caption or name.replace('_', ' ')
    path = directory / 'figures' / name
    write_atomically(path.with_suffix('.svg'), to_svg(figure, name, label, background='white'))
    write_atomically(path.with_suffix('.png'), to_png(figure))
    return Markup(to_svg(figure, name, label))


def results_csv(results: Sequence[Result]) -> str:
    """One row a run: `FIRST_COLUMNS`, then every other scalar by name; None is an empty field."""
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, csv_columns(results), extrasaction='ignore', lineterminator='\n')
    table.writeheader()
    table.writerows(results)
    return buffer.getvalue()


def csv_columns(results: Sequence[Result]) -> list[str]:
    """The keys with scalar values in a fixed order."""
    found = {
        key
        for result in results
        for key, value in result.items()
        if value is None or isinstance(value, str | int | float)
    }
    return [*FIRST_COLUMNS, *sorted(found - set(FIRST_COLUMNS))]


def results_table(results: Sequence[Result]) -> dict[str, Any]:
    """Mean ± sample standard deviation of the errors for each variant and depth.

    Args:
        results: those of one variant and depth stand together.

    Returns:
        columns: the headings of the numbers; variants: for each a list of dicts with variant, depth
        and numbers, in the order of the results.
    """
    rows = []
    for (variant, depth), group in groupby(results, key=itemgetter('variant', 'depth')):
        runs = list(group)
        numbers = [
            str(len(runs)),
            str(sum(run['status'] == 'diverged' for run in runs)),
            *(mean_and_spread([run[metric] for run in runs]) for metric in METRIC_WORDS),
            _text(runs[0].get('parameters')),
            f'{statistics.fmean(run["seconds"] for run in runs):,.1f}',
        ]
        rows.append({'variant': variant, 'depth': depth, 'numbers': numbers})
    errors = [f'{words} (%)' for words in METRIC_WORDS.values()]
    return {
        'columns': ['runs', 'diverged', *errors, 'parameters', 'time a run (s)'],
        'variants': [list(group) for _, group in groupby(rows, key=itemgetter('variant'))],
    }


def mean_and_spread(values: Sequence[float]) -> str:
    """`1.20 ± 0.30`; one value has no spread."""
    spread = f' ± {statistics.stdev(values):.2f}' if len(values) > 1 else ''
    return f'{statistics.fmean(values):.2f}{spread}'


def runs_table(results: Sequence[Result]) -> dict[str, list]:
    """Every scalar of every run as text, without the columns that are empty throughout.

    Returns:
        columns: dicts with name and words (whether it holds words rather than numbers); rows: a
        list of texts a run.
    """
    filled = [c for c in csv_columns(results) if any(r.get(c) not in (None, '') for r in results)]
    return {
        'columns': [
            {
                'name': column.replace('_', ' '),
                'words': any(isinstance(result.get(column), str) for result in results),
            }
            for column in filled
        ],
        'rows': [
            [_text(result.get(column), 2 if column in METRIC_WORDS else None) for column in filled]
            for result in results
        ],
    }


def lost_runs(
    results: Sequence[Result], failed: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The runs that diverged and the cells that failed: what happened, which one, and details."""
    lost = []
    for run in results:
        if run['status'] == 'diverged':
            which = f'{run["variant"]}, depth {run["depth"]}, seed {run["seed"]}, {run["cell"]}'
            what = f'diverged at step {run["diverged_at_step"]:,}'
            lost.append({'what': what, 'which': which, 'details': []})
    for cell in failed:
        details = [(name, str(cell[name])) for name in cell if name not in ('cell', 'what')]
        lost.append({'what': cell['what'], 'which': cell['cell'], 'details': details})
    return lost


def verdict_table(verdict: Mapping[str, Any]) -> Table:
    """What `verdict.decide` found: a row a variant and one for the difference between two."""
    variants = verdict['variants']
    rows = [
        [
            variant,
            entry['verdict'],
            _compared(entry),
            *_excess(entry),
            p_value(entry['trend_p']),
            str(entry['n']),
        ]
        for variant, entry in ((each, variants[each]) for each in order_variants(variants))
    ]
    for difference in verdict['differences']:
        names = ' − '.join(difference['variants'])
        excess = _excess(difference)
        rows.append([names, 'difference of excesses', '', *excess, '', str(difference['n'])])
    metric = METRIC_WORDS.get(verdict['metric'], verdict['metric'].replace('_', ' '))
    interval = f'{100 * verdict["confidence"]:g} % CI (pp)'
    return Table(
        title='verdict by network',
        columns=(
            'network', 'verdict', 'depths compared', 'excess error (pp)', interval, 'trend p', 'n',
        ),
        words=('network', 'verdict'),
        rows=rows,
        note=f'Excess error: {metric} of the deepest net minus that of the best shallower net of '
        f'its family, in percentage points (pp). Margin {verdict["margin"]:g} pp, significance '
        f'level {verdict["significance"]:g}; n: seeds.',
    )  # fmt: skip


def number(value: float | None, form: str = '+.2f') -> str:
    """A number in a table, with a true minus; a dash for None."""
    if value is None:
        return MISSING
    return '∞' if value == math.inf else f'{value:{form}}'.replace('-', '−')


def interval(ends: Sequence[float] | None, form: str = '+.2f') -> str:
    """Two numbers in a table."""
    return ' to '.join(number(end, form) for end in ends) if ends else MISSING


def p_value(p: float | None) -> str:
    """Three digits, or that it is below 0.001."""
    if p is None:
        return MISSING
    return '< 0.001' if p < 0.001 else f'{p:.3f}'


def groups(nested: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A nested dict as groups of (dotted name, text): plain values first, then a group a key."""
    plain = {key: value for key, value in nested.items() if not _is_nested(value)}
    found = [{'name': '', 'rows': list(_dotted(plain))}] if plain else []
    for key, value in nested.items():
        if _is_nested(value):
            found.append({'name': str(key), 'rows': list(_dotted(value, f'{key}.'))})
    return found


def _dotted(nested: Mapping[str, Any], prefix: str = '') -> Iterable[tuple[str, str]]:
    for key, value in nested.items():
        if _is_nested(value):
            yield from _dotted(value, f'{prefix}{key}.')
        elif isinstance(value, list | tuple):
            yield f'{prefix}{key}', ', '.join(map(str, value)) or MISSING
        else:
            yield f'{prefix}{key}', MISSING if value in ('', {}) else str(value)


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def _compared(entry: Mapping[str, Any]) -> str:
    shallower = entry['best_shallower']
    return MISSING if shallower is None else f'{entry["deepest"]} against {shallower}'


def _excess(entry: Mapping[str, Any]) -> list[str]:
    interval = entry['confidence_interval']
    return [
        _signed(entry['excess_error']),
        ' to '.join(map(_signed, interval)) if interval else MISSING,
    ]


def _signed(value: float | None) -> str:
    if value is None:
        return MISSING
    return f'{round(value, 2) + 0.0:+.2f}'.replace('-', '−')


def _text(value: Any, decimals: int | None = None) -> str:
    """A scalar as a person would like to read it."""
    if value is None or value == '':
        return MISSING
    if isinstance(value, bool | str):
        return str(value)
    if decimals is not None:
        return f'{value:.{decimals}f}'
    return f'{value:,}' if isinstance(value, int) else f'{value:.4g}'


def templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / 'templates'),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
