"""A sweep with planted updates: one treatment cures, one harms, the others do nothing."""

import dataclasses

import pytest
from planted import finish

from experiments import surgery
from vggres.config import set_defaults
from vggres.sweeps import arms
from vggres.sweeps.sweep import assemble

UPDATES = {'plain': 270, 'resnet': 40}
FACTORS = {'plain, equal gradients': 1 / 6, 'plain, first layers frozen': 2}


@pytest.fixture
def asked(config):
    set_defaults(config, surgery.defaults(config), [])
    config.sweep.depths, config.sweep.rates = (14,), (0.01, 0.03, 0.1)
    return config


@pytest.fixture
def begun(asked, tmp_path):
    return assemble('surgery', asked, tmp_path, surgery.cells(asked))


@pytest.fixture
def finished(asked, tmp_path):
    """(factors, seeds) → the sweep with all its stages; every arm is fastest at a rate of 0.03."""

    def finished(factors=FACTORS, seeds=4):
        asked.sweep.seeds = seeds
        sweep = assemble('surgery', asked, tmp_path, surgery.cells(asked))
        _finish_all(sweep.cells, factors)
        fresh = assemble('surgery', sweep.config, tmp_path, surgery.next_cells(sweep)).cells
        _finish_all(fresh, factors)
        return dataclasses.replace(sweep, cells=(*sweep.cells, *fresh))

    return finished


def _finish_all(cells, factors):
    for cell in cells:
        arm, _ = arms.network_of(cell)
        count = UPDATES[cell.config.model.family] * factors.get(arm, 1.0)
        count *= 1.02 ** (cell.config.seed % 3)  # seeds differ by some per cent
        count *= 1 if cell.config.optimizer.learning_rate == 0.03 else 1.5
        reached = round(count) if count <= cell.config.train.steps else None
        finish(cell, steps_to_error={'5': reached}, train_loss=count / 1000)
