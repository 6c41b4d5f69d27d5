"""The grid is what the question needs, and what does not suit it is refused."""

import pytest

from experiments import paths
from vggres.config import set_defaults
from vggres.errors import UserError


def test_four_kinds_of_shortcuts(sweep):
    assert len({cell.id for cell in sweep.cells}) == 4 * 2
    assert {cell.network_spec.stages[0].blocks[0].shortcut.scale for cell in sweep.cells} == {
        *(0.5, 0.9, 1.0)
    }


def test_what_the_sweep_needs(config):
    set_defaults(config, paths.defaults(config), [])
    config.probes.also = ()
    with pytest.raises(UserError, match="leave 'paths'"):
        paths.cells(config)
    config.sweep.families = ('resnet', 'plain')
    with pytest.raises(UserError, match='paths through shortcuts'):
        paths.cells(config)


@pytest.mark.parametrize(('epochs', 'steps'), [(2, 0), (40, 0), (0, 64_000)])
def test_nothing_is_observed_between_the_first_update_and_the_last(config, epochs, steps):
    config.train.epochs, config.train.steps = epochs, steps
    defaults = paths.defaults(config)
    for given in ([], ['train.epochs']):
        left = {knob: value for knob, value in defaults.items() if knob not in given}
        longest = left.get('train.epochs', epochs) or steps  # an epoch has an update at least
        assert left['probes.every_epochs'] >= longest
