"""Planted cures, decided by the p-values of Student's test worked out with scipy."""

import math

import pytest
from scipy import stats

from vggres.findings import cure_claims, cures_telling
from vggres.findings.claims import Evidence, Picture, judge
from vggres.findings.contrasts import Status, Word
from vggres.findings.fastest import TunedRate

RATE = TunedRate(0.01, (0.003, 0.01, 0.03), {}, '', 1)
CONTROL = dict(enumerate((40, 45, 35, 40) * 2))
SICK = dict(enumerate((300, 250, 270, 280) * 2))


def planted(treated, sick=SICK, control=CONTROL, **rates):
    updates = {('plain', 44): sick, ('resnet', 44): control, ('arm', 44): treated}
    tuned = {network: rates.get(network[0], RATE) for network in updates}
    return cures_telling.verdict(updates, tuned, {'arm': ('plain', 'resnet')}, '5', 600)


def contrast(*updates, **rates):
    (found,) = cure_claims.cured(planted(*updates, **rates), 'arm')
    return found


def test_the_number_is_the_mean_of_the_logarithms():
    """Ratios 1, 2, 1 and 2 have the mean logarithm log10(√2)."""
    found = contrast(dict(enumerate((40, 90, 35, 80) * 2)))
    assert found.value == pytest.approx(math.log10(math.sqrt(2)))
    logs = [0, math.log10(2)] * 4
    test = stats.ttest_1samp(logs, math.log10(2), alternative='less')
    assert found.p_true == pytest.approx(test.pvalue)
    assert found.n == 8


def test_a_cure_is_not_true_while_a_third_of_the_runs_may_not_arrive():
    """0 of 7 leaves 0.05^(1/7) = 65 % that arrive, and 0 of 8 leaves 69 %."""
    seven = contrast(dict(enumerate((44, 46, 40, 41, 45, 40, 43))))
    assert seven.p_true == 1
    assert 'in 0 of 7 runs, which leaves a probability of up to 35 %' in seven.remark['en']
    assert '; 8 runs' in seven.remark['en']
    eight = contrast(dict(enumerate((44, 46, 40, 41, 45, 40, 43, 42))))
    assert eight.p_true < 0.001
    assert eight.remark is None
    slow = contrast(dict(enumerate((240, 260, 230))))
    assert slow.remark is None  # more runs would not make it a cure


def test_a_slow_treated_network_refutes_and_a_censored_one_never_confirms():
    slow = contrast({0: 240, 1: 260, 2: 230, 3: 270})
    assert slow.p_false < 0.001
    assert slow.p_true > 0.99
    censored = contrast({0: None, 1: None, 2: None, 3: None})
    assert censored.p_false < 0.001
    gone, late = dict.fromkeys(CONTROL), dict.fromkeys(CONTROL, 290)  # the budget is 600
    fast_but_one = contrast({0: 290, 1: 300, 2: 280, 3: None}, gone, late)
    assert fast_but_one.p_true == 1
    assert fast_but_one.value < math.log10(2)


@pytest.mark.parametrize(
    ('given', 'words'),
    [
        ({'treated': {}}, 'not judged yet'),
        ({'treated': SICK, 'sick': CONTROL}, 'nothing to cure'),
        ({'treated': SICK, 'arm': TunedRate(0.1, (), {}, 'highest', 1)}, 'edge of the grid'),
    ],
)
def test_what_cannot_decide_stands_behind_a_barrier(given, words):
    found = contrast(given.pop('treated'), given.pop('sick', SICK), CONTROL, **given)
    assert found.barrier.status is Status.NOT_MEASURED
    assert words in found.barrier.words['en']


def test_every_run_of_the_control_has_to_arrive():
    assert cure_claims.control(planted(SICK), 'arm').passed is True
    late = planted(SICK, SICK, CONTROL | {2: None})
    assert cure_claims.control(late, 'arm').passed is False
    assert cure_claims.control(planted(SICK, SICK, {}), 'arm').passed is None


@pytest.mark.parametrize(
    ('updates', 'status'),
    [((44, 46, 40, 41) * 2, Status.HOLDS), ((240, 260, 230, 270), Status.FAILS)],
)
def test_a_claim_is_judged_by_its_own_arm(updates, status):
    """About as many updates as the control, and about six times as many."""
    texts = {'en': 'It cures.', 'zh': '有效。'}
    claim = cure_claims.claim(
        'arm',
        key='cure',
        sentence=texts,
        source=texts,
        sweep='arms',
        figure=Picture('updates', texts),
    )
    evidence = Evidence((), planted(dict(enumerate(updates))), {})
    (finding,) = judge([claim], {'arms': evidence})
    assert finding.status is status
    assert finding.control.passed
    assert (claim.key, claim.sweep, claim.figure.name) == ('cure', 'arms', 'updates')


def test_an_edge_names_its_networks_and_keeps_the_conditions():
    edge = TunedRate(0.1, (), {}, 'highest', 1)
    found = planted(SICK, arm=edge, resnet=edge)
    treated, control, untreated = (found.deepest(arm) for arm in ('arm', 'resnet', 'plain'))
    contrast = cure_claims.at_edge(treated, control, {'start': Word.DIRAC})
    assert contrast.where == {'start': Word.DIRAC}
    assert contrast.barrier.status is Status.NOT_MEASURED
    assert 'of arm-44 (0.1), resnet-44 (0.1) lies at the edge' in contrast.barrier.words['en']
    assert cure_claims.at_edge(untreated, untreated) is None
