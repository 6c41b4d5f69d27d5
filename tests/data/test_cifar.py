import io
import os
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds

from configs import cifar10, cifar100
from vggres.data import datasets
from vggres.data.cifar import Cifar10, Cifar100
from vggres.data.download import sha256
from vggres.errors import UserError

SIZES = {'train': 100, 'test': 100}
NAMES = [f'class_{i}' for i in range(100)]
COARSE = [f'coarse_{i}' for i in range(20)]


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2 and numpy 1 wrote, of which the published archives are made."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_python2_string(self, text):
        content = text if isinstance(text, bytes) else text.encode()
        self.write(b'T' + len(content).to_bytes(4, 'little') + content)
        self.memoize(text)

    def save_global(self, obj, name=None):
        if getattr(obj, '__name__', '') == '_reconstruct':
            self.write(b'cnumpy.core.multiarray\n_reconstruct\n')
            self.memoize(obj)
        else:
            super().save_global(obj, name)

    dispatch[bytes] = dispatch[str] = save_python2_string


def python2(value):
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue()


def python3(value):
    return pickle.dumps({key.encode(): each for key, each in value.items()}, protocol=2)


def content():
    """Images [100, 32, 32, 3] and labels by split."""
    rng = np.random.default_rng(0)
    return {
        split: SimpleNamespace(
            images=rng.integers(0, 256, (size, 32, 32, 3), np.uint8),
            fine=rng.permutation(size),
            coarse=rng.permutation(size) % 20,
        )
        for split, size in SIZES.items()
    }


def batches(name, data):
    """By the names of their files: pixels [n, 3072], labels of ten classes, and of a hundred."""
    train = data['train']
    files = {'test_batch' if name == 'cifar10' else 'test': (data['test'], slice(None))}
    if name == 'cifar10':
        files |= {f'data_batch_{i + 1}': (train, slice(20 * i, 20 * i + 20)) for i in range(5)}
    else:
        files['train'] = train, slice(None)
    for file, (split, part) in files.items():
        planes = split.images[part].transpose(0, 3, 1, 2).reshape(-1, 3072)
        yield file, planes, split.fine[part], split.coarse[part]


def python_files(name, data, dumps=python2):
    if name == 'cifar10':
        folder, meta = 'cifar-10-batches-py', {'batches.meta': {'label_names': NAMES[:10]}}
    else:
        folder = 'cifar-100-python'
        meta = {'meta': {'fine_label_names': NAMES, 'coarse_label_names': COARSE}}
    files = {f'{folder}/{file}': dumps(value) for file, value in meta.items()}
    for file, pixels, fine, coarse in batches(name, data):
        if name == 'cifar10':
            labels = {'labels': (fine % 10).tolist()}
        else:
            labels = {'fine_labels': fine.tolist(), 'coarse_labels': coarse.tolist()}
        files[f'{folder}/{file}'] = dumps({'batch_label': 'of 5', 'data': pixels, **labels})
    return files


def binary_files(name, data):
    if name == 'cifar10':
        folder, names = 'cifar-10-batches-bin', {'batches.meta.txt': NAMES[:10]}
    else:
        folder = 'cifar-100-binary'
        names = {'fine_label_names.txt': NAMES, 'coarse_label_names.txt': COARSE}
    files = {f'{folder}/{file}': '\n'.join([*each, '']).encode() for file, each in names.items()}
    for file, pixels, fine, coarse in batches(name, data):
        labels = [fine % 10] if name == 'cifar10' else [coarse, fine]
        records = np.concatenate([np.stack(labels, 1).astype(np.uint8), pixels], axis=1)
        files[f'{folder}/{file}.bin'] = records.tobytes()
    return files


def write(path, files):
    with tarfile.open(path, 'w:gz', compresslevel=1) as archive:
        for name, file in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(file)
            archive.addfile(member, io.BytesIO(file))
    return path


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(Cifar10, 'SIZES', SIZES)
    monkeypatch.setattr(Cifar100, 'SIZES', SIZES)


def configured(name, folder, archive):
    config = {'cifar10': cifar10, 'cifar100': cifar100}[name].get_config().data
    config.dir = str(folder)
    folder.mkdir(exist_ok=True)
    config.archive = str(archive)
    config.checksum = 'any'
    config.train_split = 'train'
    config.validation_split = 'train[:10]'
    return config


def prepared(name, folder, files):
    """The splits that a miniature archive becomes."""
    folder.mkdir()
    config = configured(name, folder / 'tfds', write(folder / 'archive', files))
    return datasets.load(config)


def refused(folder, files):
    with pytest.raises(UserError) as error:
        prepared('cifar10', folder, files)
    assert '\n' not in str(error.value)
    assert not list(folder.glob('tfds/cifar10/*/dataset_info.json'))
    return str(error.value)


@pytest.mark.parametrize('known', [True, False])
def test_an_archive_of_unknown_checksum_is_remembered(tmp_path, monkeypatch, known):
    archive = write(tmp_path / 'archive', binary_files('cifar10', content()))
    if known:
        same = {'sha256': sha256(archive), 'size': archive.stat().st_size}
        archives = tuple(replace(each, **same) for each in Cifar10.ARCHIVES)
        monkeypatch.setattr(Cifar10, 'ARCHIVES', archives)
    config = configured('cifar10', tmp_path / 'tfds', archive)
    assert not datasets.unknown_archive(config)  # nothing is prepared
    datasets.prepare(config)
    config.archive, config.checksum = '', 'known'  # as of a later launch
    assert datasets.unknown_archive(config) is not known
    key = datasets.key(config)
    for path in tmp_path.rglob('.unknown_archive'):
        path.unlink()
    assert datasets.key(config) == key


@pytest.mark.parametrize('name', ['cifar10', 'cifar100'])
def test_both_archives_give_the_images_that_were_put_in(name, tmp_path):
    data = content()
    made = {
        'binary': prepared(name, tmp_path / 'binary', binary_files(name, data)),
        'python2': prepared(name, tmp_path / 'python2', python_files(name, data)),
        'python3': prepared(name, tmp_path / 'python3', python_files(name, data, python3)),
    }
    for split in ('train', 'test'):
        expected = {
            (image.tobytes(), label % 10 if name == 'cifar10' else label)
            for image, label in zip(data[split].images, data[split].fine, strict=True)
        }
        images, labels = made['binary'][split].images, made['binary'][split].labels
        assert len(images) == len(expected)
        assert expected == {(i.tobytes(), t) for i, t in zip(images, labels, strict=True)}
        for other in ('python2', 'python3'):
            np.testing.assert_array_equal(made[other][split].images, images)
            np.testing.assert_array_equal(made[other][split].labels, labels)


def test_what_tfds_reads_is_what_its_own_builder_would_write(tmp_path):
    """Ids count the images of batch 1, then those of batch 2, and so on, as TFDS's do."""
    data = content()
    prepared('cifar100', tmp_path / '1', python_files('cifar100', data))
    builder = tfds.builder('cifar100', data_dir=tmp_path / '1' / 'tfds', try_gcs=False)
    assert builder.info.features['label'].names == NAMES
    assert builder.info.features['coarse_label'].names == COARSE
    for example in builder.as_data_source('test'):
        split, number = example['id'].decode().split('_')
        assert split == 'test'
        np.testing.assert_array_equal(example['image'], data['test'].images[int(number)])
        assert example['label'] == data['test'].fine[int(number)]
        assert example['coarse_label'] == data['test'].coarse[int(number)]


def test_a_pickle_that_runs_something_is_refused(tmp_path):
    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'broken_into'),)

    files = python_files('cifar10', content())
    files['cifar-10-batches-py/data_batch_2'] = pickle.dumps({'data': Malicious()})
    assert 'data_batch_2 asks to run posix.mkdir' in refused(tmp_path / '1', files)
    assert not (tmp_path / 'broken_into').exists()


def test_labels_out_of_range(tmp_path):
    data = content()
    files, batch = binary_files('cifar10', data), 'cifar-10-batches-bin/data_batch_2.bin'
    message = refused(tmp_path / '1', files | {batch: b'\n' + files[batch][1:]})
    assert 'a label of its train split is 10, not 0 to 9' in message
    files, batch = python_files('cifar10', data), 'cifar-10-batches-py/data_batch_2'
    pixels = data['train'].images[:20].reshape(20, -1)
    wrong = python2({'data': pixels, 'labels': [-1] * 20})
    message = refused(tmp_path / '2', files | {batch: wrong})
    assert 'a label of its train split is -1, not 0 to 9' in message


def test_a_class_that_is_missing(tmp_path):
    data = content()
    data['test'].fine[data['test'].fine % 10 == 7] = 3
    message = refused(tmp_path / '1', binary_files('cifar10', data))
    assert 'test split has no image of label 7' in message


def test_damaged_archives(tmp_path):
    data = content()
    files = binary_files('cifar10', data)
    batch = 'cifar-10-batches-bin/data_batch_5.bin'
    short = files | {batch: files[batch][:-1]}
    assert 'data_batch_5.bin is cut short' in refused(tmp_path / '1', short)
    fewer = files | {batch: files[batch][:-3073]}
    assert 'train split has 99 images, not 100' in refused(tmp_path / '2', fewer)
    del files[batch]
    assert 'holds no data_batch_5.bin' in refused(tmp_path / '3', files)
    files = python_files('cifar10', data)
    batch = 'cifar-10-batches-py/test_batch'
    assert 'test_batch is damaged' in refused(tmp_path / '4', files | {batch: files[batch][:-9]})
    no_labels = python2({'data': np.zeros((1, 3072), np.uint8)})
    assert 'no labels' in refused(tmp_path / '5', files | {batch: no_labels})
    other = python2({'data': np.zeros((1, 784), np.uint8), 'labels': [1]})
    assert 'data of another shape' in refused(tmp_path / '6', files | {batch: other})
    path = write(tmp_path / 'whole', files)
    path.write_bytes(path.read_bytes()[:-5000])
    for at, wrong in enumerate([path, Path(__file__)]):
        config = configured('cifar10', tmp_path / f'tfds{at}', wrong)
        with pytest.raises(UserError, match='cut short, or no tar archive'):
            datasets.prepare(config)


@pytest.mark.parametrize('builder', [Cifar10, Cifar100])
def test_they_are_those_of_tfds(builder, tmp_path):
    """Names, versions and features, and the published checksum of the binary archive."""
    from tensorflow_datasets.image_classification import cifar

    theirs = getattr(cifar, builder.__name__)(data_dir=tmp_path)
    mine = builder(data_dir=tmp_path)
    assert (mine.name, mine.version) == (theirs.name, theirs.version)
    assert mine.info.features.shape == theirs.info.features.shape
    assert mine.info.features.np_dtype == theirs.info.features.np_dtype
    for name in {'label', 'coarse_label'} & set(mine.info.features):
        assert mine.info.features[name].num_classes == theirs.info.features[name].num_classes
    (published,) = theirs.url_infos.values()
    archive = builder.ARCHIVES[1]
    assert (archive.sha256, archive.size) == (published.checksum, published.size)
    assert archive.name == published.filename
