import dataclasses
import json

import pytest

from vggres.data import tfds
from vggres.errors import UserError
from vggres.files import write_json
from vggres.sweeps import sweep


def plan(config, workdir, name='depth'):
    return sweep.plan(name, config, workdir, grid(config))


def grid(config):
    return sweep.grid(config, sweep.families(config))


def test_the_grid_is_families_by_depths_by_seeds(config):
    config.seed = 5
    points = [(c.model.family, c.model.depth, c.seed) for _, c in grid(config)]
    assert points == [
        (family, depth, seed)
        for family in ('plain', 'resnet')
        for depth in (8, 14)
        for seed in (5, 6)
    ]


def test_the_grid_does_not_touch_the_configuration(config):
    before = config.to_dict()
    list(grid(config))
    assert config.to_dict() == before


@pytest.mark.parametrize(
    ('axis', 'values', 'message'),
    [
        ('depths', (8, 9), 'nearest 8 or 14'),
        ('depths', (8, 8), 'once'),
        ('depths', (), 'once'),
        ('families', ('plain', 'vggg'), 'family'),
    ],
)
def test_a_grid_that_makes_no_sense(config, axis, values, message):
    config.sweep[axis] = values
    with pytest.raises(UserError, match=message):
        list(grid(config))


def test_what_is_done_and_what_is_left(config, tmp_path):
    planned = plan(config, tmp_path)
    assert planned.missing() == list(planned.cells)
    done = planned.cells[2]
    done.directory.mkdir(parents=True)
    write_json(done.directory / 'result.json', {'train_error': 1.0})
    (done.directory / 'metrics.jsonl').write_text('{"epoch": 1}\n')
    assert planned.missing() == [cell for cell in planned.cells if cell != done]
    assert planned.results() == [done.describe() | {'train_error': 1.0}]
    assert planned.curves() == [done.describe() | {'records': [{'epoch': 1}]}]


def test_who_is_done_without_the_probes_asked_for_now(config, tmp_path):
    config.probes.every_epochs = 1
    planned = plan(config, tmp_path)
    assert planned.unobserved() == []
    for cell in planned.cells[:2]:
        cell.directory.mkdir(parents=True)
        write_json(cell.directory / 'result.json', {'train_error': 0.0})
    (planned.cells[0].directory / 'probes.jsonl').write_text('')
    assert planned.unobserved() == [planned.cells[1]]
    config.probes.every_epochs = 0
    assert plan(config, tmp_path).unobserved() == []


def test_the_directory_says_what_the_sweep_is_and_gives_it_back(config, tmp_path):
    planned = plan(config, tmp_path)
    with sweep.claim(planned):
        pass
    stored = json.loads((tmp_path / 'depth' / 'sweep.json').read_text())
    assert stored['sweep'] == 'depth'
    assert len(stored['grid']) == 8
    assert {'python', 'jax', 'flax'} <= set(stored['versions'])
    again = plan(sweep.base_config('depth', tmp_path), tmp_path)
    assert [cell.id for cell in again.cells] == [cell.id for cell in planned.cells]


def test_the_same_grid_may_be_claimed_again_and_another_not(config, tmp_path):
    with sweep.claim(plan(config, tmp_path)):
        pass
    config.data.dir += '/'
    with sweep.claim(plan(config, tmp_path)):
        pass
    before = sorted(tmp_path.rglob('*'))
    config.train.epochs = 9
    with (
        pytest.raises(UserError, match=r'another grid.*train\.epochs 2, not 9'),
        sweep.claim(plan(config, tmp_path)),
    ):
        pass
    assert sorted(tmp_path.rglob('*')) == before


def test_two_launches_do_not_share_a_directory(config, tmp_path):
    planned = plan(config, tmp_path)
    with (
        sweep.claim(planned),
        pytest.raises(UserError, match='another launch'),
        sweep.claim(planned),
    ):
        pass


def test_a_workdir_that_cannot_be_written(config, tmp_path):
    (tmp_path / 'file').write_text('')
    with (
        pytest.raises(UserError, match='cannot write'),
        sweep.claim(plan(config, tmp_path / 'file')),
    ):
        pass


def test_there_is_nothing_to_report_on(tmp_path):
    with pytest.raises(UserError, match='no sweep in'):
        sweep.base_config('depth', tmp_path)


def test_operations_of_a_cell_by_hand(config):
    info = tfds.describe(config.data)
    config.model.width = 1
    # 6×6, 3×3 and 2×2 pixels of 1, 2 and 4 channels.
    macs = 9 * (36 * (3 + 1 + 1) + 9 * (2 + 4) + 4 * (8 + 16)) + 4 * 4
    # 2 epochs of 5 steps of 8 images, three passes each; 2 evaluations of 40 + 5; 7 test images.
    assert sweep.flops(config, info) == 2 * macs * (3 * 2 * 5 * 8 + 2 * 45 + 7)


def test_a_batch_larger_than_the_training_set(config):
    config.train.batch_size = 41
    with pytest.raises(UserError, match=r'batch_size 41 is more than the 40 training images'):
        sweep.check_data(config, tfds.describe(config.data))


def test_normalisation_and_weights_must_fit_the_images(config, tmp_path):
    info = tfds.describe(config.data)
    sweep.check_data(config, info)
    config.data.normalisation = 'imagenet'
    sweep.check_data(config, info)
    gray = dataclasses.replace(info, image_shape=(*info.image_shape[:2], 1))
    with pytest.raises(UserError, match='images of 3 channels; those of small_color have 1'):
        sweep.check_data(config, gray)
    config.init.weights = str(tmp_path / 'none.safetensors')
    with pytest.raises(UserError, match='no weights file'):
        sweep.check_data(config, info)
