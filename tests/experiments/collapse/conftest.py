"""A sweep with planted cosines of features."""

import json

import pytest
from planted import finish

from experiments import collapse
from vggres.config import set_defaults
from vggres.findings.along_layers import along
from vggres.sweeps.sweep import assemble


def row(cell, step, draw):
    """An observation in which the cosine rises to 0.8 in plain and 0.5 in residual networks."""
    names, layers = along(cell.network_spec, 'block')
    last = 0.8 if cell.config.model.family == 'plain' else 0.5 + cell.config.seed / 50 + draw / 50
    cosines = {name: last * layer / layers[-1] for name, layer in zip(names, layers, strict=True)}
    return {
        'epoch': step // 5,
        'step': step,
        'draw': draw,
        'feature_cosine': {'stem': 0.0} | cosines | {'head': 1.0},
        'feature_rank': {'stem': 9.0} | {name: 1 / cosines[name] for name in names} | {'head': 1.0},
    }


@pytest.fixture
def sweep(config, tmp_path):
    """All variants, done, at depths 8 and 20."""
    given = {'sweep.depths': (8, 20), 'sweep.seeds': 2}
    set_defaults(config, collapse.defaults(config) | given, [])
    done = assemble('collapse', config, tmp_path, collapse.cells(config))
    for cell in done.cells:
        rows = [row(cell, *at) for at in ((0, 0), (0, 1), (10, 0))]
        cell.directory.mkdir(parents=True)
        lines = ''.join(json.dumps(each) + '\n' for each in rows)
        (cell.directory / 'probes.jsonl').write_text(lines)
        (cell.directory / 'metrics.jsonl').write_text('')
        finish(cell, error=5.0)
    return done
