"""Draws how a line looks, for a legend in a page: a piece of it with its marker, as SVG."""

import math

from vggres.figures.charts import dashes
from vggres.figures.style import Style

_WIDTH, _HEIGHT, _RADIUS = 34, 12, 4.5  # pixels
# The corners of each marker: how many, and the angle of the first in degrees, clockwise from the
# right.
_CORNERS = {'s': (4, 45), '^': (3, -90), 'D': (4, 0), 'v': (3, 90), '<': (3, 180), '>': (3, 0)}
_CORNERS |= {'h': (6, 30)}
_CROSSES = {'P': 0, 'X': 45}  # and how far they are turned, in degrees


def swatch(style: Style) -> str:
    """A piece of a line with its marker in the middle, as one `<svg>` element."""
    pattern = ' '.join(f'{part:g}' for part in dashes(style))
    return (
        f'<svg class="swatch" width="{_WIDTH}" height="{_HEIGHT}" aria-hidden="true">'
        f'<path d="M0 {_HEIGHT / 2:g}H{_WIDTH}" stroke="{style.color}" stroke-width="2" '
        f'stroke-dasharray="{pattern}"/>'
        f'{_marker(style)}</svg>'
    )


def _marker(style: Style) -> str:
    x, y = _WIDTH / 2, _HEIGHT / 2
    if style.marker in _CORNERS:
        count, first = _CORNERS[style.marker]
        angles = [math.radians(first + 360 * corner / count) for corner in range(count)]
        points = [(x + _RADIUS * math.cos(a), y + _RADIUS * math.sin(a)) for a in angles]
        corners = ' '.join(f'{across:.1f},{down:.1f}' for across, down in points)
        return f'<polygon points="{corners}" fill="{style.color}"/>'
    if style.marker in _CROSSES:
        turned = f'rotate({_CROSSES[style.marker]} {x:g} {y:g})'
        arms = f'M{x - _RADIUS:g} {y:g}H{x + _RADIUS:g}M{x:g} {y - _RADIUS:g}V{y + _RADIUS:g}'
        return f'<path d="{arms}" stroke="{style.color}" stroke-width="3" transform="{turned}"/>'
    return f'<circle cx="{x:g}" cy="{y:g}" r="{_RADIUS - 1:g}" fill="{style.color}"/>'
