from vggres import config as configuration
from vggres.files import write_json
from vggres.sweeps.cell import Cell


def test_a_cell_is_done_when_its_result_is_there(config, tmp_path):
    cell = Cell(config, tmp_path, 'depth')
    assert cell.id == configuration.cell_id(config)
    assert cell.directory == tmp_path / 'cells' / cell.id
    assert cell.result() is None
    cell.directory.mkdir(parents=True)
    write_json(cell.directory / 'result.json', {'train_error': 1.5})
    assert cell.result() == {'train_error': 1.5}


def test_its_coordinates(config, tmp_path):
    config.model.family, config.model.depth, config.seed = 'plain', 14, 3
    coordinates = Cell(config, tmp_path, '').describe()
    assert coordinates.pop('cell').startswith('plain-d14-s3-')
    assert coordinates == {'variant': 'plain', 'family': 'plain', 'depth': 14, 'seed': 3}
    named = Cell(config, tmp_path, 'depth', 'plain, no norm').describe()
    assert (named['variant'], named['family']) == ('plain, no norm', 'plain')
