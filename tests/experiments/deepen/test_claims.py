"""Planted updates and errors decide the claims each way."""

import dataclasses
import math

import pytest

from experiments.deepen.analysis import Held, analyse
from experiments.deepen.claims import CLAIMS
from experiments.deepen.question import ORTHOGONAL
from vggres.findings.claims import Evidence, judge
from vggres.findings.contrasts import Status, Word

CAPACITY, START, FADING = CLAIMS


def found(claim, verdict):
    (finding,) = judge([claim], {'deepen': Evidence([], verdict, {})})
    return finding


def of_orthogonal(finding):
    (judged,) = (
        each for each in finding.judged if each.contrast.where['start'] is Word.DELTA_ORTHOGONAL
    )
    return judged


def replanted(verdict, **updates):
    """The verdict with other updates of some arms, by the last word of their names."""
    arms = [
        dataclasses.replace(arm, updates=dict(enumerate(updates[arm.arm.split('-')[-1]])))
        if arm.arm.split('-')[-1] in updates and arm.depth == 44
        else arm
        for arm in verdict.starts.arms
    ]
    return dataclasses.replace(
        verdict, starts=dataclasses.replace(verdict.starts, arms=tuple(arms))
    )


def test_an_orthogonal_start_that_is_as_fast_as_the_residual_network_is_true(sweep):
    """By hand: the logarithms of 50/40, 55/45 and 60/50 are below log 2 with little spread.

    Each run counts in the middle between two looks, five updates apart. Three runs do not exclude
    that a third of them misses the error, and eight do.
    """
    pairs = (47.5, 37.5), (52.5, 42.5), (57.5, 47.5)
    judged = of_orthogonal(found(START, analyse(sweep)))
    assert judged.contrast.value == pytest.approx(sum(math.log(a / b) for a, b in pairs) / 3)
    assert judged.answer is None
    assert 'in 0 of 3 runs' in judged.contrast.remark['en']
    eight = {
        'orthogonal': (50, 55, 60, 50, 55, 60, 50, 55),
        'resnet': (40, 45, 50, 40, 45, 50, 40, 45),
    }
    finding = found(START, replanted(analyse(sweep), **eight))
    answers = [each.answer for each in finding.judged]
    assert answers == [False, True, False]  # Dirac: 2.7 times as slow, looks-linear: 5.4 times
    assert finding.status is Status.MIXED
    assert finding.control.passed
    assert 'plain-44 from He' in finding.control.words['en']


def test_an_orthogonal_start_that_is_slow_is_false(sweep):
    verdict = replanted(analyse(sweep), orthogonal=(200, 210, 205))
    assert of_orthogonal(found(START, verdict)).answer is False


def test_runs_that_the_budget_ended_can_only_refute(sweep):
    verdict = analyse(sweep)
    slow = replanted(verdict, orthogonal=(None, None, 395))
    assert of_orthogonal(found(START, slow)).answer is False
    # The budget of 400 stands for the last run, which may take any number more. Plain networks from
    # He's weights take more than 400: the control is passed.
    unknown = replanted(
        verdict, orthogonal=(100, 100, None), resnet=(110, 110, 200), plain=(None, None, None)
    )
    finding = found(START, unknown)
    assert finding.control.passed
    assert of_orthogonal(finding).answer is None
    assert of_orthogonal(finding).contrast.barrier.status is Status.BUDGET


def test_a_rate_at_the_edge_of_the_grid_decides_nothing(sweep):
    verdict = analyse(sweep)
    arms = [
        dataclasses.replace(arm, tuned=dataclasses.replace(arm.tuned, edge='lowest'))
        if arm.arm == ORTHOGONAL
        else arm
        for arm in verdict.starts.arms
    ]
    starts = dataclasses.replace(verdict.starts, arms=tuple(arms))
    judged = found(START, dataclasses.replace(verdict, starts=starts)).judged
    barriers = [each.contrast.barrier for each in judged]
    assert [each is not None for each in barriers] == [False, True, False]
    assert 'plain, delta-orthogonal-44 (0.01) lies at the edge' in barriers[1].words['en']


def test_without_a_disease_or_a_residual_network_that_trains_nothing_is_said(sweep):
    verdict = analyse(sweep)
    for updates in ({'plain': (60, 60, 65)}, {'resnet': (None, None, 400)}):
        assert not found(START, replanted(verdict, **updates)).control.passed


def held(final, rate_of='plain-44', start=()):
    seeds = tuple(range(len(final)))
    start = start or (0.0,) * len(final)
    return Held(44, 0.003, rate_of, 0, 200, seeds, start, final, final, 'keeps')


@pytest.mark.parametrize(
    ('final', 'answer'),
    [
        ((0.1, 0.2, 0.0, 0.1, 0.2, 0.0, 0.1, 0.2), True),
        ((0.1, 0.2, 0.0), None),  # a third of all runs may still lose it
        ((60.0, 70.0, 65.0), False),
        ((0.0, 0.0, 90.0), None),
    ],
)
def test_what_a_deep_network_can_hold(sweep, final, answer):
    verdict = dataclasses.replace(analyse(sweep), held=(held(final),))
    assert found(CAPACITY, verdict).judged[0].answer is answer


def test_only_the_rate_of_the_new_depth_counts(sweep):
    verdict = dataclasses.replace(analyse(sweep), held=(held((0.0, 0.1, 0.0), 'plain-20'),))
    contrast = found(CAPACITY, verdict).judged[0].contrast
    assert contrast.barrier.status is Status.NOT_MEASURED


def test_what_a_network_without_its_shortcuts_has_lost(sweep):
    """By hand: 1, 1.1 and 1.2 % in the end, minus 3, 3.3 and 3.6 %, at the rate of plain-44."""
    finding = found(FADING, analyse(sweep))
    (judged,) = finding.judged
    assert judged.contrast.value == pytest.approx(-2.2)
    assert judged.answer is None
    assert 'above its solution in 0 of 3 runs' in judged.contrast.remark['en']
    assert finding.control.passed
    assert 'ResNet-44 reaches 5 % training error in 3 of 3 runs' in finding.control.words['en']
    assert 'down to 3.3 % in the mean, and to 3.6 % in the worst' in finding.control.words['en']
    highest = FADING.describe(Evidence([], analyse(sweep), {}))
    assert [each.value for each in highest] == pytest.approx([4.4, 66.0])


@pytest.mark.parametrize(
    ('final', 'answer'),
    [
        ((1.0, 1.2, 0.8, 1.0, 1.2, 0.8, 1.0, 1.1), True),
        ((60.0, 70.0, 65.0), False),
        ((1.0, 1.0, 90.0), None),
    ],
)
def test_only_the_rate_of_the_plain_network_decides_what_fading_does(sweep, final, answer):
    high = held((90.0, 91.0, 90.0), 'resnet-44')
    verdict = dataclasses.replace(analyse(sweep), faded=(held(final), high))
    assert found(FADING, verdict).judged[0].answer is answer
    alone = dataclasses.replace(verdict, faded=(high,))
    assert found(FADING, alone).judged[0].contrast.barrier.status is Status.NOT_MEASURED
    assert found(FADING, alone).control.passed is None
    both = dataclasses.replace(
        verdict, faded=(dataclasses.replace(held(final), rate_of='resnet-44 and plain-44'),)
    )
    assert found(FADING, both).judged[0].answer is answer


def test_without_a_residual_network_that_trains_there_is_nothing_to_lose(sweep):
    """Shortcuts that stay have to suffice in every run, and those that fade as well."""
    verdict = analyse(sweep)
    assert found(FADING, verdict).control.passed
    assert not found(FADING, replanted(verdict, resnet=(40, 45, None))).control.passed
    unsolved = held((8.0, 8.1, 8.2), start=(8.0, 0.0, 0.0))
    finding = found(FADING, dataclasses.replace(verdict, faded=(unsolved,)))
    assert not finding.control.passed
    assert finding.status is not Status.HOLDS
