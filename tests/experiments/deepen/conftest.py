"""A sweep with planted updates: the orthogonal start cures plain networks, the Dirac one helps."""

import json
import math

import planted
import pytest

from experiments import deepen
from experiments.deepen.stages import FADED_ARM
from vggres.config import set_defaults
from vggres.sweeps.arms import network_of, protocol
from vggres.sweeps.records import to_dict
from vggres.sweeps.sweep import Sweep, assemble

BUDGET = 400  # updates, of which shortcuts fade in the first half
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
# That of a network whose shortcuts fade at the end of some epochs of 10 updates, by its rate; they
# are gone after 200. The low rate keeps what it finds, and the high one loses it before they are.
FADING = {
    0.003: {5: 60.0, 10: 3.0, 19: 3.5, 20: 4.0, 40: 1.0},
    0.03: {5: 0.0, 19: 50.0, 20: 60.0, 40: 50.0},
}


def finish(cell):
    """Leaves what a run of a cell would."""
    cell.directory.mkdir(parents=True, exist_ok=True)
    rate, errors = cell.config.optimizer.learning_rate, {1: 0.0}
    if cell.config.init.deepened_from:
        errors = {
            epoch: error + cell.config.seed / 10 for epoch, error in enumerate(ERRORS[rate], 1)
        }
    if network_of(cell)[0] == FADED_ARM:
        errors = {at: error * (1 + cell.config.seed / 10) for at, error in FADING[rate].items()}
    plant_errors(cell, errors)
    if not cell.config.train.until_error:
        planted.finish(cell, error=[*errors.values()][-1])
        return
    count, best = UPDATES[network_of(cell)]
    distance = abs(math.log(rate / best)) / math.log(3)
    # A step along the grid takes twice as long; seeds differ by a look.
    count = 5 * math.ceil(count * 2**distance / 5) + 5 * (cell.config.seed % 3)
    reached = count if count <= cell.config.train.steps else None
    planted.finish(cell, steps_to_error={'5': reached}, train_loss=1 + distance)


def plant_errors(cell, errors):
    """Leaves the training errors of a run at the ends of some epochs."""
    records = [planted.record(epoch, error) for epoch, error in errors.items()]
    lines = [json.dumps(to_dict(record)) + '\n' for record in records]
    (cell.directory / 'metrics.jsonl').write_text(''.join(lines))


def ask(config):
    set_defaults(config, deepen.defaults(config) | protocol(BUDGET), [])
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
def replant():
    """(cell, errors by epoch): other errors of a run, of which the last is its result's."""

    def errors_of(cell, errors):
        plant_errors(cell, errors)
        planted.finish(cell, error=[*errors.values()][-1])

    return errors_of


@pytest.fixture
def own_sweep(asked, tmp_path):
    """The same for a test that changes results."""
    return run(asked, tmp_path)
