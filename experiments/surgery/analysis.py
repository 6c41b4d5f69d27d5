"""From the cells that are done to the cells that come next, and to the verdict."""

from collections.abc import Iterator

from ml_collections import ConfigDict

from experiments.surgery.question import all_arms, judged_by
from vggres.findings.cures_telling import ArmsVerdict
from vggres.results import Result
from vggres.sweeps import arms
from vggres.sweeps.sweep import Sweep


def next_cells(sweep: Sweep) -> Iterator[tuple[str, ConfigDict]]:
    """The tuning runs that are still wanted, and the fresh seeds of arms with a rate."""
    return arms.next_cells(sweep, all_arms(sweep.config))


def judged(sweep: Sweep) -> list[Result]:
    """The runs of fresh seeds at the rate of each arm."""
    found = arms.judged(sweep, all_arms(sweep.config))
    return [run for runs in found.values() for run in runs]


def analyse(sweep: Sweep) -> ArmsVerdict:
    """Judges each treatment by the updates that it saves."""
    return arms.verdict(sweep, all_arms(sweep.config), judged_by(sweep.config))
