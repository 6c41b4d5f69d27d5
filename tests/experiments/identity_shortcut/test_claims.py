"""Planted Jacobians decide the claim each way."""

import pytest

from experiments.identity_shortcut.analysis import (
    Excess,
    ShortcutNetwork,
    ShortcutVerdict,
    analyse,
)
from experiments.identity_shortcut.claims import CLAIMS
from experiments.identity_shortcut.jacobians import CLOSE, Distance, Jacobians
from vggres.findings.claims import Evidence, Word

(IDENTITY,) = CLAIMS
PREACTIVATION = 'identity, preactivation'


def distance(roots):
    """A distance of which only what the claim reads is planted."""
    return Distance(by_block=(0.0,), total=0.0, root=0.0, interval=None, roots=tuple(roots))


def network(before=None, after=None, variant=PREACTIVATION, relu=None, seed=0):
    """A network by its √Σd² for each draw, before and after training."""

    def found(roots):
        return roots and Jacobians(
            blocks=('stage1/block1',),
            from_identity=distance(roots),
            from_relu=distance(relu or roots),
            spectral_norm=1.0,
            gain=1.0,
            coupling=0.0,
            draws=len(roots),
        )

    return ShortcutNetwork(
        cell='',
        variant=variant,
        family='resnet',
        depth=56,
        seed=seed,
        status='finished',
        train_error=0.0,
        blocks=27,
        kept=('stage1/block1',),
        fall=(0.0,),
        beyond=Excess(0.0, None, 1),
        shortest=None,
        branches=None,
        chain=1.0,
        before=found(before),
        after=found(after),
    )


def cases(*networks):
    return list(IDENTITY.measure(Evidence([], ShortcutVerdict(networks), {})))


@pytest.mark.parametrize(
    ('roots', 'holds'),
    [
        ((0.10, 0.11, 0.12), True),
        ((2.0, 2.1, 2.2), False),
        ((0.2, 0.5, 0.8), None),
        ((0.1,), None),  # one network decides nothing, however near it is
        ((9.0,), None),
    ],
)
def test_the_networks_together_decide(roots, holds):
    (case,) = cases(network(before=roots))
    assert case.holds is holds
    assert case.n == len(roots)
    assert case.value == pytest.approx(sum(roots) / len(roots))
    assert case.where['when'] is Word.BEFORE_TRAINING


def test_seeds_are_pooled_and_blocks_are_not():
    before, after = cases(
        network(before=(0.1, 0.2), after=(2.0,)),
        network(before=(0.3, 0.4), after=(2.2,), seed=1),
    )
    assert (before.n, after.n) == (4, 2)
    assert before.value == pytest.approx(0.25)
    # 2.0 and 2.2: a standard error of 0.1, and Student's 12.706.
    assert after.interval == pytest.approx((2.1 - 1.2706, 2.1 + 1.2706), abs=1e-3)
    assert after.where['when'] is Word.AFTER_TRAINING


def test_only_identity_shortcuts_count_and_the_last_relu_is_a_case_of_its_own():
    assert cases(network(before=(0.1, 0.1), variant='shortcut × 0')) == []
    whole, without = cases(network(before=(2.0, 2.1), variant='identity', relu=(0.1, 0.11)))
    assert (whole.holds, without.holds) == (False, True)
    assert whole.where['activation'] is Word.POSTACTIVATION
    assert without.where['activation'] is Word.POSTACTIVATION_WITHOUT_RELU


def test_the_claim_reads_what_the_analysis_finds(sweep):
    found = list(IDENTITY.measure(Evidence(sweep.results(), analyse(sweep), sweep.depths())))
    assert len(found) == 6
    assert {case.where['depth'] for case in found} == {20}
    # Seven blocks at 0.25, before training in two draws, and after it in one run.
    root = 0.25 * 7**0.5
    assert {round(case.value, 6) for case in found} == {round(root, 6), round(root / 5, 6)}
    assert {(case.where['when'], case.n) for case in found} == {
        (Word.BEFORE_TRAINING, 2),
        (Word.AFTER_TRAINING, 1),
    }


def test_the_texts_quote_the_threshold_and_say_what_is_exploratory():
    assert all(f'{CLOSE:g}' in IDENTITY.criterion[language] for language in ('en', 'zh'))
    assert 'exploratory' in IDENTITY.criterion['en']
    assert '探索性' in IDENTITY.criterion['zh']
