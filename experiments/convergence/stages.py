"""From the tuning runs that are done to the rates of the networks, and to the cells that come next.

The families are the arms of `sweeps.arms`.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from vggres.findings.fastest import TunedRate
from vggres.results import Result
from vggres.sweeps import arms
from vggres.sweeps.sweep import Sweep


def next_cells(sweep: Sweep) -> Iterator[tuple[str, ConfigDict]]:
    """The tuning runs that searches still want, and the fresh seeds of networks with a rate."""
    return arms.next_cells(sweep, families_of(sweep))


def judged(sweep: Sweep) -> list[Result]:
    """The runs of fresh seeds at the rate of each network, by family, depth and seed."""
    return arms.judged_runs(sweep, families_of(sweep))


def tuned_rates(sweep: Sweep) -> dict[tuple[str, int], TunedRate]:
    """The rate of each network, by family and depth, as far as its tuning runs are done."""
    return arms.tuned_rates(sweep, families_of(sweep))


def families_of(sweep: Sweep) -> dict[str, dict[str, object]]:
    """The families of a sweep: those of its configuration, and those of earlier launches."""
    earlier = (cell.config.model.family for cell in sweep.cells)
    names = dict.fromkeys([*sweep.config.sweep.families, *earlier])
    return {name: {'model.family': name} for name in names}
