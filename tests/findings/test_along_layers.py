"""Planted profiles are judged as they were planted."""

import math

import numpy as np
import pytest
from planted import observation

from vggres.findings import along_layers
from vggres.findings.estimates import geometric_fit
from vggres.findings.outcomes import CONFIDENCE
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


def test_one_draw_has_numbers_and_no_judgement():
    found = along_layers.change([[1e-6, 1e-4, 1e-2, 1.0]], [2, 4, 6, 8])
    assert found.decades == pytest.approx(6)
    assert found.interval is None
    assert along_layers.judge(found) == 'inconclusive'
    assert along_layers.shape(found) == 'undecided'


def test_zeros_vanish_and_jumps_are_not_geometric():
    vanished = along_layers.change([[0.0, 0.0, 1e-3, 1e-2, 1e-1]] * 3, range(5))
    assert vanished.zeros == 2
    assert vanished.first_to_last == 0
    assert along_layers.judge(vanished) == 'vanishes'
    # A single jump halfway: the parabola is straight, but the line explains 3/4.
    noise = np.random.default_rng(0).normal(0, 0.01, (3, 50))
    jump = np.array([[1e-3] * 25 + [1.0] * 25] * 3) * 10**noise
    found = along_layers.change(jump, range(50))
    assert found.r_squared == pytest.approx(0.75, abs=0.01)
    assert (along_layers.judge(found), along_layers.shape(found)) == ('shrinks', 'uneven')


BLOCKS = np.arange(54)
STAGES = ['8×8'] * 18 + ['4×4'] * 18 + ['2×2'] * 18
DEPTH = BLOCKS / 53
# Energies along one side of 8, 4 and 2 pixels keep these parts; a block has two convolutions.
EIGENVALUES = [(1 + 2 * math.cos(math.pi / (size + 1))) / 3 for size in (8, 4, 2)]
COURSES = {
    'line': (8 * DEPTH, 'geometric'),
    'steep line': (-30 * DEPTH, 'geometric'),
    'square': (8 * DEPTH**2, 'uneven'),
    'square root': (8 * DEPTH**0.5, 'uneven'),
    'borders': (np.cumsum(np.repeat([-2 * math.log10(e) for e in EIGENVALUES], 18)), 'uneven'),
    'steps': (np.cumsum(np.repeat([0.2, 0.02, 0.2], 18)), 'uneven'),  # both ends are equally steep
}


def walks(random, draws, step):
    """Random walks from the last block to the first, in decades a block."""
    return np.cumsum(step * random.normal(size=(draws, len(BLOCKS))), axis=1)[:, ::-1]


@pytest.mark.parametrize(('course', 'expected'), COURSES.values(), ids=COURSES.keys())
def test_only_a_straight_course_is_geometric(course, expected):
    """Five draws each, with noise in each block and with what one layer hands on to the next."""
    random, shapes = np.random.default_rng(0), []
    for _ in range(40):
        noise = 0.05 * random.normal(size=(5, len(BLOCKS))) + walks(random, 5, 0.03)
        found = along_layers.change(10 ** (course + noise), BLOCKS, STAGES)
        assert along_layers.judge(found) == ('shrinks' if course[-1] > 0 else 'grows')
        shapes.append(along_layers.shape(found))
    wrong = {'geometric': 'uneven', 'uneven': 'geometric'}[expected]
    assert shapes.count(wrong) == 0
    assert shapes.count(expected) >= 36


def test_a_line_explains_curves_too():
    """The reason why R² alone tests nothing."""
    for name in ('square', 'square root'):
        found = along_layers.change([10 ** COURSES[name][0]] * 2, BLOCKS)
        assert 0.93 < found.r_squared < 0.96


def test_slopes_of_parts_by_hand():
    # One decade a layer in the first three layers, three decades a layer in the next three.
    row = 10.0 ** np.array([0, 1, 2, 5, 8, 11])
    found = along_layers.change([row, 10 * row], range(6), ['a'] * 3 + ['b'] * 3)
    x, y = np.arange(6) - 2.5, np.log10(row)
    whole = x @ y / (x @ x)
    slopes = {each.part: (each.slope, each.deviation) for each in found.local}
    assert slopes['a'] == pytest.approx((1, 1 / whole - 1))
    assert slopes['b'] == pytest.approx((3, 3 / whole - 1))
    assert [each.part for each in found.local] == ['last end', 'a', 'b']
    # The parabola x² has the slope 2x: from 0 to 10 over the layers 0 … 5, 5 on the whole.
    square = along_layers.change([10.0 ** np.arange(6) ** 2] * 2, range(6))
    assert square.local[0].slope == pytest.approx(10)
    assert square.local[0].deviation == pytest.approx(1)


def test_random_walks_seldom_grow_or_shrink():
    """Without drift, draws are called one of the two in at most 5 % of cases.

    Layers as the unit would call a single walk so much more often: the last assertion shows it.
    """
    random = np.random.default_rng(0)
    judged, single, naive = [], set(), []
    for _ in range(400):
        draws = 10 ** walks(random, 5, 0.3)
        judged.append(along_layers.judge(along_layers.change(draws, BLOCKS)))
        single.add(along_layers.judge(along_layers.change(draws[:1], BLOCKS)))
        low, high = geometric_fit(BLOCKS, draws[0], CONFIDENCE).interval
        naive.append(53 * low > along_layers.DECADES or 53 * high < -along_layers.DECADES)
    assert judged.count('shrinks') + judged.count('grows') <= 0.05 * 400
    assert single == {'inconclusive'}
    assert np.mean(naive) > 0.3


def test_looks_at_one_run_count_once():
    looks = [[1.0, 10.0], [3.0, 30.0], [2.0, 0.0]]
    assert along_layers.typical(looks) == pytest.approx([2, 10])


def test_the_level_of_a_profile():
    assert along_layers.level(np.array([1e-2, 1e-4])) == pytest.approx(-3)
    assert along_layers.level(np.array([0.0, 1e-4, math.nan])) == pytest.approx(-4)
    assert along_layers.level(np.zeros(3)) is None


def test_a_log_normal_product_loses_half_of_its_variance():
    """Each layer multiplies the energy by a log-normal number with mean 1 (mean of log: −σ²/2)."""
    random, variance = np.random.default_rng(0), 0.05
    logs = math.sqrt(variance) * random.normal(size=(1000, 54)) - variance / 2
    energies = np.exp(np.cumsum(logs, axis=1)[:, ::-1])
    # 53 layers lie between: each takes σ²/2 nats of the energy, half as many of the norm.
    expected = 53 * variance / 4 / math.log(10)
    found = along_layers.change(np.sqrt(energies), BLOCKS)
    assert found.decades == pytest.approx(expected, abs=0.1)
    assert along_layers.finite_width(np.sqrt(energies), BLOCKS) == pytest.approx(expected, rel=0.2)
    assert math.isnan(along_layers.finite_width([[0.0, 1.0], [1.0, 1.0]], [1, 2]))


def test_norms_of_gradients_by_hand():
    """The norm is the root mean square times the root of the number of elements."""
    network_spec = grammar.network_spec('plain', 8, width=4)
    names, _ = along_layers.along(network_spec, 'block')
    planted = observation(input_gradient=dict.fromkeys(names, 0.5))
    # The inputs of the three blocks are 8×8×4, 8×8×4 and 4×4×8.
    expected = [0.5 * 16, 0.5 * 16, 0.5 * math.sqrt(128)]
    assert along_layers.norms(planted, network_spec, (8, 8, 1)) == pytest.approx(expected)
    shapes = along_layers.resolutions(network_spec, (8, 8, 1))
    assert shapes == ['8×8×4', '8×8×4', '4×4×8']


def test_zero_at_both_ends_is_dead():
    dead = along_layers.change([[0.0, 0.0, 1e-3, 0.0]] * 3, range(4))
    assert along_layers.judge(dead) == 'dead'
    draws = [[1e-6 * factor, 1e-4, 1e-2, 1.0] for factor in (0.9, 1.0, 1.1, 1.2)]
    once = along_layers.change([[0.0, 1e-4, 1e-2, 1.0], *draws], range(4))
    assert along_layers.judge(once) == 'shrinks'


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


def test_values_count_where_all_of_them_are_finite():
    first = observation(activation={'a': 1.0, 'b': 2.0, 'c': 9.0}, rank={'a': 3.0, 'b': 4.0})
    second = observation(activation={'a': 5.0, 'b': 6.0, 'c': None}, rank={'a': 7.0, 'b': 8.0})
    wanted = ('activation', 'rank'), ('b', 'a')
    found = along_layers.finite_values([first, second], *wanted)
    np.testing.assert_array_equal(found, [[[2, 1], [4, 3]], [[6, 5], [8, 7]]])
    assert along_layers.finite_values([second], ['activation'], ['c']) is None
    assert along_layers.finite_values([first, second], ['activation', 'other'], ['a']) is None
    assert along_layers.finite_values([], *wanted) is None
