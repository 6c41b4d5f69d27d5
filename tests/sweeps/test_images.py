import dataclasses
import json

import numpy as np
import planted
import pytest
from PIL import Image

from vggres.commands import planning
from vggres.data.datasets import contents
from vggres.errors import UserError
from vggres.sweeps.images import check_images


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


def repaint(path):
    Image.new('RGB', (8, 8), 'red').save(path)


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
