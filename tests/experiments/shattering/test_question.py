import pytest

from experiments import shattering
from vggres.config import set_defaults
from vggres.errors import UserError


def test_each_family_with_and_without_norm(config):
    set_defaults(config, shattering.defaults(config) | {'sweep.depths': (8,)}, [])
    config.sweep.seeds = 1
    cells = [(name, cell.model.family, cell.model.norm) for name, cell in shattering.cells(config)]
    assert cells == [
        ('plain, batch norm', 'plain', 'batch'),
        ('resnet, batch norm', 'resnet', 'batch'),
        ('plain, no norm', 'plain', 'none'),
        ('resnet, no norm', 'resnet', 'none'),
    ]


def test_nothing_is_observed_between_the_first_update_and_the_last(config):
    assert shattering.defaults(config)['probes.every_epochs'] >= config.train.epochs
    config.train.epochs, config.train.steps = 0, 30
    assert shattering.defaults(config)['probes.every_epochs'] == 30


@pytest.mark.parametrize(
    ('knob', 'value', 'said'),
    [
        ('sweep.families', ('vgg',), r"compares \('plain', 'resnet'\)"),
        ('probes.also', (), "leave 'shattering' in probes.also"),
        ('probes.names', ('stem',), 'probes.names empty'),
    ],
)
def test_what_does_not_suit_the_question(knob, value, said, config):
    set_defaults(config, shattering.defaults(config) | {knob: value}, [])
    with pytest.raises(UserError, match=said):
        list(shattering.cells(config))
