"""A sweep with planted updates: the orthogonal start cures plain networks, the Dirac one helps."""

import json
import math

import planted
import pytest

from experiments import deepen
from vggres.config import set_defaults
from vggres.sweeps.arms import network_of
from vggres.sweeps.records import to_dict
from vggres.sweeps.sweep import Sweep, assemble

# The updates at the best rate, and that rate.
UPDATES = {
    ('plain', 20): (60, 0.03),
    ('plain', 44): (250, 0.003),
    ('plain, Dirac', 44): (120, 0.01),
    ('plain, delta-orthogonal', 44): (50, 0.01),
    ('plain, looks-linear', 44): (240, 0.003),
    ('resnet', 44): (40, 0.03),
}
# The training error of a deepened network at the end of each epoch, by its rate.
ERRORS = {0.003: (2.0, 1.0, 0.0), 0.03: (80.0, 40.0, 4.0)}


def finish(cell):
    """Leaves what a run of a cell would."""
    cell.directory.mkdir(parents=True, exist_ok=True)
    rate, errors = cell.config.optimizer.learning_rate, [0.0]
    if cell.config.init.deepened_from:
        errors = [error + cell.config.seed / 10 for error in ERRORS[rate]]
    records = [planted.record(epoch, error) for epoch, error in enumerate(errors, start=1)]
    lines = [json.dumps(to_dict(record)) + '\n' for record in records]
    (cell.directory / 'metrics.jsonl').write_text(''.join(lines))
    if not cell.config.train.until_error:
        planted.finish(cell, error=errors[-1])
        return
    count, best = UPDATES[network_of(cell)]
    distance = abs(math.log(rate / best)) / math.log(3)
    # A step along the grid takes twice as long; seeds differ by a look.
    count = 5 * math.ceil(count * 2**distance / 5) + 5 * (cell.config.seed % 3)
    reached = count if count <= cell.config.train.steps else None
    planted.finish(cell, steps_to_error={'5': reached}, train_loss=1 + distance)


def ask(config):
    set_defaults(config, deepen.defaults(config), [])
    return config


def run(config, directory):
    sweep = assemble('deepen', config, directory, deepen.cells(config))
    while new := [cell for cell in sweep.cells if cell.result() is None]:
        for cell in new:
            finish(cell)
        more = assemble('deepen', config, directory, deepen.next_cells(sweep)).cells
        known = {cell.id for cell in sweep.cells}
        more = [cell for cell in more if cell.id not in known]
        sweep = Sweep('deepen', config, sweep.directory, (*sweep.cells, *more))
    return sweep


@pytest.fixture
def asked(config):
    """The configuration of the sweep, by its defaults."""
    return ask(config)


@pytest.fixture(scope='session')
def sweep(new_config, tmp_path_factory):
    """All stages, done, for tests that change nothing."""
    return run(ask(new_config()), tmp_path_factory.mktemp('deepen'))


@pytest.fixture
def own_sweep(asked, tmp_path):
    """The same for a test that changes results."""
    return run(asked, tmp_path)
