"""The arms, and what is observed of them."""

import pytest

from experiments import effective_rate
from vggres.errors import UserError
from vggres.sweeps.arms import is_tuning, network_of
from vggres.sweeps.sweep import assemble


def test_the_first_stage_is_every_rate_of_the_shallowest_network_of_each_arm(asked, tmp_path):
    sweep = assemble('effective_rate', asked, tmp_path, effective_rate.cells(asked))
    assert len(sweep.cells) == 4 * len(asked.sweep.rates)
    assert {cell.config.model.depth for cell in sweep.cells} == {20}
    for cell in sweep.cells:
        arm, _ = network_of(cell)
        assert arm.startswith(cell.config.model.family)
        assert cell.config.optimizer.fixed_norms == arm.endswith(', fixed norms')


def test_the_runs_that_are_judged_are_observed_and_no_others(all_stages):
    sweep = all_stages(cures=False)
    judged = {run.cell for run in effective_rate.judged(sweep)}
    assert len(judged) == 4 * 2 * 3
    for cell in sweep.cells:
        assert is_tuning(cell) == (cell.id not in judged)
        assert bool(cell.config.probes.every_epochs) == (cell.id in judged)
        assert ('effective_rate' in cell.config.probes.also) == (cell.id in judged)


@pytest.mark.parametrize(
    ('knob', 'value', 'message'),
    [
        ('model.norm', 'none', 'leave model.norm at batch'),
        ('model.preactivation', True, 'model.preactivation at False'),
        ('probes.also', (), "has to name 'effective_rate'"),
        ('probes.names', ('stem',), 'probes.names has to be empty'),
        ('probes.every_epochs', 0, 'probes.every_epochs 1 or more'),
        ('train.epochs', 3, 'budget in updates'),
    ],
)
def test_what_does_not_suit_the_question_is_one_line(asked, knob, value, message):
    asked.update_from_flattened_dict({knob: value})
    with pytest.raises(UserError, match=message) as caught:
        list(effective_rate.cells(asked))
    assert '\n' not in str(caught.value)
