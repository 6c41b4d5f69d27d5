"""Do the gradients of deep plain networks turn into noise, and do shortcuts prevent it?"""

from experiments import all_results as judged
from experiments import no_more_cells as next_cells
from experiments.shattering.analysis import analyse
from experiments.shattering.claims import CLAIMS
from experiments.shattering.question import CLAIM, SOURCE, TITLE, VARIES, cells, defaults
from experiments.shattering.telling import figures, in_short, tables, words

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
