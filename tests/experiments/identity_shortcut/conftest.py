"""A sweep with planted gradients, Jacobians and errors."""

import json

import pytest
from planted import finish

from experiments import identity_shortcut
from vggres.config import set_defaults
from vggres.findings.along_layers import along
from vggres.sweeps.sweep import assemble


@pytest.fixture
def sweep(config, tmp_path, request):
    """All variants, done, at depth 20 or at that of the test.

    The gradient falls by λ a block, and the distance of each block is 0.25.
    """
    depth = getattr(request, 'param', 20)
    given = {'sweep.depths': (depth,), 'train.epochs': 2}
    set_defaults(config, identity_shortcut.defaults(config) | given, [])
    done = assemble('identity_shortcut', config, tmp_path, identity_shortcut.cells(config))
    for number, cell in enumerate(done.cells):
        names, _ = along(cell.network_spec, 'block')
        # The shortcut of a stage's last block is always the one of the variant.
        block = cell.network_spec.stages[0].blocks[-1]
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
                'identity_distance': distances,
                'relu_distance': {name: each and each / 5 for name, each in distances.items()},
                'spectral_norm': dict.fromkeys(names, 2.0),
                'mean_square_gain': dict.fromkeys(names, 1.5),
                'image_coupling': dict.fromkeys(names, 0.0625),
                'chain_gain': {name: 2.0**-j for j, name in enumerate(names)},
            }
            rows.append(json.dumps(row) + '\n')
        cell.directory.mkdir(parents=True)
        (cell.directory / 'probes.jsonl').write_text(''.join(rows))
        (cell.directory / 'metrics.jsonl').write_text('')
        finish(cell, error=float(number))
    return done
