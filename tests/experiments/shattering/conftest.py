"""A sweep with planted correlations of gradients."""

import json

import pytest
from planted import finish

from experiments import shattering
from vggres.config import set_defaults
from vggres.networks.spec import positions
from vggres.sweeps.sweep import assemble

# A layer, and what each seed and each draw adds.
HALVINGS = {'plain': (0.25, 0.01), 'resnet': (0.0625, 0.005)}


def row(cell, step, draw):
    """An observation in which the correlation halves so often a layer, and neighbours' half so."""
    numbers = positions(cell.network_spec)
    names = ['stem', *(n for n in numbers if n.count('/') == 1), 'head']
    slope, more = HALVINGS[cell.config.model.family]
    slope += more * (cell.config.seed + draw)
    layers = {name: cell.network_spec.depth - numbers[name] for name in names}
    return {
        'epoch': step // 5,
        'step': step,
        'draw': draw,
        'gradient_correlation': {n: 2.0 ** (-slope * each) for n, each in layers.items()},
        'gradient_rank': {n: 1.0 + each for n, each in layers.items()},
        'neighbour_correlation': {n: 2.0 ** (-slope * each / 2) for n, each in layers.items()},
        'gradient_autocorrelation': {'0.03125': 0.5, '0.5': 0.25, '1': -0.125},
    }


@pytest.fixture
def sweep(config, tmp_path, request):
    """All variants, done, at depths 8 and 20 or those of the test."""
    given = {'sweep.depths': getattr(request, 'param', (8, 20)), 'sweep.seeds': 2}
    set_defaults(config, shattering.defaults(config) | given, [])
    done = assemble('shattering', config, tmp_path, shattering.cells(config))
    for cell in done.cells:
        rows = [row(cell, *at) for at in ((0, 0), (0, 1), (10, 0))]
        cell.directory.mkdir(parents=True)
        lines = ''.join(json.dumps(each) + '\n' for each in rows)
        (cell.directory / 'probes.jsonl').write_text(lines)
        (cell.directory / 'metrics.jsonl').write_text('')
        finish(cell, error=5.0)
    return done
