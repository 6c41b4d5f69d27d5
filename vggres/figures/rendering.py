"""Renders matplotlib figures as PNG and SVG; the same figure gives the same bytes."""

import io
import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

PNG_DOTS_PER_INCH = 200
SVG = 'http://www.w3.org/2000/svg'
ElementTree.register_namespace('', SVG)
ElementTree.register_namespace('xlink', 'http://www.w3.org/1999/xlink')


def to_png(figure: Figure) -> bytes:
    """Renders a figure as a PNG on a white background."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=PNG_DOTS_PER_INCH, facecolor='white')
    return buffer.getvalue()


def to_svg(figure: Figure, name: str, label: str, background: str = 'none') -> str:
    """Renders a figure as one `<svg>` element that can stand in an HTML page beside others.

    Text becomes outlines, so that it looks the same where the font is missing.

    Args:
        figure: to be rendered.
        name: every id in the element starts with `fig-<name>-`.
        label: what a screen reader says in place of the figure.
        background: a colour; 'none' makes it transparent.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format='svg', facecolor=background, metadata={'Date': None})
    svg = ElementTree.fromstring(buffer.getvalue())
    _drop_style_sheet(svg)
    _rename_ids(svg, name)
    _round_coordinates(svg)
    svg.set('role', 'img')
    svg.set('aria-label', label)
    return ElementTree.tostring(svg, encoding='unicode')


def _drop_style_sheet(svg: ElementTree.Element) -> None:
    """Turns the style sheet's one rule, `*{…}`, into an attribute of the figure.

    In a page the rule would apply to everything else as well.
    """
    for tag in ('metadata', 'defs'):  # the first `defs` holds the style sheet
        svg.remove(svg.find(f'{{{SVG}}}{tag}'))
    svg.set('style', 'stroke-linejoin: round; stroke-linecap: butt')


def _rename_ids(svg: ElementTree.Element, name: str) -> None:
    """Numbers the ids, which matplotlib draws at random, and adapts all references to them."""
    ids = [element.get('id') for element in svg.iter() if element.get('id')]
    renamed = {old: f'fig-{name}-{i}' for i, old in enumerate(ids)}
    for element in svg.iter():
        for key, value in element.items():
            if key == 'id':
                element.set(key, renamed[value])
            elif key.endswith('href') and not value.startswith('data:'):  # an embedded picture
                element.set(key, '#' + renamed[value.removeprefix('#')])
            elif value.startswith('url(#'):
                element.set(key, f'url(#{renamed[value[5:-1]]})')


def _round_coordinates(svg: ElementTree.Element) -> None:
    """Rounds coordinates to hundredths of a point.

    Nobody sees the difference, and the file takes a third less space.
    """
    for element in svg.iter():
        for key in element.attrib.keys() & {'d', 'x', 'y'}:
            element.set(key, re.sub(r'-?\d+\.\d{3,}', _rounded, element.get(key)))


def _rounded(number: re.Match[str]) -> str:
    return f'{float(number[0]):.2f}'
