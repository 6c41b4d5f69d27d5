"""The grid: every arm is tuned at the deep depths, and the plain one at depth 20 as well."""

import pytest

from experiments import deepen
from vggres.errors import UserError
from vggres.sweeps.arms import network_of
from vggres.sweeps.sweep import assemble


def test_the_first_stage_tries_every_rate_of_each_shallowest_network(asked, tmp_path):
    sweep = assemble('deepen', asked, tmp_path, deepen.cells(asked))
    tried = {}
    for cell in sweep.cells:
        tried.setdefault(network_of(cell), []).append(cell.config.optimizer.learning_rate)
    arms = ('plain, Dirac', 'plain, delta-orthogonal', 'plain, looks-linear', 'resnet')
    assert set(tried) == {('plain', 20), *((arm, 44) for arm in arms)}
    assert all(rates == [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3] for rates in tried.values())


def test_depths_that_deepen_nothing_are_refused(asked):
    for depths in ((), (20, 44), (8,)):
        asked.sweep.depths = depths
        with pytest.raises(UserError, match='larger depths'):
            list(deepen.cells(asked))
    asked.sweep.depths, asked.sweep.families = (44,), ('plain',)
    with pytest.raises(UserError, match=r'leave sweep\.families'):
        list(deepen.cells(asked))
