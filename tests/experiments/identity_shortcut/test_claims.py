"""Planted Jacobians decide the claim each way."""

import planted
import pytest

from experiments.identity_shortcut.analysis import (
    Distance,
    Excess,
    Jacobians,
    ShortcutNetwork,
    ShortcutVerdict,
    analyse,
)
from experiments.identity_shortcut.claims import CLAIMS, CLOSE, DEEP
from vggres.findings.claims import Evidence, judge
from vggres.findings.contrasts import Word

(IDENTITY,) = CLAIMS
BLOCKS = 25


def jacobians(distance, relu):
    return distance and Jacobians(
        distance_from_identity=Distance(distance, None, 0.5),
        distance_from_relu=Distance(relu, None, 0.5),
        largest=1.0,
        smallest=1.0,
        mean_squared=1.0,
        n=BLOCKS,
    )


def network(before, after, seed=0, variant='identity, preactivation', depth=56, error=0.0):
    """A network by the distances of its blocks before and after training; they differ by seed."""
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
        fall=(0.0,),
        beyond=Excess(0.0, None, 1),
        expected=None,
        chain=1.0,
        before=jacobians(before * spread, 0.01),
        after=jacobians(after and after * spread, 0.01),
    )


def found(networks):
    evidence = Evidence([planted.result()], ShortcutVerdict(tuple(networks)), {})
    (finding,) = judge([IDENTITY], {'identity_shortcut': evidence})
    return finding


def seeds(before, after, n=8, **values):
    return [network(before, after, seed, **values) for seed in range(n)]


NEAR, DISTANT = 0.08, 0.34  # √25 · 0.08 = 0.4, and √25 · 0.34 = 1.7, as in preactivation blocks


@pytest.mark.parametrize(
    ('before', 'after', 'status'),
    [
        (NEAR, NEAR, 'holds'),
        (DISTANT, DISTANT, 'fails'),
        (DISTANT, NEAR, 'mixed'),
        (0.1, 0.1, 'fails'),  # √25 · 0.1 = 0.5 at the first seed, and more at others
        (0.0965, 0.0965, 'inconclusive'),
    ],
)
def test_many_small_deviations_are_far_from_the_identity(before, after, status):
    finding = found(seeds(before, after))
    assert finding.status == status
    value = finding.judged[0].contrast.value
    assert value == pytest.approx(5 * before * 1.035)  # the mean of 1, 1.01, … 1.07
    assert [each.contrast.n for each in finding.judged] == [8, 8]  # and not blocks


def test_one_seed_is_one_value_whatever_the_number_of_blocks():
    finding = found(seeds(DISTANT, DISTANT, n=1))
    assert finding.status == 'inconclusive'
    assert [each.contrast.n for each in finding.judged] == [1, 1]


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
    described = [each.where['activation'] for each in finding.descriptions]
    assert Word.POSTACTIVATION_WITHOUT_RELU in described


def test_the_claim_reads_what_the_analysis_finds(sweep):
    evidence = Evidence(sweep.results(), analyse(sweep), sweep.depths())
    (finding,) = judge([IDENTITY], {'identity_shortcut': evidence})
    assert len(finding.judged) == 4
    assert finding.status == 'not measured'  # 20 layers are too few
    # Planted: a distance of 0.25, and a fifth of it with the ReLU left out.
    assert {round(each.value, 6) for each in finding.descriptions} == {0.25, 0.05}


def test_the_texts_quote_the_margin():
    assert all(f'{CLOSE:g}' in IDENTITY.criterion[language] for language in ('en', 'zh'))
