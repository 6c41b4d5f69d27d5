"""Planted Jacobians decide the claim each way."""

import planted
import pytest

from experiments.identity_shortcut.analysis import (
    Excess,
    ShortcutNetwork,
    ShortcutVerdict,
    analyse,
)
from experiments.identity_shortcut.claims import CLAIMS
from experiments.identity_shortcut.jacobians import CLOSE, Distance, Jacobians
from vggres.findings.claims import Evidence, judge
from vggres.findings.contrasts import Word
from vggres.findings.controls import DEEP

(IDENTITY,) = CLAIMS


def distance(roots):
    """A distance of which only what the claim reads is planted: √Σd² of each draw."""
    return Distance(by_block=(0.0,), total=0.0, root=0.0, interval=None, roots=tuple(roots))


def jacobians(roots):
    return roots and Jacobians(
        blocks=('stage1/block1',),
        from_identity=distance(roots),
        from_relu=distance([0.01 for _ in roots]),
        spectral_norm=1.0,
        gain=1.0,
        coupling=0.0,
        draws=len(roots),
    )


def network(before, after, seed=0, variant='identity, preactivation', depth=56, error=0.0):
    """A network by its √Σd² in two draws before training and in its run after it."""
    spread = 1 + 0.01 * seed
    return ShortcutNetwork(
        cell='',
        variant=variant,
        family='resnet',
        depth=depth,
        seed=seed,
        status='finished',
        train_error=error,
        blocks=27,
        kept=('stage1/block1',),
        fall=(0.0,),
        beyond=Excess(0.0, None, 1),
        shortest=None,
        branches=None,
        chain=1.0,
        before=jacobians((before * spread, before * spread)),
        after=jacobians(after and (after * spread,)),
    )


def found(networks):
    evidence = Evidence([planted.result()], ShortcutVerdict(tuple(networks)), {})
    (finding,) = judge([IDENTITY], {'identity_shortcut': evidence})
    return finding


def seeds(before, after, n=8, **values):
    return [network(before, after, seed, **values) for seed in range(n)]


NEAR, DISTANT = 0.4, 1.7  # 25 blocks of 0.08 each, and of 0.34


@pytest.mark.parametrize(
    ('before', 'after', 'status'),
    [
        (NEAR, NEAR, 'holds'),
        (DISTANT, DISTANT, 'fails'),
        (DISTANT, NEAR, 'mixed'),
        (CLOSE, CLOSE, 'fails'),  # at the first seed, and more at others
        (0.965 * CLOSE, 0.965 * CLOSE, 'inconclusive'),
    ],
)
def test_the_networks_together_decide(before, after, status):
    finding = found(seeds(before, after))
    assert finding.status == status
    value = finding.judged[0].contrast.value
    assert value == pytest.approx(before * 1.035)  # the mean of 1, 1.01, … 1.07
    # Draws before training, and runs after it.
    assert [each.contrast.n for each in finding.judged] == [16, 8]


def test_one_run_decides_nothing_however_many_blocks_it_has():
    finding = found(seeds(NEAR, NEAR, n=1))
    assert finding.status == 'inconclusive'
    assert [each.contrast.n for each in finding.judged] == [2, 1]


def test_other_shortcuts_and_shallow_networks_say_nothing():
    assert found(seeds(NEAR, NEAR, variant='shortcut × 0')).status == 'not measured'
    shallow = found(seeds(NEAR, NEAR, depth=20))
    assert shallow.status == 'not measured'
    assert f'{DEEP} layers or more' in shallow.judged[0].contrast.barrier.words['en']


def test_after_training_a_network_has_to_have_trained():
    finding = found(seeds(NEAR, NEAR, error=80.0))
    assert [each.answer for each in finding.judged] == [True, None]
    assert finding.judged[1].contrast.barrier.status == 'budget insufficient'
    assert found(seeds(NEAR, None)).judged[1].contrast.barrier.status == 'not measured'


def test_the_distance_from_a_relu_is_descriptive():
    """A criterion that came after the data must not decide: the distance to it is planted tiny."""
    finding = found(seeds(DISTANT, DISTANT, variant='identity'))
    assert finding.status == 'fails'
    before, after = finding.descriptions
    for each, n in ((before, 16), (after, 8)):
        assert each.where['activation'] is Word.POSTACTIVATION_WITHOUT_RELU
        assert (each.value, each.n) == (pytest.approx(0.01), n)


def test_smaller_depths_are_descriptive():
    shallow = seeds(NEAR, NEAR, n=2, depth=20)
    finding = found(seeds(DISTANT, DISTANT) + shallow)
    assert [each.contrast.value > CLOSE for each in finding.judged] == [True, True]
    assert [each.where['depth'] for each in finding.descriptions] == [20, 20]
    assert finding.descriptions[0].value == pytest.approx(NEAR * 1.005)


def test_the_claim_reads_what_the_analysis_finds(sweep):
    evidence = Evidence(sweep.results(), analyse(sweep), sweep.depths())
    (finding,) = judge([IDENTITY], {'identity_shortcut': evidence})
    assert len(finding.judged) == 4
    assert finding.status == 'not measured'  # 20 layers are too few
    # Seven blocks at a fifth of 0.25 with the ReLU left out, in two draws and after one run.
    assert {(round(each.value, 6), each.n) for each in finding.descriptions} == {
        (round(0.05 * 7**0.5, 6), 2),
        (round(0.05 * 7**0.5, 6), 1),
    }


def test_the_texts_quote_the_margin():
    assert all(f'{CLOSE:g}' in IDENTITY.criterion[language] for language in ('en', 'zh'))
