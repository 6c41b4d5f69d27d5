"""Rates are chosen on tuning seeds alone, and what does not suit the question is one line."""

import pytest
from planted import finish

from experiments import convergence
from experiments.convergence.question import (
    FIRST_TUNING_SEED,
    TUNING_PART,
    is_tuning,
    tuned_rates,
)
from vggres.errors import UserError
from vggres.sweeps.sweep import assemble


def tuning(config, tmp_path):
    return assemble('convergence', config, tmp_path, convergence.cells(config))


def plant(sweep, updates, losses=None):
    """Ends tuning runs of one network: updates to 5 %, or None, and losses, by rate and seed."""
    for cell in sweep.cells:
        rate, number = cell.config.optimizer.learning_rate, cell.config.seed - FIRST_TUNING_SEED
        found = {'steps_to_error': {'5': updates[rate][number]}}
        if losses:
            found['train_loss'] = losses[rate][number]
            found['status'] = 'finished' if losses[rate][number] is not None else 'diverged'
        finish(cell, **found)


@pytest.fixture
def one_network(asked):
    """Three rates and two tuning seeds; a single network looks at the rule alone."""
    asked.sweep.families, asked.sweep.depths = ('plain',), (8, 14, 20)
    asked.sweep.rates, asked.sweep.tuning_seeds = (0.1, 0.01, 0.03), 2
    return asked


def choose(config, tmp_path, updates, losses=None):
    """The rates of three networks whose runs are planted alike."""
    sweep = tuning(config, tmp_path)
    plant(sweep, updates, losses)
    found = tuned_rates(sweep)
    assert len({each.rate for each in found.values()}) == 1
    return found['plain', 8]


def test_the_first_stage_is_every_rate_on_tuning_seeds(asked, tmp_path):
    sweep = tuning(asked, tmp_path)
    assert len(sweep.cells) == 2 * 6 * 5  # families, depths, rates, one seed
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


def test_the_second_stage_is_fresh_seeds_at_the_fastest_rate(one_network, tmp_path):
    sweep = tuning(one_network, tmp_path)
    plant(sweep, {0.01: [100, 90], 0.03: [40, 60], 0.1: [None, 20]})
    fresh = assemble('convergence', one_network, tmp_path, convergence.next_cells(sweep)).cells
    assert [(cell.config.model.depth, cell.config.seed) for cell in fresh] == [
        (depth, seed) for depth in (8, 14, 20) for seed in range(4)
    ]
    for cell in fresh:
        assert cell.config.optimizer.learning_rate == 0.03
        assert cell.config.train.until_error == (5.0, 1.0)
        assert cell.variant == 'plain, rate 0.03'


def test_a_network_waits_for_all_its_tuning_runs(one_network, tmp_path):
    sweep = tuning(one_network, tmp_path)
    for cell in sweep.cells:
        if cell.config.model.depth != 14 or cell.config.seed == FIRST_TUNING_SEED:
            finish(cell, steps_to_error={'5': 50})
    assert {each.model.depth for _, each in convergence.next_cells(sweep)} == {8, 20}


@pytest.mark.parametrize(
    ('updates', 'losses', 'rate', 'edge'),
    [
        # The fewest updates, in the mean over seeds.
        ({0.01: [60, 60], 0.03: [10, 90], 0.1: [70, 70]}, None, 0.03, ''),
        # More seeds that reach it count before fewer updates.
        ({0.01: [60, 60], 0.03: [10, None], 0.1: [70, 70]}, None, 0.01, 'lowest'),
        ({0.01: [60, 60], 0.03: [50, 50], 0.1: [40, 40]}, None, 0.1, 'highest'),
        # Of equals the lowest.
        ({0.01: [60, 60], 0.03: [50, 50], 0.1: [50, 50]}, None, 0.03, ''),
    ],
)
def test_the_fastest_rate_is_chosen(one_network, tmp_path, updates, losses, rate, edge):
    found = choose(one_network, tmp_path, updates, losses)
    assert (found.rate, found.edge, found.n) == (rate, edge, 2)
    assert found.updates['0.01'] == 60


def test_where_no_rate_reaches_the_target_the_training_loss_chooses(one_network, tmp_path):
    never = {0.01: [None, None], 0.03: [None, None], 0.1: [None, None]}
    losses = {0.01: [0.9, 0.9], 0.03: [0.4, 0.5], 0.1: [0.1, None]}  # one of them diverged
    found = choose(one_network, tmp_path, never, losses)
    assert found.rate == 0.03
    assert not any(found.updates.values())


@pytest.mark.parametrize(
    ('knob', 'value', 'message'),
    [
        ('sweep.rates', (0.1,), 'names 3 or more positive learning rates'),
        ('sweep.rates', (0.1, 0.1, 0.03), 'each once'),
        ('sweep.rates', (0.1, -0.1, 0.03), 'positive'),
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
