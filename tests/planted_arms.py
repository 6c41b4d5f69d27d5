"""Sweeps of arms whose updates are planted, all their stages done."""

import math

import numpy as np
import planted

from vggres.config import set_defaults
from vggres.sweeps.arms import network_of
from vggres.sweeps.sweep import Sweep, assemble

BEST = 0.03  # the rate at which every network has its updates


def finish_stages(experiment, config, directory, updates):
    """Runs a sweep to its end, without training.

    Args:
        experiment: one whose cells are those of `sweeps.arms`.
        config: its defaults are set here.
        directory: where the cells leave their results.
        updates: arm, depth → its updates at `BEST`; at a rate three times as high or as low, twice
            as many. Each run has noise of 5 % of its own.
    """
    set_defaults(config, experiment.defaults(config), [])
    sweep = assemble('planted', config, directory, experiment.cells(config))
    while new := [cell for cell in sweep.cells if cell.result() is None]:
        for cell in new:
            arm, depth = network_of(cell)
            away = abs(math.log(cell.config.optimizer.learning_rate / BEST)) / math.log(3)
            rng = np.random.default_rng([list(experiment.ARMS).index(arm), cell.config.seed])
            noise = math.exp(0.05 * rng.normal())
            count = round(updates(arm, depth) * 2**away * noise)
            reached = count <= cell.config.train.steps
            planted.finish(cell, steps_to_error={'5': count if reached else None})
        more = assemble('planted', config, directory, experiment.next_cells(sweep)).cells
        known = {cell.id for cell in sweep.cells}
        cells = (*sweep.cells, *(cell for cell in more if cell.id not in known))
        sweep = Sweep('planted', config, sweep.directory, cells)
    return sweep
