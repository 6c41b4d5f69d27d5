import pytest

from vggres.errors import UserError
from vggres.sweeps.grid import changes, families, grid


def family_grid(config):
    return grid(config, families(config))


def test_the_grid_is_families_by_depths_by_seeds(config):
    config.seed = 5
    points = [(c.model.family, c.model.depth, c.seed) for _, c in family_grid(config)]
    assert points == [
        (family, depth, seed)
        for family in ('plain', 'resnet')
        for depth in (8, 14)
        for seed in (5, 6)
    ]


def test_the_grid_does_not_touch_the_configuration(config):
    before = config.to_dict()
    list(family_grid(config))
    assert config.to_dict() == before


@pytest.mark.parametrize(
    ('axis', 'values', 'message'),
    [
        ('depths', (8, 9), 'nearest 8 or 14'),
        ('depths', (8, 8), 'once'),
        ('depths', (), 'once'),
        ('depths', ('8',), 'depths, each once, as in'),
        ('families', ('plain', 'vggg'), 'family'),
        ('seeds', 0, 'sweep.seeds has to be at least 1'),
        ('seeds', 10**8, 'sweep.seeds has to be at most'),
    ],
)
def test_a_grid_that_makes_no_sense(config, axis, values, message):
    config.sweep[axis] = values
    with pytest.raises(UserError, match=message):
        list(family_grid(config))


def test_a_variant_cannot_invent_a_knob(config):
    with pytest.raises((AttributeError, KeyError), match='nesterov'):
        list(grid(config, {'a': {'optimizer.nesterov': True}}))


def test_changes_are_the_knobs_that_differ(config):
    other = config.copy_and_resolve_references()
    other.model.shortcut.gate, other.seed = 'exclusive', 3
    assert changes(other, config) == {'model.shortcut.gate': 'exclusive', 'seed': 3}
