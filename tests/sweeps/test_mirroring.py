import json
import subprocess
import sys

import pytest

from vggres.results import Observation
from vggres.sweeps import mirroring
from vggres.sweeps.cell import Cell
from vggres.sweeps.run import run


def observations(cell):
    return [json.loads(line) for line in (cell.directory / 'probes.jsonl').read_text().splitlines()]


@pytest.mark.slow
def test_observations_go_to_wandb_by_layer_and_as_pictures(config, tmp_path):
    config.probes.every_epochs, config.wandb.mode = 2, 'offline'
    cell = Cell(config, tmp_path, '')
    run(cell)
    (directory,) = tmp_path.glob('wandb/offline-run-*')
    command = [sys.executable, '-m', 'wandb', 'leet', 'inspect', '--json', '--summary', directory]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    last = observations(cell)[-1]
    for quantity in ('activation', 'input_gradient', 'weight_gradient', 'update_ratio'):
        key = f'{quantity}/stage2/block1/conv2'
        assert json.loads(text)['summary'][key] == pytest.approx(
            last[quantity]['stage2/block1/conv2']
        )
        for picture in ('heat_map', 'by_layer'):
            assert [*directory.glob(f'files/media/images/{picture}/{quantity}_*.png')]


class Told:
    """A mirror that keeps what it is told."""

    def __init__(self):
        self.logged = []

    def log(self, record, step):
        self.logged.append((record, step))


def observation(layers, draw=0):
    values = {f'stage1/block{i}': float(i) for i in range(layers)}
    return Observation(epoch=1.0, step=5, draw=draw, values={'activation': values})


def test_many_curves_are_drawn_only_where_they_are_asked_for(config, tmp_path):
    few, many = observation(40), observation(60)
    told = Told()
    for entry in (few, many, observation(40, draw=1)):  # the last is of other random weights
        mirroring.tell_observation(told, entry, Cell(config, tmp_path, ''))
    ((record, step),) = told.logged
    assert (record['activation/stage1/block7'], record['epoch'], step) == (7.0, 1.0, 5)
    config.wandb.all_curves = True
    mirroring.tell_observation(told, many, Cell(config, tmp_path, ''))
    assert told.logged[-1][0]['activation/stage1/block59'] == 59.0
    assert len(told.logged) == 2
