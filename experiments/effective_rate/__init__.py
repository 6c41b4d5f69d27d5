"""Does the growth of weights under batch norm slow deep plain networks down? Norms held."""

from experiments.effective_rate.analysis import analyse
from experiments.effective_rate.claims import CLAIMS
from experiments.effective_rate.question import (
    CLAIM,
    SOURCE,
    TITLE,
    VARIES,
    cells,
    defaults,
    judged,
    next_cells,
)
from experiments.effective_rate.telling import figures, in_short, tables, words

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
