"""Planted updates and errors come back as what they are."""

import dataclasses

import pytest

from experiments.deepen.analysis import analyse
from experiments.deepen.stages import deepened, faded
from vggres.sweeps.arms import network_of


def test_each_start_is_judged_by_hand(sweep):
    """Updates of seeds 0, 1, 2: 120 to 130 (Dirac), 50 to 60 (orthogonal) against 250 and 40."""
    found = {arm.arm: arm for arm in analyse(sweep).starts.arms if arm.depth == 44}
    assert found['plain, Dirac'].updates == {0: 120, 1: 125, 2: 130}
    assert found['plain'].cure is None
    assert found['plain, delta-orthogonal'].cure.status == 'cures'
    assert found['plain, Dirac'].cure.status == 'helps'
    # Each counts in the middle between two looks, five updates apart.
    expected = (47.5 / 37.5 * 52.5 / 42.5 * 57.5 / 47.5) ** (1 / 3)
    factor = found['plain, delta-orthogonal'].cure.to_control.factor
    assert factor == pytest.approx(expected)


def test_deepened_networks_keep_or_regain_what_was_planted(sweep):
    low, high = analyse(sweep).held
    assert (low.rate, low.rate_of, low.status) == (0.003, 'plain-44', 'keeps')
    assert (high.rate, high.rate_of, high.status) == (0.03, 'plain-20', 'regains')
    assert (low.start, low.seeds, low.updates) == ((0.0, 0.0, 0.0), (0, 1, 2), 200)
    assert low.worst == pytest.approx((2.0, 2.1, 2.2))
    assert high.final == pytest.approx((4.0, 4.1, 4.2))


@pytest.mark.parametrize(('lost', 'status'), [((0, 1, 2), 'loses'), ((1,), 'mixed')])
def test_runs_that_end_badly_have_lost_it(own_sweep, lost, status):
    for cell in deepened(own_sweep)[44, 0.003]:
        if cell.config.seed in lost:
            cell.finish(dataclasses.replace(cell.result(), train_error=60.0))
    assert analyse(own_sweep).held[0].status == status


def test_a_network_without_its_shortcuts_keeps_or_loses_what_was_planted(sweep):
    """The lowest error before update 200, the highest from there on, and the last, by hand."""
    low, high = analyse(sweep).faded
    assert (low.rate, low.rate_of, low.status) == (0.003, 'plain-44', 'keeps')
    assert (low.fade_steps, low.updates, low.seeds) == (200, 200, (0, 1, 2))
    assert low.start == pytest.approx((3.0, 3.3, 3.6))
    assert low.worst == pytest.approx((4.0, 4.4, 4.8))
    assert low.final == pytest.approx((1.0, 1.1, 1.2))
    assert (high.rate, high.rate_of, high.status) == (0.03, 'resnet-44', 'loses')
    assert high.start == (0.0, 0.0, 0.0)  # not the 50 % of the last look before
    assert high.worst == pytest.approx((60.0, 66.0, 72.0))


@pytest.mark.parametrize(
    ('errors', 'start', 'status'),
    [
        ({19: 4.0, 20: 5.0, 40: 0.0}, 4.0, 'keeps'),
        ({19: 4.0, 20: 60.0, 40: 5.0}, 4.0, 'regains'),
        ({19: 4.0, 20: 4.0, 40: 60.0}, 4.0, 'mixed'),  # the other two seeds end at 1 %
        ({19: 6.0, 20: 6.0, 40: 60.0}, 6.0, 'nothing to keep'),
        ({20: 0.0, 40: 0.0}, 90.0, 'nothing to keep'),  # ten classes, and no look in time
    ],
)
def test_what_is_kept_is_what_was_there(own_sweep, replant, errors, start, status):
    replant(faded(own_sweep)[44, 0.003][0], errors)
    held = analyse(own_sweep).faded[0]
    assert held.start[0] == pytest.approx(start)
    assert held.status == status


def test_tuning_seeds_are_never_judged(sweep):
    counted = {seed for arm in analyse(sweep).starts.arms for seed in arm.updates}
    assert counted == {0, 1, 2}
    assert any(cell.config.seed >= 1000 for cell in sweep.cells if network_of(cell)[0] == 'plain')
