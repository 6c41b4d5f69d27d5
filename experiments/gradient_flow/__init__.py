"""Does the gradient vanish on its way back, and is that why deep plain networks fail to train?"""

from experiments import all_results as judged
from experiments import no_more_cells as next_cells
from experiments.gradient_flow.analysis import analyse
from experiments.gradient_flow.claims import CLAIMS
from experiments.gradient_flow.drawing import figures
from experiments.gradient_flow.question import CLAIM, SOURCE, TITLE, VARIES, cells, defaults
from experiments.gradient_flow.tabulating import tables
from experiments.gradient_flow.telling import in_short, words

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
