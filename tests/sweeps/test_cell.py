import dataclasses
import json

import pytest
from ml_collections import ConfigDict
from planted import finish

from vggres.config import cell_id
from vggres.errors import UserError
from vggres.networks import spec
from vggres.sweeps.cell import Cell, check_format


def test_a_cell_is_done_when_its_result_is_there(config, tmp_path):
    cell = Cell(config, tmp_path, 'depth')
    assert cell.id == cell_id(config)
    assert cell.directory == tmp_path / 'cells' / cell.id
    assert cell.result() is None
    assert cell.damage() is None
    finish(cell, error=1.5)
    assert cell.result().train_error == 1.5
    stored = json.loads((cell.directory / 'result.json').read_text())
    assert stored['format'] == 2
    assert stored == {'format': 2} | json.loads(json.dumps(dataclasses.asdict(cell.result())))


def test_its_coordinates(config, tmp_path):
    config.model.family, config.model.depth, config.seed = 'plain', 14, 3
    coordinates = Cell(config, tmp_path, '').coordinates()
    assert coordinates.pop('cell').startswith('plain-d14-s3-')
    assert coordinates == {'variant': 'plain', 'family': 'plain', 'depth': 14, 'seed': 3}
    named = Cell(config, tmp_path, 'depth', 'plain, no norm').coordinates()
    assert (named['variant'], named['family']) == ('plain, no norm', 'plain')


def test_nothing_changes_its_configuration(config, tmp_path):
    cell = Cell(config, tmp_path, '')
    before = cell.id
    config.seed = 7
    assert cell.id == before
    assert cell.config.seed == 0
    with pytest.raises(AttributeError):
        cell.config.seed = 7


def test_it_travels_as_json(config, tmp_path):
    config.init.weights = 'w.pth'
    for cell in (Cell(config, tmp_path, 'depth', 'a variant'), Cell(config, tmp_path, '', '', 'x')):
        there = Cell.from_json(json.loads(json.dumps(cell.to_json())))
        assert there.id == cell.id
        assert there.coordinates() == cell.coordinates()
        assert json.dumps(there.to_json()) == json.dumps(cell.to_json())


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'is damaged: it holds no JSON'),
        ('{"train_error": 1', 'is damaged: it holds no JSON'),
        (b'\xff\xfe\x00', 'is damaged: it holds no JSON'),
        ('[]', 'it holds a list, not an object'),
        ('{}', "is damaged: it lacks 'status'"),
        (None, 'cannot be read: Is a directory'),
    ],
)
def test_a_damaged_result_counts_as_not_done_and_is_named(config, tmp_path, content, message):
    cell = Cell(config, tmp_path, '')
    path = cell.directory / 'result.json'
    if content is None:
        path.mkdir(parents=True)
    else:
        cell.directory.mkdir(parents=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert cell.result() is None
    assert message in cell.damage()
    assert str(path) in cell.damage()


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('train_error', 'none', "it has 'none' as 'train_error'"),
        ('train_error', float('nan'), "it has nan as 'train_error'"),
        ('train_error', -5.0, 'it has -5.0 as train_error, which is in percent'),
        ('status', 'x', "it has 'x' as 'status'"),
        ('train_loss', None, 'it is of a finished run and lacks a loss'),
        ('image_shape', ['a', 'b', 'c'], "as 'image_shape'"),
        ('image_shape', [8, 8], "as 'image_shape'"),
        ('num_images', {'train': 'x'}, "as 'num_images'"),
        ('format', [], 'as its format'),
    ],
)
def test_what_no_run_can_have_is_a_damage(config, tmp_path, key, value, message):
    cell = Cell(config, tmp_path, '')
    finish(cell)
    path = cell.directory / 'result.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    assert cell.result() is None
    assert message in cell.damage()


def test_a_result_of_the_first_release_is_read(config, tmp_path):
    # Format 1 knew neither the classes nor the sizes of the splits. Four classes: in a network of
    # widths 2, 4 and 8 each class adds 8 + 1 parameters to the head.
    cell = Cell(config, tmp_path, '')
    finish(cell, image_shape=(6, 6, 3))
    path = cell.directory / 'result.json'
    old = json.loads(path.read_text())
    for key in ('format', 'num_classes', 'num_images'):
        del old[key]
    old['parameters'] = spec.count_parameters(cell.network_spec, (6, 6, 3), 1) + 3 * 9
    path.write_text(json.dumps(old))
    assert cell.result().num_classes == 4
    assert cell.result().num_images is None
    for damage in ({'parameters': 5}, {'image_shape': [8, 8]}, {'image_shape': ['a', 6, 3]}):
        path.write_text(json.dumps(old | damage))
        assert cell.result() is None
        assert 'is damaged' in cell.damage()


def test_a_later_format_says_who_reads_it(tmp_path):
    assert check_format(tmp_path, {}) == 1
    assert check_format(tmp_path, {'format': 2}) == 2
    with pytest.raises(UserError, match=r'format 3, which a release later than vggres 0\.2 wrote'):
        check_format(tmp_path, {'format': 3})


def test_a_stored_id_stays(config, tmp_path):
    cell = Cell(ConfigDict(config), tmp_path, 'depth', '', 'resnet-d8-s0-ffffff')
    assert cell.directory.name == 'resnet-d8-s0-ffffff'
