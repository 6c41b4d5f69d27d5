"""A sweep with planted surfaces and curvature."""

import json
import math

import planted
import pytest

from experiments import landscape
from vggres.config import set_defaults
from vggres.probes.landscape import grid, name
from vggres.sweeps.sweep import assemble

GUESSING = math.log(10)


def bowl(steepness):
    """A loss that reaches that of guessing where the square of the distance is 1/steepness."""
    return {name(x, y): GUESSING * steepness * (x * x + y * y) for x, y in grid().tolist()}


def curvature(largest, rate):
    """A look at a network whose weights have the norm 5."""
    return {'largest': largest, 'residual': 0.01 * abs(largest), 'rate': rate, 'norm': 5.0}


@pytest.fixture
def sweep(config, tmp_path):
    """Two seeds, done; the surface of plain networks rises as their depth, others not at all.

    λ is −3 before training, then three times what it is at the end: the depth in plain networks,
    and 2 in residual ones, with 2 % more in the second seed.
    """
    set_defaults(config, landscape.defaults(config) | {'train.epochs': 2, 'sweep.seeds': 2}, [])
    done = assemble('landscape', config, tmp_path, landscape.cells(config))
    for cell in done.cells:
        at = cell.coordinates()
        is_plain = at['family'] == 'plain'
        steepness = at['depth'] / 8 if is_plain else 0.1
        end = (at['depth'] if is_plain else 2.0) * 1.02 ** at['seed']
        looks = [
            {'epoch': 0, 'step': 0, 'draw': 0, 'activation': {'stem': 1.0}}
            | {'curvature': curvature(-3.0, 0.001)},
            {'epoch': 1, 'step': 5, 'draw': 0, 'curvature': curvature(3 * end, 0.01)},
            {'epoch': 2, 'step': 10, 'draw': 0, 'curvature': curvature(end, 0.001)}
            | {'surface': bowl(steepness)},
        ]
        cell.directory.mkdir(parents=True)
        text = ''.join(json.dumps(look) + '\n' for look in looks)
        (cell.directory / 'probes.jsonl').write_text(text)
        (cell.directory / 'metrics.jsonl').write_text('')
        planted.finish(cell, error=1.0)
    return done
