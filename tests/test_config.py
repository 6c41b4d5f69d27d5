import dataclasses
import json
import re
import runpy
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from configs import base, cifar10, digits, folder, imagenet
from vggres import checks
from vggres import config as config_module
from vggres.config import (
    KNOB_OF_OPTION,
    cell_id,
    differences,
    dotted_keys,
    from_format_1,
    get,
    identity,
    network_options,
    network_spec,
    program,
    resolve_name,
    set_defaults,
    set_options,
    steps,
    with_added_knobs,
)
from vggres.data import datasets
from vggres.errors import UserError
from vggres.networks import grammar, published

CONFIGS = Path(base.__file__).parent


def changed(key, value):
    config = digits.get_config()
    config.update_from_flattened_dict({key: value})
    return config


@pytest.mark.parametrize('name', ['cifar10_16px', 'digits', 'fashion_mnist', 'mnist', 'svhn'])
def test_the_updates_that_a_configuration_names_are_its_own(name, tmp_path):
    module = runpy.run_path(str(CONFIGS / f'{name}.py'))
    config = module['get_config']()
    config.data.dir = str(tmp_path)
    num_train = datasets.describe(config.data).num_images['train']
    named = re.search(r'\(([\d,]+)\s+updates\)', module['__doc__'])
    assert named
    assert named[1] == f'{steps(config, num_train)[1]:,}'


@pytest.mark.parametrize('path', sorted(CONFIGS.glob('[!_]*.py')), ids=lambda path: path.stem)
def test_a_configuration_is_sound_and_has_the_knobs_of_base(path):
    config = runpy.run_path(str(path))['get_config']()
    checks.check_structure(config, base.get_config())
    checks.check(config)


def test_base_says_the_unit_or_the_choices_of_every_knob():
    lines = Path(base.__file__).read_text().splitlines()
    said = {line.split(' = ')[0].strip() for line in lines if ' = ' in line and '#' in line}
    for key in dotted_keys(base.get_config().to_dict()):
        assert f'config.{key}' in said, key


def test_other_configurations_state_only_what_differs():
    for module in (digits, cifar10):
        source = Path(module.__file__).read_text()
        stated = {
            line.split(' = ')[0].strip().removeprefix('config.')
            for line in source.splitlines()
            if line.startswith('    config.')
        }
        base_parts, parts = base.get_config().to_dict(), module.get_config().to_dict()
        keys = dotted_keys(parts)
        assert stated == {key for key in keys if get(parts, key) != get(base_parts, key)}


def test_cifar10_is_the_protocol_of_the_paper():
    # He et al. 2015, §4.2, sentence by sentence.
    config = cifar10.get_config()
    optimizer, total = config.optimizer, config.train.steps
    assert total == 64_000
    assert config.train.batch_size == 128
    assert optimizer.learning_rate == 0.1
    assert [fraction * total for fraction in optimizer.decay_at] == [32_000, 48_000]
    assert optimizer.decay_factor == 0.1
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 1e-4)
    assert (config.data.crop_padding, config.data.flip) == (4, True)
    assert (config.data.train_split, config.data.validation_split) == (
        'train[:45000]',
        'train[45000:]',
    )
    assert (optimizer.warmup, optimizer.warmup_learning_rate) == ('constant', 0.01)
    assert (optimizer.warmup_fraction * total, optimizer.warmup_min_depth) == (400, 110)


def test_base_has_the_defaults_of_the_library():
    # So that a network of the library and one of a configuration cannot differ silently.
    config = base.get_config()
    options = network_options(config)
    assert options == dataclasses.asdict(grammar.Options('resnet', 20))
    knobs = {f'model.{knob}' for knob in KNOB_OF_OPTION.values()}
    keys = {key for key in dotted_keys(config.to_dict()) if key.startswith('model.')}
    assert keys - knobs == {'model.name', 'model.compute_dtype', 'model.remat'}


@pytest.mark.parametrize('name', published.VARIANTS)
def test_a_name_stands_for_the_published_options(name):
    config = changed('model.name', name)
    resolve_name(config, given=[])
    assert config.model.name == ''
    assert network_spec(config) == published.variant_spec(name)


def test_what_the_user_gives_as_well_as_a_name_stays():
    config = changed('model.name', 'resnet50')
    config.model.shortcut.kind, config.model.norm = 'C', 'none'
    resolve_name(config, given=['model.name', 'model.shortcut.kind'])
    assert (config.model.shortcut.kind, config.model.norm) == ('C', 'batch')
    assert (config.model.depth, config.model.block) == (50, 'bottleneck')
    config = changed('model.name', 'resnet5')
    with pytest.raises(UserError, match="network 'resnet5': did you mean resnet50"):
        resolve_name(config, given=[])


def test_options_find_their_knobs():
    config = digits.get_config()
    set_options(config, {'gate': 'exclusive', 'vgg_stages': 4, 'depth': 56}, given=['model.depth'])
    assert config.model.shortcut.gate == 'exclusive'
    assert config.model.vgg.stages == 4
    assert config.model.depth == 20


def test_an_id_is_readable_and_depends_on_what_changes_the_result():
    name = cell_id(digits.get_config())
    assert name.startswith('resnet-d20-s0-')
    for key, value in [
        ('seed', 1),
        ('model.depth', 32),
        ('train.epochs', 40),
        ('optimizer.learning_rate', 0.2),
        ('data.flip', True),
        ('data.normalisation', 'imagenet'),
        ('data.image_size', 4),
        ('data.num_train', 500),
        ('data.fraction', 0.5),
        ('data.label_noise', 0.1),
        ('data.seed', 1),
        ('data.crop', 'area'),
        ('data.color_noise', 0.1),
        ('model.shortcut.gate', 'exclusive'),
        ('model.compute_dtype', 'bfloat16'),
        ('init.weights', 'w.pth'),
        ('init.scheme', 'vgg'),
    ]:
        assert cell_id(changed(key, value)) != name
    for key, value in [
        ('data.dir', 'elsewhere'),
        ('data.archive', 'mine.tar.gz'),
        ('data.checksum', 'any'),
        ('data.input', 'stream'),
        ('data.workers', 3),
        ('wandb.mode', 'disabled'),
        ('evaluation.every_epochs', 5),
        ('probes.every_epochs', 1),
        ('sweep.seeds', 9),
        ('model.vgg.stages', 5),  # of no resnet
        ('model.remat', True),
        ('checkpoint.save_weights', False),
    ]:
        assert cell_id(changed(key, value)) == name


def test_a_folder_of_images_is_known_by_its_name_and_not_by_its_place():
    here, there, other = (folder.get_config() for _ in range(3))
    here.data.dir, there.data.dir, other.data.dir = 'mine', '/elsewhere/mine', 'yours'
    assert cell_id(here) == cell_id(there)
    assert cell_id(here) != cell_id(other)


def test_the_name_of_a_network_brings_the_protocol_of_its_paper():
    # Simonyan & Zisserman 2014, §3; He et al. 2015, §3.4.
    config = imagenet.get_config()
    config.model.name = 'vgg16'
    resolve_name(config, ())
    assert (config.model.family, config.model.depth) == ('vgg', 16)
    assert config.optimizer.learning_rate == 0.01
    assert config.optimizer.weight_decay == 5e-4
    assert config.train.steps == 370_000
    assert config.data.short_side == (256, 512)
    config = imagenet.get_config()
    config.model.name, config.train.steps = 'resnet50', 20
    resolve_name(config, ['train.steps'])  # given by the user
    assert (config.model.family, config.model.depth) == ('resnet', 50)
    assert config.optimizer.learning_rate == 0.1
    assert config.optimizer.weight_decay == 1e-4
    assert config.train.steps == 20
    assert config.data.short_side == (256, 480)
    assert config.train.protocol == 'given'
    for config in (digits.get_config(), imagenet.get_config()):
        config.train.protocol, config.model.name = 'given', 'vgg16'
        rate = config.optimizer.learning_rate
        resolve_name(config, ())
        assert config.optimizer.learning_rate == rate


def test_a_configuration_from_before_some_knobs_has_the_values_that_change_nothing():
    now = digits.get_config().to_dict()
    earlier = digits.get_config().to_dict()
    for key in ('seed', 'image_size', 'num_train', 'crop', 'archive', 'short_side'):
        del earlier['data'][key]
    del earlier['train']['protocol']
    assert with_added_knobs(earlier) == now
    now['data']['image_size'] = 4
    assert with_added_knobs(now) == now


def test_ids_are_those_of_the_first_release():
    # As vggres 0.1 printed them for its defaults and for the networks of its README.
    assert cell_id(digits.get_config()) == 'resnet-d20-s0-aca910'
    config = changed('model.family', 'plain')
    config.model.depth, config.seed = 20, 2
    assert cell_id(config) == 'plain-d20-s2-5885ba'
    config.model.depth = 8
    assert cell_id(config) == 'plain-d8-s2-124283'


def test_a_configuration_of_the_first_release_is_read():
    config = changed('model.vgg.stages', 4)
    config.model.shortcut.kind, config.model.shortcut.scale = 'B', 0.5
    flat = config.to_dict()
    vgg, shortcut = flat['model'].pop('vgg'), flat['model'].pop('shortcut')
    flat['model'] |= {
        'vgg_stages': vgg['stages'],
        'vgg_pointwise': vgg['pointwise'],
        'vgg_shortcuts': vgg['shortcuts'],
        'dropout': vgg['dropout'],
        'shortcut': shortcut['kind'],
        'shortcut_scale': shortcut['scale'],
        'branch_scale': shortcut['branch_scale'],
        'gate': shortcut['gate'],
        'gate_bias': shortcut['gate_bias'],
        'shortcut_dropout': shortcut['dropout'],
    }
    read = with_added_knobs(from_format_1(json.loads(json.dumps(flat))))
    assert read['model'] == json.loads(json.dumps(config.to_dict()['model']))


def test_an_option_of_networks_that_is_added_later_leaves_older_ids_and_files_readable(
    monkeypatch,
):
    before = identity(digits.get_config())
    assert before['model']['preactivation'] is False
    monkeypatch.setitem(config_module.ADDED_KNOBS, 'model.preactivation', False)
    earlier = digits.get_config().to_dict()
    del earlier['model']['preactivation']
    assert with_added_knobs(earlier) == digits.get_config().to_dict()
    del before['model']['preactivation']
    assert identity(digits.get_config()) == before
    assert identity(changed('model.preactivation', True))['model']['preactivation'] is True
    monkeypatch.setitem(KNOB_OF_OPTION, 'growth', 'growth')  # of no family in vggres 0.1
    flat = {'model': {'depth': 20, 'vgg_stages': 4}}
    assert from_format_1(flat)['model'] == {'depth': 20, 'vgg': {'stages': 4}}


@pytest.mark.parametrize(
    ('knob', 'value'),
    [
        ('seed', 7),
        ('init.scheme', 'glorot'),
        ('train.epochs', 7),
        ('train.steps', 70),
        ('train.until_error', (5.0, 1.0)),
        ('optimizer.learning_rate', 0.03),
        ('optimizer.decay_factor', 0.5),
        ('optimizer.warmup', 'none'),
        ('optimizer.warmup_fraction', 0.2),
        ('optimizer.warmup_learning_rate', 0.01),
        ('optimizer.warmup_min_depth', 110),
        ('evaluation.every_epochs', 5),
        ('evaluation.every_steps', 5),
        ('wandb.mode', 'offline'),
    ],
)
def test_what_varies_within_a_program(knob, value):
    assert program(changed(knob, value)) == program(digits.get_config())


def test_when_it_is_looked_at_the_error_counts_only_where_training_stops_by_it():
    config = digits.get_config()
    default = cell_id(config)
    config.evaluation.every_steps = 5
    assert cell_id(config) == default
    config.train.until_error = (5.0, 1.0)
    ids = {default, cell_id(config)}
    config.evaluation.every_steps = 7
    ids.add(cell_id(config))
    config.evaluation.every_steps = 0
    ids.add(cell_id(config))
    config.train.until_error = (5.0, 0.5)
    ids.add(cell_id(config))
    assert len(ids) == 5


@pytest.mark.parametrize(
    ('knob', 'value'),
    [
        ('model.depth', 32),
        ('train.batch_size', 64),
        ('optimizer.momentum', 0.5),
        ('optimizer.weight_decay', 0.0),
        ('optimizer.decay_at', (0.5,)),  # the number of decays is the length of an argument
        ('evaluation.batch_size', 7),
        ('data.flip', True),
    ],
)
def test_what_needs_a_program_of_its_own(knob, value):
    assert program(changed(knob, value)) != program(digits.get_config())


def test_differences_are_named():
    old = {'train': {'epochs': 20, 'steps': 0}, 'seed': 0}
    new = {'train': {'epochs': 40, 'steps': 0}, 'seed': 0}
    assert differences(old, new) == ['train.epochs 20, not 40']


def test_a_sweeps_own_defaults_give_way_to_what_was_given():
    config = digits.get_config()
    defaults = {'train.epochs': 10, 'sweep.depths': (8,)}
    set_defaults(config, defaults, ['sweep.depths'])
    assert config.train.epochs == 10
    assert config.sweep.depths == digits.get_config().sweep.depths


def test_a_base_configuration_is_a_copy_each_time():
    config = base.get_config()
    config.seed = 5
    assert base.get_config().seed == 0
    assert isinstance(config, ConfigDict)
