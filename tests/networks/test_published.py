import subprocess
import sys

import pytest

from vggres.errors import UserError
from vggres.networks import published


# The names of torchvision and of the papers say the depth; those of a vgg for small images count
# the two dense layers that it lacks.
@pytest.mark.parametrize('name', published.VARIANTS)
def test_depth_is_what_the_name_says(name):
    number = int(''.join(c for c in name if c.isdigit()))
    missing = 2 if name.startswith('cifar_vgg') else 0
    assert published.variant_spec(name).depth == number - missing


def test_the_networks_there_are():
    names = set(published.names())
    assert len(names) == len(published.names()) == len(published.VARIANTS)
    for vgg in ('vgg11', 'vgg13', 'vgg16', 'vgg19'):
        assert {vgg, f'{vgg}_bn', f'cifar_{vgg}', f'cifar_{vgg}_bn'} <= names
    assert {'vgg16c', 'vgg16c_bn', 'plain18', 'plain34'} <= names
    assert {f'resnet{depth}' for depth in (18, 34, 50, 101, 152)} <= names
    assert {f'cifar_plain{depth}' for depth in (20, 32, 44, 56, 110)} <= names
    assert {f'cifar_resnet{depth}' for depth in (20, 32, 44, 56, 110, 1202, 164, 1001)} <= names
    assert {f'cifar_preresnet{depth}' for depth in (110, 164, 1001)} <= names


@pytest.mark.parametrize(
    ('name', 'strides'), [('resnet50', (1, 2)), ('cifar_preresnet164', (2, 1))]
)
def test_bottlenecks_stride_as_torchvision_or_as_he(name, strides):
    first, middle, _ = published.variant_spec(name).stages[1].blocks[0].convolutions
    assert (first.stride, middle.stride) == strides


def test_options_may_differ_from_the_published_ones():
    network = published.variant_spec('cifar_vgg16_bn', depth=100, vgg_stages=3)
    assert network.depth == 100
    assert [len(stage.blocks) for stage in network.stages] == [2, 2, 95]


def test_options_of_another_family_are_refused():
    with pytest.raises(
        UserError, match=r"option 'shortcut' of a vgg network: the options are .*vgg_stages"
    ):
        published.variant_spec('vgg16', shortcut='C')
    with pytest.raises(
        UserError, match=r"option 'dropout' of a resnet network: the options are .*shortcut"
    ):
        published.variant_spec('resnet18', dropout=0.1)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('vgg16bn', "unknown network 'vgg16bn': did you mean vgg16_bn"),
        ('resnet_50', 'did you mean resnet50'),
        ('cifar_resnet14', 'did you mean .*cifar_resnet'),
        ('VGG16', 'did you mean vgg16 '),
    ],
)
def test_an_unknown_name_names_the_nearest(name, message):
    with pytest.raises(UserError, match=message):
        published.variant_spec(name)


def test_the_table_shows_every_network_with_its_source():
    code = [sys.executable, '-W', 'error', '-m', 'vggres.networks.published']
    table = subprocess.run(code, capture_output=True, text=True, check=True)
    assert table.stderr == ''
    headings = table.stdout.splitlines()[0]
    assert headings.split('  ')[0] == 'name'
    for heading in ('depth', 'blocks per stage', 'parameters', 'MACs per image', 'image size'):
        assert heading in headings
    lines = {line.split()[0]: line for line in table.stdout.splitlines()}
    assert set(lines) == {'name', *published.VARIANTS}
    # He et al. 2015, Table 1, and torchvision's count; 4.09 billion is torchvision's figure too.
    fields = lines['resnet50'].split()
    assert fields[1:4] == ['50', '3-4-6-3', '25,557,032']
    assert fields[4].startswith('4,089,')
    assert fields[5] == '224×224'
    assert '1512.03385' in lines['resnet50']
    assert '1409.1556, Table 1, D' in lines['cifar_vgg16_bn']
