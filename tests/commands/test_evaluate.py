import io

import pytest
from rich.console import Console

from vggres.commands.evaluate import evaluate
from vggres.data import datasets
from vggres.errors import UserError
from vggres.sweeps.cell import WEIGHTS_FILE, Cell
from vggres.sweeps.run import run


@pytest.fixture
def trained(config, tmp_path):
    """A plain network of depth 14, trained, and its result."""
    config.model.family, config.model.depth = 'plain', 14
    cell = Cell(config, tmp_path, '')
    return cell.directory / WEIGHTS_FILE, run(cell)


def printed(config, overrides=(), split='test'):
    console = Console(file=io.StringIO(), width=400)
    evaluate(config, overrides, split, console)
    return console.file.getvalue()


def test_the_file_says_which_network_it_is(config, trained):
    path, result = trained
    config.init.weights = str(path)
    config.model.family, config.model.depth, config.model.width = 'resnet', 20, 16
    for split in ('test', 'validation'):
        text = printed(config, split=split)
        assert 'plain of depth 14' in text
        error = getattr(result, f'{split}_error')
        assert f'{split}: error {error:.2f} % (' in text
        assert f'loss {getattr(result, f"{split}_loss"):.4f}' in text


def test_another_network_than_the_files_is_refused(config, trained):
    config.init.weights = str(trained[0])
    config.model.family = 'resnet'
    with pytest.raises(UserError, match='plain') as caught:
        printed(config, ['model.family'])
    assert '\n' not in str(caught.value)


@pytest.mark.slow
def test_weights_of_a_fading_network_are_evaluated_whatever_the_length_of_training(
    config, tmp_path
):
    """Nothing is trained, so that the knobs of training may be shorter than the fade was."""
    config.model.shortcut.fade_steps = 10  # as many updates as the two epochs have
    cell = Cell(config, tmp_path, '')
    result = run(cell)
    config.init.weights = str(cell.directory / WEIGHTS_FILE)
    config.train.epochs, config.train.steps = 0, 1
    assert f'test: error {result.test_error:.2f} % (' in printed(config)


def test_it_needs_a_file_and_its_head(config):
    with pytest.raises(UserError, match=r'needs --config\.init\.weights=FILE'):
        printed(config)
    config.init.weights, config.init.new_head = 'w.pth', True
    with pytest.raises(UserError, match='needs the head'):
        printed(config)


def test_data_that_are_missing_are_prepared_with_a_word(config, trained, monkeypatch):
    path, _ = trained
    config.init.weights = str(path)
    monkeypatch.setattr(
        datasets, 'prepare', lambda data, console=None: console.print(f'preparing {data.name}')
    )
    assert printed(config).startswith('preparing small_color')
