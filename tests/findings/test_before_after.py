"""Networks of known numbers, grouped and paired by hand."""

import math

import pytest
from planted import observation, result
from scipy import stats

from vggres.findings.before_after import (
    AFTER,
    BEFORE,
    Difference,
    Network,
    all_draws,
    difference,
    differences,
    found_at,
    groups,
    looks,
    pairs,
)


def network(family, seed, before, after, norm='batch', depth=20, error=0.0):
    """A network in which the numbers of its draws were found, or nothing."""
    variant = f'{family}, {norm}'
    return Network(variant, family, norm, depth, seed, error, before, after)


# Seeds 1 and 2 have both kinds; of seed 2, the residual network has one draw less.
NETWORKS = [
    network('plain', 1, (5.0, 6.0), (1.0,), error=10.0),
    network('plain', 2, (7.0, 9.0), None, error=30.0),
    network('plain', 3, (100.0,), (100.0,), error=50.0),
    network('resnet', 2, (3.0,), (0.5,)),
    network('resnet', 1, (1.0, 4.0), (0.25,)),
    network('resnet', 4, None, None),
    network('plain', 1, (50.0,), (50.0,), depth=8),
    network('resnet', 1, (20.0,), None, norm='none'),
]


def same(found):
    return found


def test_the_looks_before_the_first_update_and_after_the_last():
    seen = [observation(0, 0, 0), observation(0, 0, 1), observation(1, 5), observation(2, 10)]
    assert looks(result(), seen) == (seen[:2], seen[3:])
    assert looks(result(status='diverged'), seen) == (seen[:2], [])
    assert looks(result(), seen[:2]) == (seen[:2], [])


def test_what_was_found_at_a_place():
    assert found_at(NETWORKS, 'plain', ('batch', 20, AFTER)) == [(1.0,), (100.0,)]
    assert found_at(NETWORKS, 'resnet', ('batch', 20, BEFORE)) == [(3.0,), (1.0, 4.0)]
    assert found_at(NETWORKS, 'plain', ('none', 20, BEFORE)) == []
    assert all_draws([(3.0,), (1.0, 4.0)], same) == [3, 1, 4]


def test_groups_keep_the_order_of_networks_and_leave_out_what_is_empty():
    found = [(each.variant, each.depth, each.moment, each.found) for each in groups(NETWORKS)]
    assert found == [
        ('plain, batch', 20, BEFORE, ((5.0, 6.0), (7.0, 9.0), (100.0,))),
        ('plain, batch', 20, AFTER, ((1.0,), (100.0,))),
        ('resnet, batch', 20, BEFORE, ((3.0,), (1.0, 4.0))),
        ('resnet, batch', 20, AFTER, ((0.5,), (0.25,))),
        ('plain, batch', 8, BEFORE, ((50.0,),)),
        ('plain, batch', 8, AFTER, ((50.0,),)),
        ('resnet, none', 20, BEFORE, ((20.0,),)),
    ]
    # The error is that of all networks, those in which nothing was found among them.
    assert groups(NETWORKS)[1].train_error == pytest.approx((10 + 30 + 50) / 3)


def test_networks_are_paired_by_the_seed_of_their_weights():
    found = pairs(NETWORKS, ('batch', 20, BEFORE))
    assert [(plain.family, plain.seed, other.family, other.seed) for plain, other in found] == [
        ('plain', 1, 'resnet', 1),
        ('plain', 2, 'resnet', 2),
    ]
    assert [plain.seed for plain, _ in pairs(NETWORKS, ('batch', 20, AFTER))] == [1]


def test_the_difference_is_taken_draw_by_draw():
    found = difference(NETWORKS, ('batch', 20, BEFORE), same)
    assert found.values == (5.0 - 1.0, 6.0 - 4.0, 7.0 - 3.0)
    assert found.mean == pytest.approx(10 / 3)
    # The sample variance is (2·(2/3)² + (4/3)²) / 2 = 4/3.
    half = stats.t.ppf(0.975, 2) * math.sqrt(4 / 3) / math.sqrt(3)
    assert found.interval == pytest.approx((10 / 3 - half, 10 / 3 + half))
    after = difference(NETWORKS, ('batch', 20, AFTER), same)
    assert after == Difference('batch', 20, AFTER, (0.75,), 0.75, None)
    assert difference(NETWORKS, ('none', 20, BEFORE), same) is None


def test_there_is_a_difference_wherever_both_kinds_are():
    def compare(networks, *place):
        return difference(networks, place, same)

    found = differences(NETWORKS, compare)
    assert [(each.norm, each.depth, each.moment) for each in found] == [
        ('batch', 20, BEFORE),
        ('batch', 20, AFTER),
    ]
    assert differences([], compare) == ()
