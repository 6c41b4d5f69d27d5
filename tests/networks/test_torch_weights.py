import dataclasses
import json
import subprocess
import sys
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
import torchvision_shapes
from ml_dtypes import bfloat16

import vggres
from vggres.errors import UserError
from vggres.networks import grammar, torch_weights
from vggres.networks.network import Network

GOLDEN = json.loads((Path(__file__).parent / 'golden' / 'torchvision.json').read_text())
RANDOM = np.random.default_rng(0)
NETWORKS = {
    'small': ('cifar_resnet20', {'depth': 14, 'width': 4}),
    'option B': ('cifar_resnet20', {'depth': 14, 'width': 4, 'shortcut': 'B'}),
    'without norm': ('cifar_plain20', {'depth': 8, 'width': 4, 'norm': 'none'}),
    'learned factor': ('cifar_resnet20', {'depth': 20, 'width': 4, 'learned_branch_scale': True}),
    'reparameterised': ('cifar_plain20', {'depth': 14, 'width': 4, 'reparameterised': True}),
    'fading': ('cifar_resnet20', {'depth': 14, 'width': 4, 'shortcut_fade_steps': 10}),
    'gates': ('cifar_resnet20', {'depth': 14, 'width': 4, 'gate': 'exclusive', 'shortcut': 'C'}),
    'preactivation': ('cifar_preresnet164', {'depth': 20, 'width': 4}),
    'imagenet': ('resnet50', {'width': 4}),
    'vgg': ('vgg13_bn', {'width': 2}),
    'configuration C': ('vgg16c', {'width': 2}),
    'small vgg': ('cifar_vgg16_bn', {'width': 2}),
    'vgg with shortcuts': ('cifar_vgg16_bn', {'width': 2, 'vgg_shortcuts': True}),
}


def create(structure, num_classes=7):
    name, options = NETWORKS[structure]
    return vggres.create(name, num_classes, **options)


def random_variables(network, channels=3):
    images = jnp.zeros((1, 32, 32, channels))
    shapes = jax.eval_shape(lambda: network.init(jax.random.key(0), images, train=False))
    return jax.tree.map(lambda leaf: RANDOM.normal(size=leaf.shape).astype(np.float32), shapes)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize('structure', NETWORKS)
@pytest.mark.parametrize('channels', [1, pytest.param(3, marks=pytest.mark.slow)])
def test_there_and_back_is_exact(structure, channels):
    network = create(structure)
    variables = random_variables(network, channels)
    state_dict = torch_weights.to_torch(network, variables)
    assert_equal(torch_weights.from_torch(network, state_dict, channels), variables)
    again = torch_weights.to_torch(network, torch_weights.from_torch(network, state_dict, channels))
    assert again.keys() == state_dict.keys()
    for name, array in state_dict.items():
        np.testing.assert_array_equal(again[name], array)
        assert again[name].dtype == np.float32


@pytest.mark.parametrize('name', [*torchvision_shapes.RESNET, 'vgg11', 'vgg16', 'vgg19_bn'])
def test_names_and_shapes_are_torchvisions(name):
    network = vggres.create(name, 1000)
    variables = jax.eval_shape(
        lambda: network.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
    )
    nothing = jax.tree.map(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), variables)
    shapes = {key: array.shape for key, array in torch_weights.to_torch(network, nothing).items()}
    assert shapes == torchvision_shapes.state_dict_shapes(name)


def test_names_of_a_small_resnet_are_akamasters():
    network = vggres.create('cifar_resnet20', 10, depth=8, shortcut='B')
    norms = ('weight', 'bias', 'running_mean', 'running_var')
    expected = {'conv1.weight', 'linear.weight', 'linear.bias'}
    expected |= {f'bn1.{part}' for part in norms}
    for i in (1, 2, 3):
        expected |= {f'layer{i}.0.conv1.weight', f'layer{i}.0.conv2.weight'}
        expected |= {f'layer{i}.0.{norm}.{part}' for norm in ('bn1', 'bn2') for part in norms}
    for i in (2, 3):
        expected |= {f'layer{i}.0.shortcut.0.weight'}
        expected |= {f'layer{i}.0.shortcut.1.{part}' for part in norms}
    assert torch_weights.to_torch(network, random_variables(network)).keys() == expected


def test_a_convolution_and_a_dense_layer_are_transposed():
    network = create('small')
    variables = random_variables(network)
    state_dict = torch_weights.to_torch(network, variables)
    # The second block after the first of stage 2: entry 0 of its stack.
    kernel = variables['params']['stage2']['blocks']['conv1']['kernel']
    assert state_dict['layer2.1.conv1.weight'][5, 3, 0, 2] == kernel[0, 0, 2, 3, 5]
    head = variables['params']['head']['kernel']
    assert state_dict['linear.weight'][6, 2] == head[2, 6]
    mean = variables['batch_stats']['stage3']['block1']['norm2']['mean']
    np.testing.assert_array_equal(state_dict['layer3.0.bn2.running_mean'], mean)


def test_a_vggs_first_dense_layer_expects_channels_first():
    network = create('vgg')
    state_dict = torch_weights.to_torch(network, random_variables(network))
    kernel = torch_weights.from_torch(network, state_dict)['params']['dense1']['kernel']
    row, column, channel = 2, 5, 11  # of 7 × 7 × 16
    ours, torchs = (row * 7 + column) * 16 + channel, (channel * 7 + row) * 7 + column
    np.testing.assert_array_equal(kernel[ours], state_dict['classifier.0.weight'][:, torchs])


def test_counters_of_batches_and_the_prefix_of_data_parallel_are_passed_over():
    network = create('option B')
    variables = random_variables(network)
    state_dict = {
        f'module.{name}': array
        for name, array in torch_weights.to_torch(network, variables).items()
    }
    state_dict['module.bn1.num_batches_tracked'] = np.array(3)
    assert_equal(torch_weights.from_torch(network, state_dict), variables)


@pytest.mark.parametrize('dtype', [np.float16, bfloat16, np.float64])
def test_any_float_type_becomes_float32(dtype, tmp_path):
    network = create('small')
    rough = jax.tree.map(lambda leaf: leaf.astype(dtype), random_variables(network))
    state_dict = {
        name: array.astype(dtype) for name, array in torch_weights.to_torch(network, rough).items()
    }
    safetensors.numpy.save_file(state_dict, tmp_path / 'w.safetensors')
    loaded = torch_weights.from_torch(network, torch_weights.load(tmp_path / 'w.safetensors'))
    assert {leaf.dtype for leaf in jax.tree.leaves(loaded)} == {np.dtype('float32')}
    assert_equal(loaded, jax.tree.map(lambda leaf: leaf.astype(np.float32), rough))


def test_a_mismatch_lists_both_sides():
    network = create('small', num_classes=7)
    state_dict = torch_weights.to_torch(network, random_variables(network))
    with pytest.raises(UserError) as caught:
        torch_weights.from_torch(create('small', num_classes=10), state_dict)
    assert 'linear.weight is (7, 16) in the weights and (10, 16) in the network' in str(
        caught.value
    )
    with pytest.raises(UserError) as caught:
        torch_weights.from_torch(network, state_dict, channels=1)
    message = 'conv1.weight is (4, 3, 3, 3) in the weights and (4, 1, 3, 3) in the network'
    assert message in str(caught.value)

    renamed = dict(state_dict)
    renamed['fc.weight'] = renamed.pop('linear.weight')
    with pytest.raises(UserError) as caught:
        torch_weights.from_torch(network, renamed)
    assert 'only the weights have fc.weight; only the network has linear.weight.' in str(
        caught.value
    )

    with pytest.raises(UserError) as caught:
        torch_weights.from_torch(create('option B'), state_dict)
    assert 'only the network has layer2.0.shortcut.0.weight, ' in str(caught.value)
    assert 'and 6 more' in str(caught.value)  # two shortcuts of five arrays, four named
    assert '\n' not in str(caught.value)


def test_bfloat16_files_are_read_where_jax_is_not_imported(tmp_path):
    path = tmp_path / 'w.safetensors'
    safetensors.numpy.save_file({'x': np.ones(3, bfloat16)}, path)
    code = f'from vggres import torch_weights; print(torch_weights.load({str(path)!r})["x"].dtype)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout == 'bfloat16\n'


def test_variables_of_another_network_are_refused():
    variables = random_variables(create('small'))
    with pytest.raises(UserError, match='have no params/stage2/block1/projection/kernel: they'):
        torch_weights.to_torch(create('option B'), variables)
    with pytest.raises(UserError, match=r'\(7, 16\) in the weights and \(9, 16\) in the network'):
        torch_weights.to_torch(create('small', num_classes=9), variables)
    projecting = random_variables(create('option B'))
    with pytest.raises(
        UserError, match=r'the network has no .*stage2/block1/projection_norm.*, but the var'
    ):
        torch_weights.to_torch(create('small'), projecting)
    deep = random_variables(Network(grammar.network_spec('resnet', 26, width=4), 7))
    for depth in (20, 32):
        other = Network(grammar.network_spec('resnet', depth, width=4), 7)
        with pytest.raises(UserError, match=rf'stacks 3 blocks .* and {(depth - 8) // 6} in the'):
            torch_weights.to_torch(other, deep)


@pytest.mark.parametrize('framework', ['numpy', 'jax'])
def test_arrays_of_any_layout_are_saved_as_what_they_are(framework, tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    given = array if framework == 'numpy' else jax.numpy.asarray(array)
    torch_weights.save(tmp_path / 'w.safetensors', {'w': given})
    np.testing.assert_array_equal(torch_weights.load(tmp_path / 'w.safetensors')['w'], array)


@pytest.mark.parametrize(
    ('value', 'message'),
    [
        (np.float32('nan'), 'bn1.weight holds numbers that are not finite'),
        (np.int32(1), 'bn1.weight holds int32 numbers; weights must be floating-point'),
    ],
)
def test_what_can_be_no_weights_is_refused(value, message):
    network = create('small')
    state_dict = torch_weights.to_torch(network, random_variables(network))
    state_dict['bn1.weight'] = np.full(4, value)
    with pytest.raises(UserError, match=message):
        torch_weights.from_torch(network, state_dict)
    with pytest.raises(UserError, match=r'weights must be arrays by name, .* not a list'):
        torch_weights.from_torch(network, [state_dict])


def test_a_file_is_read_whole_or_refused_in_one_line(tmp_path):
    network = create('small')
    variables = random_variables(network)
    path = tmp_path / 'w.safetensors'
    torch_weights.save(path, torch_weights.to_torch(network, variables))
    assert [file.name for file in tmp_path.iterdir()] == ['w.safetensors']
    assert_equal(torch_weights.read(path, network.spec, 7, 3), variables)
    assert_equal(torch_weights.from_torch(network, path), variables)
    assert_equal(torch_weights.from_torch(network, str(path)), variables)

    content = path.read_bytes()
    for length in (0, 5, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r'is no whole safetensors file') as caught:
            torch_weights.load(path)
        assert '\n' not in str(caught.value)
        assert str(path) in str(caught.value)
    for name, message in (
        ('none.safetensors', 'no weights file'),
        ('', 'no weights file'),
        ('w.txt', r'from \.safetensors, \.pth, \.pt, \.th files'),
    ):
        (tmp_path / 'w.txt').write_text('')
        with pytest.raises(UserError, match=message):
            torch_weights.load(tmp_path / name)


def test_a_new_head_leaves_the_files_head_out(tmp_path):
    network = create('small', num_classes=7)
    variables = random_variables(network)
    path = tmp_path / 'w.safetensors'
    torch_weights.save(path, torch_weights.to_torch(network, variables))
    with pytest.raises(UserError, match=r'\(7, 16\) in the weights .* init.new_head=True'):
        torch_weights.read(path, network.spec, num_classes=10, channels=3)
    without = torch_weights.read(path, network.spec, num_classes=10, channels=3, new_head=True)
    assert 'head' not in without['params']
    del variables['params']['head']
    assert_equal(without, variables)
    headless = {
        name: array
        for name, array in torch_weights.to_torch(network, random_variables(network)).items()
        if not name.startswith('linear')
    }
    torch_weights.save(tmp_path / 'headless.safetensors', headless)
    torch_weights.read(tmp_path / 'headless.safetensors', network.spec, 10, 3, new_head=True)
    with pytest.raises(UserError, match=r'only the weights have bn1\.bias, '):
        torch_weights.read(path, create('preactivation').spec, 10, 3, new_head=True)


def saved(path, network, channels=3):
    """Saves random weights of a network with its description; returns its state_dict."""
    state_dict = torch_weights.to_torch(network, random_variables(network, channels))
    torch_weights.save(path, state_dict, torch_weights.describe(network, channels))
    return state_dict


@pytest.mark.slow
@pytest.mark.parametrize('structure', NETWORKS)
def test_a_file_describes_its_network(structure, tmp_path):
    path, network = tmp_path / 'w.safetensors', create(structure)
    state_dict = saved(path, network, channels=1)
    found = torch_weights.read_description(path)
    assert (found.network_spec, found.num_classes, found.channels) == (network.spec, 7, 1)
    variables = torch_weights.from_torch(network, path, channels=1)
    assert_equal(variables, torch_weights.from_torch(network, state_dict, channels=1))


def test_a_description_changes_no_array(tmp_path):
    network = create('small')
    state_dict = saved(tmp_path / 'with.safetensors', network)
    torch_weights.save(tmp_path / 'without.safetensors', state_dict)
    for name in ('with', 'without'):
        # What the file holds, by another reader.
        found = safetensors.numpy.load_file(tmp_path / f'{name}.safetensors')
        assert found.keys() == state_dict.keys()
        for key, array in state_dict.items():
            assert found[key].tobytes() == array.tobytes()
            assert (found[key].dtype, found[key].shape) == (array.dtype, array.shape)
    assert torch_weights.read_description(tmp_path / 'without.safetensors') is None


@pytest.mark.parametrize(
    ('ours', 'theirs', 'message'),
    [
        ('plain', 'resnet', 'a plain network of depth 8, not of a resnet of depth 8'),
        ('resnet', 'plain', 'a resnet of depth 8, not of a plain network of depth 8'),
    ],
)
def test_weights_of_another_network_are_refused_although_the_shapes_fit(
    ours, theirs, message, tmp_path
):
    path = tmp_path / 'w.safetensors'
    one, other = (vggres.create(f'cifar_{name}20', 10, depth=8) for name in (ours, theirs))
    state_dict = saved(path, one)
    torch_weights.from_torch(other, state_dict)  # the shapes fit
    for new_head in (False, True):
        with pytest.raises(
            UserError, match=rf'w.safetensors: the weights .* {message}\.$'
        ) as caught:
            torch_weights.read(path, other.spec, 10, 3, new_head)
        assert '\n' not in str(caught.value)
    with pytest.raises(UserError, match=message):
        torch_weights.from_torch(other, path)
    # Whoever wants it all the same takes the arrays out of the file.
    torch_weights.from_torch(other, torch_weights.load(path))


def test_a_hand_made_file_with_a_description_is_read(tmp_path):
    path, network = tmp_path / 'w.safetensors', vggres.create('cifar_plain20', 7, depth=8, width=2)
    variables = random_variables(network)
    content = {'options': {'family': 'plain', 'depth': 8, 'width': 2}, 'num_classes': 7}
    metadata = {'vggres': json.dumps({'format': 1, 'channels': 3} | content), 'format': 'pt'}
    arrays = torch_weights.to_torch(network, variables)
    safetensors.numpy.save_file(arrays, path, metadata)
    assert torch_weights.read_description(path).network_spec == network.spec
    assert_equal(torch_weights.from_torch(network, path), variables)
    # Of another origin: metadata, but no description.
    safetensors.numpy.save_file(arrays, path, {'format': 'pt'})
    assert torch_weights.read_description(path) is None
    assert_equal(torch_weights.from_torch(network, path), variables)


def test_described_classes_and_channels_are_compared(tmp_path):
    path, network = tmp_path / 'w.safetensors', create('small')
    saved(path, network, channels=1)
    with pytest.raises(UserError, match=r'for images with 1 channel, not 3\.$'):
        torch_weights.from_torch(network, path)
    with pytest.raises(UserError, match=r'for 7 classes, not 10\. init\.new_head=True leaves'):
        torch_weights.read(path, network.spec, 10, 1)
    without = torch_weights.read(path, network.spec, 10, 1, new_head=True)
    assert 'head' not in without['params']


def test_a_description_that_lies_about_the_shapes_does_not_help(tmp_path):
    path, wide = tmp_path / 'w.safetensors', create('small').clone(num_classes=10)
    state_dict = torch_weights.to_torch(create('small'), random_variables(create('small')))
    torch_weights.save(path, state_dict, torch_weights.describe(wide))
    with pytest.raises(
        UserError, match=r'linear.weight is \(7, 16\) in the weights and \(10, 16\)'
    ):
        torch_weights.from_torch(wide, path)


def test_damaged_descriptions_are_refused_with_the_name_of_the_file(tmp_path):
    path, network = tmp_path / 'w.safetensors', create('small')
    arrays = saved(path, network)
    for text in ('', '{"format": 1}', '{"format": 1, "options": {"fami'):
        safetensors.numpy.save_file(arrays, path, {'vggres': text})
        for read in (
            torch_weights.read_description,
            lambda p: torch_weights.from_torch(network, p),
        ):
            with pytest.raises(UserError, match=r'w\.safetensors: the description .* damaged'):
                read(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match='is no whole safetensors file'):
        torch_weights.read_description(path)
    with pytest.raises(UserError, match='no weights file'):
        torch_weights.read_description(tmp_path / 'none.safetensors')
    (tmp_path / 'w.pth').write_bytes(b'')  # which is not opened: it cannot have one
    assert torch_weights.read_description(tmp_path / 'w.pth') is None


def test_pth_files_need_pytorch(tmp_path, monkeypatch):
    (tmp_path / 'w.pth').write_bytes(b'')
    monkeypatch.setattr(torch_weights, 'find_spec', lambda name: None)
    with pytest.raises(
        UserError, match=r"w\.pth: reading \.pth files needs PyTorch \(pip install '"
    ):
        torch_weights.load(tmp_path / 'w.pth')


class Command:
    """What a malicious file would hold: unpickling it runs something."""

    def __reduce__(self):
        return (print, ('run by a weights file',))


@pytest.mark.needs('torch')
def test_pth_files(tmp_path, capsys):
    import torch

    network = create('option B')
    variables = random_variables(network)
    arrays = torch_weights.to_torch(network, variables)
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    assert_equal(torch_weights.from_torch(network, tensors), variables)
    half = {name: tensor.bfloat16() for name, tensor in tensors.items()}
    rough = torch_weights.from_torch(network, half)
    expected = jax.tree.map(lambda leaf: leaf.astype(bfloat16).astype(np.float32), variables)
    assert_equal(rough, expected)

    torch.save(tensors, tmp_path / 'w.pth')
    without = torch_weights.read(tmp_path / 'w.pth', network.spec, 10, 3, new_head=True)
    assert_equal(without['params'] | {'head': variables['params']['head']}, variables['params'])
    with pytest.raises(UserError, match=r'\(7, 16\) in the weights .* init.new_head=True'):
        torch_weights.read(tmp_path / 'w.pth', network.spec, 10, 3)
    with pytest.raises(UserError, match='only the network has') as caught:
        torch_weights.read(tmp_path / 'w.pth', create('gates').spec, 7, 3)
    assert 'new_head' not in str(caught.value)
    for content in (tensors, {'state_dict': tensors, 'best_prec1': 91.25}, {'net': tensors}):
        for suffix in ('.pth', '.pt', '.th'):
            torch.save(content, tmp_path / f'w{suffix}')
            assert_equal(torch_weights.read(tmp_path / f'w{suffix}', network.spec, 7, 3), variables)

    path = tmp_path / 'w.pth'
    content = path.read_bytes()
    for length in (0, 5, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r'w\.pth is damaged, or holds more') as caught:
            torch_weights.load(path)
        assert '\n' not in str(caught.value)
    torch.save({'w': Command()}, path)
    with pytest.raises(UserError, match='holds more than weights'):
        torch_weights.load(path)
    assert 'run by' not in capsys.readouterr().out
    torch.save([1, 2], path)
    with pytest.raises(UserError, match='holds a list, not a state_dict'):
        torch_weights.load(path)


def golden_state_dict(name):
    """The weights of the formula that the reference logits were computed with."""
    gain = 0.5 if name.startswith('resnet') else 1.0
    arrays = {}
    for key, shape in torchvision_shapes.state_dict_shapes(name).items():
        generator = np.random.Generator(np.random.PCG64([0, zlib.crc32(key.encode())]))
        n = generator.standard_normal(shape, dtype=np.float32)
        if key.endswith('.running_var'):
            arrays[key] = 1 + 0.1 * abs(n)
        elif key.endswith(('.running_mean', '.bias')):
            arrays[key] = 0.1 * n
        elif n.ndim == 1:
            arrays[key] = gain * (1 + 0.1 * n)
        else:
            arrays[key] = n * np.float32((2 / np.prod(shape[1:])) ** 0.5)
    return arrays


@pytest.mark.slow
@pytest.mark.parametrize('name', GOLDEN)
def test_logits_are_those_of_torchvision(name):
    """torchvision 0.29.1 on the CPU, weights and images from a formula (tests/golden)."""
    expected = GOLDEN[name]
    network = vggres.create(name, num_classes=1000)
    variables = torch_weights.from_torch(network, golden_state_dict(name))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables['params'])) == expected['params']
    size = expected['resolution']
    generator = np.random.Generator(np.random.PCG64([0, 2, size]))
    images = generator.standard_normal((2, size, size, 3), dtype=np.float32)
    logits = np.asarray(jax.jit(lambda v, x: network.apply(v, x, train=False))(variables, images))
    first = np.asarray(expected['logits_first8'])
    error = np.linalg.norm(logits[:, :8] - first, axis=1) / np.linalg.norm(first, axis=1)
    assert error.max() < 1e-4
    np.testing.assert_array_equal(logits.argmax(axis=1), expected['argmax'])
    np.testing.assert_allclose(logits.std(axis=1), expected['std'], rtol=1e-4)
    atol = 1e-4 * np.asarray(expected['std'])
    assert (abs(logits.mean(axis=1) - expected['mean']) < atol).all()


@pytest.mark.needs('torch')
@pytest.mark.parametrize(
    ('option', 'preactivation'), [('A', False), ('B', False), ('A', True), ('B', True)]
)
def test_a_small_resnet_computes_what_pytorch_does(option, preactivation):
    """Against a network of torch modules that are named as akamaster's."""
    import torch

    nn, functional = torch.nn, torch.nn.functional

    class Pad(nn.Module):
        def forward(self, x):
            new = x.shape[1] // 2
            return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, new, new))

    class TorchBlock(nn.Module):
        def __init__(self, inputs, outputs, stride, is_first):
            super().__init__()
            self.is_shared = is_first or (stride != 1 and option == 'B')
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(inputs if preactivation else outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.shortcut = nn.Sequential()
            if stride != 1:
                projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
                pair = [projection] if preactivation else [projection, nn.BatchNorm2d(outputs)]
                self.shortcut = nn.Sequential(*pair) if option == 'B' else Pad()

        def forward(self, x):
            if preactivation:  # He et al. 2016, Fig. 1b; the first unit as in the appendix
                y = torch.relu(self.bn1(x))
                x = y if self.is_shared else x
                return self.conv2(torch.relu(self.bn2(self.conv1(y)))) + self.shortcut(x)
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            return torch.relu(y + self.shortcut(x))

    class TorchNetwork(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
            if preactivation:
                self.bn = nn.BatchNorm2d(64)
            else:
                self.bn1 = nn.BatchNorm2d(16)
            for i, (inputs, outputs) in enumerate(((16, 16), (16, 32), (32, 64)), start=1):
                first = TorchBlock(inputs, outputs, 1 if i == 1 else 2, is_first=i == 1)
                rest = [TorchBlock(outputs, outputs, 1, is_first=False) for _ in range(2)]
                setattr(self, f'layer{i}', nn.Sequential(first, *rest))
            self.linear = nn.Linear(64, 10)

        def forward(self, x):
            x = self.conv1(x) if preactivation else torch.relu(self.bn1(self.conv1(x)))
            x = self.layer3(self.layer2(self.layer1(x)))
            x = torch.relu(self.bn(x)) if preactivation else x
            return self.linear(x.mean((2, 3)))

    torch.manual_seed(0)
    theirs = TorchNetwork()
    with torch.no_grad():  # statistics that are not those of the start
        for module in theirs.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.uniform_(0.5, 1.5)
                for tensor in (module.bias, module.running_mean):
                    tensor.normal_(0, 0.1)
    ours = vggres.create('cifar_resnet20', 10, shortcut=option, preactivation=preactivation)
    variables = torch_weights.from_torch(ours, theirs.state_dict())
    images = RANDOM.normal(size=(3, 15, 16, 3)).astype(np.float32)
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy()
    logits = np.asarray(ours.apply(variables, images, train=False))
    assert np.linalg.norm(logits - expected) < 1e-5 * np.linalg.norm(expected)
    # And PyTorch takes what we give back.
    arrays = torch_weights.to_torch(ours, variables)
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})


@pytest.mark.slow
@pytest.mark.parametrize('norm', ['batch', 'none'])
def test_a_vgg_with_its_shortcuts_times_zero_is_that_vgg(norm):
    # The names of its weights are the vgg's, so that the same file fits both.
    options = {'depth': 21, 'width': 2, 'norm': norm, 'vgg_stages': 3}
    plain = vggres.create('cifar_vgg16_bn', 7, **options)
    added = vggres.create('cifar_vgg16_bn', 7, **options, vgg_shortcuts=True)
    state_dict = torch_weights.to_torch(plain, random_variables(plain))
    stages = tuple(
        dataclasses.replace(stage, blocks=tuple(silenced(block) for block in stage.blocks))
        for stage in added.spec.stages
    )
    silent = added.clone(spec=dataclasses.replace(added.spec, stages=stages))
    images = jnp.asarray(RANDOM.normal(size=(2, 16, 16, 3)), jnp.float32)
    logits = [
        network.apply(
            torch_weights.from_torch(network, state_dict), images, train=True, mutable=True
        )[0]
        for network in (plain, silent, added)
    ]
    # Scanned in pairs, the same sums are rounded otherwise.
    np.testing.assert_allclose(logits[0], logits[1], atol=1e-5)
    assert np.abs(logits[0] - logits[2]).max() > 0.1


def silenced(block):
    if block.shortcut is None:
        return block
    return dataclasses.replace(block, shortcut=dataclasses.replace(block.shortcut, scale=0.0))
