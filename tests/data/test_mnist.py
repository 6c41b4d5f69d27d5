import gzip
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from loopback import Page, serve

from configs import mnist
from vggres.data import datasets
from vggres.data.mnist import FashionMnist, Mnist
from vggres.errors import UserError

SIZES = {'train': 30, 'test': 20}
PREFIXES = {'train': 'train', 'test': 't10k'}
ROOT = Path(__file__).parents[2]


def idx(values):
    """The IDX format: two zeros, 8 for bytes, the number of dimensions, big-endian sizes."""
    sizes = b''.join(size.to_bytes(4, 'big') for size in values.shape)
    return bytes((0, 0, 8, values.ndim)) + sizes + values.astype(np.uint8).tobytes()


def content():
    """Images and labels by split."""
    rng = np.random.default_rng(0)
    return {
        split: (rng.integers(0, 256, (size, 28, 28), np.uint8), rng.permutation(size) % 10)
        for split, size in SIZES.items()
    }


def files(data):
    """The four files by name, not packed."""
    made = {}
    for split, (images, labels) in data.items():
        made[f'{PREFIXES[split]}-images-idx3-ubyte'] = idx(images)
        made[f'{PREFIXES[split]}-labels-idx1-ubyte'] = idx(labels)
    return made


def configured(folder, made, name='mnist'):
    """A configuration that takes the files from a folder."""
    (folder / 'tfds').mkdir(parents=True)
    for file, text in made.items():
        (folder / file).write_bytes(text)
    config = mnist.get_config().data
    config.name = name
    config.dir = str(folder / 'tfds')
    config.archive = str(folder)
    config.checksum = 'any'
    config.train_split, config.validation_split = 'train', 'train[:5]'
    return config


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(Mnist, 'SIZES', SIZES)
    monkeypatch.setattr(FashionMnist, 'SIZES', SIZES)


@pytest.mark.parametrize('name', ['mnist', 'fashion_mnist'])
def test_packed_or_not_the_images_are_those_that_were_put_in(name, tmp_path):
    data, made = content(), files(content())
    packed = {f'{file}.gz': gzip.compress(text) for file, text in list(made.items())[:2]}
    unpacked = dict(list(made.items())[2:])
    splits = datasets.load(configured(tmp_path / '1', packed | unpacked, name))
    for split, (images, labels) in data.items():
        read = splits[split]
        assert read.images.shape == (SIZES[split], 28, 28, 1)
        assert {(i.tobytes(), t) for i, t in zip(read.images, read.labels, strict=True)} == {
            (i.tobytes(), t) for i, t in zip(images, labels, strict=True)
        }


def test_damaged_files_are_refused_in_one_line(tmp_path):
    made = files(content())
    images, labels = 'train-images-idx3-ubyte', 't10k-labels-idx1-ubyte'
    wrong = {
        'train-images-idx3-ubyte is cut short': {images: made[images][:-1]},
        'train-images-idx3-ubyte is no IDX file of 3': {images: made['train-labels-idx1-ubyte']},
        'are not of 28×28 pixels': {images: idx(np.zeros((30, 27, 28)))},
        'train split has 29 images, not 30': {images: idx(np.zeros((29, 28, 28)))},
        't10k-labels-idx1-ubyte is damaged': {labels: gzip.compress(made[labels])[:-9]},
        'a label of its test split is 10, not 0 to 9': {labels: made[labels][:-1] + b'\n'},
        'test split has no image of label 0': {
            labels: made[labels][:8] + made[labels][8:].replace(b'\0', b'\1')
        },
    }
    for number, (why, changed) in enumerate(wrong.items()):
        config = configured(tmp_path / str(number), made | changed)
        with pytest.raises(UserError, match=rf'^[^\n]*{why}[^\n]*$'):
            datasets.prepare(config)


# Reaches for the mirrors of a loopback server, and imports neither TensorFlow nor JAX.
PREPARE = """
import sys
from dataclasses import replace
from configs import mnist
from vggres.data import datasets
from vggres.data.mnist import Mnist

url, root, *known = sys.argv[1:]
Mnist.SIZES = {'train': 30, 'test': 20}
Mnist.ARCHIVES = tuple(
    replace(each, size=int(size), sha256=digest, mirrors=(f'{url}/{each.name}',))
    for each, size, digest in zip(Mnist.ARCHIVES, known[::2], known[1::2], strict=True)
)
config = mnist.get_config().data
config.dir, config.train_split, config.validation_split = root, 'train[:20]', 'train[20:]'
datasets.prepare(config)
assert datasets.load(config)['test'].images.shape == (20, 28, 28, 1)
assert not {'tensorflow', 'jax'} & set(sys.modules)
"""


@pytest.mark.slow
def test_two_processes_that_start_at_once_download_and_prepare_once(tmp_path, monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    packed = {f'{file}.gz': gzip.compress(text) for file, text in files(content()).items()}
    known = []
    for archive in Mnist.ARCHIVES:
        text = packed[archive.name]
        known += [str(len(text)), hashlib.sha256(text).hexdigest()]
    with serve() as server:
        # Slow enough for the second process to find the first one at work.
        server.pages |= {file: Page(text, pause=0.05) for file, text in packed.items()}
        command = [sys.executable, '-c', PREPARE, server.url, str(tmp_path), *known]
        processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
        assert [process.wait(120) for process in processes] == [0, 0]
    assert sorted(server.requests) == sorted((file, None) for file in packed)
    assert len(list(tmp_path.glob('mnist/*/dataset_info.json'))) == 1


@pytest.mark.parametrize(
    ('builder', 'name'), [(Mnist, 'MNIST'), (FashionMnist, 'FashionMNIST')], ids=str
)
def test_they_are_those_of_tfds(builder, name, tmp_path):
    """Names, versions, features and checksums."""
    from tensorflow_datasets.image_classification import mnist as source

    mine = builder(data_dir=tmp_path)
    theirs = getattr(source, name)(data_dir=tmp_path)
    assert mine.version == theirs.version
    assert tfds.builder_cls(mine.name) is getattr(source, name)
    assert mine.info.features.shape == theirs.info.features.shape
    assert mine.info.features.np_dtype == theirs.info.features.np_dtype
    assert mine.info.features['label'].names == theirs.info.features['label'].names
    published = {info.filename: (info.checksum, info.size) for info in theirs.url_infos.values()}
    assert {each.name: (each.sha256, each.size) for each in builder.ARCHIVES} == published


FOLDER = Path(FashionMnist.ARCHIVES[0].folder)


@pytest.mark.slow
@pytest.mark.skipif(not FOLDER.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_the_package_of_debian_is_found(tmp_path, monkeypatch):
    monkeypatch.undo()
    config = mnist.get_config().data
    config.name, config.dir = 'fashion_mnist', str(tmp_path)
    datasets.prepare(config)
    assert not (tmp_path / 'downloads/fashion_mnist').exists()
    # 6,000 images of each class
    assert set(np.bincount(datasets.load(config)['train'].labels)) <= set(range(5400, 5600))
