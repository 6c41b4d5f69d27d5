import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sklearn.datasets import load_digits
from small_color import content

from configs import cifar10, digits
from vggres.data import datasets
from vggres.data.digits import Digits
from vggres.data.source import SPLITS
from vggres.data.tfds import EncodedExamples
from vggres.errors import UserError

SHARED = Path(__file__).parents[3] / 'shared' / 'tfds'


def as_set(images, labels):
    return {(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)}


def test_a_prepared_directory_is_read_whole_in_its_splits(config):
    info = datasets.describe(config.data)
    assert info.image_shape == (6, 6, 3)
    assert info.num_classes == 4
    assert info.num_images == {'train': 40, 'validation': 5, 'test': 7}
    splits = datasets.load(config.data)
    assert splits['train'].images.dtype == np.uint8
    assert splits['train'].labels.dtype == np.int32
    assert as_set(splits['train'].images, splits['train'].labels) == as_set(*content('train'))
    held_out = [as_set(splits[name].images, splits[name].labels) for name in ('validation', 'test')]
    assert held_out[0] | held_out[1] == as_set(*content('test'))
    assert not held_out[0] & held_out[1]


def test_digits_are_those_of_scikit_learn(tmp_path):
    config = digits.get_config().data
    config.dir = str(tmp_path)
    info = datasets.describe(config)
    assert info.image_shape == (8, 8, 1)
    assert info.num_images == {'train': 1437, 'validation': 180, 'test': 180}
    splits = datasets.load(config)
    images = np.concatenate([splits[name].images for name in SPLITS])[..., 0]
    labels = np.concatenate([splits[name].labels for name in SPLITS])
    source = load_digits()
    # The source's grey levels are 0…16.
    levels = np.rint(images / 255 * 16)
    mine = sorted((*level.ravel(), label) for level, label in zip(levels, labels, strict=True))
    theirs = sorted((*i.ravel(), t) for i, t in zip(source.images, source.target, strict=True))
    np.testing.assert_array_equal(mine, theirs)
    # Shuffled: no class is rare in a split (18 of 180 expected, in every one more than 5).
    assert (
        min(
            np.bincount(splits['validation'].labels).min(), np.bincount(splits['test'].labels).min()
        )
        > 5
    )


def test_describing_digits_that_are_not_prepared_writes_nothing(tmp_path):
    config = digits.get_config().data
    config.dir = str(tmp_path)
    described = datasets.describe(config)
    assert described.num_images == {'train': 1437, 'validation': 180, 'test': 180}
    assert list(tmp_path.iterdir()) == []
    datasets.prepare(config)
    written = sorted(tmp_path.rglob('*'))
    assert written
    assert datasets.describe(config) == described
    datasets.prepare(config)
    assert sorted(tmp_path.rglob('*')) == written


@pytest.mark.parametrize(
    'error',
    [
        RuntimeError('write() failed: No space left on device\nwhile writing a record'),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_disk_that_is_full_is_one_line_and_nothing_is_read_later(tmp_path, monkeypatch, error):
    config = digits.get_config().data
    config.dir = str(tmp_path)

    def full(self, path):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Digits, '_generate_examples', full)
        with pytest.raises(UserError, match=r'No space left on device\): make room') as caught:
            datasets.prepare(config)
    assert '\n' not in str(caught.value)
    assert 'while writing' not in str(caught.value)
    assert len(datasets.load(config)['test'].labels) == 180


def test_preparing_another_data_set_writes_nothing_and_says_what_is_missing(config):
    before = sorted(Path(config.data.dir).rglob('*'))
    datasets.prepare(config.data)
    config.data.name = 'food101'
    with pytest.raises(UserError, match='tfds build --file_format=array_record --data_dir='):
        datasets.prepare(config.data)
    assert sorted(Path(config.data.dir).rglob('*')) == before


def test_nothing_imports_tensorflow(tmp_path):
    code = (
        'import sys; from configs import digits; from vggres.data import datasets; '
        f'c = digits.get_config().data; c.dir = {str(tmp_path)!r}; datasets.load(c); '
        "assert not {'tensorflow', 'jax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, '-c', code], check=True, cwd=Path(__file__).parents[2])


def test_an_unknown_data_set_names_the_nearest(config):
    config.data.name = 'small_colour'
    with pytest.raises(UserError, match='did you mean small_color'):
        datasets.describe(config.data)


def test_a_directory_without_the_data_set_says_what_is_there(config):
    config.data.name = 'food101'
    with pytest.raises(UserError, match=r'there is cifar10, cifar100, digits, .*small_color'):
        datasets.describe(config.data)


@pytest.mark.parametrize('name', ['small_color', 'digits'])
def test_a_directory_that_is_none(config, name, tmp_path):
    config.data.dir = str(tmp_path / 'nowhere')
    config.data.name = name
    with pytest.raises(UserError, match='not a directory: create it'):
        datasets.describe(config.data)
    assert not Path(config.data.dir).exists()
    Path(config.data.dir).write_text('')
    with pytest.raises(UserError, match='not a directory: give another'):
        datasets.describe(config.data)


@pytest.mark.parametrize('name', ['cifar-10', 'CIFAR 10', 'cifar10/'])
def test_a_name_that_no_data_set_can_have_gets_the_nearest(config, name):
    config.data.name = name
    with pytest.raises(UserError, match=r'did you mean .*cifar10'):
        datasets.describe(config.data)


def test_an_archive_that_is_missing_is_named_before_anything_is_written(tmp_path):
    config = cifar10.get_config().data
    config.dir, config.archive = str(tmp_path), str(tmp_path / 'no.tar.gz')
    with pytest.raises(UserError, match=r"data\.archive '.*no\.tar\.gz' does not exist"):
        datasets.describe(config)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('split', ['validation', 'train[', 'train[40:]'])
def test_a_split_that_does_not_exist(config, split):
    config.data.validation_split = split
    with pytest.raises(UserError, match='validation_split'):
        datasets.describe(config.data)


@pytest.fixture
def copied(config, tmp_path):
    """A directory that holds `small_color`, to be damaged."""
    shutil.copytree(config.data.dir, tmp_path, dirs_exist_ok=True)
    config.data.dir = str(tmp_path)
    return tmp_path / 'small_color' / '1.2.0'


def records(directory):
    return next(path for path in directory.iterdir() if 'train' in path.name)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda at: cut(at / 'dataset_info.json'), 'is damaged'),
        (lambda at: (at / 'features.json').unlink(), 'is damaged'),
        (lambda at: records(at).write_bytes(b''), 'is damaged'),
        (lambda at: records(at).unlink(), r'train.array_record.* is missing. Move it away'),
    ],
)
def test_damage_is_named_before_anything_runs(config, copied, damage, message):
    damage(copied)
    with pytest.raises(UserError, match=message) as caught:
        datasets.describe(config.data)
    assert str(copied) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_half_a_file_of_images_is_named_while_preparing(config, copied):
    cut(records(copied))
    with pytest.raises(UserError, match=r'is damaged .*Move it away') as caught:
        datasets.prepare(config.data)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('name', ['1.2.0.old', 'incomplete.ABCDEF_1.3.0', 'copy of 1.2.0', '9'])
def test_folders_beside_a_version_are_not_versions(config, copied, name):
    shutil.copytree(copied, copied.with_name(name))
    cut(records(copied.with_name(name)))
    assert len(datasets.load(config.data)['train'].labels) == 40


def test_of_several_versions_the_newest_is_read(config, copied):
    shutil.copytree(copied, copied.with_name('1.10.0'))
    assert datasets.open_source(config.data)._directory().name == '1.10.0'


def test_what_a_killed_process_left_goes_before_it_is_prepared_anew(tmp_path):
    config = digits.get_config().data
    config.dir = str(tmp_path)
    left = tmp_path / 'digits' / 'incomplete.ABCDEF_1.0.0'
    left.mkdir(parents=True)
    (left / 'dataset_info.json').write_text('{')
    (left / 'features.json').write_text('{')
    assert len(datasets.load(config)['test'].labels) == 180
    assert [path.name for path in (tmp_path / 'digits').iterdir()] == ['1.0.0']


@pytest.mark.parametrize('error', [RuntimeError, ValueError, OSError])
def test_a_damaged_record_is_one_line(error):
    class Damaged(list):
        def __getitem__(self, position):
            raise error('Corrupted record\nat 17')

    with pytest.raises(
        UserError, match=r'^image 3 of train cannot be read .Corrupted record.\. Move'
    ):
        EncodedExamples(Damaged(range(5)), 'train')[3]


def test_a_data_set_with_a_configuration_is_found_by_both_names(config, copied):
    place = copied.parents[1] / 'small_color' / 'tiny'
    shutil.move(copied, place / '1.2.0')
    config.data.name = 'small_color/tiny'
    assert datasets.describe(config.data).num_images['train'] == 40
    assert len(datasets.load(config.data)['train'].labels) == 40
    config.data.name = 'small_color/tinny'
    with pytest.raises(UserError, match='did you mean small_color/tiny'):
        datasets.describe(config.data)


def test_an_archive_of_what_is_prepared_is_not_opened_and_that_is_said(config):
    config.data.archive = '/nowhere.tar.gz'
    console = Console(file=io.StringIO(), width=200)
    datasets.prepare(config.data, console)
    assert 'is prepared already: data.archive is not opened' in console.file.getvalue()


@pytest.mark.parametrize('level', ['small_color', 'small_color/1.2.0'])
def test_a_directory_within_the_data_set_names_the_one_above(config, level):
    above = config.data.dir
    config.data.dir += f'/{level}'
    with pytest.raises(UserError, match=f'is inside of small_color: give {above}, which holds it'):
        datasets.describe(config.data)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason='no prepared CIFAR-10 beside the checkout')
def test_cifar10():
    config = cifar10.get_config().data
    config.dir = str(SHARED)
    info = datasets.describe(config)
    assert info.image_shape == (32, 32, 3)
    assert info.num_classes == 10
    assert info.num_images == {'train': 45_000, 'validation': 5_000, 'test': 10_000}
    config.train_split = 'train[:2000]'
    config.validation_split = 'train[2000:2100]'
    config.test_split = 'test[:100]'
    train = datasets.load(config)['train']
    assert train.images.shape == (2000, 32, 32, 3)
    assert set(train.labels) == set(range(10))
