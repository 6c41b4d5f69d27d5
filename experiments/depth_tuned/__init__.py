"""Degradation with a learning rate for each network: see `question`."""

from experiments.depth_tuned.analysis import analyse
from experiments.depth_tuned.claims import CLAIMS
from experiments.depth_tuned.question import (
    CLAIM,
    SOURCE,
    TITLE,
    VARIES,
    cells,
    defaults,
)
from experiments.depth_tuned.stages import judged, next_cells
from experiments.depth_tuned.telling import figures, in_short, tables, words

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
