"""A control is passed where the networks train that have to, failed or missing otherwise."""

import pytest
from scipy import stats

from vggres.findings import controls
from vggres.findings.controls import Control, both


def test_the_probability_of_failure_is_that_of_another_implementation():
    low, high = stats.binomtest(5, 8).proportion_ci(0.95, method='exact')
    said = controls.failure_probability(5, 8)
    assert said['en'].endswith(f': 95 % interval {100 * low:.0f} to {100 * high:.0f} %')
    assert said['zh'] == f'失败概率的 95% 区间为 {100 * low:.0f}% 至 {100 * high:.0f}%'


@pytest.mark.parametrize(
    ('errors', 'passed'),
    [
        ({8: [0, 0], 56: [1, 3]}, True),
        ({8: [0, 0], 20: [90, 90], 56: [4, 6]}, True),  # 5 points worse, as much as is allowed
        ({8: [0, 0], 56: [0, 10.2]}, False),
        ({8: [3], 110: [78]}, False),
        ({8: [85, 80], 56: [84, 80]}, False),  # no worse, but neither trains
        ({56: [0, 0]}, None),
        ({}, None),
    ],
)
def test_the_deepest_residual_network_fits_no_worse_than_the_shallowest(errors, passed):
    assert controls.residual(errors, 10).passed is passed


@pytest.mark.parametrize(
    ('errors', 'passed'),
    [
        ({8: [0], 20: [2], 56: [85]}, True),
        ({8: [0], 20: [30], 56: [85]}, False),
        ({8: [0], 56: [85]}, None),  # the second network is the one in question
    ],
)
def test_plain_20_fits_no_worse_than_plain_8(errors, passed):
    assert controls.plain(errors, 10).passed is passed


def test_the_words_say_what_was_compared():
    words = controls.residual({8: [0, 1], 110: [78, 84]}, 10).words
    assert words['en'] == (
        'ResNet-110 does not train: its training error is 81.0 %, that of ResNet-8 0.5 % (n = 2)'
    )
    assert '110 层残差网络未能训练：训练误差为 81.0%' in words['zh']


@pytest.mark.parametrize(
    ('first', 'second', 'passed', 'said'),
    [
        (True, True, True, 'a; b'),
        (True, False, False, 'b'),
        (False, False, False, 'a; b'),
        (False, None, None, 'b'),
        (None, True, None, 'a'),
    ],
)
def test_two_controls_have_to_be_passed_both(first, second, passed, said):
    found = both(Control(first, {'en': 'a', 'zh': 'a'}), Control(second, {'en': 'b', 'zh': 'b'}))
    assert (found.passed, found.words['en']) == (passed, said)
