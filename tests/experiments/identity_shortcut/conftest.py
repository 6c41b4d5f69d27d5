"""A sweep with planted gradients, Jacobians and errors."""

import json

import pytest
from planted import finish

from experiments import identity_shortcut
from vggres import config as configuration
from vggres.findings.along_layers import along
from vggres.sweeps.sweep import assemble


@pytest.fixture
def sweep(config, tmp_path):
    """All variants at depth 20, done: the gradient falls by λ a block, the distance is 0.25."""
    given = {'sweep.depths': (20,), 'train.epochs': 2}
    configuration.set_defaults(config, identity_shortcut.defaults(config) | given, [])
    done = assemble('identity_shortcut', config, tmp_path, identity_shortcut.cells(config))
    for number, cell in enumerate(done.cells):
        names, _ = along(cell.network_spec, 'block')
        # The second block's shortcut is always the one of the variant.
        block = cell.network_spec.stages[0].blocks[1]
        scale = block.shortcut.scale or 1.0
        distances = {
            name: None if name in ('stage2/block1', 'stage3/block1') else 0.25 for name in names
        }
        rows = []
        for step, draw in ((0, 0), (0, 1), (10, 0)):
            row = {
                'epoch': step // 5,
                'step': step,
                'draw': draw,
                'input_gradient': {n: scale ** (len(names) - j) for j, n in enumerate(names)},
                'distance_from_identity': distances,
                'distance_from_relu': {name: each and each / 5 for name, each in distances.items()},
                'largest_singular_value': dict.fromkeys(names, 2.0),
                'smallest_singular_value': dict.fromkeys(names, 0.5),
                'mean_squared_singular_value': dict.fromkeys(names, 1.5),
                'chain': {name: 2.0**-j for j, name in enumerate(names)},
            }
            rows.append(json.dumps(row) + '\n')
        cell.directory.mkdir(parents=True)
        (cell.directory / 'probes.jsonl').write_text(''.join(rows))
        (cell.directory / 'metrics.jsonl').write_text('')
        finish(cell, error=float(number))
    return done
