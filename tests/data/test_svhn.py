import re

import numpy as np
import pytest
import scipy.io
import tensorflow_datasets as tfds

from configs import svhn
from vggres.data import datasets
from vggres.data.svhn import SvhnCropped
from vggres.errors import UserError

SIZES = {'train': 30, 'test': 20}


def content():
    """Images [n, 32, 32, 3] and digits by split."""
    rng = np.random.default_rng(0)
    return {
        split: (rng.integers(0, 256, (size, 32, 32, 3), np.uint8), rng.permutation(size) % 10)
        for split, size in SIZES.items()
    }


def mat(images, digits):
    """What the files for MATLAB hold: images last, and 10 for the digit 0."""
    labels = np.where(digits == 0, 10, digits).astype(np.uint8)
    return {'X': images.transpose(1, 2, 3, 0), 'y': labels[:, None]}


def configured(folder, made):
    """A configuration that takes the two files from a folder."""
    (folder / 'tfds').mkdir(parents=True)
    for split, arrays in made.items():
        scipy.io.savemat(folder / f'{split}_32x32.mat', arrays, do_compression=True)
    config = svhn.get_config().data
    config.dir = str(folder / 'tfds')
    config.archive = str(folder)
    config.checksum = 'any'
    config.train_split, config.validation_split = 'train', 'train[:5]'
    return config


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(SvhnCropped, 'SIZES', SIZES)


def test_the_images_are_those_that_were_put_in_and_a_ten_is_a_zero(tmp_path):
    data = content()
    config = configured(tmp_path / '1', {split: mat(*each) for split, each in data.items()})
    splits = datasets.load(config)
    for split, (images, digits) in data.items():
        read = splits[split]
        assert {(i.tobytes(), t) for i, t in zip(read.images, read.labels, strict=True)} == {
            (i.tobytes(), t) for i, t in zip(images, digits, strict=True)
        }
    builder = tfds.builder('svhn_cropped', data_dir=config.dir, try_gcs=False)
    for example in builder.as_data_source('train'):
        number = int(re.fullmatch(rb'train_(\d{6})', example['id'])[1])
        np.testing.assert_array_equal(example['image'], data['train'][0][number])


def test_damaged_files_are_refused_in_one_line(tmp_path):
    data = content()
    made = {split: mat(*each) for split, each in data.items()}
    images, labels = made['test']['X'], made['test']['y']
    eleven, zero, sevens = labels.copy(), labels.copy(), labels.copy()
    eleven[3], zero[3], sevens[labels == 7] = 11, 0, 8
    wrong = {
        'a label of its test split is 11': {'X': images, 'y': eleven},
        'a label of its test split is 10': {'X': images, 'y': zero},
        'test split has no image of label 7': {'X': images, 'y': sevens},
        'test split has 19 images, not 20': {'X': images[..., :-1], 'y': labels},
        'not of 32×32 pixels': {'X': images[:28], 'y': labels},
        'test_32x32.mat is damaged': {'X': images},
    }
    for number, (why, arrays) in enumerate(wrong.items()):
        config = configured(tmp_path / str(number), made | {'test': arrays})
        with pytest.raises(UserError, match=rf'^[^\n]*{why}[^\n]*$'):
            datasets.prepare(config)
    for number, cut in enumerate((0, 50, 300, 20_000)):
        config = configured(tmp_path / f'cut{number}', made)
        path = tmp_path / f'cut{number}' / 'test_32x32.mat'
        path.write_bytes(path.read_bytes()[:cut])
        with pytest.raises(UserError, match=r'test_32x32\.mat is damaged'):
            datasets.prepare(config)


def test_it_is_that_of_tfds(tmp_path):
    """Name, version, features, and the checksums of the two files."""
    from tensorflow_datasets.datasets.svhn_cropped import svhn_cropped_dataset_builder

    theirs = svhn_cropped_dataset_builder.Builder(data_dir=tmp_path)
    mine = SvhnCropped(data_dir=tmp_path)
    assert (mine.name, mine.version) == (theirs.name, theirs.version)
    assert mine.info.features.shape == theirs.info.features.shape
    assert mine.info.features.np_dtype == theirs.info.features.np_dtype
    assert mine.info.features['label'].names == theirs.info.features['label'].names
    published = {info.filename: (info.checksum, info.size) for info in theirs.url_infos.values()}
    for archive in SvhnCropped.ARCHIVES:
        assert (archive.sha256, archive.size) == published[archive.name]
