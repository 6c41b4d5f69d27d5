"""Do deep plain networks fail by capacity, by architecture, or by where they start?"""

from experiments.deepen.analysis import analyse
from experiments.deepen.claims import CLAIMS
from experiments.deepen.question import CLAIM, SOURCE, TITLE, VARIES, cells, defaults
from experiments.deepen.stages import judged, next_cells
from experiments.deepen.telling import figures, in_short, tables, words

__all__ = [
    'CLAIM',
    'CLAIMS',
    'SOURCE',
    'TITLE',
    'VARIES',
    'analyse',
    'cells',
    'defaults',
    'figures',
    'in_short',
    'judged',
    'next_cells',
    'tables',
    'words',
]
