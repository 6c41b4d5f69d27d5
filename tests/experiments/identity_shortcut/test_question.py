"""The grid is what the question needs, and what does not suit it is refused."""

import pytest

from experiments import identity_shortcut
from experiments.identity_shortcut.question import VARIANTS
from vggres import config as configuration
from vggres.errors import UserError


def test_every_kind_of_shortcut_is_another_network(sweep):
    assert len({cell.id for cell in sweep.cells}) == len(VARIANTS) == 15


def test_what_the_sweep_needs(config):
    configuration.set_defaults(config, identity_shortcut.defaults(config), [])
    config.probes.jacobians = False
    with pytest.raises(UserError, match='observes all blocks'):
        identity_shortcut.cells(config)
    config.sweep.families = ('resnet', 'plain')
    with pytest.raises(UserError, match='about shortcuts'):
        identity_shortcut.cells(config)


@pytest.mark.parametrize(('epochs', 'steps'), [(2, 0), (40, 0), (0, 64_000)])
def test_nothing_is_observed_between_the_first_update_and_the_last(config, epochs, steps):
    """A run has at most as many epochs as `probes.every_epochs`, given or by default."""
    config.train.epochs, config.train.steps = epochs, steps
    defaults = identity_shortcut.defaults(config)
    for given in ([], ['train.epochs']):
        left = {knob: value for knob, value in defaults.items() if knob not in given}
        longest = left.get('train.epochs', epochs) or steps  # an epoch has an update at least
        assert left['probes.every_epochs'] >= longest
