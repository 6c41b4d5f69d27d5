"""The rule that chooses a learning rate, against sums by hand."""

import math
import random

import pytest

from vggres.errors import UserError
from vggres.findings import tuning
from vggres.findings.tuning import Trial, choose

GUESSING = math.log(10)
RATES = (0.01, 0.1, 1.0)


def trials(**losses):
    """Of each network its losses at 0.01, 0.1 and 1."""
    return [
        Trial(network, rate, 1000, loss)
        for network, row in losses.items()
        for rate, loss in zip(RATES, row, strict=True)
    ]


def test_the_lowest_geometric_mean_is_chosen():
    # Products 0.2 · 0.8 = 0.16, 0.4 · 0.1 = 0.04 and 0.01 · 2 = 0.02; the sums would choose 0.1.
    found = choose(trials(a=(0.2, 0.4, 0.01), b=(0.8, 0.1, 2.0)), GUESSING)
    assert found.rate == 1.0
    assert found.losses == pytest.approx([0.4, 0.2, math.sqrt(0.02)])
    assert (found.rates, found.n) == (RATES, 2)


@pytest.mark.parametrize(
    ('losses', 'edge'),
    [((0.1, 0.2, 0.3), 'lowest'), ((0.2, 0.1, 0.3), ''), ((0.3, 0.2, 0.1), 'highest')],
)
def test_an_optimum_at_an_edge_of_the_grid_is_noticed(losses, edge):
    assert choose(trials(a=losses), GUESSING).edge == edge


def test_a_run_that_fails_counts_as_guessing_however_badly_it_failed():
    # Without the bound, 1,000 would outweigh what the other networks gain at the rate of 0.1.
    rows = {'a': (0.3, 0.1, 0.3), 'b': (0.3, 0.1, 0.3), 'c': (2.0, 1000.0, 2.0)}
    assert choose(trials(**rows), GUESSING).rate == 0.1
    diverged = choose(trials(**rows | {'c': (2.0, None, 2.0)}), GUESSING)
    assert diverged == choose(trials(**rows), GUESSING)


def test_a_network_that_fails_at_every_rate_has_no_say():
    alone = choose(trials(a=(0.2, 0.1, 0.3)), GUESSING)
    both = choose(trials(a=(0.2, 0.1, 0.3), b=(2.4, None, 9.0)), GUESSING)
    assert both.rate == alone.rate == 0.1
    nothing = choose(trials(b=(2.4, None, 9.0)), GUESSING)
    assert (nothing.rate, nothing.edge, nothing.n) == (None, '', 1)


def test_the_names_of_networks_and_the_order_of_runs_do_not_matter():
    """Both families are treated alike: renaming them changes nothing."""
    found = trials(plain=(0.2, 0.4, 0.05), resnet=(0.8, 0.1, 2.0))
    swapped = trials(resnet=(0.2, 0.4, 0.05), plain=(0.8, 0.1, 2.0))
    random.Random(0).shuffle(swapped)
    assert choose(found, GUESSING) == choose(swapped, GUESSING)


def test_runs_that_lack_a_rate_are_left_out():
    found = trials(a=(0.2, 0.1, 0.3), b=(0.001, 0.9, 0.9))
    assert choose(found[:-1], GUESSING) == choose(found[:3], GUESSING)
    empty = choose([Trial('a', 0.1, 1000, 0.1), Trial('b', 0.2, 1000, 0.1)], GUESSING)
    assert (empty.rate, empty.losses, empty.n) == (None, (), 0)


def test_of_equal_rates_the_lowest_is_chosen():
    assert choose(trials(a=(0.3, 0.1, 0.1)), GUESSING).rate == 0.1
    assert choose(trials(a=(0.0, 0.0, 0.1)), GUESSING).rate == 0.01  # log10 of 0 is no error


@pytest.mark.parametrize(
    'rates',
    [(), (0.1,), (0.1, 0.3), (0.1, 0.1, 0.3), (0.1, 0.3, 0.0), (0.1, 0.3, -1), (0.1, 0.3, 'a'),
     (0.1, 0.3, math.inf), (0.1, 0.3, math.nan)],
)  # fmt: skip
def test_a_grid_without_an_inside_is_refused(rates):
    with pytest.raises(UserError, match=r'^sweep\.rates names 3 or more positive .*$'):
        tuning.check_rates(rates)


def test_a_grid_is_sorted():
    assert tuning.check_rates((1, 0.1, 0.3)) == (0.1, 0.3, 1.0)


def test_seeds_that_choose_and_seeds_that_judge_do_not_overlap():
    tuning.check_tuning_seed(1000)
    tuning.check_fresh_seeds(0, 1000)
    with pytest.raises(UserError, match='seed 999 serves the sweeps that are judged'):
        tuning.check_tuning_seed(999)
    with pytest.raises(UserError, match='seeds 998 to 1000 overlap'):
        tuning.check_fresh_seeds(998, 3)


def test_a_rate_has_neighbours_in_its_grid():
    grid = (0.01, 0.03, 0.1, 0.3)
    assert tuning.around(0.03, grid) == {0.01, 0.03, 0.1}
    assert tuning.around(0.01, grid) == {0.01, 0.03}
    assert tuning.around(0.3, grid) == {0.1, 0.3}
    assert tuning.around(None, grid) == {*grid}
