"""A sweep with planted gradients and errors."""

import json

import pytest
from planted import finish

from experiments import gradient_flow
from vggres.config import set_defaults
from vggres.findings import along_layers
from vggres.probes.quantities import QUANTITIES
from vggres.sweeps.sweep import assemble


@pytest.fixture
def sweep(config, tmp_path):
    """A sweep of all variants at two depths, done, with planted gradients and errors.

    Without norm the gradient of networks without shortcuts shrinks by a decade a layer, and their
    error rises with it; with batch norm everything is level.
    """
    given = {'sweep.depths': (8, 14), 'train.epochs': 2}
    set_defaults(config, gradient_flow.defaults(config) | given, [])
    done = assemble('gradient_flow', config, tmp_path, gradient_flow.cells(config))
    for number, cell in enumerate(done.cells):
        model = cell.config.model
        shrinks = model.norm == 'none' and model.family != 'resnet'
        _, blocks = along_layers.along(cell.network_spec, 'block')
        error = (blocks[-1] - blocks[0] if shrinks else 0.0) + 0.01 * number
        cell.directory.mkdir(parents=True)
        (cell.directory / 'metrics.jsonl').write_text('')
        records = []
        for step, draw in ((0, 0), (0, 1), (0, 2), (10, 0)):
            row = {'epoch': step // 5, 'step': step, 'draw': draw}
            for quantity in filter(lambda each: each.of, QUANTITIES.values()):
                names, positions = along_layers.along(cell.network_spec, quantity.of)
                row[quantity.name] = {
                    name: 10.0 ** (shrinks * position + 0.001 * draw * position)
                    for name, position in zip(names, positions, strict=True)
                }
            records.append(json.dumps(row) + '\n')
        (cell.directory / 'probes.jsonl').write_text(''.join(records))
        finish(cell, error=error)
    return done
