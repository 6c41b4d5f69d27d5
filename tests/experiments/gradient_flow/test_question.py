"""The grid is what the question needs, and what does not suit it is refused."""

import pytest

from experiments import gradient_flow
from vggres import config as configuration
from vggres.errors import UserError


def test_the_grid_is_families_by_norms_by_weights_by_depths(sweep):
    assert len(sweep.cells) == 3 * 2 * 3 * 2
    assert len({cell.id for cell in sweep.cells}) == 36
    settings = {(cell.config.model.norm, cell.config.init.scheme) for cell in sweep.cells}
    assert len(settings) == 6


@pytest.mark.parametrize(
    ('knob', 'value'), [('probes.every_epochs', 0), ('probes.names', ('head',))]
)
def test_a_sweep_that_does_not_observe_all_layers_is_refused(config, knob, value):
    configuration.set_defaults(config, gradient_flow.defaults(config), [])
    config.update_from_flattened_dict({knob: value, 'probes.draws': 1})
    with pytest.raises(UserError, match='observes all layers'):
        gradient_flow.cells(config)


def test_runs_counted_in_updates_keep_their_length(config):
    config.train.epochs, config.train.steps = 0, 64_000
    defaults = gradient_flow.defaults(config)
    assert 'train.epochs' not in defaults
    assert defaults['probes.every_epochs'] == config.evaluation.every_epochs
