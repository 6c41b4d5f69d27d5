"""A sweep with planted updates and observations: fixed norms change nothing, or cure."""

import json
import math

import planted
import pytest

from experiments import effective_rate
from vggres.config import set_defaults
from vggres.networks.spec import positions
from vggres.sweeps.arms import network_of
from vggres.sweeps.sweep import Sweep, assemble

BEST = {'plain': 0.01, 'resnet': 0.03}
SLOW = {20: 66, 44: 150}


def growth(family, name, step, seed):
    """The decades by which ‖w‖² has grown after 22 updates; twice as many at the end."""
    times = {0: 0, 22: 1}.get(step, 2)
    if family == 'resnet':
        return 0.1 * times
    return times * (1.0 if name == 'stem' else 0.5) + 0.01 * seed * times


def observations(cell, last):
    """Looks before the first update, after 22 of them, and at the end."""
    family, rate = cell.config.model.family, cell.config.optimizer.learning_rate
    names = [name for name in positions(cell.network_spec) if name.count('/') != 1]
    free = [name for name in names if name != 'head']
    for step in (0, 22, last):
        squares = {name: 32 * 10 ** growth(family, name, step, cell.config.seed) for name in names}
        yield {
            'epoch': step / 11,
            'step': step,
            'draw': 0,
            'weight_norm': {name: math.sqrt(each) for name, each in squares.items()},
            'weight_gradient_cosine': dict.fromkeys(free, -3e-6) | {'head': 0.4},
            'effective_rate': {name: rate / squares[name] for name in free},
            'turn': {name: 0.1 if (family, name) == ('plain', 'stem') else 0.01 for name in names},
        }


def updates(cell, cures):
    """A rate that is three times too high or too low takes twice as long."""
    arm, depth = network_of(cell)
    family = cell.config.model.family
    slow = family == 'plain' and not (cures and 'fixed' in arm)
    n = SLOW[depth] if slow else 42
    n *= 2 ** (abs(math.log(cell.config.optimizer.learning_rate / BEST[family])) / math.log(3))
    # One seed takes a look longer, another one with fixed norms: ratios need some spread.
    return n + 5 * (cell.config.seed == (2 if 'fixed' in arm else 1))


def finish(cell, cures):
    """Leaves the counts and, where the cell is observed, the observations."""
    budget = cell.config.train.steps
    look = int(5 * math.ceil(updates(cell, cures) / 5))
    cell.directory.mkdir(parents=True, exist_ok=True)
    (cell.directory / 'metrics.jsonl').write_text('')
    if cell.config.probes.every_epochs:
        rows = [json.dumps(row) + '\n' for row in observations(cell, min(look, budget))]
        (cell.directory / 'probes.jsonl').write_text(''.join(rows))
    planted.finish(cell, steps_to_error={'5': look if look <= budget else None}, error=0.0)


@pytest.fixture
def asked(config):
    """The configuration of the sweep, by its defaults."""
    set_defaults(config, effective_rate.defaults(config), [])
    return config


@pytest.fixture
def all_stages(asked, tmp_path):
    """Whether fixed norms cure → all cells of the sweep, done."""

    def run(cures):
        sweep = assemble('effective_rate', asked, tmp_path, effective_rate.cells(asked))
        while new := [cell for cell in sweep.cells if cell.result() is None]:
            for cell in new:
                finish(cell, cures)
            more = assemble('effective_rate', asked, tmp_path, effective_rate.next_cells(sweep))
            known = {cell.id for cell in sweep.cells}
            added = [cell for cell in more.cells if cell.id not in known]
            sweep = Sweep('effective_rate', asked, sweep.directory, (*sweep.cells, *added))
        return sweep

    return run
