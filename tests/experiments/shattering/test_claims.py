"""Planted slopes decide the claim each way."""

import planted
import pytest

from experiments.shattering.analysis import (
    SLOPE_MARGIN,
    Shattering,
    ShatteringNetwork,
    ShatteringVerdict,
    _difference,
    analyse,
)
from experiments.shattering.claims import CLAIMS
from vggres.findings.claims import Evidence, judge
from vggres.findings.contrasts import Word

(SHATTERING,) = CLAIMS


def found_at(slopes):
    fields = {'correlation': (0.5,), 'rank': (2.0,), 'neighbours': (0.5,), 'autocorrelation': {}}
    return Shattering(layers=(2,), halvings=tuple(slopes), **fields)


def network(family, norm, seed, slope, depth=56):
    """A network with two draws around a slope before training, and none left after it."""
    spread = 0.01 * seed
    return ShatteringNetwork(
        variant=f'{family}, {norm}',
        family=family,
        norm=norm,
        depth=depth,
        seed=seed,
        train_error=0.0,
        law=(0.5,),
        before=found_at((slope + spread, slope + 2 * spread)),
        after=found_at((0.0,)),
    )


def judged(batch, none, n=5, depth=56):
    """The finding where plain networks fall by so much faster with batch norm and without."""
    networks = [
        network(
            family, norm, seed, 0.1 + (more if family == 'plain' else 0) * (1 + seed / 50), depth
        )
        for norm, more in (('batch', batch), ('none', none))
        for family in ('plain', 'resnet')
        for seed in range(n)
    ]
    moments = ('before training', 'after training')
    differences = [
        _difference(networks, norm, depth, m) for norm in ('batch', 'none') for m in moments
    ]
    verdict = ShatteringVerdict(tuple(networks), tuple(differences))
    evidence = Evidence([planted.result()], verdict, {})
    (finding,) = judge([SHATTERING], {'shattering': evidence})
    return finding


@pytest.mark.parametrize(
    ('batch', 'none', 'status'),
    [
        (0.6, 0.2, 'holds'),
        (0.0, 0.0, 'fails'),
        (-0.3, 0.05, 'fails'),
        (0.6, 0.05, 'mixed'),
        (0.6, SLOPE_MARGIN / 1.04, 'inconclusive'),
    ],
)
def test_the_difference_decides(batch, none, status):
    finding = judged(batch, none)
    assert finding.status == status
    assert [each.contrast.where['norm'] for each in finding.judged] == [
        Word.BATCH_NORM,
        Word.NO_NORM,
    ]
    assert [each.contrast.n for each in finding.judged] == [10, 10]  # draws before training
    assert finding.judged[0].contrast.value == pytest.approx(batch * 1.04)


def test_a_single_network_decides_nothing():
    finding = judged(0.6, 0.6, n=1)
    assert finding.status == 'inconclusive'


def test_shallow_networks_say_nothing():
    finding = judged(0.6, 0.6, depth=20)
    assert finding.status == 'not measured'
    assert '50 layers or more' in finding.judged[0].contrast.barrier.words['en']


def test_after_training_is_descriptive():
    after = [d for d in judged(0.6, 0.2).descriptions if d.where['when'] is Word.AFTER_TRAINING]
    assert {(each.value, each.n) for each in after} == {(0.0, 5)}


def test_the_claim_reads_what_the_analysis_finds(sweep):
    evidence = Evidence(sweep.results(), analyse(sweep), sweep.depths())
    (finding,) = judge([SHATTERING], {'shattering': evidence})
    assert finding.status == 'not measured'  # 20 layers are too few
    # The mean of two seeds with two draws each: 0.25 + 0.01.
    before = finding.descriptions[0]
    assert (before.value, before.n) == (pytest.approx(0.26), 4)
