import io
from pathlib import Path

import pytest
from rich.console import Console

from vggres.commands import multihost, planning
from vggres.commands.multihost import Coordinates, coordinates
from vggres.errors import UserError

ROOT = Path(__file__).parents[2]


def test_coordinates():
    assert coordinates('auto') is None
    assert coordinates('node1:1234,2,0') == Coordinates('node1:1234', 2, 0)
    assert coordinates('[::1]:1234,12,11') == Coordinates('[::1]:1234', 12, 11)


@pytest.mark.parametrize(
    'text',
    ['', 'node1,2,0', 'node1:1234,2,2', 'node1:1234,2', 'node1:1234,0,0', ':1,2,0', 'a:b,2,0'],
)
def test_other_coordinates_are_one_line(text):
    with pytest.raises(UserError, match='give auto, or HOST:PORT,NUM,INDEX') as caught:
        coordinates(text)
    assert '\n' not in str(caught.value)


@pytest.fixture
def cell(config, tmp_path):
    sweep, _ = planning.checked_sweep('', config, tmp_path)
    return sweep.cells[0]


def test_what_one_host_alone_decides_may_differ(config, tmp_path, cell):
    config.data.dir = config.data.dir + '/'
    config.wandb.mode = 'offline'
    (other,) = planning.checked_sweep('', config, tmp_path / 'elsewhere')[0].cells
    assert multihost._number(other) == multihost._number(cell) > 0
    config.evaluation.every_epochs += 1
    (other,) = planning.checked_sweep('', config, tmp_path)[0].cells
    assert multihost._number(other) != multihost._number(cell)


@pytest.mark.parametrize('told', ['nothing', 'another'])
def test_other_processes_train_only_what_the_first_one_does(cell, monkeypatch, told):
    number = 0 if told == 'nothing' else multihost._number(cell) + 1
    monkeypatch.setattr('vggres.training.devices.agreed', lambda own: number)
    monkeypatch.setattr('vggres.sweeps.run.train_in_process', None)  # cannot be called
    if told == 'nothing':
        assert multihost._follow(cell) == 0
    else:
        with pytest.raises(UserError, match='another network, or with other code'):
            multihost._follow(cell)


def test_others_are_told_where_the_first_process_refuses(config, tmp_path, monkeypatch):
    sweep, info = planning.checked_sweep('', config, tmp_path)
    told = []
    monkeypatch.setattr('vggres.training.devices.agreed', told.append)

    def refuse(*arguments):
        raise UserError('another launch is running')

    monkeypatch.setattr('vggres.commands.train.run', refuse)
    with pytest.raises(UserError, match='another launch'):
        multihost._lead(sweep, info, Console(file=io.StringIO()))
    assert told == [0]
