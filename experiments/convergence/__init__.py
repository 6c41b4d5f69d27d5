"""Do plain networks become exponentially slow with depth? Updates to a target, at best rates."""

from experiments.convergence.analysis import analyse
from experiments.convergence.claims import CLAIMS
from experiments.convergence.question import CLAIM, SOURCE, TITLE, VARIES, cells, defaults
from experiments.convergence.stages import judged, next_cells
from experiments.convergence.telling import figures, in_short, tables, words

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
