"""The questions, one module or package each, and a `--sweep` of the same name.

A small experiment is one file. A larger one is a package: `question` holds what is asked and the
grid, `analysis` turns finished cells into a verdict, `claims` states what the popular story says of
it, and `telling` puts the verdict into words, tables and figures.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

from matplotlib.figure import Figure
from ml_collections import ConfigDict

from vggres.errors import unknown
from vggres.findings.claims import Claim
from vggres.findings.tables import Table
from vggres.results import Result
from vggres.sweeps.sweep import Sweep

# The claims of the popular story by their keys, in the order in which it tells them.
_STORY = (
    'fit',
    'degradation',
    'shrinking',
    'shrinking_with_norm',
    'failure',
    'identity',
    'protection',
    'gain',
    'rate_alone',
    'slowness',
)
# What is claimed of causes and shown by interventions and closer looks, in the order of the page.
_CAUSES = (
    'gradient_size',
    'effective_rate',
    'capacity',
    'start',
    'fading',
    'small_branches',
    'tailored',
    'shattering',
    'collapse',
    'short_paths',
    'deletion',
    'response',
    'response_with_depth',
    'sharpness',
)

# The commit that fixed every margin and criterion before anybody looked at results on a data set,
# by its name. On all others margins were chosen or amended after a look, so that claims are
# exploratory there. Whoever amends a criterion empties this table: a test insists.
FROZEN: Mapping[str, str] = {'fashion_mnist': 'fbe3e17'}


class Experiment(Protocol):
    """What every experiment offers.

    Attributes:
        TITLE: of its report.
        CLAIM: what is claimed, in a sentence.
        SOURCE: who claims it.
        VARIES: the dotted knobs, besides family and depth, that its grid sets or relies on.
        CLAIMS: the claims that rest on its sweep, with their thresholds; their keys stand above.
    """

    TITLE: str
    CLAIM: str
    SOURCE: str
    VARIES: Sequence[str]
    CLAIMS: Sequence[Claim]

    def defaults(self, config: ConfigDict) -> Mapping[str, object]:
        """The values that the question wants for knobs that the user did not give."""
        ...

    def cells(self, config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
        """The grid: for each cell the name of its variant and its configuration.

        Raises:
            UserError: where the configuration does not suit the question.
        """
        ...

    def next_cells(self, sweep: Sweep) -> Iterator[tuple[str, ConfigDict]]:
        """The cells that depend on results: those that the finished ones call for.

        It is asked when every cell of a launch has a result, and again when those that it named
        have theirs, until it names none that is new. It has to name the same ones whenever it is
        asked with the same results, because each launch asks from the grid on. An experiment whose
        grid is everything has `no_more_cells` here.

        Args:
            sweep: the cells of the launch so far, those of its grid first. All have a result. The
                configurations of other cells start from its own.

        Returns:
            As `cells`. A cell is placed by variant, depth and seed, so that the name of its variant
            says what was chosen, as in 'plain, rate 0.03'. Cells that `sweep` has are ignored.

        Raises:
            UserError: where the results leave no choice.
        """
        ...

    def judged(self, sweep: Sweep) -> Sequence[Result]:
        """The results that the verdict is about, in the order in which they are shown.

        Runs that chose the learning rate of others are none of them. An experiment that judges
        every run has `all_results` here.
        """
        ...

    def analyse(self, sweep: Sweep) -> Any:
        """The verdict: a frozen dataclass of the experiment's own that says what was found.

        It is asked of unfinished sweeps as well: cells may lack results, and where `next_cells` has
        not been asked yet, the cells that it would name are not there at all.

        `verdict.json` is `dataclasses.asdict` of it, and `in_short`.
        """
        ...

    def words(self, verdict: Any) -> str:
        """The verdict in words, one finding per line."""
        ...

    def in_short(self, verdict: Any) -> Mapping[str, str]:
        """The verdict in a word or two on each thing that it is about, as in 'plain': 'degrades'.

        It is empty where there is nothing to judge yet. `verdict.json` has it as `in_short`.
        """
        ...

    def tables(self, verdict: Any) -> Sequence[Table]:
        """The verdict in numbers."""
        ...

    def figures(self, sweep: Sweep, verdict: Any) -> Mapping[str, tuple[Figure, str]]:
        """Figures with their captions, by file name."""
        ...


def names() -> list[str]:
    """The names of all experiments."""
    return [module.name for module in pkgutil.iter_modules(__path__)]


def load(name: str) -> Experiment:
    """An experiment by its name.

    Raises:
        UserError: where there is none, with the nearest names.
    """
    if name not in names():
        raise unknown('sweep', name, names())
    return cast(Experiment, importlib.import_module(f'{__name__}.{name}'))


def no_more_cells(sweep: Sweep) -> Iterator[tuple[str, ConfigDict]]:
    """The `next_cells` of an experiment whose grid is everything: none."""
    return iter(())


def all_results(sweep: Sweep) -> Sequence[Result]:
    """The `judged` of an experiment that judges every run, in the order of the cells."""
    return sweep.results()


def has_stages(experiment: Experiment) -> bool:
    """Whether an experiment has cells that depend on results."""
    return experiment.next_cells is not no_more_cells


def claims() -> list[Claim]:
    """The claims of the popular story, in its order."""
    return _claims(_STORY)


def causes() -> list[Claim]:
    """The claims about causes.

    They make a table of their own, with an adjustment for their own number: the criteria of the
    story were frozen before there was any of them.
    """
    return _claims(_CAUSES)


def _claims(keys: Sequence[str]) -> list[Claim]:
    found = [claim for name in names() for claim in load(name).CLAIMS if claim.key in keys]
    return sorted(found, key=lambda claim: keys.index(claim.key))
