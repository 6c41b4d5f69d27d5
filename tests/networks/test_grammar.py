import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggres.errors import UserError
from vggres.networks import grammar, published


def blocks_per_stage(network_spec):
    return tuple(len(stage.blocks) for stage in network_spec.stages)


# Simonyan & Zisserman 2015, Table 1 (8, 10, 13 and 16 convolutions); then two in each of the first
# two stages and the rest over the last three, later ones first: 17 − 4 = 13 = 4 + 4 + 5.
@pytest.mark.parametrize(
    ('depth', 'convolutions'),
    [
        (11, (1, 1, 2, 2, 2)),
        (13, (2, 2, 2, 2, 2)),
        (16, (2, 2, 3, 3, 3)),
        (19, (2, 2, 4, 4, 4)),
        (12, (2, 2, 1, 2, 2)),
        (20, (2, 2, 4, 4, 5)),
        (21, (2, 2, 4, 5, 5)),
        (50, (2, 2, 14, 14, 15)),
        (100, (2, 2, 31, 31, 31)),
    ],
)
def test_vgg_of_any_depth(depth, convolutions):
    large = grammar.network_spec('vgg', depth, images='imagenet', width=64)
    assert blocks_per_stage(large) == convolutions
    assert large.depth == depth  # three dense layers
    small = grammar.network_spec('vgg', depth - 2, width=64)
    assert blocks_per_stage(small) == convolutions
    assert small.depth == depth - 2  # one
    for network in (large, small):
        assert [stage.blocks[-1].channels for stage in network.stages] == [64, 128, 256, 512, 512]
        assert all(stage.pool for stage in network.stages)


def test_dropout_is_that_of_the_paper_or_as_asked_for():
    # Simonyan & Zisserman 2015, §3.1.
    assert grammar.network_spec('vgg', 16, images='imagenet').head.dropout == 0.5
    assert grammar.network_spec('vgg', 16, images='imagenet', dropout=0.3).head.dropout == 0.3


def test_fewer_pools_for_small_images():
    three = grammar.network_spec('vgg', 20, width=16, vgg_stages=3)
    assert blocks_per_stage(three) == (2, 2, 15)
    assert [stage.blocks[0].channels for stage in three.stages] == [16, 32, 64]
    four = grammar.network_spec('vgg', 20, width=16, vgg_stages=4)
    assert blocks_per_stage(four) == (2, 2, 7, 8)


def test_configuration_c_ends_its_late_stages_in_pointwise_convolutions():
    network = grammar.network_spec('vgg', 16, images='imagenet', vgg_pointwise=True)
    sizes = [
        [convolution.kernel_size for block in stage.blocks for convolution in block.convolutions]
        for stage in network.stages
    ]
    assert sizes == [[3, 3], [3, 3], [3, 3, 1], [3, 3, 1], [3, 3, 1]]


@pytest.mark.parametrize('family', ['plain', 'resnet'])
def test_small_images_halve_the_resolution_and_double_the_channels(family):
    stages = grammar.network_spec(family, 20, width=16).stages
    assert [stage.blocks[0].channels for stage in stages] == [16, 32, 64]
    assert [[block.stride for block in stage.blocks] for stage in stages] == [
        [1, 1, 1],
        [2, 1, 1],
        [2, 1, 1],
    ]
    bottleneck = grammar.network_spec(family, 164, block='bottleneck')
    assert blocks_per_stage(bottleneck) == (18, 18, 18)
    assert [stage.blocks[0].channels for stage in bottleneck.stages] == [64, 128, 256]


@pytest.mark.parametrize('depth', [8, 14, 26, 110, 1202])
def test_depths_of_basic_blocks(depth):
    assert grammar.network_spec('resnet', depth).depth == depth


@pytest.mark.parametrize('depth', [11, 20, 164, 1001])
def test_depths_of_bottlenecks(depth):
    assert grammar.network_spec('plain', depth, block='bottleneck').depth == depth


# He et al. 2015, Table 1.
@pytest.mark.parametrize(
    ('depth', 'block', 'blocks'),
    [
        (18, 'basic', (2, 2, 2, 2)),
        (34, 'basic', (3, 4, 6, 3)),
        (50, 'bottleneck', (3, 4, 6, 3)),
        (101, 'bottleneck', (3, 4, 23, 3)),
        (152, 'bottleneck', (3, 8, 36, 3)),
    ],
)
def test_imagenet_networks_of_the_paper(depth, block, blocks):
    for family in ('plain', 'resnet'):
        network = grammar.network_spec(family, depth, images='imagenet', width=64, block=block)
        assert blocks_per_stage(network) == blocks
        assert network.depth == depth
        out = [stage.blocks[-1].channels for stage in network.stages]
        expansion = 1 if block == 'basic' else 4
        assert out == [channels * expansion for channels in (64, 128, 256, 512)]


@pytest.mark.parametrize(('placement', 'strides'), [('he', [2, 1, 1]), ('torchvision', [1, 2, 1])])
def test_where_a_bottleneck_strides(placement, strides):
    network = grammar.network_spec('resnet', 20, block='bottleneck', stride_placement=placement)
    first = network.stages[1].blocks[0].convolutions
    assert [convolution.stride for convolution in first] == strides
    assert [convolution.kernel_size for convolution in first] == [1, 3, 1]


def kinds(network_spec):
    return {
        f'stage{i}/block{j}': block.shortcut.kind
        for i, stage in enumerate(network_spec.stages, start=1)
        for j, block in enumerate(stage.blocks, start=1)
    }


@pytest.mark.parametrize(
    ('block', 'changing'),
    [
        ('basic', {'stage2/block1', 'stage3/block1', 'stage4/block1'}),
        ('bottleneck', {f'stage{i}/block1' for i in (1, 2, 3, 4)}),
    ],
)
@pytest.mark.parametrize(
    ('shortcut', 'where_changing', 'elsewhere'),
    [
        ('A', 'pad', 'identity'),
        ('B', 'projection', 'identity'),
        ('C', 'projection', 'projection'),
    ],
)
def test_which_blocks_project(block, changing, shortcut, where_changing, elsewhere):
    depth = 34 if block == 'basic' else 50
    network = grammar.network_spec(
        'resnet', depth, images='imagenet', width=64, block=block, shortcut=shortcut
    )
    for name, kind in kinds(network).items():
        assert kind == (where_changing if name in changing else elsewhere), name


def test_plain_networks_have_no_shortcut_and_differ_in_nothing_else():
    plain = grammar.network_spec('plain', 20)
    residual = grammar.network_spec('resnet', 20)
    assert (plain.stem, plain.head) == (residual.stem, residual.head)
    for ours, theirs in zip(plain.stages, residual.stages, strict=True):
        for a, b in zip(ours.blocks, theirs.blocks, strict=True):
            assert a.shortcut is None
            assert b.shortcut is not None
            assert a.convolutions == b.convolutions
            assert (a.norm, a.bias, a.preactivation) == (b.norm, b.bias, b.preactivation)


@pytest.mark.parametrize(
    ('family', 'norm', 'conv_bias', 'bias'),
    [
        ('resnet', 'batch', 'auto', False),
        ('resnet', 'none', 'auto', True),
        ('vgg', 'batch', 'auto', True),  # as torchvision's
        ('vgg', 'batch', 'no', False),
        ('plain', 'batch', 'yes', True),
        ('plain', 'none', 'no', False),
    ],
)
def test_biases(family, norm, conv_bias, bias):
    network = grammar.network_spec(family, 20, norm=norm, conv_bias=conv_bias)
    assert {block.bias for stage in network.stages for block in stage.blocks} == {bias}
    assert network.stem is None or network.stem.bias == bias


@pytest.mark.parametrize(
    ('family', 'depth', 'options', 'message'),
    [
        ('resnet', 57, {}, 'depth 57 .* depth must be 6n.2 .nearest 56 or 62'),
        ('resnet', 18, {}, 'nearest 14 or 20'),
        ('plain', 21, {}, 'nearest 20 or 26'),
        ('resnet', 2, {}, r'\(nearest 8\)'),
        ('resnet', -3, {}, r'\(nearest 8\)'),
        ('resnet', 50, {'block': 'bottleneck'}, '9n.2 .nearest 47 or 56'),
        ('resnet', 5, {'block': 'bottleneck'}, r'\(nearest 11\)'),
        ('resnet', 50, {'images': 'imagenet'}, '18, 34 from basic .* 50, 101, 152 from bottleneck'),
        ('vgg', 7, {}, r'no vgg of depth 7 with 5 stages; the nearest depth is 8\.'),
        ('vgg', 9, {'images': 'imagenet'}, r'nearest depth is 10\.'),
        ('vgg', 5, {'vgg_stages': 3}, r'nearest depth is 6\.'),
        ('vgg', 16, {'vgg_stages': 6}, 'vgg_stages must be 3, 4 or 5, not 6'),
        ('resnt', 20, {}, "'resnt': did you mean resnet"),
        ('resnet', 20.0, {}, 'depth must be of type int, not 20.0'),
        ('resnet', 20, {'shortcut': None}, 'shortcut must be of type str, not None'),
        ('resnet', 20, {'width': 0}, 'width must be at least 1 channel, not 0'),
        ('resnet', 20, {'shortcut': 'D'}, "shortcut 'D': .*A, B, C"),
        ('resnet', 20, {'gate': 'open'}, "gate 'open': .*exclusive, none, shortcut_only"),
        ('resnet', 20, {'shortcut_dropout': 1.0}, 'below 1, not 1.0'),
        (
            'resnet',
            20,
            {'shortcuts': 'A'},
            "option 'shortcuts': the options are .*width.*shortcut_scale",
        ),
    ],
)
def test_what_does_not_exist_names_what_does(family, depth, options, message):
    with pytest.raises(UserError, match=message) as caught:
        grammar.network_spec(family, depth, **options)
    assert '\n' not in str(caught.value)


def test_shortcuts_around_pairs_of_a_vgg():
    # Depth 12 with three stages: 2, 2 and 7 convolutions and a dense layer.
    network = grammar.network_spec('vgg', 12, vgg_stages=3, vgg_shortcuts=True)
    kinds = [
        [block.shortcut and block.shortcut.kind for block in stage.blocks]
        for stage in network.stages
    ]
    assert kinds == [[None, None], ['pad'], [None, 'identity', 'identity', 'identity']]
    convolutions = [[len(block.convolutions) for block in stage.blocks] for stage in network.stages]
    assert convolutions == [[1, 1], [2], [1, 2, 2, 2]]
    assert network.depth == 12
    even = grammar.network_spec('vgg', 11, vgg_stages=3, vgg_shortcuts=True)
    assert [block.shortcut.kind for block in even.stages[2].blocks] == ['pad'] + 2 * ['identity']


@pytest.mark.parametrize('name', published.VARIANTS)
def test_the_options_of_a_published_network_are_recovered(name):
    described = published.variant_spec(name)
    found = dataclasses.asdict(grammar.recovered_options(described))
    given = published.variant(name).options
    ignored = set() if given.get('block') == 'bottleneck' else {'stride_placement'}  # no trace
    assert {key: found[key] for key in given.keys() - ignored} == {
        key: given[key] for key in given.keys() - ignored
    }


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    network=st.sampled_from([('vgg', 12), ('vgg', 21), ('plain', 20), ('resnet', 20)]),
    options=st.fixed_dictionaries(
        {
            'width': st.integers(1, 20),
            'vgg_stages': st.integers(3, 5),
            'vgg_pointwise': st.booleans(),
            'vgg_shortcuts': st.booleans(),
            'dropout': st.sampled_from((0.0, 0.5)),
            'preactivation': st.booleans(),
            'shortcut_scale': st.sampled_from((1.0, 0.5)),
            'branch_scale': st.sampled_from((1.0, 0.5)),
            'branch_scale_by_depth': st.booleans(),
            'learned_branch_scale': st.booleans(),
            'gate_bias': st.sampled_from((-6.0, 0.0)),
            'shortcut_fade_steps': st.sampled_from((0, 10)),
            'shortcut_dropout': st.sampled_from((0.0, 0.5)),
            'images': st.sampled_from(grammar.CHOICES['images']),
            **{
                name: st.sampled_from(grammar.CHOICES[name])
                for name in (
                    'norm',
                    'conv_bias',
                    'activation',
                    'block',
                    'stride_placement',
                    'shortcut',
                    'gate',
                )
            },
        }
    ),
)
def test_recovered_options_build_the_same_network(network, options):
    family, depth = network
    if family != 'vgg' and options['images'] == 'imagenet':
        depth = 34 if options['block'] == 'basic' else 50
    described = grammar.network_spec(family, depth, **options)
    found = grammar.recovered_options(described)
    assert grammar.network_spec(**dataclasses.asdict(found)) == described


@pytest.mark.parametrize(('depth', 'blocks', 'block'), [(44, 21, 'basic'), (29, 9, 'bottleneck')])
def test_a_factor_by_depth_is_divided_by_the_root_of_the_number_of_blocks(depth, blocks, block):
    options = {'block': block, 'branch_scale': 0.5, 'branch_scale_by_depth': True}
    described = grammar.network_spec('resnet', depth, **options)
    scales = {b.shortcut.branch_scale for stage in described.stages for b in stage.blocks}
    assert scales == {0.5 / blocks**0.5}


def test_true_is_no_number():
    with pytest.raises(UserError, match='width must be of type int, not True'):
        grammar.network_spec('resnet', 20, width=True)
