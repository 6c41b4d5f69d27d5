"""Planted curvature decides the claim each way."""

import math

import planted
import pytest

from experiments.landscape.analysis import CurvatureNetwork, LandscapeVerdict, Look, analyse
from experiments.landscape.claims import CLAIMS, SHARPER
from vggres.findings.claims import Evidence, judge

DEPTHS = (8, 20, 56)


def network(family, depth, seed, end, error):
    looks = (Look(0, 1.0, 0.01, 0.001, 4.0), Look(10, end, 0.01, 0.01, 4.0))
    failed = error >= 45
    return CurvatureNetwork(family, depth, seed, failed, error, 0.5, looks, end)


def found(ratio, errors=None, n=8, depths=DEPTHS, status='finished'):
    """What is found where plain-56 is so many times as sharp as ResNet-56, with some spread."""
    networks, results = [], []
    for family in ('plain', 'resnet'):
        for depth in depths:
            for seed in range(n):
                is_deep = (family, depth) == ('plain', 56)
                end = 100 * (ratio * 1.1 ** (seed % 3 - 1) if is_deep else 1)
                error = (errors or {}).get((family, depth, seed), 0.0)
                networks.append(network(family, depth, seed, end, error))
                results.append(planted.result(family, depth, seed, error))
    planned = {family: set(depths) for family in ('plain', 'resnet')}
    verdict = LandscapeVerdict((), tuple(networks), 3.8)
    (finding,) = judge(CLAIMS, {'landscape': Evidence(results, verdict, planned)})
    return finding


@pytest.mark.parametrize(
    ('ratio', 'status'),
    [
        (4.0, 'holds'),
        (1.0, 'fails'),  # the same is not sharper
        (0.25, 'fails'),
        (1.5, 'fails'),  # less than a doubling
        (2.0 * 1.01, 'inconclusive'),
    ],
)
def test_the_ratio_decides(ratio, status):
    finding = found(ratio)
    assert finding.status == status
    (judged,) = finding.judged
    # The seeds 0 to 7 have −1, 0, 1, −1, 0, 1, −1, 0 times the spread.
    assert judged.contrast.value == pytest.approx(math.log2(ratio) - math.log2(1.1) / 8)
    assert judged.contrast.n == 8


def test_the_criterion_quotes_the_margin():
    (claim,) = CLAIMS
    assert (SHARPER, 2**SHARPER) == (1, 2)
    assert 'true above 1, a factor of 2,' in claim.criterion['en']
    assert '大于 1（即 2 倍）' in claim.criterion['zh']


@pytest.mark.parametrize('family', ['plain', 'resnet'])
def test_a_plateau_is_no_solution(family):
    finding = found(4.0, {(family, 56, 3): 90.0})
    assert finding.status == 'budget insufficient'
    (judged,) = finding.judged
    if family == 'plain':
        words = judged.contrast.barrier.words['en']
        assert words.startswith('1 of the 16 runs that are compared have a training error above 5')
    assert found(4.0, {(family, 56, 3): 5.5}).status == 'budget insufficient'
    assert found(4.0, {(family, 56, 3): 4.5}).status == 'holds'


def test_a_shallow_network_that_does_not_train_stops_the_claim():
    errors = {('plain', 20, seed): 80.0 for seed in range(8)}
    assert found(4.0, errors).status == 'budget insufficient'


def test_shallow_or_few_networks_decide_nothing():
    finding = found(4.0, depths=(8, 20, 32))
    assert finding.status == 'not measured'
    assert found(4.0, n=1).status == 'inconclusive'


def test_what_stands_beside_it():
    finding = found(4.0)
    shown = [(each.where['depth'], each.value) for each in finding.descriptions]
    seen = math.log2(4) - math.log2(1.1) / 8
    expected = [(56, 0), (56, seen), (56, seen), (8, 0), (20, 0)]
    assert shown == [(depth, pytest.approx(value)) for depth, value in expected]


def test_the_planted_sweep_is_judged(sweep):
    """Plain-56 is 28 times as sharp in both seeds; two equal values cannot decide."""
    evidence = Evidence(sweep.results(), analyse(sweep), sweep.depths())
    (finding,) = judge(CLAIMS, {'landscape': evidence})
    assert finding.control.passed
    assert finding.status == 'inconclusive'
    assert finding.judged[0].contrast.value == pytest.approx(math.log2(28))
