"""Turns the finished runs into the verdict on each family."""

from vggres.findings.verdict import Verdict, decide
from vggres.sweeps.sweep import Sweep


def analyse(sweep: Sweep) -> Verdict:
    """Judges the training error of the final weights, over the depths planned for each family."""
    return decide(
        sweep.results(),
        metric='train_error',
        planned=sweep.depths(),
        curves=sweep.curves(),
        learning_rate=sweep.config.optimizer.learning_rate,
    )
