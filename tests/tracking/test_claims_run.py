"""The run of the claims, as a server receives it, and what it rests on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import wandb_server

from vggres.tracking.claims_run import mirror_claims

ROOT = Path(__file__).parents[2]
# Logs the summary of a sweep with a report, and the claims that rest on it: python -c … WORKDIR.
_LOGS = """
import sys
from pathlib import Path
import configs.digits
from planted import result
from vggres.tracking.claims_run import mirror_claims
from vggres.tracking.summary import Summary, mirror_sweep
config, workdir = configs.digits.get_config(), Path(sys.argv[1])
config.wandb.mode, config.checkpoint.save_weights = 'online', False
for name in ('report.html', 'results.csv'):
    (workdir / 'depth' / name).write_text(name)
summary = Summary([result()], verdict={'words': 'It degrades.'})
mirror_sweep(config, workdir / 'depth', 'depth', summary)
statuses = {'degradation': 'holds', 'shrinking': 'fails'}
mirror_claims({'depth': config}, workdir, statuses, [workdir / 'depth' / 'report.html'], print)
"""


@pytest.mark.slow
def test_the_claims_use_the_report_of_a_sweep(tmp_path):
    (tmp_path / 'depth').mkdir()
    with wandb_server.serving() as (address, runs):
        surroundings = {name: os.environ[name] for name in os.environ if 'WANDB' not in name}
        surroundings |= {'WANDB_BASE_URL': address, 'WANDB_API_KEY': wandb_server.KEY}
        surroundings |= {'PYTHONPATH': f'{ROOT}:{ROOT / "tests"}'}
        done = subprocess.run(
            [sys.executable, '-c', _LOGS, str(tmp_path)],
            check=True, capture_output=True, text=True, env=surroundings,
        )  # fmt: skip
    assert done.stdout == ''  # nothing has failed
    by_type = {runs.told[run]['jobType']: run for run in runs.told}
    assert {*by_type} == {'summary', 'claims'}
    kept = {each.name: each for each in runs.artifacts.versions if each.kind != 'run_table'}
    assert {*kept} == {'depth-report', 'claims'}
    assert kept['depth-report'].by == by_type['summary']
    assert kept['depth-report'].used_by == [by_type['claims']]
    assert kept['claims'].by == by_type['claims']
    assert kept['claims'].files['report.html'] == b'report.html'
    assert runs.summary(by_type['summary'])['verdict'] == {'words': 'It degrades.'}
    assert runs.summary(by_type['claims'])['claims'] == {
        'degradation': 'holds',
        'shrinking': 'fails',
    }
    (table,) = [
        json.loads(content)
        for each in runs.artifacts.versions
        for name, content in each.files.items()
        if name == 'claims.table.json'
    ]
    assert table['data'] == [['degradation', 'holds'], ['shrinking', 'fails']]


def test_nothing_is_logged_of_sweeps_that_were_not(config, tmp_path):
    mirror_claims({'depth': config}, tmp_path, {'degradation': 'holds'}, [], print)
    assert list(tmp_path.iterdir()) == []
