"""Do shortcuts smooth the loss surface? Planes through trained networks, and curvature."""

from experiments import all_results as judged
from experiments import no_more_cells as next_cells
from experiments.landscape.analysis import analyse
from experiments.landscape.claims import CLAIMS
from experiments.landscape.question import CLAIM, SOURCE, TITLE, VARIES, cells, defaults
from experiments.landscape.telling import figures, in_short, tables, words

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
