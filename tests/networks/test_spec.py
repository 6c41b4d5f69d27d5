import pytest

from vggres.errors import UserError
from vggres.networks import grammar, published, spec

CIFAR, IMAGENET = (32, 32, 3), (224, 224, 3)

# Closed forms, cross-checked with torchvision where it has the network.
PARAMETERS = {
    'vgg11': 132_863_336,
    'vgg13': 133_047_848,
    'vgg16': 138_357_544,
    'vgg19': 143_667_240,
    'vgg11_bn': 132_868_840,
    'vgg13_bn': 133_053_736,
    'vgg16_bn': 138_365_992,
    'vgg19_bn': 143_678_248,
    'vgg16c': 133_638_952,
    'resnet18': 11_689_512,
    'resnet34': 21_797_672,
    'resnet50': 25_557_032,
    'resnet101': 44_549_160,
    'resnet152': 60_192_808,
    'plain18': 11_515_688,
    'plain34': 21_623_848,
    'cifar_vgg16_bn': 14_728_266,
    'cifar_resnet20': 269_722,
    'cifar_resnet32': 464_154,
    'cifar_resnet44': 658_586,
    'cifar_resnet56': 853_018,
    'cifar_resnet110': 1_727_962,
    'cifar_resnet1202': 19_421_274,
    'cifar_plain20': 269_722,
    'cifar_plain32': 464_154,
    'cifar_plain44': 658_586,
    'cifar_plain56': 853_018,
    'cifar_plain110': 1_727_962,
    'cifar_resnet164': 1_704_154,
    'cifar_resnet1001': 10_328_602,
    'cifar_preresnet110': 1_727_962,
    'cifar_preresnet164': 1_703_258,
    'cifar_preresnet1001': 10_327_706,
}
CHANGED = [
    ('cifar_resnet20', {'depth': 8}, 75_290),
    ('cifar_plain20', {'depth': 8}, 75_290),
    ('cifar_resnet20', {'shortcut': 'B'}, 272_474),
    ('cifar_resnet32', {'shortcut': 'B'}, 466_906),
    ('cifar_resnet44', {'shortcut': 'B'}, 661_338),
    ('cifar_resnet56', {'shortcut': 'B'}, 855_770),
    ('cifar_resnet110', {'shortcut': 'B'}, 1_730_714),
    ('cifar_resnet1202', {'shortcut': 'B'}, 19_424_026),
    ('cifar_preresnet110', {'shortcut': 'B'}, 1_730_522),
    ('cifar_preresnet164', {'shortcut': 'A'}, 1_661_274),
    ('cifar_preresnet1001', {'shortcut': 'A'}, 10_285_722),
    ('cifar_vgg16_bn', {'conv_bias': 'no'}, 14_724_042),
    ('resnet18', {'shortcut': 'A'}, 11_515_688),
    ('resnet34', {'shortcut': 'A'}, 21_623_848),
]


@pytest.mark.parametrize(
    ('name', 'changes', 'parameters'),
    [(name, {}, count) for name, count in PARAMETERS.items()] + CHANGED,
)
def test_parameters_are_those_published(name, changes, parameters):
    variant = published.variant(name)
    network_spec = published.variant_spec(name, **changes)
    counted = spec.count_parameters(network_spec, variant.image_shape, variant.num_classes)
    assert counted == parameters


@pytest.mark.parametrize('family', ['plain', 'resnet'])
@pytest.mark.parametrize(
    ('depth', 'macs'),
    [
        (20, 40_551_040),
        (32, 68_862_592),
        (44, 97_174_144),
        (56, 125_485_696),
        (110, 252_887_680),
        (1202, 2_829_238_912),
    ],
)
def test_multiplications_of_the_small_networks(family, depth, macs):
    assert spec.count_macs(grammar.network_spec(family, depth), CIFAR, 10) == macs


def test_multiplications_of_vgg16_by_hand():
    # Output pixels · 9 · inputs · outputs, stage after stage, then the dense layers.
    convolutions = (
        224**2 * 9 * (3 * 64 + 64 * 64)
        + 112**2 * 9 * (64 * 128 + 128 * 128)
        + 56**2 * 9 * (128 * 256 + 2 * 256 * 256)
        + 28**2 * 9 * (256 * 512 + 2 * 512 * 512)
        + 14**2 * 9 * 3 * 512 * 512
    )
    dense = 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000
    network_spec = published.variant_spec('vgg16')
    assert spec.count_macs(network_spec, IMAGENET, 1000) == convolutions + dense


def test_odd_sizes_round_up_at_strides_and_down_at_pools():
    resnet = grammar.network_spec('resnet', 8, width=1, shortcut='B')
    macs = {layer.name: layer.macs for layer in spec.layers(resnet, (5, 7, 1), 2)}
    assert macs['stem'] == 9 * 1 * 1 * 5 * 7
    assert macs['stage2/block1/conv1'] == 9 * 1 * 2 * 3 * 4
    assert macs['stage2/block1/projection'] == 1 * 2 * 3 * 4
    assert macs['stage3/block1/conv2'] == 9 * 4 * 4 * 2 * 2
    assert macs['head'] == 4 * 2
    assert macs['stem_norm'] == 0
    large = published.variant_spec('resnet18')  # 33 → 17 → 9 pixels
    macs = {layer.name: layer.macs for layer in spec.layers(large, (33, 33, 3), 2)}
    assert macs['stage1/block1/conv1'] == 9 * 64 * 64 * 9 * 9
    vgg = grammar.network_spec('vgg', 6, width=1, vgg_stages=3)
    macs = {layer.name: layer.macs for layer in spec.layers(vgg, (11, 9, 1), 2)}
    assert macs['stage2/block1/conv1'] == 9 * 1 * 2 * 5 * 4
    assert macs['stage3/block1/conv1'] == 9 * 2 * 4 * 2 * 2


def test_layers_come_in_the_order_of_the_forward_pass():
    postactivation = grammar.network_spec('resnet', 8, shortcut='C')
    names = [layer.name for layer in spec.layers(postactivation, CIFAR, 10)]
    first = ('conv1', 'norm1', 'conv2', 'norm2', 'projection', 'projection_norm')
    assert names[:2] == ['stem', 'stem_norm']
    assert names[2:8] == [f'stage1/block1/{part}' for part in first]
    assert names[-1] == 'head'
    preactivation = grammar.network_spec('resnet', 8, preactivation=True)
    names = [layer.name for layer in spec.layers(preactivation, CIFAR, 10)]
    assert names[1:5] == [f'stage1/block1/{p}' for p in ('norm1', 'conv1', 'norm2', 'conv2')]
    assert names[-2:] == ['head_norm', 'head']


@pytest.mark.parametrize('name', published.VARIANTS)
def test_depth_is_the_number_of_weighted_layers(name):
    network_spec = published.variant_spec(name)
    variant = published.variant(name)
    layers = spec.layers(network_spec, variant.image_shape, variant.num_classes)
    assert sum(layer.is_weighted for layer in layers) == network_spec.depth


def test_projections_and_gates_are_not_counted():
    gated = grammar.network_spec('resnet', 14, shortcut='C', gate='exclusive')
    layers = list(spec.layers(gated, CIFAR, 10))
    assert sum(layer.is_weighted for layer in layers) == 14
    assert sum(layer.kind == 'convolution' for layer in layers) == 13 + 6 + 6


def test_a_learned_factor_is_one_parameter_of_each_block_and_nothing_else():
    plain, learned = (
        grammar.network_spec('resnet', 44, learned_branch_scale=value) for value in (False, True)
    )
    assert spec.count_parameters(learned, CIFAR, 10) == 658_586 + 21
    assert spec.count_macs(learned, CIFAR, 10) == 97_174_144
    assert learned.depth == 44
    assert spec.observable_names(learned) == spec.observable_names(plain)


def test_what_can_be_observed_is_named_in_the_order_of_the_forward_pass():
    described = grammar.network_spec('resnet', 8, shortcut='B')
    assert spec.observable_names(described) == [
        'stem',
        *('stage1/block1', 'stage1/block1/conv1', 'stage1/block1/conv2'),
        *('stage2/block1', 'stage2/block1/conv1', 'stage2/block1/conv2'),
        'stage2/block1/projection',
        *('stage3/block1', 'stage3/block1/conv1', 'stage3/block1/conv2'),
        'stage3/block1/projection',
        'head',
    ]


def test_positions_count_the_weighted_layers_of_the_main_path():
    described = grammar.network_spec('resnet', 8, shortcut='B')
    assert spec.positions(described) == {
        **{'stem': 1, 'stage1/block1': 2, 'stage1/block1/conv1': 2, 'stage1/block1/conv2': 3},
        **{'stage2/block1': 4, 'stage2/block1/conv1': 4, 'stage2/block1/conv2': 5},
        **{'stage3/block1': 6, 'stage3/block1/conv1': 6, 'stage3/block1/conv2': 7, 'head': 8},
    }


def test_inputs_of_blocks():
    # A 7×7 stem of stride 2 and a pool halve the image twice; of a vgg each stage halves it.
    found = spec.block_inputs(published.variant_spec('resnet18'), (224, 224, 3))
    assert list(found.values())[:3] == [(56, 56, 64), (56, 56, 64), (56, 56, 64)]
    assert found['stage2/block2'] == (28, 28, 128)
    found = spec.block_inputs(published.variant_spec('cifar_vgg16_bn'), (32, 32, 3))
    assert list(found.values())[:4] == [(32, 32, 3), (32, 32, 64), (16, 16, 64), (16, 16, 128)]


@pytest.mark.parametrize(
    ('name', 'smallest', 'pools'),
    [('vgg11', 32, 5), ('cifar_vgg19_bn', 32, 5), ('resnet50', 1, 0), ('cifar_plain20', 1, 0)],
)
def test_the_smallest_image(name, smallest, pools):
    network_spec = published.variant_spec(name)
    assert network_spec.smallest_image == smallest
    spec.check_image(network_spec, (4, smallest, smallest, 3))
    if pools:
        message = rf'31×40 pixels are too small for the {pools} pools .* {smallest}×{smallest} is'
        with pytest.raises(UserError, match=message):
            spec.check_image(network_spec, (31, 40, 3))


def test_where_parameters_lie():
    network_spec = grammar.network_spec('resnet', 20)
    place = ('stage2', 'blocks', 'conv1')
    assert spec.place(network_spec, 'stage2/block3/conv1') == (place, 1)
    assert spec.place(network_spec, 'stage2/block2/conv1') == (place, 0)
    assert spec.place(network_spec, 'stage2/block1/conv1') == (('stage2', 'block1', 'conv1'), None)
    assert spec.place(network_spec, 'head') == (('head',), None)
    # In configuration C the blocks after the first are not alike.
    mixed = published.variant_spec('vgg16c')
    assert spec.place(mixed, 'stage3/block3/conv1') == (('stage3', 'block3', 'conv1'), None)
