"""The sweep of W&B in configs/, as its agent reads it."""

import dataclasses
import itertools
import subprocess
import sys
from pathlib import Path

import planted
import pytest
import yaml
from wandb.sdk.launch.sweeps import utils

from vggres.sweeps.records import to_dict

ROOT = Path(__file__).parents[1]
SWEEP = yaml.safe_load((ROOT / 'configs' / 'wandb_sweep.yaml').read_text())
GRID = {name: each['values'] for name, each in SWEEP['parameters'].items()}


def command(point):
    """What an agent starts for a point of the grid: see `Agent._command_run` of W&B."""
    known = utils.create_sweep_command_args({'args': {k: {'value': v} for k, v in point.items()}})
    known |= {'interpreter': [sys.executable], 'program': [SWEEP['program']], 'env': []}
    words = utils.create_sweep_command(list(SWEEP['command']))
    return [word for each in words for word in known.get(each.strip('${}'), [each])]


def test_the_metric_is_one_that_runs_log():
    evaluated = dataclasses.replace(planted.record(1, 50.0), validation_error=60.0)
    assert to_dict(evaluated)[SWEEP['metric']['name']] == 60.0
    assert SWEEP['metric']['goal'] == 'minimize'


@pytest.mark.slow
def test_every_command_of_the_agent_is_one_of_the_launcher():
    ids = set()
    points = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    for point in (points[0], points[-1]):
        words = [*command(point), '--dry_run']
        assert words[:2] == [sys.executable, 'launch.py']
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, '')
        assert f'{point["config.model.family"]}-d{point["config.model.depth"]}' in done.stdout
        ids.add(done.stdout)
    assert len(ids) == 2
