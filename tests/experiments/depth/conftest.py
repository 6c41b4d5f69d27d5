"""A sweep whose errors are planted."""

import planted
import pytest

from experiments import depth
from vggres.sweeps.sweep import assemble


@pytest.fixture
def sweep(config, tmp_path):
    """Two families at two depths with three seeds, done: plain errs by 40 to 42 % at depth 14."""
    config.sweep.seeds = 3
    done = assemble('depth', config, tmp_path, depth.cells(config))
    for cell in done.cells:
        at = cell.coordinates()
        fails = (at['family'], at['depth']) == ('plain', 14)
        planted.finish(cell, error=40.0 + at['seed'] if fails else 0.0)
        (cell.directory / 'metrics.jsonl').write_text('')
    return done
