"""Through how many blocks does the gradient go? Its parts by the length of their paths."""

from experiments import all_results as judged
from experiments import no_more_cells as next_cells
from experiments.paths.analysis import analyse
from experiments.paths.claims import CLAIMS
from experiments.paths.question import CLAIM, SOURCE, TITLE, VARIES, cells, defaults
from experiments.paths.telling import figures, in_short, tables, words

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
