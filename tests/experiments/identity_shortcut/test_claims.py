"""Planted Jacobians decide the claim each way."""

import pytest

from experiments.identity_shortcut.analysis import (
    CLOSE,
    Distance,
    Excess,
    Jacobians,
    ShortcutNetwork,
    ShortcutVerdict,
    analyse,
)
from experiments.identity_shortcut.claims import CLAIMS
from vggres.findings.claims import Evidence, Word, find

(IDENTITY,) = CLAIMS


def jacobians(before, after, variant='identity, preactivation', relu=None):
    """Evidence of one network, by the intervals of its distances before and after training."""

    def found(interval):
        return interval and Jacobians(
            distance_from_identity=Distance(0.5, interval, 0.5),
            distance_from_relu=Distance(0.5, relu or interval, 0.5),
            largest=1.0,
            smallest=1.0,
            mean_squared=1.0,
            n=25,
        )

    network = ShortcutNetwork(
        cell='',
        variant=variant,
        family='resnet',
        depth=56,
        seed=0,
        status='finished',
        train_error=0.0,
        blocks=27,
        fall=(0.0,),
        beyond=Excess(0.0, None, 1),
        shortest=None,
        branches=None,
        chain=1.0,
        before=found(before),
        after=found(after),
    )
    return Evidence([], ShortcutVerdict((network,)), {})


@pytest.mark.parametrize(
    ('before', 'after', 'status'),
    [
        ((0.1, 0.5), (0.2, 0.3), 'holds'),
        ((0.51, 0.6), (0.8, 0.9), 'does not hold'),
        ((0.51, 0.6), (0.1, 0.2), 'holds only if'),
        ((0.4, 0.6), (0.4, 0.6), 'undecided'),
        ((0.1, 0.2), None, 'holds'),  # it diverged
    ],
)
def test_blocks_near_the_identity(before, after, status):
    finding = find(IDENTITY, jacobians(before, after))
    assert finding.status == status
    if status == 'holds only if':
        assert finding.conditions == [(Word.AFTER_TRAINING,)]
    other = find(IDENTITY, jacobians(before, after, 'shortcut × 0'))
    assert other.status == 'not measured'


def test_the_last_relu_of_a_block_is_counted_and_not():
    evidence = jacobians((0.6, 0.7), (0.6, 0.7), 'identity', relu=(0.1, 0.2))
    finding = find(IDENTITY, evidence)
    assert finding.status == 'holds only if'
    assert finding.conditions == [(Word.POSTACTIVATION_WITHOUT_RELU,)]


def test_the_claim_reads_what_the_analysis_finds(sweep):
    finding = find(IDENTITY, Evidence(sweep.results(), analyse(sweep), sweep.depths()))
    assert finding.status == 'holds'
    assert len(finding.cases) == 6
    assert {case.where['depth'] for case in finding.cases} == {20}


def test_the_texts_quote_the_threshold():
    assert all(f'{CLOSE:g}' in IDENTITY.criterion[language] for language in ('en', 'zh'))
