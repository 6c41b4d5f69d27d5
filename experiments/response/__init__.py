"""How strongly do layers respond, and what do branch and shortcut bring to each addition?"""

from experiments import all_results as judged
from experiments import no_more_cells as next_cells
from experiments.response.analysis import analyse
from experiments.response.claims import CLAIMS
from experiments.response.question import CLAIM, SOURCE, TITLE, VARIES, cells, defaults
from experiments.response.telling import figures, in_short, tables, words

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
