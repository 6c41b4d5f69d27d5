"""What does the optimiser have to be spared? Interventions into the updates of single layers."""

from experiments.surgery.analysis import analyse, judged, next_cells
from experiments.surgery.claims import CLAIMS
from experiments.surgery.question import CLAIM, SOURCE, TITLE, VARIES, cells, defaults
from experiments.surgery.telling import figures, tables, words

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
    'judged',
    'next_cells',
    'tables',
    'words',
]
