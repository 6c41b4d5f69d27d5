"""Charts that answer to a pointer: Vega-Lite specifications in files, and the runs that they show.

The files in `vega/` are in the form of a chart preset of Weights & Biases, in which `${field:x}`
stands for a column of the table and `${string:x}` for a text. The same files serve the report, so
that a chart looks the same in both. The table holds single runs, and the chart groups them.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from vggres.figures.style import LINE_WIDTH, Style

KINDS = ('error_against_depth', 'updates_against_depth', 'gradient_along_layers')
VEGA_LITE = '6.1'  # the release that draws the charts of pages
_FIELD = re.compile(r'\$\{field:(\w+)\}')
_SHAPES = {  # of markers, as Vega names them; a path where it has no name for one
    'o': 'circle',
    's': 'square',
    '^': 'triangle-up',
    'D': 'diamond',
    'v': 'triangle-down',
    'P': 'cross',
    'X': 'M-1,-1L1,1M-1,1L1,-1',
    '<': 'triangle-left',
    '>': 'triangle-right',
    'h': 'M0,-1L0.87,-0.5L0.87,0.5L0,1L-0.87,0.5L-0.87,-0.5Z',
}


@dataclass(frozen=True)
class RunTable:
    """What charts show: values under the names of their columns.

    Attributes:
        name: by which a page and W&B know it.
        columns: their names; one is 'variant', which is what the lines of a chart stand for.
        rows: a value for each column; None where there is none.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]

    def distinct(self, column: str) -> list[Any]:
        """The values of a column, each once, in the order in which they come."""
        place = self.columns.index(column)
        return list(dict.fromkeys(row[place] for row in self.rows))


@dataclass(frozen=True)
class Chart:
    """A chart of the runs in a table.

    Attributes:
        name: by which a page and W&B know it.
        kind: one of `KINDS`.
        title: in words.
        table: the runs. The columns that its kind asks for are those of the same name, except for
            the `renamed` ones.
        renamed: the column for a field of another name.
        caption: what is drawn, in sentences.
        choices: the columns of which a reader sees one value at a time, with their values, the one
            that is shown at first in front.
    """

    name: str
    kind: str
    title: str
    table: RunTable
    caption: str = ''
    renamed: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Sequence[str | int]] = field(default_factory=dict)

    def shown_at_first(self) -> RunTable:
        """The rows that are shown before the reader chooses others."""
        places = {
            self.table.columns.index(name): values[0] for name, values in self.choices.items()
        }
        rows = [
            row
            for row in self.table.rows
            if all(row[place] == value for place, value in places.items())
        ]
        return RunTable(self.table.name, self.table.columns, rows)

    def title_at_first(self) -> str:
        """The title, with the choice that is shown at first: 'Gradient (depth 56)'."""
        chosen = [
            f'{name} {values[0]}' if isinstance(values[0], int) else values[0]
            for name, values in self.choices.items()
        ]
        return f'{self.title} ({", ".join(chosen)})' if chosen else self.title

    def fields(self) -> dict[str, str]:
        """The column for each field of its kind."""
        names = dict.fromkeys(_FIELD.findall(_text(self.kind)))
        return {name: self.renamed.get(name, name) for name in names}


def preset(kind: str) -> dict[str, Any]:
    """The specification of a kind of charts as W&B takes it, with placeholders."""
    return json.loads(_text(kind))


def specification(chart: Chart, looks: Mapping[str, Style]) -> dict[str, Any]:
    """The Vega-Lite specification of a chart, without its data.

    The data belong into the data set that is called 'wandb', as records.

    Args:
        chart: what is drawn.
        looks: how each variant is drawn, those of other charts included.
    """
    text = _FIELD.sub(lambda found: chart.fields()[found[1]], _text(chart.kind))
    specified = json.loads(text)
    specified['title'] = chart.title
    variants = chart.table.distinct('variant')
    ranges = _ranges(looks[variant] for variant in variants)
    for encoding in _encodings(specified):
        for channel, values in ranges.items():
            if 'field' in encoding.get(channel, {}):
                encoding[channel]['scale'] = {'domain': variants, 'range': values}
    x = specified['encoding']['x']
    if x['field'] == 'depth':
        x['axis']['values'] = sorted(chart.table.distinct('depth'))
    for parameter in specified['params']:
        if parameter['name'] in chart.choices:
            parameter['value'] = chart.choices[parameter['name']][0]
    return specified


def _encodings(specified: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    return [part['encoding'] for part in (specified, *specified['layer'])]


def _ranges(looks: Iterable[Style]) -> dict[str, list]:
    """What each channel that tells variants apart takes for them, in their order."""
    looks = list(looks)
    return {
        'color': [look.color for look in looks],
        'fill': [look.color for look in looks],
        'shape': [_SHAPES[look.marker] for look in looks],
        'strokeDash': [dashes(look) for look in looks],
    }


def dashes(look: Style) -> list[float]:
    """The dashes and gaps of a line in pixels; matplotlib's are in multiples of the width."""
    return [1, 0] if look.line_style == '-' else [LINE_WIDTH * part for part in look.line_style[1]]


@cache
def _text(kind: str) -> str:
    return (Path(__file__).parent / 'vega' / f'{kind}.json').read_text()
