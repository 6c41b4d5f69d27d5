"""The run that stands for a sweep, as W&B itself reads it."""

import json
import re

import wandb_files
from planted import result

from vggres.findings import run_charts
from vggres.tracking.summary import Summary, mirror_sweep

# Seeds 0 and 1 err by their depth and by ten points more.
RESULTS = [
    result(variant, depth, seed, error=10.0 * seed + depth)
    for variant in ('plain', 'resnet')
    for depth in (8, 20)
    for seed in (0, 1)
]


CHARTS = run_charts.of_sweep(RESULTS, [])


def test_the_summary_run_holds_the_runs_of_its_charts_and_the_verdict(config, tmp_path):
    config.wandb.mode = 'offline'
    (tmp_path / 'figure.png').write_bytes(PNG)
    verdict = {'families': {'plain': {'verdict': 'degrades', 'excess_error': 12.0}}}
    summary = Summary(RESULTS, CHARTS, [tmp_path / 'figure.png'], verdict)
    mirror_sweep(config, tmp_path, 'depth', summary)
    found = wandb_files.inspect(tmp_path, '--summary')
    assert found['summary']['verdict'] == verdict
    assert {'errors_by_run', 'charts', 'figures/figure'} <= set(found['summary'])
    tables = [
        json.loads(path.read_text())
        for path in tmp_path.glob('wandb/offline-run-*/files/**/*.table.json')
    ]
    (table,) = [each for each in tables if each['columns'][:3] == ['variant', 'depth', 'seed']]
    errors = {tuple(row[:3]): row[4:6] for row in table['data']}
    assert errors == {
        (variant, depth, seed): [10.0 * seed + depth] * 2
        for variant in ('plain', 'resnet')
        for depth in (8, 20)
        for seed in (0, 1)
    }


def test_the_page_of_its_charts_needs_no_network(config, tmp_path):
    config.wandb.mode = 'offline'
    mirror_sweep(config, tmp_path, 'depth', Summary(RESULTS, CHARTS))
    (page,) = tmp_path.glob('wandb/offline-run-*/files/media/html/*.html')
    html = page.read_text()
    assert '"resnet",20,1,20.3,30.0,30.0' in html
    assert not re.search(r'(src|href)=', html.partition('<script')[0])


def test_disabled_writes_nothing(config, tmp_path):
    mirror_sweep(config, tmp_path, 'depth', Summary(RESULTS, CHARTS))
    assert list(tmp_path.iterdir()) == []


# One grey pixel.
PNG = bytes.fromhex(
    '89504e470d0a1a0a0000000d4948445200000001000000010800000000'
    '3a7e9b550000000a49444154789c6368000000820081774cd2bd0000000049454e44ae426082'
)
