import pytest

from configs import digits
from vggres.commands import planning
from vggres.errors import UserError


def test_a_sweep_is_checked_frozen_and_leaves_the_configuration_as_it_was(config, tmp_path):
    config.sweep.families = ('plain', 'resnet')  # vgg needs larger images
    before = config.to_dict()
    sweep, info = planning.checked_sweep(
        'gradient_flow', config, tmp_path / 'runs', given=['sweep.families']
    )
    assert config.to_dict() == before
    assert sweep.config.probes.draws == 5  # the experiment's own default
    assert sweep.directory == tmp_path / 'runs' / 'gradient_flow'
    assert info.num_images == {'train': 40, 'validation': 5, 'test': 7}
    with pytest.raises(AttributeError):
        sweep.config.seed = 3
    assert list(tmp_path.iterdir()) == []


def test_one_network_is_a_sweep_of_one_cell(config, tmp_path):
    config.model.name = 'cifar_plain20'
    sweep, _ = planning.checked_sweep('', config, tmp_path, overrides=['model.width'])
    (cell,) = sweep.cells
    assert cell.coordinates()['family'] == 'plain'
    assert (cell.config.model.depth, cell.config.model.width) == (20, 2)
    assert cell.directory == tmp_path / 'cells' / cell.id


def test_given_values_are_kept_from_the_experiments_defaults(config, tmp_path):
    config.sweep.seeds, config.train.epochs = 4, 3
    config.sweep.families = ('plain', 'resnet')
    given = ['sweep.seeds', 'train.epochs', 'sweep.depths', 'sweep.families']
    sweep, _ = planning.checked_sweep('gradient_flow', config, tmp_path, given)
    assert (sweep.config.sweep.seeds, sweep.config.train.epochs) == (4, 3)
    assert sweep.config.sweep.depths == (8, 14)


def test_from_python_what_differs_from_base_was_given():
    config = digits.get_config()
    config.train.epochs = 3
    assert {'train.epochs', 'optimizer.warmup'} <= planning.given(config)
    assert 'sweep.depths' not in planning.given(config)


@pytest.mark.parametrize(
    ('name', 'knobs', 'overrides', 'message'),
    [
        ('depht', {}, (), "unknown sweep 'depht': did you mean depth"),
        ('depth', {'model.name': 'resnet18'}, (), 'leave model.name empty'),
        ('depth', {}, ('model.depth',), '--sweep depth sets model.depth itself'),
        ('gradient_flow', {}, ('model.norm',), 'sets model.norm itself'),
        ('depth', {}, ('sweep.rates',), 'sweep.rates changes nothing in --sweep depth'),
        ('rate', {}, ('optimizer.learning_rate',), 'sets optimizer.learning_rate itself'),
        ('rate', {'sweep.rates': (0.1,)}, ('sweep.rates',), 'names 3 or more positive'),
        ('', {'init.new_head': True}, (), 'init.new_head needs init.weights'),
        ('', {'model.width': 0}, (), 'model.width has to be at least 1'),
        ('depth', {'sweep.families': ('plane', 'resnet')}, (), "unknown family 'plane'"),
        ('depth', {'sweep.seeds': -1}, (), 'sweep.seeds has to be at least 1'),
        ('depth', {'sweep.families': ('plain',)}, ('model.shortcut.gate',), 'changes nothing in a'),
        ('', {}, ('model.vgg.stages',), 'model.vgg.stages changes nothing in a resnet network'),
        ('', {'model.depth': 9}, (), 'nearest 8 or 14'),
        ('', {'train.batch_size': 41}, (), 'more than the 40 training images'),
    ],
)
def test_what_makes_no_sense_is_one_line_and_nothing_written(
    config, tmp_path, name, knobs, overrides, message
):
    config.update_from_flattened_dict(knobs)
    with pytest.raises(UserError, match=message) as caught:
        planning.checked_sweep(name, config, tmp_path / 'runs', overrides=overrides)
    assert '\n' not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
