"""The grid is what the question needs, and what does not suit it is refused."""

import pytest

from experiments import landscape
from vggres.config import set_defaults
from vggres.errors import UserError


def test_both_families_have_all_depths_and_seeds(config):
    set_defaults(config, landscape.defaults(config), [])
    cells = [(c.model.family, c.model.depth, c.seed) for _, c in landscape.cells(config)]
    assert len(cells) == len(set(cells)) == 2 * 3 * 5
    assert {depth for _, depth, _ in cells} == {8, 20, 56}


@pytest.mark.parametrize('probe', ['landscape', 'curvature'])
def test_what_the_sweep_needs(config, probe):
    set_defaults(config, landscape.defaults(config), [])
    config.probes.also = tuple(name for name in config.probes.also if name != probe)
    with pytest.raises(UserError, match=f"leave '{probe}' in probes.also"):
        landscape.cells(config)
    config.sweep.families = ('vgg',)
    with pytest.raises(UserError, match='compares two families'):
        landscape.cells(config)


def test_surfaces_are_looked_at_twice_and_curvature_seven_times(config):
    """Looks at surfaces after the last change of the rate cost most of the time of this sweep."""
    set_defaults(config, landscape.defaults(config), [])
    epochs, every = config.train.epochs, config.probes.every_epochs
    looks = range(0, epochs + 1, every)
    assert (looks[-1], len(looks)) == (epochs, 7)
    assert len([epoch for epoch in looks if epoch >= max(config.optimizer.decay_at) * epochs]) == 2
