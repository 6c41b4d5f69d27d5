"""A sweep with planted updates: plain networks exponential in depth, residual ones flat."""

import math

import numpy as np
import planted
import pytest

from experiments import convergence
from vggres.config import set_defaults
from vggres.sweeps.arms import is_tuning
from vggres.sweeps.sweep import Sweep, assemble

BEST = {'plain': 0.01, 'resnet': 0.03}


def updates(config, noise):
    """The updates to the first target and to the last one, at the best rate and at others."""
    family, depth = config.model.family, config.model.depth
    n = 66 * (242 / 66) ** ((depth - 20) / 24) if family == 'plain' else 50
    # A rate that is three times too high or too low takes twice as long.
    n *= 2 ** (abs(math.log(config.optimizer.learning_rate / BEST[family])) / math.log(3))
    return [each * math.exp(noise) for each in (n, 1.5 * n)]


def finish(cell, noise):
    """Leaves the counts, as looks every few updates and a budget make them."""
    every, budget = cell.config.evaluation.every_steps, cell.config.train.steps
    found = {}
    for target, count in zip((5.0, 1.0), updates(cell.config, noise), strict=True):
        if target in cell.config.train.until_error:
            look = int(every * math.ceil(count / every))
            found[f'{target:g}'] = look if look <= budget else None
    cell.directory.mkdir(parents=True, exist_ok=True)
    (cell.directory / 'metrics.jsonl').write_text('')
    planted.finish(cell, steps_to_error=found, error=0.0)


def _place(cell):
    return cell.config.model.family, cell.config.model.depth, cell.config.seed


def finish_all(sweep):
    """Finishes all cells; fresh seeds have noise of 3 %, so that a floor can be excluded."""
    rng = np.random.default_rng(0)
    for cell in sorted(sweep.cells, key=_place):
        finish(cell, 0.0 if is_tuning(cell) else 0.03 * rng.normal())


def ask(config):
    set_defaults(config, convergence.defaults(config), [])
    config.sweep.depths, config.sweep.seeds = (8, 14, 20, 32, 44, 56), 4
    return config


def run(config, directory):
    sweep = assemble('convergence', config, directory, convergence.cells(config))
    while new := [cell for cell in sweep.cells if cell.result() is None]:
        for cell in new:
            finish(cell, 0.0)
        more = assemble('convergence', config, directory, convergence.next_cells(sweep)).cells
        known = {cell.id for cell in sweep.cells}
        more = [cell for cell in more if cell.id not in known]
        sweep = Sweep('convergence', config, sweep.directory, (*sweep.cells, *more))
    finish_all(sweep)
    return sweep


@pytest.fixture
def asked(config):
    """The configuration of the sweep, by its defaults but for fewer depths and seeds."""
    return ask(config)


@pytest.fixture
def all_stages(tmp_path):
    """config → the tuning runs and the fresh seeds that they call for, all of them done."""
    return lambda config: run(config, tmp_path)


@pytest.fixture(scope='session')
def sweep(new_config, tmp_path_factory):
    """All stages, done, for tests that change nothing."""
    return run(ask(new_config()), tmp_path_factory.mktemp('convergence'))


@pytest.fixture
def own_sweep(asked, all_stages):
    """The same for a test that changes results."""
    return all_stages(asked)
