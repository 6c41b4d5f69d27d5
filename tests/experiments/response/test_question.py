"""The grid is what the question needs, and what does not suit it is refused."""

import pytest

from experiments import response
from vggres.config import set_defaults
from vggres.errors import UserError


def test_both_families_have_all_seeds_and_others_one(sweep):
    counts = {}
    for cell in sweep.cells:
        at = cell.coordinates()
        counts[at['variant'], at['depth']] = counts.get((at['variant'], at['depth']), 0) + 1
    assert {count for (variant, _), count in counts.items() if ',' not in variant} == {5}
    assert {count for (variant, _), count in counts.items() if ',' in variant} == {1}
    assert len({cell.id for cell in sweep.cells}) == len(sweep.cells) == 2 * 3 * 5 + 3 * 3


def test_what_the_sweep_needs(config):
    set_defaults(config, response.defaults(config), [])
    config.probes.names = ('stem',)
    with pytest.raises(UserError, match='observes all layers'):
        list(response.cells(config))
    config.probes.names, config.probes.also = (), ()
    with pytest.raises(UserError, match=r"'response' in probes\.also"):
        list(response.cells(config))
    config.sweep.families = ('vgg',)
    with pytest.raises(UserError, match='compares two families'):
        list(response.cells(config))


@pytest.mark.parametrize(('epochs', 'steps'), [(2, 0), (0, 640)])
def test_nothing_is_observed_between_the_first_update_and_the_last(config, epochs, steps):
    config.train.epochs, config.train.steps = epochs, steps
    assert response.defaults(config)['probes.every_epochs'] >= (epochs or steps)
