"""The degradation result: does training error grow with depth, and does a shortcut change that?

He et al. 2015 (arXiv 1512.03385), §1, §4.2 and Fig. 6: a deeper plain network reaches a higher
training error than a shallower one, a residual network does not. It would be refuted by a plain
family whose deepest network trains as well as its best shallower one, or by a residual family whose
deepest does not.
"""

from collections.abc import Iterator

from matplotlib.figure import Figure
from ml_collections import ConfigDict

from vggres.figures.error import error_against_depth, learning_curves
from vggres.findings import report, verdict
from vggres.sweeps import sweep
from vggres.sweeps.sweep import Sweep

TITLE = 'Error against depth'
CLAIM = (
    'Deeper plain networks have a higher training error than shallower ones; residual networks '
    'of the same depths do not.'
)
VARIES = ()  # knobs, besides family and depth
SOURCE = 'He et al. 2015, Deep Residual Learning for Image Recognition, §4.2 (arXiv 1512.03385)'


def defaults(config: ConfigDict) -> dict[str, object]:
    """None of its own: the configuration's grid is the one of this question."""
    return {}


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Each family at each depth, once a seed; the seed pairs weights and data across families."""
    return sweep.grid(config, sweep.families(config))


def analyse(sweep: Sweep) -> dict:
    """The verdict on training error with the final weights, over the depths planned a family."""
    return verdict.decide(sweep.results(), metric='train_error', planned=sweep.depths())


def words(decision: dict) -> str:
    """The verdict, a line a finding."""
    return verdict.in_words(decision)


def tables(decision: dict) -> list[report.Table]:
    """The verdict in numbers."""
    return [report.verdict_table(decision)]


def figures(sweep: Sweep, decision: dict) -> dict[str, tuple[Figure, str]]:
    """Figures by file name, with their captions; no curves where no run ended an epoch."""
    drawn = {
        'error_against_depth': (
            error_against_depth(sweep.results()),
            'Error of the final weights against depth. Every run is a marker, the line is the mean '
            'over seeds.',
        ),
    }
    curves = sweep.curves()
    if any(cell['records'] for cell in curves):
        drawn['learning_curves'] = (
            learning_curves(curves),
            'Error during training, drawn as in Fig. 6 of He et al. 2015; the axis ends above what '
            'each curve does after the first quarter of its epochs.',
        )
    return drawn
