"""The grid of the main job."""


def test_the_grid_is_families_by_depths_by_seeds(sweep):
    assert len(sweep.cells) == 2 * 2 * 3
    assert sweep.depths() == {'plain': {8, 14}, 'resnet': {8, 14}}
