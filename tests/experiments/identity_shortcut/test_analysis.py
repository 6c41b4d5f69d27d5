"""Planted Jacobians and gradients come out as they were planted."""

import dataclasses
import json
import math

import pytest
from planted import observation

from experiments.identity_shortcut.analysis import analyse, beyond, same_shape, summary
from vggres.networks import grammar


def test_the_analysis_finds_what_was_planted(sweep):
    verdict = analyse(sweep)
    json.dumps(dataclasses.asdict(verdict), allow_nan=False)  # what verdict.json can hold
    networks = {network.variant: network for network in verdict.networks}
    half = networks['shortcut × 0.5']
    assert half.blocks == 9
    assert half.fall == pytest.approx(2 * [8 * math.log10(2)])
    assert half.beyond.mean == pytest.approx(8 * math.log10(2))
    assert half.expected == pytest.approx(8 * math.log10(2))
    assert networks['both × 0.5'].expected == half.expected
    assert networks['shortcut × 1.1'].expected < 0
    for variant in ('shortcut × 0', 'identity', 'branch × 0.5', 'shortcut-only gate, bias 0'):
        assert networks[variant].expected is None
    assert half.chain == 1
    found = networks['identity'].after
    assert found.n == 7  # nine blocks, two change the shape
    near = found.distance_from_identity
    assert near.mean == pytest.approx(0.25)
    assert near.interval is None  # equal values do not tell their spread
    assert near.close == 1
    assert found.distance_from_relu.mean == pytest.approx(0.05)
    assert (found.largest, found.smallest) == pytest.approx((2, 0.5))
    assert found.mean_squared == pytest.approx(1.5)


def test_a_fall_is_measured_against_the_identity_of_the_same_draw():
    more = beyond([1.0, 3.0, None], [0.5, 1.5, 2.0])
    assert more.mean == 1
    # Differences 0.5 and 1.5: a standard error of 0.5 and Student's 12.706.
    assert more.interval == pytest.approx([1 - 6.353, 1 + 6.353], abs=1e-3)
    assert beyond([1.0], []).mean is None


def test_what_is_not_finite_or_missing_leaves_the_rest(sweep):
    first, second, *_ = sweep.cells
    lines = (first.directory / 'probes.jsonl').read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row |= {key: dict.fromkeys(value) for key, value in row.items() if isinstance(value, dict)}
    text = ''.join(json.dumps(row) + '\n' for row in rows)
    (first.directory / 'probes.jsonl').write_text(text)
    (second.directory / 'probes.jsonl').unlink()
    verdict = analyse(sweep)
    assert len(verdict.networks) == 14
    assert verdict.networks[0].before is None


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


def test_a_zero_singular_value_has_a_mean_of_zero():
    planted = observation(
        distance_from_identity={'a': 1.0, 'b': 3.0},
        distance_from_relu={'a': 0.5, 'b': 0.6},
        largest_singular_value={'a': 1.0, 'b': 4.0},
        smallest_singular_value={'a': 0.0, 'b': 1.0},
        mean_squared_singular_value={'a': 1.0, 'b': 9.0},
    )
    found = summary([planted], ['a', 'b'])
    means = found.largest, found.smallest, found.mean_squared
    assert means == pytest.approx((2, 0, 3))
    near = found.distance_from_identity
    assert near.close == 0
    assert near.mean == pytest.approx(3**0.5)  # of 1 and 3
    # Logarithms 0 and log 3: a standard error of log √3, Student's 12.706.
    assert near.interval == pytest.approx([3 ** (0.5 - 6.353), 3 ** (0.5 + 6.353)], rel=1e-3)
    assert found.distance_from_relu.close == 0.5
    assert summary([], ['a']) is None
    assert summary([planted], []) is None
