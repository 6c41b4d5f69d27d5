"""The configuration of a run in W&B: what decides it, and nothing beside it."""

from configs import digits
from vggres.tracking import run_config

_NEVER = ('wandb', 'sweep', 'checkpoint')


def test_a_cell_shows_what_decides_it():
    config = digits.get_config()
    config.model.family, config.model.depth, config.seed = 'plain', 56, 2
    found = run_config.nested(run_config.of_cell(config))
    # What views group by.
    assert (found['model']['family'], found['model']['depth'], found['seed']) == ('plain', 56, 2)
    assert found['optimizer']['learning_rate'] == config.optimizer.learning_rate
    assert not {*_NEVER, 'probes'} & {*found}
    assert not {'shortcut', 'vgg', 'name', 'remat'} & {*found['model']}  # of other families, speed
    assert not {'dir', 'archive', 'input', 'workers'} & {*found['data']}
    assert '' not in found['data'].values()
    assert ('epochs' in found['train'], 'steps' in found['train']) == (True, False)


def test_what_another_knob_makes_pointless_is_left_out():
    config = digits.get_config()
    config.model.family = 'resnet'
    config.optimizer.warmup = 'none'
    found = run_config.of_cell(config)
    assert not any(key.startswith('optimizer.warmup_') for key in found)
    assert {'model.shortcut.kind', 'model.shortcut.gate'} <= {*found}
    assert 'model.shortcut.gate_bias' not in found
    config.probes.every_epochs = 5
    config.train.steps, config.train.epochs = 100, 0
    found = run_config.of_cell(config)
    assert found['probes.every_epochs'] == 5
    assert (found['train.steps'], 'train.epochs' in found) == (100, False)


def test_a_sweep_shows_what_its_cells_share_and_its_axes():
    found = run_config.nested(run_config.of_sweep(digits.get_config()))
    assert {*found['sweep']} == {'families', 'depths', 'seeds'}
    assert 'seed' not in found
    assert not {'family', 'depth', 'vgg'} & {*found['model']}
    assert found['model']['shortcut']['kind'] == 'A'
