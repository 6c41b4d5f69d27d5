"""Planted cosines decide the claim each way."""

import planted
import pytest

from experiments.collapse.analysis import (
    COSINE_MARGIN,
    CollapseNetwork,
    CollapseVerdict,
    Features,
    analyse,
    difference,
)
from experiments.collapse.claims import CLAIMS
from vggres.findings.claims import Evidence, judge

(COLLAPSE,) = CLAIMS


def network(family, norm, seed, cosine, depth):
    """A network with two draws around a cosine before training, and one run after it."""
    draws = cosine + 0.01 * seed, cosine + 0.02 * seed
    return CollapseNetwork(
        variant=f'{family}, {norm}',
        family=family,
        norm=norm,
        depth=depth,
        seed=seed,
        train_error=0.0,
        before=Features((2,), (cosine,), (1.0,), draws),
        after=Features((2,), (0.25,), (1.0,), (0.25,)),
    )


def judged(batch, none, n=5, depth=56):
    """The finding where the cosine of plain networks is larger by so much under each norm."""
    networks = [
        network(family, norm, seed, 0.3 + (family == 'plain') * more * (1 + seed / 50), depth)
        for norm, more in (('batch', batch), ('none', none))
        for family in ('plain', 'resnet')
        for seed in range(n)
    ]
    differences = [
        difference(networks, norm, depth, 'before training') for norm in ('batch', 'none')
    ]
    verdict = CollapseVerdict(tuple(networks), tuple(differences))
    (finding,) = judge([COLLAPSE], {'collapse': Evidence([planted.result()], verdict, {})})
    return finding


@pytest.mark.parametrize(
    ('batch', 'none', 'status'),
    [
        (0.3, 0.4, 'holds'),
        (0.0, 0.05, 'fails'),
        (-0.2, 0.4, 'mixed'),
        (0.3, COSINE_MARGIN / 1.04, 'inconclusive'),
    ],
)
def test_the_difference_decides(batch, none, status):
    finding = judged(batch, none)
    assert finding.status == status
    assert [each.contrast.n for each in finding.judged] == [10, 10]  # draws before training
    assert finding.judged[1].contrast.value == pytest.approx(none * 1.04)


def test_few_or_shallow_networks_decide_nothing():
    assert judged(0.3, 0.3, n=1).status == 'inconclusive'
    assert judged(0.3, 0.3, depth=20).status == 'not measured'


def test_the_claim_reads_what_the_analysis_finds(sweep):
    evidence = Evidence(sweep.results(), analyse(sweep), sweep.depths())
    (finding,) = judge([COLLAPSE], {'collapse': evidence})
    assert finding.status == 'not measured'  # 20 layers are too few
    assert len(finding.descriptions) == 8  # four kinds of networks, before and after
    before = finding.descriptions[0]
    assert (before.value, before.n) == (pytest.approx(0.8), 4)
