"""The grid of plain and residual networks, and when they are observed."""

import pytest

from configs import digits
from vggres.config import set_defaults
from vggres.errors import UserError
from vggres.sweeps.before_after import at_both_ends, cells, defaults


@pytest.fixture
def config():
    return digits.get_config()


@pytest.mark.parametrize(
    ('given', 'epochs', 'knobs'),
    [
        ((40, 0), None, {'probes.every_epochs': 40}),
        ((0, 640), None, {'probes.every_epochs': 640}),
        ((0, 640), 5, {'probes.every_epochs': 640}),
        ((40, 0), 5, {'train.epochs': 5, 'evaluation.every_epochs': 5, 'probes.every_epochs': 40}),
        ((2, 0), 5, {'train.epochs': 5, 'evaluation.every_epochs': 5, 'probes.every_epochs': 5}),
    ],
)
def test_nothing_is_observed_between_the_first_update_and_the_last(config, given, epochs, knobs):
    config.train.epochs, config.train.steps = given
    assert at_both_ends(config, epochs) == knobs


def test_each_family_with_and_without_norm_at_each_depth(config):
    set_defaults(config, defaults(config, 'collapse'), [])
    assert (config.probes.also, config.probes.draws) == (('collapse',), 3)
    found = [(name, each.model.depth, each.seed) for name, each in cells(config, 'collapse')]
    variants = 'plain, batch norm', 'resnet, batch norm', 'plain, no norm', 'resnet, no norm'
    assert found == [
        (name, depth, seed) for name in variants for depth in (8, 20, 56) for seed in range(3)
    ]
    of_networks = {
        name: (each.model.family, each.model.norm) for name, each in cells(config, 'collapse')
    }
    assert of_networks['resnet, no norm'] == ('resnet', 'none')
    assert of_networks['plain, batch norm'] == ('plain', 'batch')


@pytest.mark.parametrize(
    ('knob', 'value', 'said'),
    [
        ('sweep.families', ('plain', 'vgg'), r"compares \('plain', 'resnet'\)"),
        ('probes.also', ('shattering',), "leave 'collapse' in probes.also"),
        ('probes.names', ('stem',), 'probes.names empty'),
        ('probes.every_epochs', 0, r'probes\.every_epochs at 1 or more'),
    ],
)
def test_what_does_not_suit_the_question_is_refused(config, knob, value, said):
    set_defaults(config, defaults(config, 'collapse') | {knob: value}, [])
    with pytest.raises(UserError, match=said):
        cells(config, 'collapse')
