"""Planted gradients decide each claim about the gradient each way."""

import math

import pytest

from experiments.gradient_flow.analysis import (
    CORRELATION,
    FailureCorrelation,
    FlowVerdict,
    NetworkFlow,
    analyse,
)
from experiments.gradient_flow.claims import CLAIMS
from vggres.findings.along_layers import DECADES, R_SQUARED, Change, Flow, Judgements
from vggres.findings.claims import Evidence, Word, find

BY_KEY = {claim.key: claim for claim in CLAIMS}
SHRINKING, WITH_NORM = BY_KEY['shrinking'], BY_KEY['shrinking_with_norm']
FAILURE, PROTECTION = BY_KEY['failure'], BY_KEY['protection']


def network(family, norm, scheme, judgement, during=None, decades=3.0, depth=110, seed=0):
    change = Change(
        decades=decades,
        interval=(decades - 1, decades + 1),
        per_layer=decades / depth,
        r_squared=1.0,
        first_to_last=1.0,
        ends=(1.0, 1.0),
        zeros=0.0,
        not_finite=0.0,
        n=5,
    )
    flow = Flow(before=change, during={2.0: change, 4.0: change})
    return NetworkFlow(
        cell='',
        variant=f'{family}, {norm}, {scheme}',
        family=family,
        depth=depth,
        seed=seed,
        status='finished',
        norm=norm,
        scheme=scheme,
        train_error=0.0,
        padding=0.0,
        judgement=Judgements(judgement, during),
        input_gradient=flow,
        weight_gradient=flow,
        update_ratio=flow,
        activation=flow,
    )


def evidence(networks, correlations=(), planned=None):
    verdict = FlowVerdict(tuple(networks), failed=87.3, correlations=tuple(correlations))
    return Evidence([], verdict, planned or {'plain, no norm, he': {8, 110}})


def judged(judgements):
    """Evidence of (family, norm, scheme) → judgement at the greatest depth."""
    networks = [network(*key, judgement, judgement) for key, judgement in judgements.items()]
    networks.append(network('plain', 'none', 'he', 'level', depth=8))  # shallow: it does not count
    return evidence(networks)


@pytest.mark.parametrize(
    ('second', 'status'), [('shrinks', 'holds'), ('level', 'undecided'), (None, 'holds')]
)
def test_seeds_have_to_agree(second, status):
    networks = [
        network('plain', 'none', 'he', 'shrinks', 'shrinks', seed=0),
        network('plain', 'none', 'he', second, second, seed=1, decades=5.0),
    ]
    if second is None:
        networks.pop()
    finding = find(SHRINKING, evidence(networks))
    assert finding.status == status
    found = finding.cases[0]
    assert (found.value, found.n) == ((4, 10) if second else (3, 5))


def test_the_gradient_shrinks_with_some_weights_only():
    found = judged(
        {
            ('plain', 'none', 'glorot'): 'shrinks',
            ('vgg', 'none', 'glorot'): 'vanishes',
            ('plain', 'none', 'he'): 'level',
            ('vgg', 'none', 'he'): 'grows',
            ('resnet', 'none', 'he'): 'shrinks',
            ('plain', 'batch', 'he'): 'irregular',
            ('vgg', 'batch', 'he'): 'inconclusive',
        }
    )
    finding = find(SHRINKING, found)
    assert (finding.status, finding.conditions) == ('holds only if', [(Word.GLOROT,)])
    assert [case.n for case in finding.cases] == [5, 2] * 4
    assert finding.cases[2].value == math.inf
    with_norm = find(WITH_NORM, found)
    assert [case.holds for case in with_norm.cases] == [False, False, None, None]


def test_a_network_that_is_deeper_than_the_others_does_not_speak_for_them():
    networks = [
        network('plain', 'none', 'he', 'level', 'level'),
        network('vgg', 'none', 'he', 'shrinks', 'shrinks'),
    ]
    rectangular = {'plain': {8, 110}, 'vgg': {8, 110}}
    before = find(SHRINKING, evidence(networks, planned=rectangular))
    assert (before.status, before.conditions) == ('holds only if', [(Word.VGG,)])
    networks.append(network('vgg', 'none', 'he', 'shrinks', 'shrinks', depth=200))
    grown = find(SHRINKING, evidence(networks, planned={'plain': {8, 110}, 'vgg': {8, 110, 200}}))
    assert (grown.status, grown.conditions) == (before.status, before.conditions)
    nothing = find(SHRINKING, evidence(networks, planned={'plain': {8}, 'vgg': {110}}))
    assert nothing.status == 'not measured'


def correlation(interval, norm='none', moment='before'):
    return FailureCorrelation(norm, moment, 'all depths', 0.4, interval, 24)


@pytest.mark.parametrize(
    ('interval', 'status'),
    [((0.5, 0.9), 'holds'), ((-0.9, 0.49), 'does not hold'), ((0.3, 0.7), 'undecided')],
)
def test_the_shrinking_goes_with_the_failure(interval, status):
    found = correlation(interval)
    assert find(FAILURE, evidence([], [found])).status == status
    both = [
        found,
        correlation((-1.0, -1.0), moment='during'),  # stands in the report alone
        correlation((-1.0, 0.0), norm='batch'),
    ]
    if status == 'holds':
        assert find(FAILURE, evidence([], both)).conditions == [(Word.NO_NORM,)]


@pytest.mark.parametrize(
    ('plain', 'residual', 'status'),
    [
        ('shrinks', 'level', 'holds'),
        ('vanishes', 'grows', 'holds'),
        ('shrinks', 'shrinks', 'does not hold'),
        ('vanishes', 'vanishes', 'does not hold'),
        ('shrinks', 'inconclusive', 'undecided'),
        ('level', 'level', 'not measured'),  # nothing to keep it from
        ('shrinks', 'irregular', 'undecided'),
        ('shrinks', 'dead', 'undecided'),
    ],
)
def test_shortcuts_keep_it_from_shrinking(plain, residual, status):
    found = judged({('plain', 'none', 'he'): plain, ('resnet', 'none', 'he'): residual})
    assert find(PROTECTION, found).status == status


def test_a_residual_network_that_diverged_proves_nothing():
    networks = [
        network('plain', 'none', 'he', 'shrinks', 'shrinks'),
        network('resnet', 'none', 'he', 'grows', None),
    ]
    finding = find(PROTECTION, evidence(networks))
    assert (finding.status, finding.conditions) == ('holds at least if', [(Word.BEFORE_TRAINING,)])
    assert [(case.holds, case.n) for case in finding.cases] == [(True, 5), (None, 0)]


def test_what_happens_during_training_is_another_case():
    networks = [
        network('plain', 'batch', 'he', 'grows', 'shrinks'),
        network('resnet', 'batch', 'he', 'level', 'level'),
    ]
    finding = find(WITH_NORM, evidence(networks))
    assert (finding.status, finding.conditions) == ('holds only if', [(Word.DURING_TRAINING,)])
    assert [case.n for case in finding.cases] == [5, 2]
    finding = find(PROTECTION, evidence(networks))
    assert finding.status == 'holds'
    assert [case.where['when'] for case in finding.cases] == [Word.DURING_TRAINING]


def test_claims_read_what_the_analysis_finds(sweep):
    found = Evidence(sweep.results(), analyse(sweep), sweep.depths())
    assert find(SHRINKING, found).status == 'holds'
    assert find(WITH_NORM, found).status == 'does not hold'
    assert find(FAILURE, found).cases[0].value is not None
    protection = find(PROTECTION, found)
    assert protection.status == 'holds'
    assert len(protection.cases) == 6  # three schemes, before and during training


def test_the_texts_quote_the_thresholds():
    for language in ('en', 'zh'):
        assert f'{10**DECADES:g}' in SHRINKING.criterion[language]
        assert f'{R_SQUARED:g}' in SHRINKING.criterion[language]
        assert f'{CORRELATION:g}' in FAILURE.criterion[language]
        assert f'{10**DECADES:g}' in PROTECTION.criterion[language]
