"""What others published is as they printed it, and stands beside nothing but its own protocol."""

import planted
import pytest

from configs import cifar10, digits
from vggres.config import DATA_KNOBS_WITHOUT_EFFECT, dotted_keys
from vggres.findings import published_errors
from vggres.findings.published_errors import PUBLISHED_ERRORS, REMARKS, comparable, differences

SIZES = {'train': 45_000, 'validation': 5_000, 'test': 10_000}


def run(family='resnet', depth=56, **values):
    return planted.result(family, depth, **{'steps': 64_000, 'num_images': SIZES} | values)


def config(**changes):
    """The protocol of CIFAR-10, with dotted knobs changed."""
    found = cifar10.get_config()
    found.update_from_flattened_dict(changes)
    return found.to_dict()


def errors(family, depth, metric):
    return {
        each.source: (each.error, each.spread, each.n)
        for each in PUBLISHED_ERRORS
        if (each.family, each.depth, each.metric) == (family, depth, metric)
    }


def test_the_numbers_are_those_that_were_printed():
    assert errors('resnet', 110, 'test_error') == {
        'He et al. 2015, Table 6': (6.61, 0.16, 5),
        'nabla0001/resnet': (7.14, 0.20, 5),
        'raphaelreme/torch-resnet': (6.60, 0.09, 5),
    }
    assert errors('resnet', 44, 'test_error') == {
        'He et al. 2015, Table 6': (7.17, None, 1),
        'a-martyn/resnet': (7.54, None, 1),
    }
    assert errors('plain', 56, 'test_error') == {
        'nabla0001/resnet': (12.95, 0.22, 5),
        'a-martyn/resnet': (12.90, None, 1),
    }
    plain = [errors('plain', depth, 'train_error') for depth in (20, 56)]
    assert [each['a-martyn/resnet'][0] for each in plain] == [0.77, 3.42]
    # He et al. print no number of a plain network.
    assert {each.family for each in PUBLISHED_ERRORS if each.source.startswith('He')} == {'resnet'}


def test_the_table_is_consistent():
    keys = [(each.source, each.family, each.depth, each.metric) for each in PUBLISHED_ERRORS]
    assert len(set(keys)) == len(keys)
    assert set(REMARKS) <= {each.source for each in PUBLISHED_ERRORS}
    for each in PUBLISHED_ERRORS:
        assert (each.spread is None) == (each.n == 1)
        assert each.metric in ('train_error', 'test_error')


def test_the_configuration_of_the_paper_is_comparable_at_the_depths_that_ran():
    found = comparable(config(), [run('plain', 20), run('resnet', 110)])
    assert {(each.family, each.depth) for each in found} == {('plain', 20), ('resnet', 110)}
    assert len(found) == 3 + 3
    assert comparable(config(), [run('resnet', 8)]) == []


@pytest.mark.parametrize(
    ('knob', 'value'),
    [
        ('data.image_size', 32),
        ('data.validation_split', 'train[:5000]'),
        ('data.dir', 'elsewhere'),
        ('model.conv_bias', 'no'),
        ('evaluation.every_epochs', 5),
        ('sweep.seeds', 5),
    ],
)
def test_a_knob_that_leaves_the_protocol_alone_may_have_any_value(knob, value):
    assert differences(config(**{knob: value}), [run()]) == []


OTHER_VALUES = {  # of each knob of the protocol another value, and what is said of it
    'data.image_size': (16, 'data.image_size 16 instead of 32'),
    'data.num_train': (10_000, 'data.num_train 10000 instead of 0'),
    'data.fraction': (0.5, 'data.fraction 0.5 instead of 1.0'),
    'data.label_noise': (0.1, 'data.label_noise 0.1 instead of 0.0'),
    'data.crop': ('area', 'data.crop area instead of padded'),
    'data.crop_padding': (0, 'data.crop_padding 0 instead of 4'),
    'data.flip': (False, 'data.flip False instead of True'),
    'data.color_noise': (0.1, 'data.color_noise 0.1 instead of 0.0'),
    'data.normalisation': ('imagenet', 'data.normalisation imagenet instead of mean_image'),
    'model.images': ('large', 'model.images large instead of small'),
    'model.width': (32, 'model.width 32 instead of 16'),
    'model.norm': ('none', 'model.norm none instead of batch'),
    'model.conv_bias': ('yes', 'model.conv_bias yes instead of no'),
    'model.activation': ('tanh', 'model.activation tanh instead of relu'),
    'model.block': ('bottleneck', 'model.block bottleneck instead of basic'),
    'model.preactivation': (True, 'model.preactivation True instead of False'),
    'model.reparameterised': (True, 'model.reparameterised True instead of False'),
    'model.compute_dtype': ('bfloat16', 'model.compute_dtype bfloat16 instead of float32'),
    'model.shortcut.kind': ('B', 'model.shortcut.kind B instead of A'),
    'model.shortcut.scale': (0.5, 'model.shortcut.scale 0.5 instead of 1.0'),
    'model.shortcut.branch_scale': (0.1, 'model.shortcut.branch_scale 0.1 instead of 1.0'),
    'model.shortcut.branch_scale_by_depth': (
        True,
        'model.shortcut.branch_scale_by_depth True instead of False',
    ),
    'model.shortcut.learned_branch_scale': (
        True,
        'model.shortcut.learned_branch_scale True instead of False',
    ),
    'model.shortcut.gate': ('shortcut', 'model.shortcut.gate shortcut instead of none'),
    'model.shortcut.dropout': (0.5, 'model.shortcut.dropout 0.5 instead of 0.0'),
    'model.shortcut.fade_steps': (9, 'model.shortcut.fade_steps 9 instead of 0'),
    'init.scheme': ('glorot', 'init.scheme glorot instead of he'),
    'init.weights': ('a.pth', "init.weights a.pth instead of ''"),
    'init.deepened_from': ('plain-d20-s0-1', "init.deepened_from plain-d20-s0-1 instead of ''"),
    'train.batch_size': (64, 'train.batch_size 64 instead of 128'),
    'train.until_error': ((5.0,), 'train.until_error (5.0,) instead of ()'),
    'optimizer.learning_rate': (0.05, 'optimizer.learning_rate 0.05 instead of 0.1'),
    'optimizer.momentum': (0.0, 'optimizer.momentum 0.0 instead of 0.9'),
    'optimizer.weight_decay': (5e-4, 'optimizer.weight_decay 0.0005 instead of 0.0001'),
    'optimizer.decay_at': ((0.5,), 'optimizer.decay_at (0.5,) instead of (0.5, 0.75)'),
    'optimizer.decay_factor': (0.2, 'optimizer.decay_factor 0.2 instead of 0.1'),
    'optimizer.warmup': ('linear', 'optimizer.warmup linear instead of constant'),
    'optimizer.warmup_learning_rate': (
        0.02,
        'optimizer.warmup_learning_rate 0.02 instead of 0.01',
    ),
    'optimizer.warmup_fraction': (0.5, 'optimizer.warmup_fraction 0.5 instead of 0.00625'),
    'optimizer.warmup_min_depth': (0, 'optimizer.warmup_min_depth 0 instead of 110'),
    'optimizer.clip_norm': (1.0, 'optimizer.clip_norm 1.0 instead of 0.0'),
    'optimizer.layerwise': (
        'equal_gradients',
        'optimizer.layerwise equal_gradients instead of none',
    ),
    'optimizer.frozen_first': (2, 'optimizer.frozen_first 2 instead of 0'),
    'optimizer.frozen_last': (2, 'optimizer.frozen_last 2 instead of 0'),
    'optimizer.fixed_norms': (True, 'optimizer.fixed_norms True instead of False'),
}


def test_every_knob_of_the_protocol_is_tested():
    assert set(OTHER_VALUES) == set(published_errors._KNOBS)


def test_every_knob_that_decides_a_result_is_of_the_protocol_or_known_to_leave_it_alone():
    deciding = {
        knob
        for knob in dotted_keys(config())
        if knob.split('.')[0] in ('data', 'model', 'init', 'train', 'optimizer')
    }
    assert deciding - set(published_errors._KNOBS) == {
        *(f'data.{name}' for name in DATA_KNOBS_WITHOUT_EFFECT),
        'data.name',  # as `of_the_paper` sees
        'data.train_split',  # as the numbers of images and the archive say
        'data.validation_split',
        'data.test_split',
        'data.seed',  # it chooses among images and labels, which are all taken as they are
        'data.short_side',  # of whole image files alone
        'model.name',  # it is replaced by the knobs that it stands for
        'model.family',  # of each run
        'model.depth',
        'model.remat',  # trades time for memory
        'model.stride_placement',  # of bottlenecks alone
        'model.vgg.stages',  # of another family
        'model.vgg.pointwise',
        'model.vgg.shortcuts',
        'model.vgg.dropout',
        'model.shortcut.gate_bias',  # of gates alone
        'init.new_head',  # of given weights alone
        'train.epochs',  # as the number of updates says
        'train.steps',
        'train.protocol',
    }


@pytest.mark.parametrize('knob', OTHER_VALUES)
def test_each_knob_of_the_protocol_is_named_where_it_differs(knob):
    value, said = OTHER_VALUES[knob]
    changed, runs = config(**{knob: value}), [run(), run(depth=110)]
    assert differences(changed, runs) == [said]
    assert comparable(changed, runs) == []


@pytest.mark.parametrize(
    'knobs',
    [
        {'warmup': 'none', 'warmup_min_depth': 0},
        {'warmup': 'linear', 'warmup_fraction': 0.5, 'warmup_learning_rate': 0.0},
        {'warmup_min_depth': 57},
    ],
)
def test_a_warmup_that_no_network_has_is_no_difference(knobs):
    changed = config(**{f'optimizer.{name}': value for name, value in knobs.items()})
    assert differences(changed, [run(), run('plain', 20)]) == []
    assert differences(changed, [run(), run(depth=110)])
    if 'warmup_min_depth' in knobs and 'warmup' not in knobs:
        assert differences(changed, [run(depth=62)])


def test_an_archive_of_unknown_checksum_is_not_comparable():
    assert differences(config(), [run(unknown_archive=False), run(unknown_archive=None)]) == []
    (said,) = differences(config(), [run(), run(unknown_archive=True)])
    assert said.startswith('the archive was not the known one')
    assert comparable(config(), [run(unknown_archive=True)]) == []


def test_numbers_of_other_protocols_say_so():
    def differs(source, depth, metric='test_error'):
        (found,) = {
            each.differs_in
            for each in PUBLISHED_ERRORS
            if (each.source, each.depth, each.metric) == (source, depth, metric)
        }
        return found

    assert differs('He et al. 2015, Table 6', 110) == ''
    assert 'instead of from 0.1' in differs('nabla0001/resnet', 110)
    assert 'instead of from 0.1' not in differs('nabla0001/resnet', 56)
    assert 'augmented' in differs('a-martyn/resnet', 20, 'train_error')
    assert 'augmented' not in differs('a-martyn/resnet', 20)
    for words in ('option B', 'every depth', '62,500 updates', 'mixed precision'):
        assert words in differs('raphaelreme/torch-resnet', 20)


@pytest.mark.parametrize(
    ('values', 'said'),
    [
        ({'steps': 300}, '300 updates instead of 64,000'),
        (
            {'num_images': SIZES | {'train': 22_500}},
            '22,500 training images instead of 45,000 or 50,000',
        ),
        ({'num_images': SIZES | {'test': 500}}, '500 test images instead of 10,000'),
    ],
)
def test_what_the_runs_did_is_named_where_it_differs(values, said):
    assert differences(config(), [run(), run(seed=1, **values)]) == [said]


def test_all_images_are_as_good_as_those_without_validation():
    assert differences(config(), [run(num_images=SIZES | {'train': 50_000})]) == []


def test_sizes_that_were_not_recorded_are_not_taken_for_granted():
    found = differences(config(), [run(num_images=None)])
    assert [text.partition(' images')[0] for text in found] == [
        'an unknown number of training',
        'an unknown number of test',
    ]


def test_a_knob_that_the_runs_do_not_share_is_a_difference():
    shared = config()
    del shared['model']['norm']
    assert differences(shared, [run()]) == ['model.norm various values instead of batch']


def test_other_data_sets_and_networks_have_nothing_beside_them():
    assert published_errors.of_the_paper(digits.get_config().to_dict(), [run()]) == []
    others = [run('vgg', 16), run('resnet, no norm', 56)]
    assert published_errors.of_the_paper(config(), [*others, run()]) == [run()]
    assert comparable(config(), others) == []
