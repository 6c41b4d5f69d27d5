"""Planted responses decide the claims each way."""

import planted
import pytest

from experiments.response.analysis import COMPARED, ResponseNetwork, ResponseVerdict, analyse
from experiments.response.claims import CLAIMS, SMALLER
from vggres.findings.claims import Evidence, judge

SMALL, DEEPER = CLAIMS
TRAINED = {8: 0.0, 20: 0.0, 56: 0.0}


def network(family, depth, seed, response, error=0.0):
    return ResponseNetwork(
        cell='',
        variant=family,
        family=family,
        depth=depth,
        seed=seed,
        status='finished',
        failed=error >= 45,
        train_error=error,
        layers=(1,),
        response=response,
        by_layer=(response,),
        start=1.0,
        parts_before=(),
        parts_after=(),
        expected=(),
        draws=1,
    )


def found(responses, errors=None, n=6):
    """What is found where (family, depth) → response, with a spread of some per cent."""
    errors = {'plain': TRAINED, 'resnet': TRAINED} | (errors or {})
    networks, results = [], []
    for (family, depth), response in responses.items():
        for seed in range(n):
            spread = 1 + (0.02 * (seed % 3 - 1) if family == 'resnet' and depth == 20 else 0)
            error = errors[family][depth]
            networks.append(network(family, depth, seed, response * spread, error))
            results.append(planted.result(family, depth, seed, error))
    planned = {'plain': {8, 20, 56}, 'resnet': {8, 20, 56}}
    evidence = Evidence(results, ResponseVerdict(tuple(networks)), planned)
    return judge(CLAIMS, {'response': evidence})


def responses(plain, shallow, deep):
    """Plain-20, ResNet-20 and ResNet-56; the others respond with 1."""
    rest = dict.fromkeys([(f, d) for f in ('plain', 'resnet') for d in TRAINED], 1.0)
    return rest | {('plain', 20): plain, ('resnet', 20): shallow, ('resnet', 56): deep}


@pytest.mark.parametrize(
    ('plain', 'shallow', 'deep', 'statuses'),
    [
        (1.0, 0.5, 0.25, ['holds', 'holds']),
        (0.5, 1.0, 1.0, ['fails', 'fails']),
        (1.0, 1.005 * SMALLER, 0.5, ['inconclusive', 'holds']),
        (1.0, 1.1, 1.1, ['fails', 'fails']),  # the same is not smaller
    ],
)
def test_the_ratio_decides(plain, shallow, deep, statuses):
    findings = found(responses(plain, shallow, deep))
    assert [finding.status for finding in findings] == statuses
    assert findings[0].judged[0].contrast.value == pytest.approx(shallow / plain, rel=0.01)
    assert findings[0].judged[0].contrast.n == 6
    assert f'{SMALLER:g}' in CLAIMS[0].criterion['en']


def test_networks_that_do_not_train_decide_nothing():
    failed = {'plain': {8: 0.0, 20: 80.0, 56: 80.0}}
    small, deeper = found(responses(1.0, 0.5, 0.25), failed)
    assert (small.status, deeper.status) == ('budget insufficient', 'holds')
    failed = {'resnet': {8: 0.0, 20: 0.0, 56: 80.0}}
    small, deeper = found(responses(1.0, 0.5, 0.25), failed)
    assert deeper.status == 'budget insufficient'


def test_plain_56_may_fail_and_is_described():
    failed = {'plain': {8: 0.0, 20: 0.0, 56: 80.0}}
    small, _ = found(responses(1.0, 0.5, 0.25), failed)
    assert small.status == 'holds'
    shown = {each.where['depth']: each.value for each in small.descriptions}
    assert shown == {8: pytest.approx(1.0), 56: pytest.approx(0.25)}


def test_one_seed_and_missing_networks_decide_nothing():
    assert [each.status for each in found(responses(1.0, 0.5, 0.25), n=1)] == ['inconclusive'] * 2
    without = {k: v for k, v in responses(1.0, 0.5, 0.25).items() if k != ('plain', COMPARED)}
    small, _ = found(without)
    assert small.status == 'not measured'


def test_the_planted_sweep_is_judged(sweep):
    """All ratios are 0.5: equal values are decided by a sign test, and 2⁻⁵ is not enough alone."""
    planned = sweep.depths()
    evidence = Evidence(sweep.results(), analyse(sweep), planned)
    small, deeper = judge(CLAIMS, {'response': evidence})
    for finding in (small, deeper):
        assert finding.judged[0].contrast.value == pytest.approx(0.5)
        assert finding.judged[0].contrast.is_constant
        assert finding.status == 'inconclusive'
