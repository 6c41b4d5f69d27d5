"""Shared by the tests: a strict jax, and data sets small enough to build on the spot."""

import atexit
import functools
import os
import shutil
import signal
import tempfile
from importlib.util import find_spec

# Before jax is imported: tests compile much and compute little.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
os.environ['XLA_FLAGS'] = (
    '--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false '
    '--xla_cpu_parallel_codegen_split_count=1'
)
# What one process of this run has compiled, the others load: workers of pytest and of launchers.
if 'PYTEST_XDIST_WORKER' not in os.environ:
    os.environ['JAX_COMPILATION_CACHE_DIR'] = tempfile.mkdtemp(prefix='compiled-')
    atexit.register(shutil.rmtree, os.environ['JAX_COMPILATION_CACHE_DIR'], ignore_errors=True)
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'

import browser
import jax
import numpy as np
import pytest
import tensorflow_datasets
from PIL import Image
from small_color import SmallColor

from configs import digits
from vggres.config import program
from vggres.probes import observation
from vggres.tracking.wandb_run import Mirror
from vggres.training import inputs, programs

jax.config.update('jax_numpy_rank_promotion', 'raise')
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background ignores

MODULES = {  # of the extras that tests may need
    'dashboard': 'wandb_workspaces',
    'ray': 'ray',
    'torch': 'torch',
    'tpu': 'libtpu',
}


def pytest_runtest_setup(item):
    for mark in item.iter_markers('needs'):
        (extra,) = mark.args
        if find_spec(MODULES[extra]) is None:
            pytest.skip(f"needs an extra: pip install -e '.[{extra}]'")


@pytest.fixture(autouse=True)
def _wandb_as_in_a_new_process(monkeypatch):
    """A test that makes W&B fail would end the mirroring of those that follow in this process."""
    for flag in ('_is_hung', '_is_cut_off', '_has_told'):
        monkeypatch.setattr(Mirror, flag, False)


@pytest.fixture(scope='session')
def data_dir(tmp_path_factory):
    """A TFDS directory that holds `small_color`."""
    root = tmp_path_factory.mktemp('tfds')
    tensorflow_datasets.disable_progress_bar()
    SmallColor(data_dir=root, file_format='array_record').download_and_prepare()
    return root


def small_config(data_dir):
    """A configuration of the smallest network on `small_color`: a step costs next to nothing."""
    config = digits.get_config()
    config.data.name = 'small_color'
    config.data.dir = str(data_dir)
    config.data.validation_split = 'test[:5]'
    config.data.test_split = 'test[5:]'
    config.model.depth = 8
    config.model.width = 2
    config.train.batch_size = 8
    config.train.epochs = 2
    config.evaluation.batch_size = 7
    config.checkpoint.every_seconds = 1e9
    config.sweep.depths = (8, 14)
    config.sweep.seeds = 2
    config.wandb.mode = 'disabled'
    return config


@pytest.fixture(scope='session')
def new_config(data_dir):
    """→ another `small_config`."""
    return lambda: small_config(data_dir)


@pytest.fixture
def config(new_config):
    """`small_config`, this test's own."""
    return new_config()


@pytest.fixture(scope='session')
def data(data_dir):
    """`small_color` on the device, split as in `config`."""
    return inputs.load(program(small_config(data_dir)), '')


@pytest.fixture(scope='session')
def build(data):
    """config → its compiled programs on `small_color`, compiled once a session."""
    cached = functools.lru_cache(lambda shared: programs.build(shared, data))
    return lambda config: cached(program(config))


@pytest.fixture(scope='session')
def build_observer(data):
    """config → its compiled observer on `small_color`, or None, compiled once a session."""
    cached = functools.lru_cache(lambda shared: observation.build(shared, data))
    return lambda config: cached(program(config))


@pytest.fixture
def mine(config, tmp_path):
    """A configuration of a folder of images, and the path of one that is trained on."""
    rng = np.random.default_rng(0)
    for number in range(40):
        path = tmp_path / 'mine' / f'class{number % 2}' / f'{number}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    config.data.name, config.data.dir, config.data.image_size = 'folder', str(tmp_path / 'mine'), 8
    config.data.train_split = config.data.validation_split = config.data.test_split = ''
    config.sweep.depths, config.sweep.seeds = (8,), 1
    return config, path


@pytest.fixture(scope='session')
def _chromium(tmp_path_factory):
    if lacking := browser.missing():
        pytest.skip(lacking)
    driver = browser.start(tmp_path_factory.mktemp('chromium'))
    yield driver
    driver.quit()


@pytest.fixture
def open_page(_chromium):
    """(path, width, dark) → that file in Chromium: see `browser.Page`."""
    return functools.partial(browser.show, _chromium)
