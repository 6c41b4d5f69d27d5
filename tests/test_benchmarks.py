import json
import subprocess
import sys
from importlib.util import find_spec

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import stock_flax, timing
from benchmarks.contenders import NUM_CLASSES, Case
from vggres.networks import spec, torch_weights
from vggres.networks.network import Network


def run(*arguments, name='train_step'):
    command = [sys.executable, '-m', f'benchmarks.{name}', *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_every_contender_is_measured():
    done = run(
        '--depth=8', '--image_size=8', '--batch=4', '--contenders=ours,flax', '--rounds=2', '--json'
    )
    found = json.loads(done.stdout)
    assert set(found) == {'ours', 'flax'}
    for values in found.values():
        low, high = values['step_ms_range']
        assert 0 < low <= values['step_ms'] <= high
        assert values['compile_s'] > 0
        assert values['case']['depth'] == 8
        assert values['temporaries_mb'] > 0
        assert values['images_per_second'] == pytest.approx(4e3 / values['step_ms'])
    low, high = found['flax']['ratio_of_ours_range']
    assert low <= found['flax']['ratio_of_ours'] <= high


@pytest.mark.parametrize(
    ('argument', 'message'),
    [
        ('--depth=9', 'no resnet network of depth 9'),
        ('--batch=many', 'batch'),
        ('--depth=deep', "depth and image_size are whole numbers, not 'deep'"),
        ('--image_size=0', 'at least 1 pixel'),
        ('--name=cifar_preresnet110', 'the others have no preactivation'),
        ('train', "cannot make sense of 'train'"),
        ('--contenders=keras', "unknown contender 'keras': there is flax, ours, torch"),
    ],
)
def test_bad_input_is_one_line(argument, message):
    assert_one_line(run('--image_size=8', argument), message)


@pytest.mark.parametrize(
    ('name', 'argument', 'message'),
    [
        ('sweep', '--depths=nonsense', r"whole numbers, as in '(8, 20)', not 'nonsense'"),
        ('sweep', '--depths=()', 'whole numbers'),
        ('sweep', '--depths=(9,)', 'no resnet network of depth 9'),
        ('sweep', '--seeds=0', 'seeds'),
        ('input_pipeline', '--images=128.5', 'images'),
        ('input_pipeline', '--batch=256', 'at least one --batch'),
    ],
)
def test_bad_input_of_the_others_is_one_line(name, argument, message):
    arguments = [argument, '--images=128'] if argument == '--batch=256' else [argument]
    assert_one_line(run(*arguments, name=name), message)


def assert_one_line(done, message):
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count('\n') == 1


def as_stock_flax(ours, theirs, image_shape):
    """Our variables in the places of stock Flax, which numbers the modules of each kind."""
    numbers = {'Block': 1, 'Conv': 0, 'BatchNorm': 0, 'Dense': 0}

    def order(path):
        kinds, counts = zip(*(part.split('_') for part in path[:-1]), strict=True)
        return [numbers[kind] for kind in kinds], [int(count) for count in counts]

    described = ours.spec
    kinds = {'convolution': 'Conv', 'norm': 'BatchNorm', 'dense': 'Dense'}
    filled = {}
    for collection, tree in theirs.items():
        flat = flax.traverse_util.flatten_dict(tree)
        modules = sorted({path[:-1] for path in flat}, key=lambda path: order((*path, '')))
        for layer in spec.layers(described, image_shape, NUM_CLASSES):
            kind = kinds[layer.kind]
            if collection == 'batch_stats' and kind != 'BatchNorm':
                continue
            module = next(path for path in modules if path[-1].startswith(kind + '_'))
            modules.remove(module)
            place, index = spec.place(described, layer.name)
            given = ours.variables[collection]
            for name in place:
                given = given[name]
            for name, leaf in given.items():
                filled[(collection, *module, name)] = leaf if index is None else leaf[index]
        assert not modules
    return flax.traverse_util.unflatten_dict(filled)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'size'),
    [
        ('cifar_resnet20', 8),
        ('cifar_vgg16_bn', 32),
        ('resnet18', 64),
        ('vgg16', 64),
    ],
)
def test_stock_flax_computes_the_same_network(name, size):
    case = Case(name, '', 0, size, 2)
    images = jax.random.normal(jax.random.key(0), (2, *case.image_shape))
    ours = Network(case.network_spec, NUM_CLASSES)
    theirs = stock_flax.Network(case.network_spec, NUM_CLASSES)
    variables = jax.jit(lambda: ours.init(jax.random.key(1), images, train=False))()
    shapes = jax.eval_shape(lambda: theirs.init(jax.random.key(0), images, train=False))
    moved = as_stock_flax(ours.bind(variables), shapes, case.image_shape)
    assert jax.tree.map(jnp.shape, moved) == jax.tree.map(jnp.shape, shapes)
    for train in (False, True) if name == 'cifar_resnet20' else (False,):
        expected, actual = (
            network.apply(values, images, train=train, mutable=['batch_stats'])[0]
            for network, values in ((theirs, moved), (ours, variables))
        )
        assert np.linalg.norm(actual - expected) < 1e-4 * np.linalg.norm(expected)


@pytest.mark.needs('torch')
@pytest.mark.parametrize(
    ('name', 'size'), [('cifar_resnet20', 8), ('cifar_vgg16_bn', 32), ('resnet18', 64)]
)
def test_pytorch_computes_the_same_network(name, size):
    import torch

    from benchmarks.torch_network import network as torch_network

    case = Case(name, '', 0, size, 2)
    ours = Network(case.network_spec, NUM_CLASSES)
    images = jax.random.normal(jax.random.key(0), (2, *case.image_shape))
    variables = jax.jit(lambda: ours.init(jax.random.key(1), images, train=False))()
    theirs = torch_network(case.network_spec, case.image_shape[2], NUM_CLASSES)
    arrays = torch_weights.to_torch(ours, variables).values()  # both in the order of the layers
    names = [name for name in theirs.state_dict() if 'num_batches' not in name]
    weights = {n: torch.from_numpy(a) for n, a in zip(names, arrays, strict=True)}
    theirs.load_state_dict(weights, strict=False)
    with torch.no_grad():
        expected = theirs.eval()(torch.from_numpy(np.array(images.transpose(0, 3, 1, 2)))).numpy()
    logits = np.asarray(ours.apply(variables, images, train=False))
    assert np.linalg.norm(logits - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.slow
def test_input_pipelines_are_measured():
    command = [sys.executable, '-m', 'benchmarks.input_pipeline', '--images=256', '--rounds=2']
    done = subprocess.run([*command, '--json'], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert {'ours', 'numpy'} <= set(found)
    assert all(len(each['images_per_second']) == 2 for each in found.values())


@pytest.mark.slow
def test_pipelines_that_decode_files_are_measured():
    small = ('--files=16', '--batch=8', '--rounds=2', '--json')
    done = run(*small, name='input_pipeline')
    found = json.loads(done.stdout)
    assert set(found) == {'ours', *(['torchvision'] if find_spec('torchvision') else [])}
    for each in found.values():
        assert len(each['images_per_second']) == 2
        # Made in turn, not in advance: no two cores decode a file in 0.1 ms.
        assert 0 < max(each['images_per_second']) < 1e4


@pytest.mark.slow
@pytest.mark.needs('torch')
def test_a_sweep_is_measured():
    command = [sys.executable, '-m', 'benchmarks.sweep', '--depths=(8,)', '--seeds=1', '--json']
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (found,) = json.loads(done.stdout)
    for who in ('ours', 'torch'):
        assert found[who]['seconds'] > 1
        # Digits are learnt by heart at this depth (the facts' table: 0.0 in six of six runs).
        assert found[who]['errors'] == {'plain 8': 0.0, 'resnet 8': 0.0}


def test_a_step_costs_three_forward_passes():
    # ResNet-20 at 32×32: 40,551,040 MACs an image (He et al. 2015; the facts' table).
    case = Case('', 'resnet', 20, 32, 128)
    assert case.gflops == pytest.approx(3 * 2 * 40_551_040 * 128 / 1e9)


@pytest.mark.slow
def test_what_diverges_is_not_measured():
    # The squared norm of this plain network's first gradient is beyond float32.
    small = ('--depth=1202', '--image_size=8', '--batch=4', '--rounds=1', '--family=plain')
    done = run(*small, '--contenders=ours')
    assert done.returncode != 0
    assert 'ours diverged at step 1' in done.stderr


def test_ratios_are_those_within_a_round():
    one = timing.Contender('one', None, {}, step_seconds=[1.0, 2.0, 9.0])
    other = timing.Contender('other', None, {}, step_seconds=[2.0, 2.0, 3.0])
    assert timing.ratios(one, other) == (1.0, 0.5, 3.0)


def test_who_begins_goes_round(monkeypatch):
    order = []
    contenders = [timing.Contender(name, None, {}) for name in 'abc']
    monkeypatch.setattr(
        timing.Contender, 'take_turn', lambda self, count: order.append(self.name) or 1.0
    )
    timing.alternate(contenders, rounds=4)
    assert ''.join(order) == 'abcbcacababc'
