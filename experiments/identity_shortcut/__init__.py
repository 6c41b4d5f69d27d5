"""What exactly does a shortcut change? Local Jacobians, and shortcuts other than the identity."""

from experiments import all_results as judged
from experiments import no_more_cells as next_cells
from experiments.identity_shortcut.analysis import analyse
from experiments.identity_shortcut.claims import CLAIMS
from experiments.identity_shortcut.question import CLAIM, SOURCE, TITLE, VARIES, cells, defaults
from experiments.identity_shortcut.telling import figures, in_short, tables, words

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
