"""A sweep whose losses are planted: it can be taken through its stages without training."""

import dataclasses
import math
from types import SimpleNamespace

import planted
import pytest

from experiments import depth_tuned
from experiments.depth_tuned import question
from vggres.sweeps.sweep import assemble

RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
# The planted optimum, as a place in the grid, by family and depth.
OPTIMA = {('plain', 8): 4, ('plain', 14): 2, ('resnet', 8): 4, ('resnet', 14): 3}


@pytest.fixture
def config(config):
    """The smallest networks, with the defaults of the question elsewhere."""
    config.update_from_flattened_dict(depth_tuned.defaults(config))
    config.sweep.depths, config.sweep.rates = (8, 14), RATES
    return config


@pytest.fixture
def world():
    """The functions and constants of this file."""
    return SimpleNamespace(
        RATES=RATES,
        OPTIMA=OPTIMA,
        decades=decades,
        finish=finish,
        stage=stage,
        begun=begun,
        whole=whole,
    )


def decades(place, rate, seed, optima=OPTIMA):
    """log10 of a planted loss: a parabola in the place of the rate, and a gap of plain-14.

    The optimum of plain-14 is one place higher at a larger budget, and its gap smaller.
    """
    family, depth, budget = place
    is_deep_plain = (family, depth) == ('plain', 14)
    optimum = optima[family, depth] + (budget > 1 and is_deep_plain)
    gap = 1.5 / budget if is_deep_plain else 0.0
    noise = 0.05 * math.sin(100 * seed + depth + len(family) * budget)
    return -2.0 + gap + 0.2 * (RATES.index(rate) - optimum) ** 2 + noise


def finish(cells, sweep, planted_loss=decades):
    """Leaves the planted results of some cells."""
    for cell in cells:
        at = cell.coordinates()
        budget = question.budget_of(cell.config, sweep.config)
        place = at['family'], at['depth'], budget
        loss = 10 ** planted_loss(place, cell.config.optimizer.learning_rate, at['seed'])
        errors = {'train_error': 80.0 if loss > 1.5 else 2.0}
        losses = dict.fromkeys(('train_loss', 'validation_loss', 'test_loss'), loss)
        planted.finish(cell, **losses, steps=10 * budget, **errors)


def begun(config, tmp_path):
    """The sweep with the cells of its first stage."""
    return assemble('depth_tuned', config, tmp_path, depth_tuned.cells(config))


def stage(sweep):
    """The sweep with the cells that the finished ones call for, and these cells."""
    more = assemble(sweep.name, sweep.config, sweep.directory.parent, depth_tuned.next_cells(sweep))
    return dataclasses.replace(sweep, cells=sweep.cells + more.cells), more.cells


def whole(sweep, planted_loss=decades):
    """The sweep after all its stages, and the number of cells of each."""
    new, counts = [cell for cell in sweep.cells if cell.result() is None], []
    while new:
        finish(new, sweep, planted_loss)
        counts.append(len(new))
        sweep, new = stage(sweep)
    return sweep, counts
