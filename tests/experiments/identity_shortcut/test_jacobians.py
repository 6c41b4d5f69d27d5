"""Sums over blocks by hand, and which blocks are summed."""

import math

import pytest
from planted import observation

from experiments.identity_shortcut.jacobians import same_shape, summary
from vggres.networks import grammar


def planted(*distances, **others):
    """An observation of blocks a, b, … by their distances from the identity."""
    names = 'abcdefghijklmnopqrstuvwxyz!'[: len(distances)]
    by_block = dict(zip(names, distances, strict=True))
    values = {
        'identity_distance': by_block,
        'relu_distance': {name: value and value / 2 for name, value in by_block.items()},
        'spectral_norm': dict.fromkeys(names, 1.0),
        'mean_square_gain': dict.fromkeys(names, 1.0),
        'image_coupling': dict.fromkeys(names, 0.0),
    }
    return observation(**values | others)


@pytest.mark.parametrize(
    ('options', 'kept'),
    [
        ({'depth': 8}, ['stage1/block1']),  # one block per stage; two of them change the shape
        ({'depth': 14}, ['stage1/block1', *(f'stage{i}/block2' for i in (1, 2, 3))]),
        ({'depth': 11, 'block': 'bottleneck'}, []),  # every block changes the channels
    ],
)
def test_which_blocks_keep_their_shape(options, kept):
    assert set(same_shape(grammar.network_spec('resnet', **options))) == set(kept)


def test_squares_add_up_over_the_blocks():
    found = summary([planted(3.0, 4.0)], ['a', 'b'])
    near = found.from_identity
    assert near.by_block == (3, 4)
    assert (near.total, near.root) == pytest.approx((25, 5))
    assert found.from_relu.root == pytest.approx(2.5)
    assert near.interval is None  # one draw: blocks are no sample
    # The example of the review: 27 blocks at 0.34 are far from the identity.
    many = summary([planted(*27 * [0.34])], 'abcdefghijklmnopqrstuvwxyz!')
    assert many.from_identity.total == pytest.approx(3.12, abs=0.005)


def test_draws_are_the_sample():
    found = summary([planted(0.6, 0.8), planted(1.8, 2.4)], ['a', 'b'])
    near = found.from_identity
    assert found.draws == 2
    assert near.roots == pytest.approx((1, 3))
    assert near.root == pytest.approx(2)
    assert near.total == pytest.approx((1 + 9) / 2)
    # A standard error of 1, and Student's 12.706.
    assert near.interval == pytest.approx((2 - 12.706, 2 + 12.706), abs=1e-3)
    assert near.by_block == pytest.approx((math.sqrt((0.36 + 3.24) / 2), math.sqrt(3.2)))


def test_only_the_blocks_asked_for_count():
    found = summary([planted(0.3, None, 0.4)], ['a', 'c'])
    assert found.blocks == ('a', 'c')
    assert found.from_identity.root == pytest.approx(0.5)


def test_norms_and_couplings_of_all_blocks():
    given = planted(
        1.0,
        1.0,
        spectral_norm={'a': 2.0, 'b': 3.0},
        mean_square_gain={'a': 1.0, 'b': 4.0},
        image_coupling={'a': 0.2, 'b': 0.1},
    )
    found = summary([given], ['a', 'b'])
    assert (found.spectral_norm, found.gain, found.coupling) == pytest.approx((3, 2, 0.2))
    dead = summary([planted(1.0, 1.0, mean_square_gain={'a': 0.0, 'b': 4.0})], ['a', 'b'])
    assert dead.gain == 0


def test_nothing_is_said_of_what_was_not_measured():
    assert summary([], ['a']) is None
    assert summary([planted(1.0)], []) is None
    assert summary([planted(1.0, None)], ['a', 'b']) is None
    assert summary([planted(1.0)], ['a', 'b']) is None
    earlier = observation(distance_from_identity={'a': 1.0}, distance_from_relu={'a': 1.0})
    assert summary([earlier], ['a']) is None
