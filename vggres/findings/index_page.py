"""Writes `index.html`, the page of a directory of sweeps: what is done, running and found.

It is static: somebody writes it anew from files, and while cells run it loads itself again. It says
when it was written, so that one that nobody writes any more does not seem to be alive.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from vggres.files import write_atomically
from vggres.findings.page_templates import templates
from vggres.findings.phrases import by_word

INDEX_FILE = 'index.html'


@dataclass(frozen=True)
class ListedCell:
    """A cell on the page.

    Attributes:
        name: its id.
        network: the variant that it is a run of; '' for a single network.
        state: in a word.
        errors: on training and validation images in percent, or None.
        about: what more is known, in words; '' for nothing.
        files: what can be looked at: its label, and its address relative to the page.
    """

    name: str
    network: str
    state: str
    errors: tuple[float, float] | None
    about: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class ListedSweep:
    """A sweep on the page.

    Attributes:
        name: of the sweep, and of its directory; '' for single networks.
        title: what it is called.
        question: what it asks, or what is claimed.
        in_short: its verdict in a word or two on each thing that it is about.
        counts: the number of cells in each state.
        notable: the cells that run or are in trouble.
        cells: all of them, in the order of its grid, or the first where there are very many.
        report: the address of its report; '' for none.
        damage: why its cells cannot be listed; '' for nothing.
    """

    name: str
    title: str
    question: str = ''
    in_short: Mapping[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    notable: Sequence[ListedCell] = ()
    cells: Sequence[ListedCell] = ()
    report: str = ''
    damage: str = ''

    @property
    def verdict(self) -> Mapping[str, str]:
        """The words of the verdict, and what each is said of."""
        return by_word(self.in_short)


@dataclass(frozen=True)
class ListedClaims:
    """A page of claims.

    Attributes:
        title: of that page.
        address: of that page, relative to this one.
        claims: each sentence with its status.
    """

    title: str
    address: str
    claims: Sequence[tuple[str, str]] = ()

    @property
    def counts(self) -> Counter[str]:
        """The number of claims of each status."""
        return Counter(status for _, status in self.claims)


def write(
    directory: Path,
    states: Sequence[str],
    sweeps: Sequence[ListedSweep],
    claims: Sequence[ListedClaims],
    every: float,
) -> Path:
    """Writes the page.

    Args:
        directory: where the sweeps are.
        states: that a cell can be in, in the order in which they are counted.
        sweeps: in the order in which they are listed.
        claims: the pages of claims that are there.
        every: the seconds after which it loads itself again; 0 for never.

    Returns:
        Its path.
    """
    now = datetime.now().astimezone()
    html = (
        templates()
        .get_template('index.html')
        .render(
            place=str(directory),
            states=states,
            sweeps=sweeps,
            claims=claims,
            every=every,
            written=now.strftime('%Y-%m-%d %H:%M:%S'),
            written_at=now.isoformat(timespec='seconds'),
        )
    )
    write_atomically(directory / INDEX_FILE, html)
    return directory / INDEX_FILE
