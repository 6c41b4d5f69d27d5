import dataclasses

import pytest
from ml_collections import ConfigDict

from configs import base, digits
from vggres import checks
from vggres.data import datasets
from vggres.errors import UserError


def changed(key, value):
    config = digits.get_config()
    config.update_from_flattened_dict({key: value})
    return config


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('train.batch_size', 0, 'train.batch_size has to be at least 1, not 0'),
        ('train.batch_size', -4, 'train.batch_size has to be at least 1, not -4'),
        ('train.epochs', -1, 'train.epochs has to be at least 0'),
        ('train.epochs', 0, 'either epochs or steps'),
        ('train.epochs', 10**20, 'train.epochs has to be at most 1000000'),
        ('train.steps', 100, 'either epochs or steps'),
        ('model.depth', 57, 'nearest 56 or 62'),
        ('model.depth', 10**9, 'model.depth has to be at most'),
        ('model.width', 20_000, 'model.width has to be at most 2048'),
        ('model.family', 'resnett', 'did you mean resnet'),
        ('model.shortcut.kind', 'D', "unknown model.shortcut.kind 'D': there is A, B, C"),
        ('model.shortcut.gate', 'half', "unknown model.shortcut.gate 'half'"),
        ('model.shortcut.dropout', 1.0, 'at least 0 and below 1'),
        ('model.vgg.stages', 2, 'model.vgg.stages has to be at least 3, not 2'),
        ('data.normalisation', 'mean', 'mean_image'),
        ('model.compute_dtype', 'float16', 'did you mean bfloat16 or float32'),
        ('optimizer.learning_rate', 0.0, 'positive'),
        ('optimizer.learning_rate', -1.0, 'positive'),
        ('optimizer.learning_rate', float('nan'), 'finite'),
        ('optimizer.learning_rate', float('inf'), 'finite'),
        ('optimizer.momentum', 1.5, 'at most 1'),
        ('optimizer.learning_rate', 1e30, 'positive, and at most 1000, not 1e\\+30'),
        ('optimizer.weight_decay', 1e30, 'at most 1000'),
        ('optimizer.decay_factor', 1e9, 'at most 1000'),
        ('checkpoint.every_seconds', 1e300, 'at most 1000000000'),
        ('optimizer.decay_at', (0.5, 75.0), 'between 0 and 1'),
        ('init.scheme', 'xavier', 'there is delta_orthogonal, dirac, fixup, glorot, he, looks'),
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
        ('sweep.seeds', 0, 'sweep.seeds has to be at least 1'),
        ('sweep.seeds', 100_000_000, 'sweep.seeds has to be at most 1000'),
        ('seed', -1, 'seed has to be at least 0'),
        ('seed', 99_999_999_999, 'seed has to be at most'),
        ('model.name', 'resnet50', 'resolve_name'),
        ('wandb.project', 'a/b', r"none of .*unlike 'a/b'"),
        ('wandb.project', '', 'wandb.project has 1 to 128 letters'),
        ('wandb.project', 'a' * 129, 'wandb.project has 1 to 128 letters'),
        ('train.until_error', (0.0,), 'between 0 and 100'),
        ('train.until_error', (100, 5), 'between 0 and 100'),
        ('train.until_error', (float('nan'),), 'between 0 and 100'),
        ('train.until_error', ('5',), r"as in \(5.0, 1.0\), not \('5',\)"),
        ('train.until_error', (True,), 'between 0 and 100'),
        ('train.until_error', (1.0, 5.0), 'each below the one before'),
        ('train.until_error', (5.0, 5.0), 'each below the one before'),
        ('train.until_error', (5.00000001, 5.0), 'differ too little'),
        ('evaluation.every_steps', -1, 'evaluation.every_steps has to be at least 0'),
    ],
)
def test_what_makes_no_sense_is_one_line(key, value, message):
    with pytest.raises(UserError, match=message) as caught:
        checks.check(changed(key, value))
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('knob', ['draws', 'jacobians'])
def test_more_observations_need_an_observation(knob):
    config = changed(f'probes.{knob}', 2 if knob == 'draws' else True)
    with pytest.raises(UserError, match=f'probes.{knob} needs probes.every_epochs'):
        checks.check(config)
    config.probes.every_epochs = 1
    checks.check(config)


@pytest.mark.parametrize(
    'zeros',
    [
        {'model.shortcut.learned_branch_scale': True, 'model.shortcut.branch_scale': 0.0},
        {'init.scheme': 'fixup'},
    ],
)
def test_what_starts_at_zero_cannot_move_relatively_to_its_norm(zeros):
    config = changed('model.norm', 'none')
    config.update_from_flattened_dict(zeros)
    checks.check(config)
    config.optimizer.layerwise = 'relative_updates'
    with pytest.raises(UserError, match='what starts at zero stays there'):
        checks.check(config)
    config.model.shortcut.branch_scale, config.init.scheme = 0.5, 'he'
    checks.check(config)


def test_errors_to_stop_at_need_no_looks_within_an_epoch():
    for targets in ((5.0, 1.0), (5, 0.5), (99.9,)):
        config = changed('train.until_error', targets)
        assert config.evaluation.every_steps == 0
        checks.check(config)


def test_draws_are_of_random_weights():
    config = changed('probes.draws', 2)
    config.probes.every_epochs, config.init.weights = 1, 'file.safetensors'
    with pytest.raises(UserError, match='random weights'):
        checks.check(config)


def test_a_given_knob_that_changes_nothing_is_refused():
    checks.check_given(['model.shortcut.gate', 'seed', 'model.remat'], ['plain', 'resnet'])
    for knob, family in (
        ('shortcut.gate', 'plain'),
        ('vgg.stages', 'resnet'),
        ('shortcut.kind', 'vgg'),
    ):
        with pytest.raises(
            UserError, match=rf'^model.{knob} changes nothing in a {family} network, .* depth'
        ):
            checks.check_given([f'model.{knob}'], [family])
    with pytest.raises(UserError, match="unknown family 'plane': did you mean plain"):
        checks.check_given([], ['plane', 'resnet'])


@pytest.mark.parametrize(
    ('knob', 'other', 'value'),
    [
        ('model.shortcut.gate_bias', 'model.shortcut.gate', 'exclusive'),
        ('model.vgg.dropout', 'model.images', 'imagenet'),
        ('optimizer.warmup_fraction', 'optimizer.warmup', 'linear'),
        ('optimizer.warmup_learning_rate', 'optimizer.warmup', 'constant'),
        ('optimizer.decay_factor', 'optimizer.decay_at', (0.5,)),
        ('evaluation.every_steps', 'train.until_error', (5.0, 1.0)),
    ],
)
def test_a_knob_that_another_one_makes_pointless(knob, other, value):
    config = base.get_config()
    if other == 'optimizer.decay_at':
        config.optimizer.decay_at = ()
    with pytest.raises(UserError, match=f'{knob} changes nothing where {other} is'):
        checks.check_effect([knob], config)
    checks.check_effect([knob], config, varied=[other])
    checks.check_effect([], config)
    config.update_from_flattened_dict({other: value})
    checks.check_effect([knob], config)


def test_a_value_that_does_not_exist_is_unknown_before_it_is_pointless():
    config = digits.get_config()
    config.data.checksum = 'maybe'
    with pytest.raises(UserError, match=r"unknown data\.checksum 'maybe'"):
        checks.check_effect(['data.checksum'], config)


def test_an_unknown_key_names_the_nearest():
    config = digits.get_config()
    with pytest.raises(UserError, match=r"config key 'model.deph': did you mean model.depth"):
        checks.check_keys(['seed', 'model.deph'], config)
    with pytest.raises(UserError, match=r'model is a section: override its knobs'):
        checks.check_keys(['model'], config)


def without(section):
    parts = digits.get_config().to_dict()
    del parts[section]
    return ConfigDict(parts)


@pytest.mark.parametrize(
    ('config', 'message'),
    [
        ({'seed': 0}, 'mine.py gave a dict; get_config.. has to return a ConfigDict'),
        (None, 'mine.py gave a NoneType'),
        (ConfigDict(), 'mine.py lacks .* and more: start from configs/base.py'),
        (without('train'), 'lacks train.batch_size, train.epochs, train.protocol and more: start'),
        (changed('optimizer.learning_rate', None), 'learning_rate has to be a number, not None'),
        (changed('sweep.depths', (8,)), None),
        (changed('optimizer.momentum', 1), None),  # a whole number is a number
    ],
)
def test_a_configuration_of_the_users_own_has_the_knobs_of_base(config, message):
    if message is None:
        checks.check_structure(config, base.get_config(), 'mine.py')
        return
    with pytest.raises(UserError, match=message) as caught:
        checks.check_structure(config, base.get_config(), 'mine.py')
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('optimizer.nesterov', True, "unknown knob 'optimizer.nesterov' in mine.py"),
        ('train.epochs', True, 'train.epochs has to be a whole number, not True'),
        ('data.flip', 1, 'data.flip has to be True or False, not 1'),
        ('data.name', 3, 'data.name has to be a text'),
        ('sweep.depths', 8, 'sweep.depths has to be a tuple'),
    ],
)
def test_invented_knobs_and_other_types_are_refused(key, value, message):
    config = ConfigDict(digits.get_config().to_dict(), type_safe=False)
    config.update_from_flattened_dict({key: value})
    with pytest.raises(UserError, match=message):
        checks.check_structure(config, base.get_config(), 'mine.py')


def test_a_batch_larger_than_the_training_set(config):
    config.train.batch_size = 41
    with pytest.raises(UserError, match=r'batch_size 41 is more than the 40 training images'):
        checks.check_data(config, datasets.describe(config.data))


def test_a_shortcut_that_is_not_gone_when_training_ends(config):
    """By hand: 40 images in batches of 8 are 5 updates an epoch, and 10 in two epochs."""
    info = datasets.describe(config.data)
    config.model.shortcut.fade_steps = 10
    checks.check_data(config, info)
    config.model.shortcut.fade_steps = 11
    with pytest.raises(UserError, match=r'fade_steps 11 is more than the 10 updates'):
        checks.check_data(config, info)
    config.train.epochs, config.train.steps = 0, 11
    checks.check_data(config, info)


def test_a_crop_of_more_padding_than_image(config):
    info = datasets.describe(config.data)
    config.data.crop_padding = 6
    checks.check_data(config, info)
    config.data.crop_padding = 7
    with pytest.raises(UserError, match=r'crop_padding 7 is more .* small_color are 6×6'):
        checks.check_data(config, info)


def test_normalisation_and_weights_must_fit_the_images(config, tmp_path):
    info = datasets.describe(config.data)
    checks.check_data(config, info)
    config.data.normalisation = 'imagenet'
    checks.check_data(config, info)
    gray = dataclasses.replace(info, image_shape=(*info.image_shape[:2], 1))
    with pytest.raises(UserError, match='images of 3 channels; those of small_color have 1'):
        checks.check_data(config, gray)
    config.init.weights = str(tmp_path / 'none.safetensors')
    with pytest.raises(UserError, match='no weights file'):
        checks.check_data(config, info)


def test_an_image_too_small_for_the_pools(config):
    config.model.family, config.model.depth, config.model.vgg.stages = 'vgg', 11, 5
    with pytest.raises(UserError, match='too small for the 5 pools'):
        checks.check_data(config, datasets.describe(config.data))
