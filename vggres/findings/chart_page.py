"""Puts charts that answer to a pointer into a page that needs nothing else, not even a network."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from markupsafe import Markup

from vggres import environment
from vggres.figures.charts import VEGA_LITE, Chart, specification
from vggres.figures.style import many_styles
from vggres.figures.swatches import swatch
from vggres.files import write_atomically
from vggres.findings.page_templates import templates

# Lines that are shown at first; a reader may switch on the others.
_MOST_SHOWN = 10
_USED = 'window.vegaEmbed = vegaEmbed;'  # what pages need of the library


@dataclass(frozen=True)
class LegendEntry:
    """A box to tick in front of a variant, and how it is drawn.

    Attributes:
        variant: its name.
        swatch: a piece of its line with its marker, as SVG.
        is_shown: whether it is ticked at first.
    """

    variant: str
    swatch: Markup
    is_shown: bool


@dataclass(frozen=True)
class ShownCharts:
    """Charts as the template shows them.

    Attributes:
        charts: for headings and boxes.
        legend: for all of them together.
        data: their specifications and tables, as JSON that can stand in a page.
        library: the JavaScript that draws them.
    """

    charts: Sequence[Chart]
    legend: Sequence[LegendEntry]
    data: Markup
    library: Markup


def shown(charts: Sequence[Chart]) -> ShownCharts | None:
    """Prepares charts for a page; None without any."""
    if not charts:
        return None
    variants = dict.fromkeys(name for chart in charts for name in chart.table.distinct('variant'))
    looks = many_styles(variants)
    ticked = _shown_at_first(list(looks))
    legend = [
        LegendEntry(variant, Markup(swatch(style)), variant in ticked)
        for variant, style in looks.items()
    ]
    tables = {
        each.table.name: {'columns': each.table.columns, 'rows': each.table.rows} for each in charts
    }
    told = [
        {'name': each.name, 'table': each.table.name, 'specification': specification(each, looks)}
        for each in charts
    ]
    text = json.dumps({'charts': told, 'tables': tables}, separators=(',', ':'), ensure_ascii=False)
    return ShownCharts(charts, legend, Markup(text.replace('<', '\\u003c')), Markup(library()))


def _shown_at_first(variants: Sequence[str]) -> set[str]:
    """Ten variants, taking turns among those that begin with the same word, as with a family."""
    begun: Counter[str] = Counter()
    turns = []
    for variant in variants:
        word = variant.split(',')[0]
        turns.append((begun[word], variant))
        begun[word] += 1
    return {variant for _, variant in sorted(turns, key=lambda each: each[0])[:_MOST_SHOWN]}


def page(title: str, charts: Sequence[Chart]) -> str:
    """A page of its own for some charts, at least one."""
    return templates().get_template('only_charts.html').render(title=title, charts=shown(charts))


def library() -> str:
    """The JavaScript of Vega-Lite, which is put together once and kept in the cache (0.9 MB)."""
    import vl_convert

    path = environment.cache_directory() / f'vega-{VEGA_LITE}-{version("vl-convert-python")}.js'
    try:
        return path.read_text()
    except OSError:
        bundle = vl_convert.javascript_bundle(_USED, VEGA_LITE).replace('</script', '<\\/script')
        _keep(path, bundle)
        return bundle


def _keep(path: Path, text: str) -> None:
    """Writes a file where that is possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError:
        pass
