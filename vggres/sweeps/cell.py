"""A cell: one point of a sweep, one training run, and the directory it leaves.

<cell id>/config.json     what was asked for
          metrics.jsonl   a record per epoch
          probes.jsonl    what the probes observed, where they were asked for
          checkpoints/    what an interrupted run goes on from, the newest two
          lease-<n>.json  who trains the cell, or did, in attempt n
          failure.json    why the last attempt failed, where it did
          weights.safetensors   the final weights, as PyTorch names them
          result.json     appears whole, last: the mark that the cell is done
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ml_collections import ConfigDict, FrozenConfigDict

from vggres.config import Config, cell_id, network_spec
from vggres.errors import UserError
from vggres.files import read_json, write_json
from vggres.networks import spec
from vggres.results import Result, parsed

CONFIG_FILE = 'config.json'
RESULT_FILE = 'result.json'
WEIGHTS_FILE = 'weights.safetensors'
CHECKPOINTS_FOLDER = 'checkpoints'
_SPLITS = ('train', 'validation', 'test')
# Which release wrote a directory of a format, and so reads it.
FORMAT = 2
RELEASES = {1: 'vggres 0.1', 2: 'vggres 0.2'}


class FormatError(UserError):
    """A file is in a format that only a later release reads."""


@dataclass(frozen=True)
class Cell:
    """A training run.

    Attributes:
        config: what this one run does; it is frozen.
        workdir: of its sweep; the cell's own files are in `directory`.
        sweep: the name of the sweep that it belongs to; '' for none.
        variant: what its sweep compares at each depth: a family, or one with other options.
        stored_id: the id under which it was run; '' for the one that follows from the config.
        command: what makes it again, for whoever finds its run in W&B; '' where nobody says.
    """

    config: Config
    workdir: Path
    sweep: str
    variant: str = ''
    stored_id: str = ''
    command: str = ''

    def __post_init__(self) -> None:
        """Freezes the configuration: nothing changes it after it was checked."""
        object.__setattr__(self, 'config', FrozenConfigDict(self.config.to_dict()))

    @cached_property
    def id(self) -> str:
        """Readable and unique: `resnet-d56-s0-3f9c1a`."""
        return self.stored_id or cell_id(self.config)

    @cached_property
    def network_spec(self) -> spec.NetworkSpec:
        """The network that it trains."""
        return network_spec(self.config)

    @property
    def directory(self) -> Path:
        """The place of its files."""
        return self.workdir / 'cells' / self.id

    def coordinates(self) -> dict:
        """Its place in the grid: cell, variant, family, depth and seed."""
        model = self.config.model
        return {
            'cell': self.id,
            'variant': self.variant or model.family,
            'family': model.family,
            'depth': model.depth,
            'seed': self.config.seed,
        }

    def result(self) -> Result | None:
        """Its result; None while it is not done, or where the file is damaged.

        Raises:
            FormatError: where a later release wrote the file.
        """
        try:
            return self._read()
        except FormatError:
            raise
        except (FileNotFoundError, UserError):
            return None

    def saved(self) -> set[str]:
        """The names of its checkpoints; they change whenever more updates are saved."""
        return {path.name for path in self.directory.glob(f'{CHECKPOINTS_FOLDER}/[!.]*')}

    def damage(self) -> str | None:
        """What is wrong with the file of its result; None where nothing is.

        Raises:
            FormatError: as `result`.
        """
        try:
            self._read()
        except FormatError:
            raise
        except FileNotFoundError:
            return None
        except UserError as error:
            return str(error)
        return None

    def finish(self, result: Result) -> None:
        """Leaves the result, the mark that the cell is done."""
        write_json(self.directory / RESULT_FILE, {'format': FORMAT} | dataclasses.asdict(result))

    def _read(self) -> Result:
        path = self.directory / RESULT_FILE
        values = read_json(path) | self.coordinates()
        if check_format(path, values) == 1:
            values = self._from_format_1(values)
        try:
            result = parsed(Result, values)
            _check_plausible(result)
        except ValueError as error:
            raise UserError(f'{path} is damaged: it {error}.') from None
        return result

    def _from_format_1(self, values: Mapping) -> dict:
        """Adds what format 1 did not record; the classes follow from the count of parameters."""
        shape, parameters = values.get('image_shape'), values.get('parameters')
        found = dict(values) | {'num_images': None}
        if not isinstance(shape, list) or not isinstance(parameters, int):
            return found
        if [type(size) for size in shape] == [int] * 3:
            height, width, channels = shape
            one, two = (
                spec.count_parameters(self.network_spec, (height, width, channels), n)
                for n in (1, 2)
            )
            more, left = divmod(parameters - one, two - one)
            found |= {'num_classes': 1 + more} if more >= 0 and left == 0 else {}
        return found

    def to_json(self) -> dict:
        """All of it, as JSON can hold it."""
        return {
            'config': self.config.to_dict(),
            'workdir': str(self.workdir),
            'sweep': self.sweep,
            'variant': self.variant,
            'stored_id': self.stored_id,
            'command': self.command,
        }

    @classmethod
    def from_json(cls, values: Mapping) -> 'Cell':
        """The cell that `to_json` described."""
        return cls(**dict(values) | {
            'config': ConfigDict(values['config']), 'workdir': Path(values['workdir'])
        })  # fmt: skip


def check_format(path: Path, values: Mapping) -> int:
    """The number of the format that a file is in.

    Raises:
        FormatError: where a later release wrote the file.
        UserError: where the number makes no sense.
    """
    number = values.get('format', 1)
    if not isinstance(number, int) or number < 1:
        raise UserError(f'{path} is damaged: it has {number!r} as its format.')
    if number not in RELEASES:
        raise FormatError(
            f'{path} is of format {number}, which a release later than {RELEASES[FORMAT]} wrote; '
            f'this one reads formats up to {FORMAT}.'
        )
    return number


def _check_plausible(result: Result) -> None:
    """Raises ValueError for a result that no run can have."""
    errors = {name: getattr(result, f'{name}_error') for name in _SPLITS}
    losses = [getattr(result, f'{name}_loss') for name in _SPLITS]
    for name, error in errors.items():
        if not 0 <= error <= 100:
            raise ValueError(f'has {error!r} as {name}_error, which is in percent')
    if result.status not in ('finished', 'diverged'):
        raise ValueError(f"has {result.status!r} as 'status'")
    if result.status == 'finished' and None in losses:
        raise ValueError('is of a finished run and lacks a loss')
