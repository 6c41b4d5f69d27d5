"""An attempt to train a cell: what an earlier one left, and the files that this one writes."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from vggres import environment
from vggres.files import clear_unfinished, write_json
from vggres.sweeps.cell import CHECKPOINTS_FOLDER, CONFIG_FILE, Cell
from vggres.sweeps.failure import clear_failure
from vggres.sweeps.lease import Lease
from vggres.sweeps.records import METRICS_FILE, PROBES_FILE, Mark, RecordsFile, mismatch
from vggres.training.checkpoint import Checkpoints, Notes


@dataclass(frozen=True)
class Attempt:
    """An attempt to train a cell, with the files that it writes meanwhile.

    Attributes:
        checkpoints: what an interrupted run goes on from.
        records: the files of records by name; that of probes only where something is observed.
        number: 1 for the first process that trains the cell, 2 for the next one, …
        mixed_with: as in `results.Result`.
    """

    checkpoints: Checkpoints
    records: dict[str, RecordsFile]
    number: int
    mixed_with: tuple[str, ...]


def begin_attempt(cell: Cell, mine: Lease, on_notice: Callable[[str], object]) -> Attempt:
    """Writes the configuration, and prepares the other files to go on from a checkpoint.

    A checkpoint is taken only where the files of records still hold what they held when it was
    saved, so that they end up without a gap and without a line too many.

    Args:
        cell: the cell, whose directory exists.
        mine: its lease.
        on_notice: called with a sentence about each checkpoint that cannot be used, and about one
            that was saved in other surroundings.
    """
    config, directory = cell.config, cell.directory
    for folder in (directory, directory / CHECKPOINTS_FOLDER):
        clear_unfinished(folder)
    clear_failure(directory)
    write_json(directory / CONFIG_FILE, config.to_dict())
    names = [METRICS_FILE, *[PROBES_FILE] * bool(config.probes.every_epochs)]
    surroundings, records = _surroundings(), {}

    def notes(begin: int) -> dict:
        marks = {name: asdict(records[name].mark_at(begin)) for name in names}
        return {'files': marks, 'surroundings': surroundings, 'mixed_with': mixed_with}

    def refusal(notes: Notes) -> str | None:
        if list(notes['files']) != names:
            return 'other files belong to it'
        problems = (
            mismatch(directory / name, Mark(**mark)) for name, mark in notes['files'].items()
        )
        return next(filter(None, problems), None)

    place = directory / CHECKPOINTS_FOLDER
    checkpoints = Checkpoints(place, config.checkpoint.every_seconds, notes, mine.check)
    found = checkpoints.choose(refusal, on_notice)
    mixed_with = _mixed(found, surroundings, on_notice) if found else ()
    for name in names:
        mark = Mark(**found['files'][name]) if found else None
        records[name] = RecordsFile(directory / name, mark, mine.check)
    return Attempt(checkpoints, records, mine.attempt, mixed_with)


def _surroundings() -> str:
    """What decides the last digits of a run, apart from its configuration, in words."""
    versions = environment.versions()
    code = environment.code_version()
    return (
        f'{environment.hardware()}, jaxlib {versions["jaxlib"]}, '
        f'commit {code[:7] + code[40:] if code else "unknown"}'
    )


def _mixed(found: Notes, now: str, on_notice: Callable[[str], object]) -> tuple[str, ...]:
    """The other surroundings in which parts of a run were trained."""
    before = found['surroundings']
    if before != now:
        on_notice(
            f'it goes on from a checkpoint of {before}, on {now}: its last digits are of both.'
        )
    return tuple(each for each in dict.fromkeys((*found['mixed_with'], before)) if each != now)
