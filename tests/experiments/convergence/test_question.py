"""The first stage, and what does not suit the question, which is one line."""

import pytest

from experiments import convergence
from vggres.errors import UserError
from vggres.findings.fastest import TUNING_PART
from vggres.sweeps.arms import is_tuning
from vggres.sweeps.sweep import assemble


def test_the_first_stage_is_every_rate_of_the_shallowest_networks_on_tuning_seeds(asked, tmp_path):
    sweep = assemble('convergence', asked, tmp_path, convergence.cells(asked))
    assert [cell.config.optimizer.learning_rate for cell in sweep.cells] == [
        *(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3) * 2
    ]
    assert {cell.config.model.depth for cell in sweep.cells} == {8}
    assert all(map(is_tuning, sweep.cells))
    assert len({cell.id for cell in sweep.cells}) == len(sweep.cells)
    for cell in sweep.cells:
        assert cell.config.train.until_error == (5.0,)
        assert cell.config.train.steps == TUNING_PART * asked.train.steps
        # As many updates of warm-up as in the runs that are judged.
        ours, theirs = (
            each.optimizer.warmup_fraction * each.train.steps for each in (cell.config, asked)
        )
        assert ours == pytest.approx(theirs)


def test_a_depth_that_makes_no_network_is_found_before_anything_runs(asked):
    asked.sweep.depths = (8, 14, 21)
    with pytest.raises(UserError, match='21'):
        list(convergence.cells(asked))


@pytest.mark.parametrize(
    ('knob', 'value', 'message'),
    [
        ('sweep.rates', (0.1,), 'names 3 or more positive learning rates'),
        ('sweep.rates', (0.1, 0.1, 0.03), 'each once'),
        ('sweep.rates', (0.1, -0.1, 0.03), 'positive'),
        ('sweep.rates', (0.1, 1e10, 0.03), 'up to 1000'),
        ('sweep.depths', (8, 20), '3 depths or more'),
        ('seed', 997, 'seeds 997 to 1000 overlap'),
        ('train.epochs', 3, 'budget in updates'),
        ('train.until_error', (), 'the training errors to reach'),
        ('train.until_error', (120.0,), 'between 0 and 100'),
        ('train.until_error', (1.0, 5.0), 'each below the one before'),
        ('train.until_error', ('5',), 'each below the one before'),
        ('evaluation.every_steps', 0, 'between 1 and 500'),
        ('evaluation.every_steps', 501, 'between 1 and 500'),
        ('optimizer.decay_at', (0.5,), 'constant rate'),
    ],
)
def test_what_does_not_suit_the_question_is_one_line(asked, knob, value, message):
    asked.update_from_flattened_dict({knob: value})
    with pytest.raises(UserError, match=message) as caught:
        list(convergence.cells(asked))
    assert '\n' not in str(caught.value)
