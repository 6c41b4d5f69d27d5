import dataclasses
import io
import json

import planted
import pytest
from rich.console import Console
from small_color import repaint

import vggres
from vggres.commands import planning
from vggres.data import datasets
from vggres.data.datasets import contents
from vggres.errors import UserError
from vggres.sweeps.images import check_images


def begun(config, workdir):
    """A sweep whose directory exists."""
    sweep, _ = planning.checked_sweep('depth', config, workdir)
    sweep.directory.mkdir(exist_ok=True)
    return sweep


def test_the_fingerprints_are_noted_and_the_same_images_pass(mine, tmp_path):
    config, _ = mine
    sweep = begun(config, tmp_path)
    check_images(sweep)
    (noted,) = json.loads((sweep.directory / 'data.json').read_text()).values()
    assert noted == {name: each.fingerprint for name, each in contents(config.data).items()}
    check_images(sweep)


def test_one_changed_image_is_enough(mine, tmp_path):
    config, path = mine
    sweep = begun(config, tmp_path)
    check_images(sweep)
    repaint(path)
    with pytest.raises(UserError, match='mine has changed since'):
        check_images(sweep)


def test_other_data_of_the_same_directory_are_noted_apart(mine, tmp_path):
    config, _ = mine
    check_images(begun(config, tmp_path))
    config.data.label_noise = 0.5
    sweep, _ = planning.checked_sweep('depth', config, tmp_path / 'other')
    check_images(dataclasses.replace(sweep, directory=tmp_path / 'depth'))
    assert len(json.loads((tmp_path / 'depth' / 'data.json').read_text())) == 2


def test_results_on_other_images_do_not_mix_with_those_of_now(mine, tmp_path):
    config, _ = mine
    sweep = begun(config, tmp_path)
    now = {name: each.fingerprint for name, each in contents(config.data).items()}
    planted.finish(sweep.cells[0], error=1.0)  # by a release that recorded none
    check_images(sweep)
    (sweep.directory / 'data.json').unlink()
    planted.finish(sweep.cells[0], error=1.0, fingerprints=now)
    check_images(sweep)
    (sweep.directory / 'data.json').unlink()
    planted.finish(sweep.cells[0], error=1.0, fingerprints=now | {'test': 'f' * 64})
    with pytest.raises(UserError, match='mine has changed'):
        check_images(sweep)


def smaller(config, classes):
    """Takes as many of the first training images as have this number of classes."""
    labels = datasets.load(config.data)['train'].labels
    count = next(n for n in range(40, 0, -1) if len(set(labels[:n])) == classes)
    config.data.train_split, config.train.batch_size = f'train[:{count}]', 1
    assert count >= 4


def test_a_class_that_the_training_split_lacks_is_refused(config, tmp_path):
    smaller(config, classes=3)
    with pytest.raises(UserError, match=r'the train split of small_color has no image of 1 of 4'):
        check_images(begun(config, tmp_path))
    with pytest.raises(UserError, match='the train split'):
        vggres.train(config, progress=False)


def test_a_class_that_is_not_evaluated_is_named(config, tmp_path):
    config.data.validation_split = 'test[:1]'
    console = Console(file=io.StringIO(), width=200)
    check_images(begun(config, tmp_path), console)
    assert 'the validation split of small_color has no image of 3 of 4' in console.file.getvalue()
