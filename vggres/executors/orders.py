"""What an executor and its workers say to each other: orders go in, events come out.

Both are JSON, so that they pass through pipes, files and other machines alike. The files of a cell,
above all its `result.json`, stay the truth: events only tell what happens meanwhile.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from vggres import environment
from vggres.errors import UserError
from vggres.sweeps.cell import Cell

# The events after which a worker is done with a cell; 'elsewhere': another process trains it.
ENDS = ('finished', 'elsewhere', 'failed')


@dataclass(frozen=True)
class Order:
    """A cell to run, and the code that is meant to run it.

    Attributes:
        cell: the cell.
        code: the version of the code that gave the order: see `environment.code_version`.
    """

    cell: Cell
    code: str | None

    def to_json(self) -> dict:
        """All of it, as JSON can hold it."""
        return {'cell': self.cell.to_json(), 'code': self.code}

    @classmethod
    def from_json(cls, values: Mapping) -> 'Order':
        """The order that `to_json` described."""
        return cls(Cell.from_json(values['cell']), values['code'])

    def check_code(self) -> None:
        """Raises UserError where this process runs other code than that which gave the order."""
        now = environment.code_version()
        if now != self.code:
            raise UserError(
                f'the code has changed since this cell was ordered (commit {self.code or "none"}, '
                f'now {now or "none"}): launch the sweep again.'
            )


def order(cell: Cell) -> Order:
    """The order to run a cell with the code that runs now."""
    return Order(cell, environment.code_version())


@dataclass(frozen=True)
class Event:
    """What a worker says of its cell, or an executor of all cells.

    Attributes:
        kind: 'ready', 'started', 'progress', 'record' or 'notice', and one of `ENDS`; of an
            executor, 'silence' (nothing has happened for a while), 'stopping' and 'lost' (the
            machine is gone, and the cell waits to run again).
        cell: the cell's id; '' for 'ready' and for an executor's own.
        values: of 'ready', the `hardware` that was found, in words, and its `platform`, as jax
            calls it; of 'progress', `step` and `total`; of 'record', the fields of a
            `results.Record`; of 'notice', 'elsewhere' and 'lost', `message`, a sentence; of
            'finished', the fields of its `results.Result`; of 'failed', `message`, one line, and
            `log`, the file that says more.
    """

    kind: str
    cell: str
    values: dict

    def to_json(self) -> dict:
        """All of it, as JSON can hold it."""
        return dataclasses.asdict(self)
