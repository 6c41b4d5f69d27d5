"""The fastest rate among planted runs, found by hand."""

import pytest
from planted import result

from vggres.findings.fastest import search, updates_to

GRID = (0.01, 0.03, 0.1, 0.3)


def run(updates, loss=0.5):
    return result(steps_to_error={'5': updates}, train_loss=loss)


def found(tried, wanted=GRID, n=1):
    return search(tried, GRID, wanted, '5', n)


def test_updates_to_an_error_are_those_of_the_run():
    assert updates_to(run(40), '5') == 40
    assert updates_to(run(40), '1') is None
    assert updates_to(result(), '5') is None


def test_the_rate_with_the_fewest_updates_is_chosen():
    tried = {0.01: [run(90)], 0.03: [run(40)], 0.1: [run(50)], 0.3: [run(None)]}
    tuned = found(tried)
    assert (tuned.rate, tuned.edge, tuned.n) == (0.03, '', 1)
    assert tuned.updates == {'0.01': 90, '0.03': 40, '0.1': 50, '0.3': None}


def test_a_rate_at_which_more_seeds_arrive_comes_before_a_faster_one():
    tried = {0.03: [run(80), run(90)], 0.1: [run(10), run(None)], 0.01: [run(99)] * 2}
    assert found(tried, wanted=(0.01, 0.03, 0.1), n=2).rate == 0.03


def test_where_none_arrives_the_lowest_loss_decides_and_a_diverged_run_never_does():
    tried = {0.01: [run(None, 0.9)], 0.03: [run(None, 0.7)], 0.1: [run(None, 0.8)]}
    assert found(tried | {0.3: [run(None, None)]}).rate == 0.03


@pytest.mark.parametrize(('best', 'edge'), [(0.01, 'lowest'), (0.3, 'highest'), (0.1, '')])
def test_an_optimum_at_an_end_of_the_grid_is_named(best, edge):
    tried = {rate: [run(10 if rate == best else 50)] for rate in GRID}
    assert found(tried).edge == edge


def test_a_search_goes_on_beside_the_best_rate_and_waits_for_runs():
    tried = {0.01: [run(90)], 0.03: [run(40)]}
    waiting = found(tried, wanted=(0.01, 0.03))
    assert (waiting.rate, waiting.wanted) == (None, (0.01, 0.03, 0.1))
    assert found(tried | {0.1: [run(60)]}, wanted=(0.01, 0.03)).rate == 0.03


def test_without_a_run_that_arrives_the_whole_grid_is_tried():
    tried = {0.01: [run(None, 2.2)], 0.03: [run(None, 2.3)]}
    assert found(tried, wanted=(0.01, 0.03)).wanted == GRID
