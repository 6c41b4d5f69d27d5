import dataclasses

import pytest

from configs import cifar10, digits
from vggres import config as configuration
from vggres.errors import UserError
from vggres.networks import grammar, published


def changed(key, value):
    config = digits.get_config()
    *parents, last = key.split('.')
    part = config
    for parent in parents:
        part = part[parent]
    part[last] = value
    return config


def test_the_configurations_are_sound_and_list_the_same_knobs():
    configuration.check(digits.get_config())
    configuration.check(cifar10.get_config())
    keys = [set(configuration.dotted_keys(c.get_config().to_dict())) for c in (digits, cifar10)]
    assert keys[0] == keys[1]


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


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('train.batch_size', 0, 'train.batch_size must be at least 1, not 0'),
        ('train.batch_size', -4, 'train.batch_size must be at least 1, not -4'),
        ('train.epochs', -1, 'train.epochs must be at least 0'),
        ('train.epochs', 0, 'either epochs or steps'),
        ('train.steps', 100, 'either epochs or steps'),
        ('model.depth', 57, 'nearest 56 or 62'),
        ('model.family', 'resnett', 'did you mean resnet'),
        ('model.shortcut', 'D', 'there is A, B, C'),
        ('model.vgg_stages', 2, 'vgg_stages must be 3, 4 or 5'),
        ('data.normalisation', 'mean', 'mean_image'),
        ('model.compute_dtype', 'float16', 'did you mean bfloat16 or float32'),
        ('optimizer.learning_rate', 0.0, 'positive'),
        ('optimizer.learning_rate', float('nan'), 'finite'),
        ('optimizer.learning_rate', float('inf'), 'finite'),
        ('optimizer.momentum', 1.5, 'at most 1'),
        ('optimizer.decay_at', (0.5, 75.0), 'between 0 and 1'),
        ('init.scheme', 'xavier', 'there is glorot, he, vgg'),
        ('optimizer.warmup', 'cosine', 'linear'),
        ('wandb.mode', 'onlin', 'online'),
        ('probes.every_epochs', -1, 'at least 0'),
        ('probes.names', ('stem',), 'needs probes.every_epochs'),
        (
            'probes.names',
            ('stem', 'stage1/blok2'),
            "of a resnet of depth 20 'stage1/blok2': did you mean stage1/bl",
        ),
        (
            'probes.names',
            ('zzz',),
            "'zzz': there is head, stage1/block1, stage1/block1/conv1",
        ),
        ('sweep.seeds', 0, 'sweep.seeds must be at least 1'),
        ('seed', -1, 'seed must be at least 0'),
        ('seed', 99_999_999_999, 'seed must be at most'),
    ],
)
def test_what_makes_no_sense_is_one_line(key, value, message):
    with pytest.raises(UserError, match=message) as caught:
        configuration.check(changed(key, value))
    assert '\n' not in str(caught.value)


def test_configurations_list_the_options_of_networks_with_their_defaults():
    for module in (digits, cifar10):
        model = module.get_config().model.to_dict()
        assert set(model) == {*grammar.OPTIONS, 'name', 'compute_dtype', 'remat'}
        defaults = dataclasses.asdict(grammar.Options(model['family'], model['depth']))
        changed = {key for key, value in defaults.items() if model[key] != value}
        assert changed == ({'vgg_stages'} if module is digits else set())


@pytest.mark.parametrize('name', published.VARIANTS)
def test_a_name_stands_for_the_published_options(name):
    config = changed('model.name', name)
    with pytest.raises(UserError, match='resolve_name'):
        configuration.check(config)
    configuration.resolve_name(config, given=[])
    assert config.model.name == ''
    assert configuration.network_spec(config) == published.variant_spec(name)


def test_what_the_user_gives_as_well_as_a_name_stays():
    config = changed('model.name', 'resnet50')
    config.model.shortcut, config.model.norm = 'C', 'none'
    configuration.resolve_name(config, given=['model.name', 'model.shortcut'])
    assert (config.model.shortcut, config.model.norm) == ('C', 'batch')
    assert (config.model.depth, config.model.block) == (50, 'bottleneck')
    config = changed('model.name', 'resnet5')
    with pytest.raises(UserError, match="network 'resnet5': did you mean resnet50"):
        configuration.resolve_name(config, given=[])


def test_a_given_knob_that_changes_nothing_is_refused():
    configuration.check_given(['model.gate', 'seed', 'model.remat'], ['plain', 'resnet'])
    for name, family in (('gate', 'plain'), ('vgg_stages', 'resnet'), ('shortcut', 'vgg')):
        with pytest.raises(
            UserError, match=rf'^model.{name} changes nothing in a {family} .* depth'
        ):
            configuration.check_given([f'model.{name}'], [family])


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(UserError, match=r"config key 'model.deph': did you mean model.depth"):
        configuration.check_keys(['seed', 'model.deph'], digits.get_config())


def test_an_id_is_readable_and_depends_on_what_changes_the_result():
    name = configuration.cell_id(digits.get_config())
    assert name.startswith('resnet-d20-s0-')
    for key, value in [
        ('seed', 1),
        ('model.depth', 32),
        ('train.epochs', 40),
        ('optimizer.learning_rate', 0.2),
        ('data.flip', True),
        ('data.normalisation', 'imagenet'),
        ('model.gate', 'exclusive'),
        ('model.compute_dtype', 'bfloat16'),
        ('init.weights', 'w.pth'),
        ('init.scheme', 'vgg'),
    ]:
        assert configuration.cell_id(changed(key, value)) != name
    for key, value in [
        ('data.dir', 'elsewhere'),
        ('wandb.mode', 'disabled'),
        ('evaluation.every_epochs', 5),
        ('probes.every_epochs', 1),
        ('sweep.seeds', 9),
        ('model.vgg_stages', 5),  # of no resnet
        ('model.remat', True),
        ('checkpoint.save_weights', False),
    ]:
        assert configuration.cell_id(changed(key, value)) == name


def test_seeds_share_a_program_and_depths_do_not():
    program = configuration.program(digits.get_config())
    assert configuration.program(changed('seed', 7)) == program
    assert configuration.program(changed('wandb.mode', 'offline')) == program
    assert configuration.program(changed('model.depth', 32)) != program


def test_differences_are_named():
    old = {'train': {'epochs': 20, 'steps': 0}, 'seed': 0}
    new = {'train': {'epochs': 40, 'steps': 0}, 'seed': 0}
    assert configuration.differences(old, new) == ['train.epochs 20, not 40']


def test_a_sweeps_own_defaults_give_way_to_what_was_given():
    config = digits.get_config()
    defaults = {'train.epochs': 10, 'sweep.depths': (8,)}
    configuration.set_defaults(config, defaults, ['sweep.depths'])
    assert config.train.epochs == 10
    assert config.sweep.depths == digits.get_config().sweep.depths


@pytest.mark.parametrize('knob', ['draws', 'jacobians'])
def test_more_looks_need_a_look(knob):
    config = changed(f'probes.{knob}', 2 if knob == 'draws' else True)
    with pytest.raises(UserError, match=f'probes.{knob} needs probes.every_epochs'):
        configuration.check(config)
    config.probes.every_epochs = 1
    configuration.check(config)


def test_draws_are_of_random_weights():
    config = changed('probes.draws', 2)
    config.probes.every_epochs, config.init.weights = 1, 'file.safetensors'
    with pytest.raises(UserError, match='random weights'):
        configuration.check(config)
