import os
from pathlib import Path

import pytest

from vggres import environment
from vggres.executors import placement as module
from vggres.executors.placement import default_environment, default_workers, placement


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
    class Plugin:
        name = 'xla_cuda13'

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
