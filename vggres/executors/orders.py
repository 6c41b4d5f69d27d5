"""What an executor and its workers say to each other: orders go in, events come out.

Both are JSON, so that they pass through pipes, files and other machines alike. The files of a cell,
above all its `result.json`, stay the truth: events only tell what happens meanwhile.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vggres import environment
from vggres.errors import UserError
from vggres.results import Record, Result
from vggres.sweeps.cell import Cell

# The events after which a worker is done with a cell; 'elsewhere': another process trains it.
ENDS = ('finished', 'elsewhere', 'failed')
LAST_WORDS = (*ENDS, 'unable')  # of a worker with one cell
SECONDS_OF_SILENCE = 30.0  # without an event, after which this is an event of its own


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
        kind: 'ready' or 'unable' (to start), 'started', 'progress', 'record' or 'notice', and one
            of `ENDS`; of an executor, 'silence' (nothing has happened for a while), 'stopping' and
            'lost' (the machine is gone, and the cell waits to run again).
        cell: the cell's id; '' for 'ready', for 'unable' and for an executor's own.
        values: of 'ready', the `hardware` that was found, in words, and its `platform`, as jax
            calls it; of 'progress', `step` and `total`; of 'record', the fields of a
            `results.Record`; of 'notice', 'elsewhere', 'unable' and 'lost', `message`, a sentence;
            of 'finished', the fields of its `results.Result`; of 'failed', `message`, one line, and
            `log`, the file that says more.
    """

    kind: str
    cell: str
    values: dict

    def to_json(self) -> dict:
        """All of it, as JSON can hold it."""
        return dataclasses.asdict(self)


class Telling:
    """Turns what `sweeps.run.run` reports of a cell into events."""

    def __init__(self, cell: Cell, on_event: Callable[[Event], object]) -> None:
        """Events of the cell go to `on_event`."""
        self._cell = cell
        self._on_event = on_event

    def say(self, kind: str, **values: object) -> None:
        """Says an event of this kind, with these values."""
        self._on_event(Event(kind, self._cell.id, values))

    def record(self, record: Record) -> None:
        """Says a record."""
        self.say('record', **dataclasses.asdict(record))

    def progress(self, step: int, total: int) -> None:
        """Says how many updates of all are done."""
        self.say('progress', step=step, total=total)

    def notice(self, sentence: str) -> None:
        """Says what the user should know."""
        self.say('notice', message=sentence)

    def finished(self, result: Result) -> None:
        """Says the result."""
        self.say('finished', **dataclasses.asdict(result))
