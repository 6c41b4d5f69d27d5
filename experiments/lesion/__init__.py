"""What does a trained network lose with a block? Blocks are deleted and swapped."""

from experiments import all_results as judged
from experiments import no_more_cells as next_cells
from experiments.lesion.analysis import analyse
from experiments.lesion.claims import CLAIMS
from experiments.lesion.question import CLAIM, SOURCE, TITLE, VARIES, cells, defaults
from experiments.lesion.telling import figures, in_short, tables, words

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
