import pytest

from vggres.sweeps.cell import Cell


@pytest.fixture
def make(config, tmp_path):
    """A depth and a seed → a cell of a sweep."""

    def make(depth, seed):
        cell_config = config.copy_and_resolve_references()
        cell_config.model.depth, cell_config.seed = depth, seed
        return Cell(cell_config, tmp_path, 'depth')

    return make
