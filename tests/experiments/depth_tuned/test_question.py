"""The sweep begins with every rate at the smallest budget, and refuses what it cannot judge."""

import pytest

from experiments import depth_tuned
from experiments.depth_tuned import question
from vggres.errors import UserError
from vggres.findings.tuning import FIRST_TUNING_SEED


def test_it_begins_with_every_rate_at_the_smallest_budget(config, tmp_path, world):
    sweep = world.begun(config, tmp_path)
    assert len(sweep.cells) == 4 * len(world.RATES)
    assert len({cell.id for cell in sweep.cells}) == len(sweep.cells)
    assert {cell.config.seed for cell in sweep.cells} == {FIRST_TUNING_SEED}
    assert {cell.config.train.epochs for cell in sweep.cells} == {config.train.epochs}


def test_only_the_last_update_is_evaluated(config):
    """Evaluations cost more than a quarter of the training on digits."""
    for epochs, steps in ((20, 0), (0, 200)):
        config.train.epochs, config.train.steps = epochs, steps
        longest = 3 * (epochs or steps)
        assert depth_tuned.defaults(config)['evaluation.every_epochs'] >= longest


def test_the_thorough_sweep_has_more_of_everything(config):
    quick, quick_budgets = depth_tuned.defaults(config), question.budgets(config)
    config.sweep.thorough = True
    thorough = depth_tuned.defaults(config)
    assert quick_budgets == (1, 3)
    assert question.budgets(config) == (1, 3, 10)
    assert (quick['sweep.seeds'], thorough['sweep.seeds']) == (5, 8)
    assert (quick['sweep.tuning_seeds'], thorough['sweep.tuning_seeds']) == (1, 3)


def test_runs_that_are_counted_in_updates_have_budgets_too(config):
    config.train.epochs, config.train.steps = 0, 7
    _, own = question.cell(config, ('plain', 8, 3), 0.1, 0)
    assert (own.train.epochs, own.train.steps) == (0, 21)
    assert question.budget_of(own, config) == 3


@pytest.mark.parametrize(
    ('knobs', 'message'),
    [
        ({'sweep.rates': (0.1,)}, 'sweep.rates names 3 or more'),
        ({'sweep.depths': (8,)}, 'two depths or more'),
        ({'sweep.depths': (8, 8)}, 'each once'),
        ({'sweep.families': ('plain',)}, 'compares both families'),
        ({'seed': FIRST_TUNING_SEED - 2}, 'overlap'),
        ({'sweep.depths': (8, 15)}, '6n'),
    ],
)
def test_bad_input_is_refused_in_a_line(config, knobs, message):
    config.update_from_flattened_dict(knobs)
    with pytest.raises(UserError, match=message) as caught:
        list(depth_tuned.cells(config))
    assert '\n' not in str(caught.value)
