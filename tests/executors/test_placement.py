import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from vggres import environment
from vggres.errors import UserError
from vggres.executors import placement as module
from vggres.executors.placement import (
    default_environment,
    default_workers,
    fallen_back,
    gpus_each,
    placement,
    use,
)


class Plugin:
    """What a CUDA plugin of jax is known by."""

    name = 'xla_cuda13'


@pytest.fixture
def machine(monkeypatch):
    """(NVIDIA devices, TPU chips, has a CUDA plugin) → a machine that has them."""

    def machine(gpus=0, chips=0, plugin=True):
        monkeypatch.delenv('JAX_PLATFORMS', raising=False)
        monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
        monkeypatch.delenv('XLA_FLAGS', raising=False)
        there = {'nvidia[0-9]*': gpus, 'accel[0-9]*': chips}
        monkeypatch.setattr(
            module.Path, 'glob', lambda self, pattern: iter(range(there.get(pattern, 0)))
        )
        monkeypatch.setattr(module, 'find_spec', lambda name: name if chips else None)
        monkeypatch.setattr(module, 'entry_points', lambda group: [Plugin] * plugin)
        monkeypatch.setattr(environment, 'cores', lambda: [0, 1, 2, 3])

    return machine


def test_without_a_tpu_jax_does_not_look_for_one(monkeypatch):
    # With libtpu installed, jax would look for a TPU, at length.
    monkeypatch.delenv('JAX_PLATFORMS', raising=False)
    monkeypatch.setattr(module, 'find_spec', lambda name: name)
    monkeypatch.setattr(module, 'entry_points', lambda group: [])
    monkeypatch.setattr(module.Path, 'glob', lambda self, pattern: iter(()))
    assert placement(0, 1)['JAX_PLATFORMS'] == 'cpu'
    monkeypatch.setenv('JAX_PLATFORMS', 'tpu')
    assert 'JAX_PLATFORMS' not in placement(0, 1)
    monkeypatch.delenv('JAX_PLATFORMS')
    monkeypatch.setattr(module, 'find_spec', lambda name: None)
    assert 'JAX_PLATFORMS' not in placement(0, 1)


@pytest.mark.parametrize(('visible', 'workers'), [('0,3', 2), ('', 4), (None, 1)])
def test_one_worker_a_gpu(monkeypatch, visible, workers):
    # With a CUDA plugin installed, jax uses what CUDA_VISIBLE_DEVICES names, or else all devices.
    monkeypatch.delenv('JAX_PLATFORMS', raising=False)
    monkeypatch.setattr(module, 'entry_points', lambda group: [Plugin])
    monkeypatch.setattr(module, 'find_spec', lambda name: None)  # no libtpu
    monkeypatch.setattr(environment, 'cores', lambda: [0, 1, 2, 3])
    monkeypatch.setattr(module.Path, 'glob', lambda self, pattern: iter([Path('/dev/nvidia0')]))
    if visible is None:
        monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    else:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    assert default_workers() == workers


@pytest.mark.parametrize(('value', 'place'), [('/x', '/x/vggres/xla'), ('', '~/.cache/vggres/xla')])
def test_the_cache_is_below_the_users_cache(monkeypatch, value, place):
    # An empty XDG_CACHE_HOME counts as unset (XDG Base Directory Specification).
    monkeypatch.setenv('XDG_CACHE_HOME', value)
    cache = default_environment()['JAX_COMPILATION_CACHE_DIR']
    assert cache == os.path.expanduser(place)


@pytest.mark.parametrize(
    ('workers', 'batches', 'visible'),
    [
        (1, [128], ['0,1,2,3,4,5,6,7']),  # a lone network gets all of them
        (2, [128, 128], ['0,1,2,3', '4,5,6,7']),
        (3, [128] * 3, ['0,1', '2,3', '4,5']),
        (1, [100], ['0,1,2,3,4']),  # as many as share a batch of 100 evenly
        (1, [128, 36], ['0,1,2,3']),
        (8, [128], ['0', '1', '2', '3', '4', '5', '6', '7']),
        (9, [128], ['0', '1', '2', '3', '4', '5', '6', '7', '0']),
    ],
)
def test_gpus_are_shared_out(machine, workers, batches, visible):
    machine(gpus=8)
    share = gpus_each(workers, batches)
    found = [placement(number, workers, share) for number in range(workers)]
    assert [each['CUDA_VISIBLE_DEVICES'] for each in found] == visible


def test_without_a_gpu_there_is_nothing_to_share_out(machine):
    machine()
    assert gpus_each(1, [128]) == 1
    assert placement(0, 4, 1)['VGGRES_CORES'] == '0'  # a lone cell too has its share alone


def test_small_cells_have_a_tpu_chip_each(machine):
    machine(chips=4, plugin=False)
    assert (default_workers(), default_workers(one_for_all_chips=True)) == (4, 1)
    chips = [placement(number, 4) for number in range(4)]
    assert [each['TPU_VISIBLE_CHIPS'] for each in chips] == ['0', '1', '2', '3']
    for name in ('TPU_PROCESS_BOUNDS', 'TPU_CHIPS_PER_PROCESS_BOUNDS'):
        assert {each[name] for each in chips} == {'1,1,1'}
    assert placement(0, 1) == {}  # all of them
    with pytest.raises(UserError, match=r'--workers 5 is too many: .* there are 4'):
        placement(4, 5)


@pytest.mark.parametrize(
    ('there', 'surroundings', 'platform', 'said'),
    [
        ({'gpus': 1}, {}, 'cpu', 'see nvidia-smi'),
        ({'gpus': 1, 'plugin': False}, {}, 'cpu', 'it has no CUDA plugin: pip install'),
        ({'gpus': 1}, {'JAX_PLATFORMS': 'cuda,cpu'}, 'cpu', 'see nvidia-smi'),
        ({'gpus': 1}, {'JAX_PLATFORMS': 'cpu'}, 'cpu', ''),  # that was asked for
        ({'gpus': 1}, {'CUDA_VISIBLE_DEVICES': ''}, 'cpu', ''),  # so was that
        ({'gpus': 1}, {}, 'gpu', ''),
        ({'gpus': 0}, {}, 'cpu', ''),
    ],
)
def test_a_gpu_that_is_not_used_is_named(machine, monkeypatch, there, surroundings, platform, said):
    machine(**there)
    for name, value in surroundings.items():
        monkeypatch.setenv(name, value)
    found = fallen_back(platform)
    assert said in found
    assert bool(found) == bool(said)
    assert '\n' not in found


def test_the_device_and_equal_bits_can_be_asked_for(machine, monkeypatch):
    machine(gpus=1)
    monkeypatch.setenv('XLA_FLAGS', '--xla_mine=1')
    monkeypatch.setenv('JAX_PLATFORMS', 'tpu')
    console = Console(file=io.StringIO())
    use('gpu', True, False, console)
    assert os.environ['JAX_PLATFORMS'] == 'cuda'
    assert os.environ['XLA_FLAGS'] == '--xla_mine=1 --xla_gpu_deterministic_ops=true'
    assert console.file.getvalue() == ''
    use('cpu', True, False, console)
    assert 'changes nothing here' in console.file.getvalue()
    assert os.environ['XLA_FLAGS'].count('deterministic') == 1


@pytest.mark.skipif(any(Path('/dev').glob('nvidia*')), reason='there is a GPU')
@pytest.mark.parametrize('platforms', ['cuda,cpu', 'cuda'])
def test_a_gpu_that_was_asked_for_and_is_not_there_is_an_error(platforms):
    code = 'from vggres.executors.placement import check_devices; check_devices()'
    done = subprocess.run(
        [sys.executable, '-c', code],
        env=os.environ | {'JAX_PLATFORMS': platforms},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert f'UserError: jax finds no device with JAX_PLATFORMS={platforms}' in last
