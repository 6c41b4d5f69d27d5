"""A sweep with planted lesions."""

import json

import pytest
from planted import finish

from experiments import lesion
from vggres.config import set_defaults
from vggres.findings.along_layers import along
from vggres.sweeps.sweep import assemble

# The validation error without a block; that of the whole network is 10, that of guessing 90.
WITHOUT = {'plain': 70.0, 'vgg': 90.0, 'resnet': 12.0}


@pytest.fixture
def sweep(config, tmp_path):
    """Three families, done, two seeds each; the first block costs the double, or at most all."""
    given = {'sweep.depths': (20, 56), 'sweep.seeds': 2}
    config.data.name = 'digits'
    set_defaults(config, lesion.defaults(config) | given, [])
    done = assemble('lesion', config, tmp_path, lesion.cells(config))
    for cell in done.cells:
        at = cell.coordinates()
        names, _ = along(cell.network_spec, 'block')
        error = WITHOUT[at['family']]
        row = {
            'epoch': 2,
            'step': 10,
            'draw': 0,
            'lesion_deleted': dict.fromkeys(names, error) | {names[0]: min(90, 2 * error - 10)},
            'lesion_several': {'0': 10.0, '2/0': 40.0, '2/1': 60.0},
            'lesion_swapped': {'1/0': 20.0, '2/0': 30.0},
            'lesion_tau': {'1/0': 0.9, '2/0': 0.8},
        }
        before = {'epoch': 0, 'step': 0, 'draw': 0, 'activation': {}}
        cell.directory.mkdir(parents=True)
        lines = ''.join(json.dumps(each) + '\n' for each in (before, row))
        (cell.directory / 'probes.jsonl').write_text(lines)
        (cell.directory / 'metrics.jsonl').write_text('')
        finish(cell, error=1.0 + at['seed'])
    return done
