"""Does the training error grow with depth, and does a shortcut change that? The main question."""

from experiments import all_results as judged
from experiments import no_more_cells as next_cells
from experiments.depth.analysis import analyse
from experiments.depth.claims import CLAIMS
from experiments.depth.question import CLAIM, SOURCE, TITLE, VARIES, cells, defaults
from experiments.depth.telling import figures, tables, words
from vggres.findings.verdict_words import in_short

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
