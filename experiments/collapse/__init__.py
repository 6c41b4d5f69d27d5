"""Do the features of different images become alike with depth, and do shortcuts prevent it?"""

from experiments import all_results as judged
from experiments import no_more_cells as next_cells
from experiments.collapse.analysis import analyse
from experiments.collapse.claims import CLAIMS
from experiments.collapse.question import CLAIM, SOURCE, TITLE, VARIES, cells, defaults
from experiments.collapse.telling import figures, in_short, tables, words

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
