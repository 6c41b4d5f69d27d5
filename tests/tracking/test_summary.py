"""The run that stands for a sweep, as W&B itself reads it."""

import json

import wandb_files
from planted import result

from vggres.tracking.summary import mirror_sweep

# Seeds 0 and 1 err by their depth and by ten points more.
RESULTS = [
    result(variant, depth, seed, error=10.0 * seed + depth)
    for variant in ('plain', 'resnet')
    for depth in (8, 20)
    for seed in (0, 1)
]


def test_the_summary_run_holds_error_against_depth_and_the_verdict(config, tmp_path):
    config.wandb.mode = 'offline'
    (tmp_path / 'figure.png').write_bytes(PNG)
    verdict = {'families': {'plain': {'verdict': 'degrades', 'excess_error': 12.0}}}
    mirror_sweep(config, tmp_path, 'depth', RESULTS, verdict, [tmp_path / 'figure.png'])
    found = wandb_files.inspect(tmp_path, '--summary')
    assert found['summary']['verdict'] == verdict
    assert {'error_by_cell', 'figures/figure'} <= set(found['summary'])
    tables = [
        json.loads(path.read_text())
        for path in tmp_path.glob('wandb/offline-run-*/files/**/*.table.json')
    ]
    # Seeds 0 and 1 have errors depth and depth + 10: their mean is depth + 5.
    means = [[8, 13.0, 'plain'], [20, 25.0, 'plain'], [8, 13.0, 'resnet'], [20, 25.0, 'resnet']]
    assert [table['data'] for table in tables].count(means) == 2  # training and validation
    assert max(len(table['data']) for table in tables) == len(RESULTS)
    charts = {}
    for record in wandb_files.inspect(tmp_path):
        charts |= record['config']['update'] if record['type'] == 'config' else {}
    for metric in ('train_error', 'validation_error'):
        panel = charts[f'_wandb.visualize.{metric}_against_depth']['panel_config']
        assert panel['panelDefId'] == 'wandb/line/v0'
        assert panel['fieldSettings'] == {'x': 'depth', 'y': 'error', 'stroke': 'variant'}


def test_disabled_writes_nothing(config, tmp_path):
    mirror_sweep(config, tmp_path, 'depth', RESULTS, {}, [])
    assert list(tmp_path.iterdir()) == []


# One grey pixel.
PNG = bytes.fromhex(
    '89504e470d0a1a0a0000000d4948445200000001000000010800000000'
    '3a7e9b550000000a49444154789c6368000000820081774cd2bd0000000049454e44ae426082'
)
