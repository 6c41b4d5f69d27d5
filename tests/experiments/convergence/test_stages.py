"""Rates are searched on tuning seeds alone, from the shallowest network to the deepest."""

import dataclasses
import math

import pytest
from planted import finish

from experiments import convergence
from experiments.convergence.stages import tuned_rates
from vggres.findings.tuning import FIRST_TUNING_SEED
from vggres.sweeps.arms import fresh_cells, is_tuning
from vggres.sweeps.sweep import assemble


@pytest.fixture
def one_family(asked):
    """Three rates and two tuning seeds."""
    asked.sweep.families, asked.sweep.depths = ('plain',), (8, 14, 20)
    asked.sweep.rates, asked.sweep.tuning_seeds = (0.1, 0.01, 0.03), 2
    return asked


def begun(config, tmp_path):
    return assemble('convergence', config, tmp_path, convergence.cells(config))


def grown(sweep):
    """The sweep with the cells that the finished ones call for, and these cells."""
    called_for = convergence.next_cells(sweep)
    more = assemble(sweep.name, sweep.config, sweep.directory.parent, called_for).cells
    known = {cell.id for cell in sweep.cells}
    new = tuple(cell for cell in more if cell.id not in known)
    return dataclasses.replace(sweep, cells=(*sweep.cells, *new)), new


def plant(cells, updates, losses=None):
    """Ends tuning runs: updates to 5 %, or None, and losses, by rate and seed."""
    for cell in cells:
        rate, number = cell.config.optimizer.learning_rate, cell.config.seed - FIRST_TUNING_SEED
        found = {'steps_to_error': {'5': updates[rate][number]}}
        if losses:
            found['train_loss'] = losses[rate][number]
            found['status'] = 'finished' if losses[rate][number] is not None else 'diverged'
        finish(cell, **found)


def choose(config, tmp_path, updates, losses=None):
    """The rate of the shallowest network, whose runs are planted."""
    sweep = begun(config, tmp_path)
    plant(sweep.cells, updates, losses)
    return tuned_rates(sweep)['plain', 8]


def places(cells):
    return {(cell.config.model.depth, cell.config.optimizer.learning_rate) for cell in cells}


def test_each_network_begins_beside_the_rate_of_the_one_below(asked, tmp_path):
    """The optimum of the whole grid moves from 0.1 to 0.003, two places at once at the end."""
    asked.sweep.families, asked.sweep.depths = ('plain',), (8, 14, 20)
    best = {8: 0.1, 14: 0.03, 20: 0.003}
    grid = sorted(asked.sweep.rates)

    def end(cells):
        for cell in cells:
            depth, rate = cell.config.model.depth, cell.config.optimizer.learning_rate
            away = abs(grid.index(rate) - grid.index(best[depth]))
            finish(cell, steps_to_error={'5': 50 + 20 * away, '1': 200})

    sweep = begun(asked, tmp_path)
    assert places(sweep.cells) == {(8, rate) for rate in grid}
    stages = []
    new = sweep.cells
    while new:
        end(new)
        sweep, new = grown(sweep)
        stages.append(
            (places(filter(is_tuning, new)), places(each for each in new if not is_tuning(each)))
        )
    assert stages == [
        ({(14, 0.03), (14, 0.1), (14, 0.3)}, {(8, 0.1)}),
        ({(14, 0.01)}, set()),  # the neighbour of 0.03 was untried
        ({(20, 0.01), (20, 0.03), (20, 0.1)}, {(14, 0.03)}),
        ({(20, 0.003)}, set()),
        ({(20, 0.001)}, set()),
        (set(), {(20, 0.003)}),
        (set(), set()),
    ]
    assert {depth: each.rate for (_, depth), each in tuned_rates(sweep).items()} == best
    assert {each.edge for each in tuned_rates(sweep).values()} == {''}


def test_runs_at_a_rate_that_is_no_longer_chosen_are_not_judged(sweep, tmp_path):
    chosen = tuned_rates(sweep)['plain', 8].rate
    other = next(rate for rate in sweep.config.sweep.rates if rate != chosen)
    asked = fresh_cells(sweep.config, ('plain', 8), {'model.family': 'plain'}, other)
    stale = assemble(sweep.name, sweep.config, tmp_path, asked).cells
    for cell in stale:
        finish(cell, steps_to_error={'5': 5, '1': 5})
    both = dataclasses.replace(sweep, cells=(*stale, *sweep.cells))
    networks = [
        (family, depth) for family in ('plain', 'resnet') for depth in (8, 14, 20, 32, 44, 56)
    ]
    shown = [(run.family, run.depth, run.seed) for run in convergence.judged(both)]
    assert shown == [(*network, seed) for network in networks for seed in range(4)]
    assert convergence.analyse(both) == convergence.analyse(sweep)


def test_fresh_seeds_run_at_the_fastest_rate(one_family, tmp_path):
    sweep = begun(one_family, tmp_path)
    plant(sweep.cells, {0.01: [100, 90], 0.03: [40, 60], 0.1: [None, 20]})
    _, new = grown(sweep)
    fresh = [cell for cell in new if not is_tuning(cell)]
    assert [(cell.config.model.depth, cell.config.seed) for cell in fresh] == [
        (8, seed) for seed in range(4)
    ]
    for cell in fresh:
        assert cell.config.optimizer.learning_rate == 0.03
        assert cell.config.train.until_error == (5.0, 1.0)
        assert cell.variant == 'plain, rate 0.03'


def test_a_network_waits_for_all_its_tuning_runs(one_family, tmp_path):
    sweep = begun(one_family, tmp_path)
    for cell in sweep.cells[1:]:
        finish(cell, steps_to_error={'5': 50})
    found = tuned_rates(sweep)
    assert {each.rate for each in found.values()} == {None}
    assert [each.wanted for each in found.values()] == [(0.01, 0.03, 0.1), (), ()]
    _, new = grown(sweep)
    assert new == ()


@pytest.mark.parametrize(
    ('updates', 'losses', 'rate', 'edge'),
    [
        # The fewest updates, in the mean over seeds.
        ({0.01: [60, 60], 0.03: [10, 90], 0.1: [70, 70]}, None, 0.03, ''),
        # More seeds that reach it count before fewer updates.
        ({0.01: [60, 60], 0.03: [10, None], 0.1: [70, 70]}, None, 0.01, 'lowest'),
        ({0.01: [60, 60], 0.03: [50, 50], 0.1: [40, 40]}, None, 0.1, 'highest'),
        # Of equally fast ones the one with the lower training loss.
        (
            {0.01: [60, 60], 0.03: [50, 50], 0.1: [50, 50]},
            {0.01: [0.1, 0.1], 0.03: [0.3, 0.3], 0.1: [0.3, 0.2]},
            0.1,
            'highest',
        ),
    ],
)
def test_the_fastest_rate_is_chosen(one_family, tmp_path, updates, losses, rate, edge):
    found = choose(one_family, tmp_path, updates, losses)
    assert (found.rate, found.edge, found.n) == (rate, edge, 2)
    assert found.updates['0.01'] == 60


def test_where_no_rate_reaches_the_target_the_training_loss_chooses(one_family, tmp_path):
    never = {0.01: [None, None], 0.03: [None, None], 0.1: [None, None]}
    losses = {0.01: [0.9, 0.9], 0.03: [0.4, 0.5], 0.1: [0.1, None]}  # one of them diverged
    found = choose(one_family, tmp_path, never, losses)
    assert found.rate == 0.03
    assert not any(found.updates.values())


def test_a_network_that_no_rate_nearby_trains_tries_the_whole_grid(asked, tmp_path):
    """The losses have a minimum in the middle, which is noise where no run gets anywhere."""
    asked.sweep.families, asked.sweep.depths = ('plain',), (8, 14, 20)
    sweep = begun(asked, tmp_path)
    for cell in sweep.cells:
        away = abs(math.log10(cell.config.optimizer.learning_rate / 0.1))
        finish(cell, steps_to_error={'5': 30 + int(10 * away)})
    sweep, new = grown(sweep)
    tuning = [cell for cell in new if is_tuning(cell)]
    assert places(tuning) == {(14, 0.03), (14, 0.1), (14, 0.3)}
    for cell in new:
        is_middle = cell.config.optimizer.learning_rate == 0.1
        finish(cell, steps_to_error={'5': None, '1': None}, train_loss=2.29 if is_middle else 2.3)
    sweep, new = grown(sweep)
    assert places(new) == {(14, rate) for rate in asked.sweep.rates} - places(tuning)
