"""Writes the report of a sweep: `report.html`, `figures/` and `results.csv`.

`report.html` is one file that needs nothing else and loads nothing: its figures are inline SVG, and
charts bring their own scripts. Where scripts do not run, and on paper, figures are all there is.
"""

import csv
import dataclasses
import io
import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from vggres.figures.charts import Chart
from vggres.figures.rendering import to_png, to_svg
from vggres.figures.style import order_variants
from vggres.files import write_atomically
from vggres.findings import chart_page, published_errors
from vggres.findings.outcomes import has_failed
from vggres.findings.page_templates import templates
from vggres.findings.phrases import by_word
from vggres.findings.published_errors import PublishedError
from vggres.findings.tables import MISSING, Column, Table, error_range
from vggres.findings.verdict import METRIC_WORDS
from vggres.results import Result

# The columns of results.csv that come first; those of the other scalars follow by name.
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
_NOT_SHOWN = {  # as columns: they are no scalars, or other tables say it
    'image_shape',
    'num_images',
    'versions',
    'class_counts',
    'fingerprints',
    'validated_and_trained',
    'unknown_archive',
    'attempts',
    'mixed_with',
}
_DATA_NOTE = (
    'The fingerprint is the beginning of a SHA-256 of images and labels; each result.json has the '
    'whole of it. The test images were evaluated once, after training.'
)
_FINGERPRINT_SHOWN = 12  # hexadecimal digits
COLUMNS = (
    *FIRST_COLUMNS,
    *sorted({each.name for each in dataclasses.fields(Result)} - set(FIRST_COLUMNS) - _NOT_SHOWN),
)
NETWORK_COLUMNS = (
    'runs',
    'failed to train',
    'diverged',
    *(f'{words} (%)' for words in METRIC_WORDS.values()),
    'parameters',
    'time per run (s)',
)


@dataclass(frozen=True)
class LostRun:
    """A run that diverged, failed or did not finish.

    Attributes:
        which: the run, in words, or the id of its cell.
        what: what happened to it.
        details: whatever else is known, by name.
    """

    which: str
    what: str
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What a report says.

    Attributes:
        title: of the experiment.
        claim: the question, or what is claimed.
        source: who claims it.
        words: the verdict, one finding per line.
        tables: the verdict in numbers.
        results: of the finished runs.
        figures: each with its caption, by a name that becomes a file name.
        protocol: the configuration, nested.
        environment: versions, hardware, commit and times, nested.
        lost: the cells without a result; runs that diverged are added from the results.
        charts: what answers to a pointer.
        in_short: the verdict in a word or two on each thing that it is about.
    """

    title: str
    claim: str
    source: str
    words: str
    tables: Sequence[Table]
    results: Sequence[Result]
    figures: Mapping[str, tuple[Figure, str]]
    protocol: Mapping[str, Any]
    environment: Mapping[str, Any]
    lost: Sequence[LostRun] = ()
    charts: Sequence[Chart] = ()
    in_short: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ShownFigure:
    """A figure as the page shows it."""

    name: str
    caption: str
    svg: Markup


@dataclass(frozen=True)
class Settings:
    """A group of settings: pairs of a dotted name and a text, under a name or under none."""

    name: str
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class NetworkRow:
    """The results of one variant at one depth: a text under each of `NETWORK_COLUMNS`."""

    variant: str
    depth: int
    texts: Sequence[str]


def write(directory: Path, report: Report) -> Path:
    """Writes `figures/*.png,*.svg`, `results.csv` and, last, `report.html` into a directory.

    Every file is replaced as a whole: a reader sees the old one or the new one. The same report
    gives the same bytes.

    Returns:
        The path of `report.html`.

    Raises:
        ValueError: for a figure's name that is not a letter followed by letters, digits, `_` or
            `-`.
    """
    for name in report.figures:
        if not re.fullmatch(r'[A-Za-z][\w-]*', name, re.ASCII):
            raise ValueError(f'figure name {name!r}: use a letter, then letters, digits, _ or -.')
    directory = Path(directory)
    (directory / 'figures').mkdir(parents=True, exist_ok=True)
    variants = order_variants(result.variant for result in report.results)
    results = sorted(report.results, key=lambda r: (variants.index(r.variant), r.depth, r.seed))
    figures = [
        _write_figure(directory, name, figure, caption)
        for name, (figure, caption) in report.figures.items()
    ]
    write_atomically(directory / 'results.csv', results_csv(results))
    html = templates().get_template('report.html').render(
        report=report,
        in_short=by_word(report.in_short),
        figures=figures,
        charts=chart_page.shown(report.charts),
        network_columns=NETWORK_COLUMNS,
        networks=[list(rows) for _, rows in groupby(network_rows(results), lambda r: r.variant)],
        published=published_table(report.protocol, results),
        data=data_table(results),
        runs=runs_table(results),
        lost=[*diverged_runs(results), *report.lost],
        protocol=settings(report.protocol),
        environment=settings(report.environment),
    )  # fmt: skip
    write_atomically(directory / 'report.html', html)
    return directory / 'report.html'


def _write_figure(directory: Path, name: str, figure: Figure, caption: str) -> ShownFigure:
    """Writes the files of a figure; returns it as the page shows it."""
    label = caption or name.replace('_', ' ')
    path = directory / 'figures' / name
    write_atomically(path.with_suffix('.svg'), to_svg(figure, name, label, background='white'))
    write_atomically(path.with_suffix('.png'), to_png(figure))
    return ShownFigure(name, caption, Markup(to_svg(figure, name, label)))


def results_csv(results: Iterable[Result]) -> str:
    """The results as CSV: one row per run under `COLUMNS`, where None is an empty field."""
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, COLUMNS, extrasaction='ignore', lineterminator='\n')
    table.writeheader()
    table.writerows(_row(result) for result in results)
    return buffer.getvalue()


def network_rows(results: Iterable[Result]) -> Iterator[NetworkRow]:
    """Summarises each variant and depth: the median of the errors with the lowest and highest.

    Args:
        results: those of one variant and depth stand together.
    """
    for (variant, depth), group in groupby(results, key=lambda r: (r.variant, r.depth)):
        runs = list(group)
        texts = [
            str(len(runs)),
            str(sum(map(has_failed, runs))),
            str(sum(run.status == 'diverged' for run in runs)),
            *(median_and_range([getattr(run, metric) for run in runs]) for metric in METRIC_WORDS),
            _text(runs[0].parameters),
            f'{statistics.fmean(run.seconds for run in runs):,.1f}',
        ]
        yield NetworkRow(variant, depth, texts)


def median_and_range(errors: Sequence[float]) -> str:
    """The median of some errors with the lowest and the highest, `1.20 (0.90–3.10)`."""
    return error_range(statistics.median(errors), min(errors), max(errors))


def mean_and_spread(values: Sequence[float]) -> str:
    """The mean and the sample standard deviation, `1.20 ± 0.30`; one value has no spread."""
    spread = f' ± {statistics.stdev(values):.2f}' if len(values) > 1 else ''
    return f'{statistics.fmean(values):.2f}{spread}'


def data_table(results: Sequence[Result]) -> Table | None:
    """What each split consisted of; None where no run recorded it.

    Runs on other images would give a split a second row.
    """
    recorded = [
        (run.class_counts, run.fingerprints)
        for run in results
        if run.class_counts and run.fingerprints
    ]
    if not recorded:
        return None
    rows = {
        (name, fingerprints[name]): tuple(class_counts[name])
        for class_counts, fingerprints in recorded
        for name in fingerprints
    }
    return Table(
        title='Data',
        columns=[
            Column('split', words=True),
            *(Column(text) for text in ('images', 'classes', 'fewest of a class', 'most')),
            Column('fingerprint', words=True),
        ],
        rows=[
            [
                name,
                f'{sum(counts):,}',
                str(len(counts)),
                f'{min(counts):,}',
                f'{max(counts):,}',
                fingerprint[:_FINGERPRINT_SHOWN],
            ]
            for (name, fingerprint), counts in rows.items()
        ],
        note=' '.join([*_trained_on(results), _DATA_NOTE]),
    )


def _trained_on(results: Sequence[Result]) -> Iterator[str]:
    """A sentence where validation images were trained on, which makes their error too small."""
    shared = {
        (run.validated_and_trained, run.num_images['validation'])
        for run in results
        if run.validated_and_trained and run.num_images
    }
    for count, size in sorted(shared):
        which = f'All {size:,}' if count == size else f'{count:,} of the {size:,}'
        yield (
            f'{which} validation images were also trained on: the validation error says little '
            'about other images.'
        )


def published_table(protocol: Mapping[str, Any], results: Sequence[Result]) -> Table | None:
    """Errors that others published beside those of the same networks here.

    Where the protocol is not the published one, the table has no rows and its note says why. It is
    None for other data sets and networks.
    """
    runs = published_errors.of_the_paper(protocol, results)
    if not runs:
        return None
    published = published_errors.comparable(protocol, runs)
    return Table(
        title='Published errors beside ours',
        columns=[
            Column('network', words=True),
            Column('depth'),
            Column('error', words=True),
            *(Column(text) for text in ('ours (%)', 'n', 'images')),
            *(Column(text) for text in ('published (%)', 'n', 'images')),
            Column('source', words=True),
            Column('differs in', words=True),
        ],
        rows=[_published_row(each, runs) for each in published],
        note=_published_note(published_errors.differences(protocol, runs), published),
    )


def _published_note(differences: Sequence[str], published: Sequence[PublishedError]) -> str:
    if differences:
        return f'Not comparable: {"; ".join(differences)}.'
    if not published:
        return 'Nothing is published on these networks.'
    sources = dict.fromkeys(each.source for each in published)
    remarks = [
        f'{source}: {published_errors.REMARKS[source]}.'
        for source in sources
        if source in published_errors.REMARKS
    ]
    means = (
        'Mean ± standard deviation; n counts runs, and images are those trained on. The last '
        'column says where a published run left the protocol that ours followed.'
    )
    return ' '.join([means, *remarks])


def _published_row(published: PublishedError, results: Sequence[Result]) -> list[str]:
    network = (published.family, published.depth)
    runs = [run for run in results if (run.family, run.depth) == network]
    images = {run.num_images['train'] for run in runs if run.num_images}
    spread = '' if published.spread is None else f' ± {published.spread:.2f}'
    return [
        published.family,
        str(published.depth),
        METRIC_WORDS[published.metric],
        mean_and_spread([getattr(run, published.metric) for run in runs]),
        str(len(runs)),
        ', '.join(f'{number:,}' for number in sorted(images)),
        f'{published.error:.2f}{spread}',
        str(published.n),
        f'{published.num_train:,}',
        published.source,
        published.differs_in or MISSING,
    ]


def runs_table(results: Sequence[Result]) -> Table:
    """Every run with all its scalars, without the columns that are empty throughout."""
    rows = [_row(result) for result in results]
    filled = [name for name in COLUMNS if any(row[name] not in (None, '') for row in rows)]
    return Table(
        title='Every run',
        columns=[
            Column(name.replace('_', ' '), words=any(isinstance(row[name], str) for row in rows))
            for name in filled
        ],
        rows=[
            [_text(row[name], 2 if name in METRIC_WORDS else None) for name in filled]
            for row in rows
        ],
    )


def _row(result: Result) -> dict[str, Any]:
    """The fields of a result, with the updates to its errors in words: '5 %: 120'."""
    steps = (result.steps_to_error or {}).items()
    words = [f'{name} %: {"not reached" if step is None else step}' for name, step in steps]
    return vars(result) | {'steps_to_error': '; '.join(words)}


def diverged_runs(results: Iterable[Result]) -> Iterator[LostRun]:
    """The runs that diverged, and after how many updates."""
    for run in results:
        if run.status == 'diverged':
            which = f'{run.variant}, depth {run.depth}, seed {run.seed}, {run.cell}'
            yield LostRun(which, f'diverged at step {run.diverged_at_step:,}')


def settings(nested: Mapping[str, Any]) -> list[Settings]:
    """Groups nested settings: plain values come first, then one group per nested mapping."""
    plain = {key: value for key, value in nested.items() if not _is_nested(value)}
    found = [Settings('', list(_dotted(plain)))] if plain else []
    for key, value in nested.items():
        if _is_nested(value):
            found.append(Settings(str(key), list(_dotted(value, f'{key}.'))))
    return found


def _dotted(nested: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, str]]:
    for key, value in nested.items():
        if _is_nested(value):
            yield from _dotted(value, f'{prefix}{key}.')
        elif isinstance(value, list | tuple):
            yield f'{prefix}{key}', ', '.join(map(str, value)) or MISSING
        else:
            yield f'{prefix}{key}', MISSING if value in ('', {}) else str(value)


def _is_nested(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value)


def _text(value: Any, decimals: int | None = None) -> str:
    """A scalar as a person would like to read it."""
    if value is None or value == '':
        return MISSING
    if isinstance(value, bool | str):
        return str(value)
    if decimals is not None:
        return f'{value:.{decimals}f}'
    return f'{value:,}' if isinstance(value, int) else f'{value:.4g}'
