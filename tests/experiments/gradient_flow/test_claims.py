"""Planted gradients decide each claim about the gradient each way."""

import math

import pytest

from experiments.gradient_flow.analysis import (
    CORRELATION,
    FailureCorrelation,
    FlowInTraining,
    FlowVerdict,
    NetworkFlow,
    analyse,
)
from experiments.gradient_flow.claims import CLAIMS
from vggres.findings.along_layers import DECADES, LEAST_SEEDS, UNEVENNESS, Change, Flow
from vggres.findings.claims import Evidence, Word, find

BY_KEY = {claim.key: claim for claim in CLAIMS}
SHRINKING, WITH_NORM = BY_KEY['shrinking'], BY_KEY['shrinking_with_norm']
FAILURE, PROTECTION = BY_KEY['failure'], BY_KEY['protection']


def change(decades, n, depth=110):
    return Change(
        decades=decades,
        interval=(decades - 1, decades + 1),
        per_layer=decades / depth,
        r_squared=1.0,
        first_to_last=1.0,
        ends=(1.0, 1.0),
        zeros=0.0,
        not_finite=0.0,
        local=(),
        n=n,
    )


def network(family, norm, scheme, judgement, shape='geometric', decades=3.0, depth=110, seed=0):
    """A network before training, over five draws."""
    flow = Flow(before=change(decades, 5, depth), during={})
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
        judgement=judgement,
        shape=shape,
        expected=None,
        finite_width=None,
        input_gradient=flow,
        weight_gradient=flow,
        update_ratio=flow,
        activation=flow,
    )


def trained(family, norm, scheme, judgement, shape='geometric', depth=110, n=3):
    """The same network in training, over its seeds."""
    return FlowInTraining(
        variant=f'{family}, {norm}, {scheme}',
        family=family,
        depth=depth,
        norm=norm,
        scheme=scheme,
        gradient=change(4.0, n, depth),
        judgement=judgement,
        shape=shape,
        fallen=1.0,
        fallen_interval=None,
    )


def evidence(networks, correlations=(), planned=None, training=()):
    verdict = FlowVerdict(tuple(networks), tuple(training), 87.3, tuple(correlations))
    return Evidence([], verdict, planned or {'plain, no norm, he': {8, 110}})


def judged(judgements):
    """Evidence of (family, norm, scheme) → judgement at the greatest depth, at both moments."""
    networks = [network(*key, judgement) for key, judgement in judgements.items()]
    networks.append(network('plain', 'none', 'he', 'level', depth=8))  # shallow: it does not count
    training = [trained(*key, judgement) for key, judgement in judgements.items()]
    return evidence(networks, training=training)


@pytest.mark.parametrize(
    ('second', 'status'), [('shrinks', 'holds'), ('level', 'undecided'), (None, 'holds')]
)
def test_seeds_have_to_agree(second, status):
    networks = [
        network('plain', 'none', 'he', 'shrinks', seed=0),
        network('plain', 'none', 'he', second, seed=1, decades=5.0),
    ]
    if second is None:
        networks.pop()
    finding = find(SHRINKING, evidence(networks))
    assert finding.status == status
    found = finding.cases[0]
    assert (found.value, found.n) == ((4, 10) if second else (3, 5))


@pytest.mark.parametrize(
    ('judgement', 'shape', 'holds'),
    [
        ('shrinks', 'geometric', True),
        ('shrinks', 'uneven', False),
        ('shrinks', 'undecided', None),
        ('vanishes', 'geometric', True),
        ('vanishes', 'undecided', None),
        ('grows', 'geometric', False),
        ('level', 'uneven', False),
        ('inconclusive', 'geometric', None),
        ('dead', 'geometric', None),
    ],
)
def test_shrinking_is_not_enough_it_has_to_be_geometric(judgement, shape, holds):
    planted = ('plain', 'none', 'he', judgement, shape)
    finding = find(SHRINKING, evidence([network(*planted)], training=[trained(*planted)]))
    assert [case.holds for case in finding.cases] == [holds, holds]


def test_one_seed_in_training_decides_nothing():
    training = [trained('plain', 'none', 'he', None, None, n=1)]
    (case,) = find(SHRINKING, evidence([], training=training)).cases
    assert (case.holds, case.value, case.interval, case.n) == (None, 4, None, 1)


def test_the_gradient_shrinks_with_some_weights_only():
    found = judged(
        {
            ('plain', 'none', 'glorot'): 'shrinks',
            ('vgg', 'none', 'glorot'): 'vanishes',
            ('plain', 'none', 'he'): 'level',
            ('vgg', 'none', 'he'): 'grows',
            ('resnet', 'none', 'he'): 'shrinks',
            ('plain', 'batch', 'he'): 'level',
            ('vgg', 'batch', 'he'): 'inconclusive',
        }
    )
    finding = find(SHRINKING, found)
    assert (finding.status, finding.conditions) == ('holds only if', [(Word.GLOROT,)])
    assert [case.n for case in finding.cases] == [5] * 4 + [3] * 4
    assert finding.cases[1].value == math.inf
    with_norm = find(WITH_NORM, found)
    assert [case.holds for case in with_norm.cases] == [False, None] * 2


def test_a_network_that_is_deeper_than_the_others_does_not_speak_for_them():
    networks = [
        network('plain', 'none', 'he', 'level'),
        network('vgg', 'none', 'he', 'shrinks'),
    ]
    rectangular = {'plain': {8, 110}, 'vgg': {8, 110}}
    before = find(SHRINKING, evidence(networks, planned=rectangular))
    assert (before.status, before.conditions) == ('holds only if', [(Word.VGG,)])
    networks.append(network('vgg', 'none', 'he', 'shrinks', depth=200))
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
        ('shrinks', 'dead', 'undecided'),
    ],
)
def test_shortcuts_keep_it_from_shrinking(plain, residual, status):
    found = judged({('plain', 'none', 'he'): plain, ('resnet', 'none', 'he'): residual})
    assert find(PROTECTION, found).status == status


def test_shrinking_unevenly_is_shrinking():
    """What is not geometric shrinks all the same: there is something to keep it from."""
    networks = [network('plain', 'none', 'he', 'shrinks', 'uneven')]
    networks.append(network('resnet', 'none', 'he', 'shrinks', 'uneven'))
    assert find(PROTECTION, evidence(networks)).status == 'does not hold'


def test_a_residual_network_that_diverged_proves_nothing():
    networks = [
        network('plain', 'none', 'he', 'shrinks'),
        network('resnet', 'none', 'he', 'grows'),
    ]
    training = [
        trained('plain', 'none', 'he', 'shrinks'),
        trained('resnet', 'none', 'he', None, None, n=0),
    ]
    finding = find(PROTECTION, evidence(networks, training=training))
    assert (finding.status, finding.conditions) == ('holds at least if', [(Word.BEFORE_TRAINING,)])
    assert [(case.holds, case.n) for case in finding.cases] == [(True, 5), (None, 0)]


def test_what_happens_during_training_is_another_case():
    networks = [network('plain', 'batch', 'he', 'grows'), network('resnet', 'batch', 'he', 'level')]
    training = [
        trained('plain', 'batch', 'he', 'shrinks'),
        trained('resnet', 'batch', 'he', 'level'),
    ]
    found = evidence(networks, training=training)
    finding = find(WITH_NORM, found)
    assert (finding.status, finding.conditions) == ('holds only if', [(Word.DURING_TRAINING,)])
    assert [case.n for case in finding.cases] == [5, 3]
    finding = find(PROTECTION, found)
    assert finding.status == 'holds'
    assert [case.where['when'] for case in finding.cases] == [Word.DURING_TRAINING]


def test_claims_read_what_the_analysis_finds(sweep):
    found = Evidence(sweep.results(), analyse(sweep), sweep.depths())
    # Before training all six networks agree; in training, their one seed decides nothing.
    for claim, holds in ((SHRINKING, True), (WITH_NORM, False)):
        assert [case.holds for case in find(claim, found).cases] == [holds] * 6 + [None] * 6
    assert find(FAILURE, found).cases[0].value is not None
    protection = find(PROTECTION, found)
    assert protection.status == 'holds'
    assert len(protection.cases) == 3  # three schemes; in training, one seed decides nothing


def test_the_texts_quote_the_thresholds():
    for language in ('en', 'zh'):
        assert f'{10**DECADES:g}' in SHRINKING.criterion[language]
        assert f'{100 * UNEVENNESS:.0f} %' in SHRINKING.criterion[language]
        assert f'{LEAST_SEEDS}' in SHRINKING.criterion[language]
        assert f'{CORRELATION:g}' in FAILURE.criterion[language]
        assert f'{10**DECADES:g}' in PROTECTION.criterion[language]
