"""A sweep with planted responses and summands."""

import json

import pytest
from planted import finish

from experiments import response
from vggres.config import set_defaults
from vggres.findings.along_layers import along
from vggres.sweeps.sweep import assemble

# Responses after training by variant and depth, and what each seed adds.
AFTER = {('plain', 8): 1.0, ('plain', 20): 2.0, ('plain', 56): 1.5} | {
    ('resnet', 8): 0.8, ('resnet', 20): 1.0, ('resnet', 56): 0.5,
}  # fmt: skip


@pytest.fixture
def sweep(config, tmp_path):
    """Five seeds, done: every branch has a third of its shortcut's root mean square."""
    given = {'train.epochs': 2}
    set_defaults(config, response.defaults(config) | given, [])
    done = assemble('response', config, tmp_path, response.cells(config))
    for cell in done.cells:
        at = cell.coordinates()
        names, _ = along(cell.network_spec, 'layer')
        blocks = along(cell.network_spec, 'block')[0] if at['family'] == 'resnet' else []
        diverges = 'no norm' in at['variant']
        level = AFTER.get((at['variant'], at['depth']), 3.0) * (1 + 0.01 * at['seed'])
        rows = []
        for step, draw in ((0, 0), (0, 1), *([] if diverges else [(10, 0)])):
            row = {
                'epoch': step // 5,
                'step': step,
                'draw': draw,
                'response': dict.fromkeys(['stem', *names], level if step else 1.0),
                'branch_size': dict.fromkeys(blocks, 1.0),
                'shortcut_size': dict.fromkeys(blocks, 3.0),
            }
            rows.append(json.dumps(row) + '\n')
        cell.directory.mkdir(parents=True)
        (cell.directory / 'probes.jsonl').write_text(''.join(rows))
        (cell.directory / 'metrics.jsonl').write_text('')
        ended = {'status': 'diverged', 'train_loss': None} if diverges else {}
        failed = at['variant'] == 'plain' and at['depth'] == 56
        finish(cell, error=90.0 if failed or diverges else 0.5, **ended)
    return done
