import pytest

from vggres.sweeps.cell import WEIGHTS_FILE, Cell
from vggres.sweeps.run import run
from vggres.training.evaluation import evaluate


@pytest.mark.parametrize(
    ('options', 'normalisation'),
    [({}, 'imagenet'), ({'model.norm': 'none', 'model.shortcut.kind': 'B'}, 'mean_image')],
    ids=str,
)
def test_a_cells_weights_have_the_errors_that_its_result_says(
    options, normalisation, config, tmp_path
):
    config.update_from_flattened_dict(options)
    config.data.normalisation = normalisation
    cell = Cell(config, tmp_path, '')
    result = run(cell)
    config.init.weights = str(cell.directory / WEIGHTS_FILE)
    for split, images in (('train', 40), ('validation', 5), ('test', 7)):
        found = evaluate(config, split)
        assert found.images == images
        assert found.error == 100 * found.wrong / images == getattr(result, f'{split}_error')
        assert found.loss == pytest.approx(getattr(result, f'{split}_loss'), rel=1e-6)
