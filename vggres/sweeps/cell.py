"""A cell: one point of a sweep, one training run, and the directory it leaves.

<cell id>/config.json     what was asked for
          metrics.jsonl   a record an epoch
          probes.jsonl    what probes found in each layer, where asked for
          checkpoints/    what an interrupted run goes on from
          weights.safetensors   the final weights, as PyTorch names them
          result.json     appears whole, last: the mark that the cell is done
"""

from dataclasses import dataclass
from pathlib import Path

from ml_collections import ConfigDict

from vggres import config as configuration
from vggres.files import read_json
from vggres.networks import spec

CONFIG_FILE = 'config.json'
RESULT_FILE = 'result.json'
WEIGHTS_FILE = 'weights.safetensors'


@dataclass(frozen=True)
class Cell:
    """A training run.

    Attributes:
        config: resolved: what this one run does.
        workdir: of its sweep; the cell's own files are in `directory`.
        sweep: the name of the sweep it belongs to; '' for none.
        variant: what its sweep compares at each depth: a family, or one with other options.
    """

    config: ConfigDict
    workdir: Path
    sweep: str
    variant: str = ''

    @property
    def id(self) -> str:
        """Readable and unique: `resnet-d56-s0-3f9c1a`."""
        return configuration.cell_id(self.config)

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self.workdir / 'cells' / self.id

    @property
    def network_spec(self) -> spec.NetworkSpec:
        """The network that it trains."""
        return configuration.network_spec(self.config)

    def coordinates(self) -> dict:
        """Its place in the grid."""
        return self.describe()

    def describe(self) -> dict:
        """Its coordinates in the grid."""
        model = self.config.model
        return {
            'cell': self.id,
            'variant': self.variant or model.family,
            'family': model.family,
            'depth': model.depth,
            'seed': self.config.seed,
        }

    def result(self) -> dict | None:
        """What it came to; None while it is not done."""
        path = self.directory / RESULT_FILE
        return read_json(path) if path.exists() else None
