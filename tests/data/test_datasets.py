import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_color import content

from vggres.data import cache, datasets, reduction
from vggres.data.source import SPLITS, Content
from vggres.errors import UserError


def test_smaller_images_are_averages_over_areas(config):
    config.data.image_size = 3
    assert datasets.describe(config.data).image_shape == (3, 3, 3)
    images, _ = content('train')
    blocks = images.reshape(40, 3, 2, 3, 2, 3).astype(int)
    expected = (blocks.sum(axis=(2, 4)) + 2) // 4  # a half is rounded up
    found = datasets.load(config.data)['train'].images
    assert sorted(map(bytes, found)) == sorted(map(bytes, expected.astype(np.uint8)))


def test_an_image_size_above_that_of_the_images(config):
    config.data.image_size = 7
    with pytest.raises(UserError, match=r'data.image_size 7 .* which are 6×6'):
        datasets.describe(config.data)


def test_fewer_training_images_leave_the_other_splits_whole(config):
    config.data.num_train = 12
    splits = datasets.load(config.data)
    assert datasets.describe(config.data).num_images == {'train': 12, 'validation': 5, 'test': 7}
    assert {name: len(splits[name].labels) for name in SPLITS} == {
        'train': 12,
        'validation': 5,
        'test': 7,
    }
    config.data.num_train = 0
    whole = datasets.load(config.data)['train']
    kept = {bytes(image) for image in whole.images}
    assert {bytes(image) for image in splits['train'].images} < kept
    config.data.fraction = 0.3
    np.testing.assert_array_equal(
        datasets.load(config.data)['train'].labels, splits['train'].labels
    )


def test_noise_is_in_the_training_labels_alone(config):
    clean = datasets.load(config.data)
    config.data.label_noise = 0.5
    noisy = datasets.load(config.data)
    expected = reduction.with_noise(clean['train'].labels, 0.5, 4, seed=0)
    np.testing.assert_array_equal(noisy['train'].labels, expected)
    assert (noisy['train'].labels != clean['train'].labels).any()
    for name in SPLITS:
        np.testing.assert_array_equal(noisy[name].images, clean[name].images)
        if name != 'train':
            np.testing.assert_array_equal(noisy[name].labels, clean[name].labels)


def test_the_choice_and_the_noise_follow_the_seed(config):
    config.data.num_train, config.data.label_noise = 20, 0.5
    first = datasets.load(config.data)['train']
    config.data.seed = 1
    second = datasets.load(config.data)['train']
    assert (first.images != second.images).any()
    assert (first.labels != second.labels).any()


def test_large_sets_are_decoded_once(config, monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    uncached = datasets.load(config.data)
    monkeypatch.setattr(datasets, '_WORTH_KEEPING', 0)
    kept = datasets.load(config.data)
    assert isinstance(kept['train'].images, np.memmap)
    monkeypatch.setattr(datasets.tfds.TfdsSource, 'read', None)
    again = datasets.load(config.data)
    for found in (kept, again):
        np.testing.assert_array_equal(found['train'].images, uncached['train'].images)
        np.testing.assert_array_equal(found['test'].labels, uncached['test'].labels)
    config.data.image_size = 3  # other arrays
    with pytest.raises(TypeError):
        datasets.load(config.data)
    assert len([path for path in cache.directory().iterdir() if path.is_dir()]) == 2


def test_the_contents_of_each_split_are_those_of_its_arrays(config):
    found = datasets.contents(config.data)
    splits = datasets.load(config.data)
    assert found == {name: splits[name].content(4) for name in SPLITS}
    assert {name: sum(each.class_counts) for name, each in found.items()} == {
        'train': 40,
        'validation': 5,
        'test': 7,
    }
    assert len({each.fingerprint for each in found.values()}) == 3


def contents_of(**counts):
    return {name: Content(each, '') for name, each in counts.items()}


def test_a_class_without_a_training_image_is_refused_and_named(config):
    found = contents_of(train=(3, 0, 1, 0), validation=(1, 1, 1, 0), test=(1, 0, 1, 1))
    with pytest.raises(UserError, match=r'the train split of small_color .* 2 of 4 .*\(1, 3\)'):
        datasets.check_classes(found, config.data)


def test_a_class_that_is_not_evaluated_is_said_and_one_that_no_image_has_is_counted(config):
    def said(**counts):
        return datasets.check_classes(contents_of(**counts), config.data)

    assert said(train=(1,) * 4, validation=(1,) * 4, test=(1,) * 4) == []
    (line,) = said(train=(3, 1, 1, 1), validation=(1, 0, 2, 1), test=(1,) * 4)
    assert line.startswith('the validation split of small_color has no image of 1 of 4 classes (1)')
    unused = said(train=(3, 1, 0, 1), validation=(1, 1, 0, 1), test=(1, 1, 0, 1))
    assert unused == ['1 of 4 classes of small_color have no image.']


def test_fewer_training_images_than_classes(config):
    config.data.num_train = 4
    assert datasets.describe(config.data).num_images['train'] == 4
    config.data.num_train = 3
    with pytest.raises(UserError, match=r'3 training images are too few for the 4 classes'):
        datasets.describe(config.data)
    config.data.num_train, config.data.fraction = 0, 0.02
    with pytest.raises(UserError, match=r'1 training images are too few'):
        datasets.describe(config.data)


@pytest.mark.parametrize(
    ('train', 'validation', 'shared'),
    [
        ('train', 'test[:5]', 0),
        ('train', 'train[35:]', 5),
        ('train', 'train[35:]+test[:5]', 5),
        ('train[:37]', 'train[30:]', 7),
        ('train[20:]+train[:10]', 'train[5:25]', 10),
    ],
)
def test_validation_images_that_are_trained_on_are_counted(config, train, validation, shared):
    config.data.train_split, config.data.validation_split = train, validation
    assert datasets.validated_and_trained(config.data) == shared


def test_only_images_that_are_really_trained_on_are_counted(config):
    config.data.validation_split, config.data.num_train = 'train[:20]', 15
    splits = datasets.load(config.data)
    trained = {bytes(image) for image in splits['train'].images}
    shared = sum(bytes(image) in trained for image in splits['validation'].images)
    assert 0 < shared < 15
    assert datasets.validated_and_trained(config.data) == shared


@pytest.mark.parametrize(
    ('test', 'message'),
    [
        ('train[30:]+test[5:]', 'shares 10 images with data.train_split'),
        ('test[4:]', 'shares 1 images with data.validation_split'),
    ],
)
def test_test_images_are_others(config, test, message):
    config.data.test_split = test
    with pytest.raises(UserError, match=message):
        datasets.describe(config.data)


def test_a_key_is_that_of_the_files_and_an_identity_survives_a_copy(config, tmp_path):
    source, positions = datasets.open_source(config.data), np.arange(10)
    key, identity = source.cache_key(), source.content_digest('train', positions)
    shutil.copytree(config.data.dir, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob('*'):
        os.utime(path, (1, 1))
    config.data.dir = str(tmp_path)
    copied = datasets.open_source(config.data)
    assert copied.cache_key() != key
    assert copied.content_digest('train', positions) == identity
    assert datasets.key(config.data) == copied.cache_key()


def streamed(data):
    """The configuration of a data set whose image files are decoded in every epoch."""
    data.crop, data.crop_padding, data.normalisation = 'area', 0, 'imagenet'
    data.image_size = data.image_size or 6
    return data


def fingerprints(data):
    """Of each split, of image files."""
    return {name: each.fingerprint for name, each in datasets.contents(streamed(data)).items()}


@pytest.mark.parametrize('source', ['tfds', 'folder'])
def test_the_fingerprint_of_image_files_is_that_of_the_images_chosen(config, request, source):
    if source == 'folder':
        request.getfixturevalue('mine')  # which changes `config`
        config.data.validation_split, config.data.test_split = 'images[80%:90%]', 'images[90%:]'
    part = 'images' if source == 'folder' else 'train'
    config.data.train_split = f'{part}[:20]'
    first = fingerprints(config.data)
    assert len(set(first.values())) == 3
    assert fingerprints(config.data) == first
    # Other images with as many of each class, and the same images in another order.
    labels = datasets.open_source(config.data).labels(part)
    starts = [i for i in range(1, 12) if sorted(labels[i : i + 20]) == sorted(labels[:20])]
    for others in [f'{part}[10:20]+{part}[:10]', *(f'{part}[{i}:{i + 20}]' for i in starts)]:
        config.data.train_split = others
        changed = fingerprints(config.data)
        assert changed['train'] != first['train']
        assert (changed['validation'], changed['test']) == (first['validation'], first['test'])
    source = datasets.open_source(config.data)
    choices = ([0, 1], [1, 0], [0, 2], [0])
    assert len({source.content_digest(part, np.array(each)) for each in choices}) == len(choices)
    config.data.train_split, config.data.num_train = f'{part}[:20]', 10
    few = fingerprints(config.data)
    config.data.seed = 1
    assert fingerprints(config.data)['train'] not in (few['train'], first['train'])


def test_the_identity_of_image_files_knows_how_parts_follow_one_another(config):
    config.data.validation_split, config.data.test_split = 'test[3:7]', 'test[:3]'

    def identity(train):
        config.data.train_split = train
        return datasets.files(streamed(config.data))['train'].identity

    splits = 'train[:20]+test[7:]', 'train[:10]+test[7:]+train[10:20]', 'test[7:]+train[:20]'
    assert len(set(map(identity, splits))) == 3


def test_the_fingerprint_of_image_files_changes_with_a_byte_of_its_own_split_alone(mine):
    config, _ = mine
    first = fingerprints(config.data)
    files = datasets.files(streamed(config.data))
    for name, split in files.items():
        path = Path(split.parts[0][int(split.position[0])][1])
        before = path.read_bytes()
        path.write_bytes(before + b'\0')  # Pillow reads no further than the image
        changed = fingerprints(config.data)
        assert [each for each in SPLITS if changed[each] != first[each]] == [name]
        path.write_bytes(before)
    assert fingerprints(config.data) == first


def test_the_fingerprint_of_image_files_changes_with_a_name(mine):
    config, path = mine
    first = fingerprints(config.data)
    path.rename(path.with_name(f'{path.stem}0.png'))  # it keeps its place among the names
    assert fingerprints(config.data) != first
