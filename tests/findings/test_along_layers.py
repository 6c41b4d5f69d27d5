"""Planted profiles are judged as they were planted."""

import math

import numpy as np
import pytest

from vggres.findings import along_layers
from vggres.networks import grammar


@pytest.mark.parametrize(
    ('per_layer', 'judgement'),
    [(0.1, 'shrinks'), (-0.1, 'grows'), (0.001, 'level'), (0.02, 'inconclusive')],
)
def test_a_planted_slope_is_judged(per_layer, judgement):
    positions = np.arange(1, 52)  # 50 layers: 5, 0.05 or 1 decades
    random = np.random.default_rng(0)
    draws = [10 ** (per_layer * positions + 0.05 * random.normal(size=51)) for _ in range(5)]
    found = along_layers.change(draws, positions)
    assert found.decades == pytest.approx(50 * per_layer, abs=0.05)
    assert found.per_layer == pytest.approx(per_layer, abs=0.001)
    assert found.n == 5
    assert along_layers.judge(found) == judgement


def test_ends_and_spread_by_hand():
    draws = [[1e-4, 1e-3, 1e-2], [1e-5, 1e-3, 1e-1]]
    found = along_layers.change(draws, [1, 2, 3])
    assert found.decades == pytest.approx(3)  # 2 and 4
    # Student's quantile for one degree of freedom is 12.706; the standard error of 2 and 4 is 1.
    assert found.interval == pytest.approx([3 - 12.706, 3 + 12.706], abs=1e-3)
    assert found.r_squared == pytest.approx(1)
    assert found.first_to_last == pytest.approx((1e-2 + 1e-4) / 2)  # the median of two
    assert along_layers.judge(found) == 'inconclusive'


def test_one_draw_has_the_interval_of_its_fit():
    found = along_layers.change([[1e-6, 1e-4, 1e-2, 1.0]], [2, 4, 6, 8])
    assert found.interval == pytest.approx([6, 6])
    assert along_layers.judge(found) == 'shrinks'


def test_zeros_vanish_and_jumps_are_not_geometric():
    vanished = along_layers.change([[0.0, 0.0, 1e-3, 1e-2, 1e-1]] * 3, range(5))
    assert vanished.zeros == 2
    assert vanished.first_to_last == 0
    assert along_layers.judge(vanished) == 'vanishes'
    jump = [1.0] * 25 + [1e-9] + [1e3] * 24  # steep on the whole, but no line
    steeper = [2.0 * jump[0], *jump[1:]]  # two draws that differ: equal ones have no interval
    draws = [jump, steeper] * 5
    assert along_layers.judge(along_layers.change(draws, range(50))) == 'irregular'


def test_zero_at_both_ends_is_dead():
    dead = along_layers.change([[0.0, 0.0, 1e-3, 0.0]] * 3, range(4))
    assert along_layers.judge(dead) == 'dead'
    draws = [[1e-6 * factor, 1e-4, 1e-2, 1.0] for factor in (0.9, 1.0, 1.1, 1.2)]
    once = along_layers.change([[0.0, 1e-4, 1e-2, 1.0], *draws], range(4))
    assert along_layers.judge(once) == 'shrinks'


def test_borders_by_hand():
    # Along a side of two pixels a 3×3 kernel meets four of six taps. The last of the seven
    # convolutions is not between the inputs of the first and the last block.
    network_spec = grammar.network_spec('vgg', 8, vgg_stages=3, width=4)  # 2, 2 and 3 convolutions
    parts = [22 / 24, 22 / 24, 10 / 12, 10 / 12, 4 / 6, 4 / 6]  # of 8, 4 and 2 pixels
    expected = -sum(math.log10(part) for part in parts)  # two sides, and the root of the variance
    assert along_layers.padding(network_spec, (8, 8, 1)) == pytest.approx(expected)
    # Stride 2 from 8 pixels: windows around 0, 2, 4 and 6, of which the first lacks a tap.
    network_spec = grammar.network_spec('plain', 8)
    expected = -sum(math.log10(part) for part in (22 / 24, 22 / 24, 11 / 12, 10 / 12))
    assert along_layers.padding(network_spec, (8, 8, 1)) == pytest.approx(expected)


def test_nothing_finite_is_nothing_to_judge():
    found = along_layers.change([[math.nan] * 4], range(4))
    assert found.decades is None
    assert found.not_finite == 4
    assert along_layers.judge(found) == 'inconclusive'


def test_layers_and_blocks_along_the_main_path():
    network_spec = grammar.network_spec('resnet', 14)
    names, positions = along_layers.along(network_spec, 'block')
    assert names == [f'stage{i}/block{j}' for i in (1, 2, 3) for j in (1, 2)]
    assert positions == [2, 4, 6, 8, 10, 12]
    names, positions = along_layers.along(network_spec, 'layer')
    assert len(names) == 12
    assert positions == list(range(2, 14))
