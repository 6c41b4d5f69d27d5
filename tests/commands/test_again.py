"""Commands that are parsed as the launcher parses them, and come to the same cells."""

import shlex
import sys
from pathlib import Path

import pytest
from absl import flags
from ml_collections import config_flags

import experiments
from configs import cifar10, digits
from vggres.commands import again, command_line, planning

ROOT = Path(__file__).parents[2]


@pytest.fixture
def asked_for(monkeypatch, tmp_path):
    """The sweep that a command asks for, as `launch.py` finds it."""

    def parsed(command):
        python, *words = shlex.split(command)
        assert (python, words[0]) == ('python', 'launch.py')
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, 'argv', words)
        values = flags.FlagValues()
        flags.DEFINE_string('sweep', None, '', flag_values=values)
        options = {'flag_values': values, 'lock_config': True}
        config_flags.DEFINE_config_file('config', 'configs/digits.py', '', **options)
        command_line.check(words[1:], ROOT / 'configs' / 'digits.py')
        command_line.parse(values, words)
        overrides = config_flags.get_override_values(values['config'])
        return planning.checked_sweep(values.sweep or '', values.config, tmp_path, (), overrides)[0]

    return parsed


@pytest.mark.parametrize('name', experiments.names())
def test_the_command_of_a_cell_trains_that_cell(name, asked_for, tmp_path):
    sweep, _ = planning.checked_sweep(name, digits.get_config(), tmp_path)
    assert again.of_sweep(sweep) == f'python launch.py --sweep {name}'
    for cell in again.with_commands(sweep, [sweep.cells[0], sweep.cells[-1]]):
        if cell.config.init.deepened_from:  # it starts from another cell
            assert cell.command == f'python launch.py --sweep {name}'
            continue
        (found,) = asked_for(cell.command).cells
        assert found.id == cell.id


CHANGES = {
    'a rate': {'optimizer.learning_rate': 0.03, 'seed': 7},
    'lists': {'sweep.depths': (8, 14), 'train.until_error': (5.0, 1.0), 'data.label_noise': 0.1},
    'steps': {'train.steps': 100, 'train.epochs': 0, 'model.activation': 'tanh'},
}


@pytest.mark.parametrize('change', CHANGES)
@pytest.mark.parametrize('file', [digits, cifar10])
def test_the_command_of_a_sweep_makes_the_same_cells(change, file, asked_for, tmp_path):
    config = file.get_config()
    config.update_from_flattened_dict(CHANGES[change])
    config.data.name = 'digits'  # which is there at once
    config.data.train_split, config.data.validation_split = 'train', 'validation'
    sweep, _ = planning.checked_sweep('depth', config, tmp_path)
    command = again.of_sweep(sweep)
    assert ('cifar10' in command) == (file is cifar10)
    assert [cell.id for cell in asked_for(command).cells] == [cell.id for cell in sweep.cells]


def test_a_command_is_as_short_as_can_be(tmp_path):
    config = digits.get_config()
    config.model.family, config.model.depth, config.seed = 'plain', 56, 2
    config.wandb.project = 'mine'  # changes no result
    config.checkpoint.every_seconds = 1.0
    assert again.of_cell(config) == (
        'python launch.py --config.model.depth=56 --config.model.family=plain --config.seed=2'
    )
