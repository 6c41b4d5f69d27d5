import pytest

from experiments import collapse
from vggres.config import set_defaults
from vggres.errors import UserError


def test_each_family_with_and_without_norm(config):
    set_defaults(config, collapse.defaults(config) | {'sweep.depths': (8,)}, [])
    config.sweep.seeds = 1
    cells = [(cell.model.family, cell.model.norm) for _, cell in collapse.cells(config)]
    assert cells == [('plain', 'batch'), ('resnet', 'batch'), ('plain', 'none'), ('resnet', 'none')]


@pytest.mark.parametrize(
    ('knob', 'value', 'said'),
    [
        ('sweep.families', ('vgg',), r"compares \('plain', 'resnet'\)"),
        ('probes.also', ('shattering',), "leave 'collapse' in probes.also"),
    ],
)
def test_what_does_not_suit_the_question(knob, value, said, config):
    set_defaults(config, collapse.defaults(config) | {knob: value}, [])
    with pytest.raises(UserError, match=said):
        list(collapse.cells(config))
