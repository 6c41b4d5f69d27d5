"""The verdict in words, tables and figures."""

from matplotlib.figure import Figure

from vggres.findings import cures_telling
from vggres.findings.cures_telling import ArmsVerdict
from vggres.findings.tables import Table
from vggres.sweeps.sweep import Sweep


def words(verdict: ArmsVerdict) -> str:
    """The verdict in words, one finding per line."""
    return cures_telling.words(verdict)


def tables(verdict: ArmsVerdict) -> list[Table]:
    """The verdict in numbers."""
    return [cures_telling.table(verdict)]


def figures(sweep: Sweep, verdict: ArmsVerdict) -> dict[str, tuple[Figure, str]]:
    """The updates of each arm; nothing before the first one was judged."""
    drawn = cures_telling.figure(verdict)
    caption = (
        f'Updates to {verdict.target} % training error of each arm, at its own fastest constant '
        'rate. Each dot is a run of a fresh seed, each bar a median; the dotted line is the budget.'
    )
    return {'updates_by_treatment': (drawn, caption)} if drawn else {}
