"""Planted counts come out as they were planted, whatever is missing."""

import dataclasses
import json
import math

import numpy as np
import pytest
from planted import finish

from experiments.convergence.analysis import analyse
from vggres.sweeps.arms import is_tuning
from vggres.sweeps.sweep import Sweep

DEPTHS = (8, 14, 20, 32, 44, 56)


def test_the_analysis_finds_what_was_planted(sweep):
    verdict = analyse(sweep)
    json.dumps(dataclasses.asdict(verdict), allow_nan=False)  # what verdict.json can hold
    assert [(each.family, each.depth) for each in verdict.networks] == [
        *(('plain', depth) for depth in DEPTHS),
        *(('resnet', depth) for depth in DEPTHS),
    ]
    assert {(each.family, each.tuned.rate, each.tuned.edge) for each in verdict.networks} == {
        ('plain', 0.01, ''),
        ('resnet', 0.03, ''),
    }
    for target, factor in (('5', 1), ('1', 1.5)):
        plain, resnet = (verdict.growth[family][target] for family in ('plain', 'resnet'))
        assert plain.status == 'exponential'
        assert resnet.status == 'flat'
        assert plain.laws['exponential'].slope == pytest.approx(math.log(242 / 66) / 24, rel=0.1)
        assert plain.medians[2] == pytest.approx(66 * factor, rel=0.15)
        assert verdict.differences[target].slope == pytest.approx(math.log(242 / 66) / 24, rel=0.1)
        assert set(verdict.shapes['plain']) == {'5', '1'}
    assert 'resnet' not in verdict.shapes
    assert (verdict.budget, verdict.resolution, verdict.targets) == (1000, 5, ('5', '1'))


def test_tuning_runs_are_not_counted(own_sweep):
    """A tuning run at the chosen rate that was fast beyond belief changes nothing."""
    before = analyse(own_sweep)
    for cell in own_sweep.cells:
        if is_tuning(cell) and cell.config.optimizer.learning_rate == 0.01:
            finish(cell, steps_to_error={'5': 5})
    after = analyse(own_sweep)
    assert after.growth['plain'] == before.growth['plain']
    plain = [network for network in after.networks if network.family == 'plain']
    assert {network.seeds for network in plain} == {(0, 1, 2, 3)}


def test_a_look_says_between_which_updates_a_target_was_reached(own_sweep):
    """All runs at one look of 40: the median lies between 35 and 40, at every depth."""
    for cell in own_sweep.cells:
        if not is_tuning(cell):
            finish(cell, steps_to_error={'5': 40, '1': 40})
    law = analyse(own_sweep).growth['plain']['5'].laws['exponential']
    assert np.exp(law.intercept) == pytest.approx(math.sqrt(35 * 40), rel=0.02)
    assert law.slope == pytest.approx(0, abs=1e-6)


def test_a_seed_that_lacks_a_depth_does_not_count(sweep):
    def is_left_out(cell):
        at = cell.coordinates()
        return (at['depth'], at['seed']) == (56, 3)

    cells = tuple(cell for cell in sweep.cells if not is_left_out(cell))
    verdict = analyse(Sweep('convergence', sweep.config, sweep.directory, cells))
    assert verdict.growth['plain']['5'].n == 3
    assert verdict.differences['5'].n == 3


def test_a_sweep_whose_tuning_is_not_finished_measures_nothing(own_sweep):
    cells = tuple(cell for cell in own_sweep.cells if is_tuning(cell))
    for cell in cells:
        (cell.directory / 'result.json').unlink()
    verdict = analyse(Sweep('convergence', own_sweep.config, own_sweep.directory, cells))
    assert {found['5'].status for found in verdict.growth.values()} == {'not measured'}
    assert verdict.differences == {}
    assert all(network.tuned.rate is None for network in verdict.networks)


def test_runs_of_a_rate_that_is_no_longer_the_fastest_are_left_out(own_sweep):
    """Another rate joins the grid and turns out faster at one depth: its runs are still to come."""
    for cell in own_sweep.cells:
        at = cell.coordinates()
        if at['variant'] == 'plain, rate 0.03, tuning' and at['depth'] == 8:
            finish(cell, steps_to_error={'5': 5})
    verdict = analyse(own_sweep)
    assert verdict.networks[0].tuned.rate == 0.03
    assert verdict.networks[0].seeds == ()
    assert verdict.growth['plain']['5'].status == 'not measured'
