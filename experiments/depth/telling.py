"""Tells the verdict on depth in words, tables and figures."""

from matplotlib.figure import Figure

from vggres.figures.error import (
    Published,
    error_against_depth,
    error_beside_published,
    learning_curves,
)
from vggres.findings import published_errors
from vggres.findings.tables import Table, outcomes_table, verdict_table
from vggres.findings.verdict import Verdict
from vggres.findings.verdict_words import in_words
from vggres.sweeps.sweep import Sweep

OTHER_RATES_AND_BUDGETS = (
    'Another learning rate or a longer budget may change the verdict; this tests it: '
    'python launch.py --sweep depth_tuned'
)


def words(verdict: Verdict) -> str:
    """The verdict in words, one finding per line, and what it leaves open."""
    return f'{in_words(verdict)}\n{OTHER_RATES_AND_BUDGETS}'


def tables(verdict: Verdict) -> list[Table]:
    """The verdict in numbers."""
    return [verdict_table(verdict), outcomes_table(verdict)]


def figures(sweep: Sweep, verdict: Verdict) -> dict[str, tuple[Figure, str]]:
    """Error against depth, learning curves where any run completed an epoch, published errors."""
    drawn = {
        'error_against_depth': (
            error_against_depth(sweep.results(), verdict.failing_error),
            'Error of the final weights against depth. Each marker is one run, and each line is '
            f'the median over seeds. A run has failed to train (open marker) if it diverged or if '
            f'its training error is {verdict.failing_error:g} % or more (dotted line), half of '
            'that of guessing.',
        ),
    }
    curves = sweep.curves()
    if any(curve.records for curve in curves):
        drawn['learning_curves'] = (
            learning_curves(curves),
            'Error during training, drawn as in Fig. 6 of He et al. 2015. The vertical axis ends '
            'just above the highest error that any curve has after the first quarter of its '
            'epochs.',
        )
    config, results = sweep.config.to_dict(), sweep.results()
    if published := published_errors.comparable(config, results):
        networks = {(each.family, each.depth) for each in published}
        drawn['error_beside_published'] = (
            error_beside_published(
                [run for run in results if (run.variant, run.depth) in networks],
                [Published(each.family, each.depth, each.metric, each.error) for each in published],
            ),
            'Error of the final weights against depth, beside errors that others published, of the '
            'networks that have any. The table of published errors says by whom, from how many '
            'runs, and where their protocol differs.',
        )
    return drawn
