"""An experiment in three stages, for tests: which rate, fresh seeds at it, and twice as long."""

from dataclasses import dataclass
from types import SimpleNamespace

from ml_collections import ConfigDict

import experiments
from vggres.sweeps.grid import grid

RATES = (0.1, 0.01)
_FIRST_FRESH_SEED = 100


@dataclass(frozen=True)
class Verdict:
    """The number of runs of each variant."""

    runs: dict[str, int]


def cells(config):
    """One run at each rate."""
    config = ConfigDict(config.to_dict())
    config.sweep.seeds = 1
    return grid(config, {_variant(rate): _knobs(rate) for rate in RATES})


def next_cells(sweep):
    """Fresh seeds at the rate with the lower validation loss, then the same for twice as long."""
    first = [cell for cell in sweep.cells if cell.config.seed < _FIRST_FRESH_SEED]
    best = min(first, key=lambda cell: cell.result().validation_loss)
    rate = best.config.optimizer.learning_rate
    config = ConfigDict(sweep.config.to_dict())
    config.seed += _FIRST_FRESH_SEED
    yield from grid(config, {f'{_variant(rate)}, fresh': _knobs(rate)})
    if len(sweep.cells) > len(first):
        config.train.epochs *= 2
        yield from grid(config, {f'{_variant(rate)}, twice as long': _knobs(rate)})


def _variant(rate):
    return f'plain, rate {rate}'


def _knobs(rate):
    return {'model.family': 'plain', 'optimizer.learning_rate': rate}


def analyse(sweep):
    """Counts."""
    runs: dict[str, int] = {}
    for result in sweep.results():
        runs[result.variant] = runs.get(result.variant, 0) + 1
    return Verdict(runs)


STAGES = SimpleNamespace(
    TITLE='Stages',
    CLAIM='Runs follow from runs.',
    SOURCE='a test',
    VARIES=('optimizer.learning_rate',),
    CLAIMS=(),
    defaults=lambda config: {},
    cells=cells,
    next_cells=next_cells,
    judged=experiments.all_results,
    analyse=analyse,
    words=lambda verdict: f'{sum(verdict.runs.values())} runs.',
    in_short=lambda verdict: {},
    tables=lambda verdict: [],
    figures=lambda sweep, verdict: {},
)


def register(monkeypatch, **changes):
    """Makes it known as 'stages', with some of its parts changed."""
    experiment = SimpleNamespace(**vars(STAGES) | changes)
    load = experiments.load
    known = {'stages': experiment}
    monkeypatch.setattr(experiments, 'load', lambda name: known.get(name) or load(name))
    return experiment


def loss_of(cell):
    """A validation loss by which the second rate is the better one."""
    return cell.config.optimizer.learning_rate
