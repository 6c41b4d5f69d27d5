"""The verdict on a planted sweep is the planted one."""

import pytest

from experiments import depth_tuned
from vggres.findings.budgets import SHRINKS
from vggres.findings.tuned import DEGRADES, FAILS, INCONCLUSIVE
from vggres.findings.tuning import FIRST_TUNING_SEED


def test_the_verdict_is_the_planted_one(config, tmp_path, world):
    sweep, _ = world.whole(world.begun(config, tmp_path))
    verdict = depth_tuned.analyse(sweep)
    by_place = {(gap.family, gap.budget): gap for gap in verdict.gaps}
    assert by_place['plain', 1].loss.mean == pytest.approx(1.5, abs=0.1)
    assert by_place['plain', 3].loss.mean == pytest.approx(0.5, abs=0.1)
    assert by_place['plain', 1].status == DEGRADES
    assert verdict.families['plain'].status == SHRINKS
    assert verdict.families['resnet'].status == INCONCLUSIVE  # five seeds do not exclude failures
    assert [each.budget for each in verdict.interactions] == [1, 3]
    assert verdict.updates == {'1': 10, '3': 30}


def test_tuning_runs_are_not_judged(config, tmp_path, world):
    """Tuning seeds that would turn the verdict around leave it as it is."""
    sweep, _ = world.whole(world.begun(config, tmp_path))
    before = depth_tuned.analyse(sweep)
    tuning = [cell for cell in sweep.cells if cell.config.seed >= FIRST_TUNING_SEED]

    def lucky(place, rate, seed):
        return world.decades(place, rate, seed) - 3 * (place[1] == 14)

    world.finish(tuning, sweep, lucky)
    after = depth_tuned.analyse(sweep)
    assert after.networks != before.networks  # they show the losses of the tuning
    assert after.gaps == before.gaps


@pytest.mark.parametrize(('place', 'edge'), [(0, 'lowest'), (5, 'highest')])
def test_an_optimum_at_the_edge_is_noticed(config, tmp_path, world, place, edge):
    optima = world.OPTIMA | {('plain', 14): place}

    def loss(at, rate, seed):
        return world.decades((*at[:2], 1), rate, seed, optima)

    verdict = depth_tuned.analyse(world.whole(world.begun(config, tmp_path), loss)[0])
    edges = {(each.family, each.depth): each.choice.edge for each in verdict.networks}
    assert edges == dict.fromkeys(world.OPTIMA, '') | {('plain', 14): edge}
    assert 'edge of the grid' in depth_tuned.words(verdict)
    assert verdict.families['plain'].status == INCONCLUSIVE


def test_a_network_that_no_rate_trains_runs_at_the_middle_of_the_grid(config, tmp_path, world):
    def loss(place, rate, seed):
        return 1.0 if place[:2] == ('plain', 14) else world.decades(place, rate, seed)

    verdict = depth_tuned.analyse(world.whole(world.begun(config, tmp_path), loss)[0])
    found = [each for each in verdict.networks if (each.family, each.depth) == ('plain', 14)]
    assert [(each.rate, each.outcome.failed) for each in found] == [(world.RATES[3], 5)] * 2
    assert verdict.families['plain'].status == FAILS
    assert 'No rate of the grid trains plain-14 at 1×, plain-14 at 3×' in depth_tuned.words(verdict)
