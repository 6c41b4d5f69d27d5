import pytest

from vggres import architecture
from vggres.errors import UserError

CIFAR = (32, 32, 3)


# He et al. 2015, §4.2 with option A; integers from the closed form, cross-checked elsewhere.
@pytest.mark.parametrize('family', architecture.FAMILIES)
@pytest.mark.parametrize(
    ('depth', 'parameters', 'macs'),
    [
        (20, 269_722, 40_551_040),
        (32, 464_154, 68_862_592),
        (44, 658_586, 97_174_144),
        (56, 853_018, 125_485_696),
        (110, 1_727_962, 252_887_680),
        (1202, 19_421_274, 2_829_238_912),
    ],
)
def test_parameters_and_macs_of_the_paper(family, depth, parameters, macs):
    spec = architecture.network_spec(family, depth)
    assert architecture.count_parameters(spec, CIFAR, 10) == parameters
    assert architecture.count_macs(spec, CIFAR, 10) == macs


@pytest.mark.parametrize('depth', [8, 14, 20, 56, 110, 1202])
def test_depth_is_the_number_of_weighted_layers(depth):
    spec = architecture.network_spec('resnet', depth)
    assert spec.depth == depth
    assert len(list(architecture.layers(spec, CIFAR, 10))) == depth


def test_stages_halve_the_resolution_and_double_the_channels():
    stages = architecture.network_spec('plain', 20, width=16).stages
    assert [stage.channels for stage in stages] == [16, 32, 64]
    assert [stage.stride for stage in stages] == [1, 2, 2]
    assert [stage.num_blocks for stage in stages] == [3, 3, 3]


def test_odd_sizes_round_up():
    spec = architecture.network_spec('plain', 8, width=1)
    names = {layer.name: layer.macs for layer in architecture.layers(spec, (5, 7, 1), 2)}
    assert names['stem'] == 9 * 1 * 1 * 5 * 7
    assert names['stage2/block1/conv1'] == 9 * 1 * 2 * 3 * 4
    assert names['stage3/block1/conv2'] == 9 * 4 * 4 * 2 * 2
    assert names['head'] == 4 * 2


@pytest.mark.parametrize(
    ('depth', 'nearest'),
    [(57, '56 or 62'), (18, '14 or 20'), (21, '20 or 26'), (2, '8'), (-3, '8')],
)
def test_a_depth_that_does_not_exist_names_the_nearest(depth, nearest):
    with pytest.raises(UserError, match=rf'depth {depth}: .* nearest {nearest}\.'):
        architecture.network_spec('resnet', depth)


def test_an_unknown_family_names_the_nearest():
    with pytest.raises(UserError, match="'resnt': did you mean resnet"):
        architecture.network_spec('resnt', 20)


def test_width_is_at_least_one_channel():
    with pytest.raises(UserError, match='width'):
        architecture.network_spec('resnet', 20, width=0)
