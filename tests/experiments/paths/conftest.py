"""A sweep with planted shares of the gradient."""

import json

import pytest
from planted import finish

from experiments import paths
from experiments.paths.analysis import trials
from vggres.config import set_defaults
from vggres.sweeps.sweep import assemble

LIKELY = {False: 0.25, True: 0.75}  # a branch, without and with a scaled shortcut


@pytest.fixture
def sweep(config, tmp_path, request):
    """All variants, done, at depth 20 or at that of the test: nine blocks, shares of trials."""
    depth = getattr(request, 'param', 20)
    given = {'sweep.depths': (depth,), 'sweep.seeds': 2, 'train.epochs': 2}
    set_defaults(config, paths.defaults(config) | given, [])
    done = assemble('paths', config, tmp_path, paths.cells(config))
    for cell in done.cells:
        blocks = (depth - 2) // 2
        likely = LIKELY['shortcut' in cell.coordinates()['variant']]
        share = trials([likely] * blocks)
        rows = []
        for step in (0, 10):
            rows.append(
                {'epoch': step // 5, 'step': step, 'draw': 0}
                | {'path_share': {str(k): float(value) for k, value in enumerate(share)}}
                | {'path_norm': {str(k): float(value**0.5) for k, value in enumerate(share)}}
                | {'path_single': {str(k): 2.0**-k for k in range(blocks + 1)}}
            )
        cell.directory.mkdir(parents=True)
        lines = ''.join(json.dumps(row) + '\n' for row in rows)
        (cell.directory / 'probes.jsonl').write_text(lines)
        (cell.directory / 'metrics.jsonl').write_text('')
        finish(cell, error=2.0 + cell.coordinates()['seed'])
    return done
