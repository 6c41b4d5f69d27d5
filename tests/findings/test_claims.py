"""Planted cases decide each claim each way."""

import math

import pytest

from vggres.findings import claims
from vggres.findings.claims import Case, Evidence

CLAIMS = {claim.key: claim for claim in claims.CLAIMS}


def case(holds, **where):
    return Case(where, holds, 1.0, None, 3)


def test_all_some_or_none():
    assert claims.decide([]) == ('not measured', [])
    assert claims.decide([case(True, a='x'), case(True, a='y')]) == ('holds', [])
    assert claims.decide([case(False, a='x'), case(False, a='y')]) == ('does not hold', [])
    assert claims.decide([case(None, a='x'), case(False, a='y')]) == ('undecided', [])
    assert claims.decide([case(True, a='x'), case(False, a='y')]) == ('holds only if', [('x',)])
    # "Only" would say that it fails elsewhere.
    undecided = [case(True, a='x'), case(None, a='y'), case(False, a='z')]
    assert claims.decide(undecided) == (claims.HOLDS_IF, [('x',)])


def test_a_condition_names_the_fewest_factors():
    grid = [(a, b) for a in 'xyz' for b in 'pq']

    def decided(true):
        return claims.decide([case((a, b) in true, a=a, b=b) for a, b in grid])

    assert decided([('x', 'p'), ('x', 'q')]) == ('holds only if', [('x',)])
    assert decided([(a, 'q') for a in 'xyz']) == ('holds only if', [('q',)])
    assert decided([('x', 'p'), ('y', 'q')]) == ('holds only if', [('x', 'p'), ('y', 'q')])
    # All of x, and q: two short conditions that overlap.
    covered = [('x', 'p'), ('x', 'q'), ('y', 'q'), ('z', 'q')]
    assert decided(covered) == ('holds only if', [('q',), ('x',)])


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
    finding = claims.find(CLAIMS['shrinking'], Evidence([], {'networks': networks}, {'': {110}}))
    assert finding.status == status
    found = finding.cases[0]
    assert (found.value, found.n) == ((4, 10) if second else (3, 5))


def run(family, depth, seed, loss, validation_error):
    return {
        'family': family,
        'depth': depth,
        'seed': seed,
        'train_loss': loss,
        'validation_error': validation_error,
    }


def depth_sweep(losses=(0.1, 0.01), errors=(5.0, 4.0), verdict='degrades', n=3):
    results = [
        run(family, depth, seed, loss * (1 + 0.01 * seed), error + 0.01 * seed * depth)
        for family in ('plain', 'resnet')
        for depth, loss, error in zip((8, 56), losses, errors, strict=True)
        for seed in range(n)
    ]
    plain = {
        'verdict': verdict,
        'excess_error': 10.0,
        'confidence_interval': [9.0, 11.0],
        'n': n,
    }
    planned = {'plain': {8, 56}, 'resnet': {8, 56}}
    return Evidence(results, {'variants': {'plain': plain, 'resnet': plain}}, planned)


@pytest.mark.parametrize(
    ('losses', 'status'), [((0.1, 0.01), 'holds'), ((0.01, 0.1), 'does not hold')]
)
def test_more_layers_fit_better(losses, status):
    finding = claims.find(CLAIMS['fit'], depth_sweep(losses))
    assert finding.status == status
    assert [case.value for case in finding.cases] == pytest.approx(
        2 * [math.log10(losses[1] / losses[0])]
    )


def test_a_fit_that_varies_is_undecided():
    evidence = depth_sweep()
    for number, result in enumerate(evidence.results):
        result['train_loss'] = 10.0 ** (number % 3 * (-1) ** number)
    assert claims.find(CLAIMS['fit'], evidence).status == 'undecided'


def test_a_diverged_run_fits_as_guessing_does_and_two_seeds_are_too_few():
    evidence = depth_sweep()
    for result in evidence.results:
        if (result['family'], result['depth']) == ('plain', 56):
            result |= {'train_loss': None, 'train_error': 90.0}
    finding = claims.find(CLAIMS['fit'], evidence)
    assert (finding.status, finding.condition) == ('holds only if', [('resnet',)])
    guessing = math.log(10)  # ten classes
    mean = math.log10(guessing) - (3 * math.log10(0.1) + math.log10(1.01 * 1.02)) / 3
    assert finding.cases[0].value == pytest.approx(mean)
    evidence.results[0]['train_loss'] = 0.0
    claims.find(CLAIMS['fit'], evidence)
    assert claims.find(CLAIMS['fit'], depth_sweep(n=2)).status == 'not measured'


@pytest.mark.parametrize(
    ('verdict', 'status'),
    [
        ('degrades', 'holds'),
        ('does not degrade', 'does not hold'),
        ('inconclusive', 'undecided'),
    ],
)
def test_plain_nets_degrade(verdict, status):
    assert claims.find(CLAIMS['degradation'], depth_sweep(verdict=verdict)).status == status
    assert claims.find(CLAIMS['degradation'], depth_sweep(n=2)).status == 'not measured'


@pytest.mark.parametrize(
    ('errors', 'status'),
    [
        ((9.0, 4.0), 'holds'),
        ((5.0, 5.0), 'does not hold'),
        ((4.0, 9.0), 'does not hold'),
        ((1.5, 0.0), 'not measured'),  # there are no two points to lose
    ],
)
def test_residual_nets_gain(errors, status):
    assert claims.find(CLAIMS['gain'], depth_sweep(errors=errors)).status == status


def test_a_gain_that_varies_is_undecided():
    evidence = depth_sweep()
    for number, result in enumerate(evidence.results):
        result['validation_error'] = 4.0 * (number % 3)  # of mean 4 at depth 8
        result['validation_error'] *= 1 if result['depth'] == 8 else 0.4
    assert claims.find(CLAIMS['gain'], evidence).status == 'undecided'


def network(family, norm, scheme, judgement, during=None, decades=3.0, depth=110, seed=0):
    before = {'decades': decades, 'interval': [decades - 1, decades + 1], 'n': 5, 'zeros': 0}
    return {
        'family': family,
        'norm': norm,
        'scheme': scheme,
        'depth': depth,
        'seed': seed,
        'judgement': {'before': judgement, 'during': during},
        'input_gradient': {'before': before, 'during': {'2': before, '4': before}},
    }


def gradient_flow(judgements, correlations=None):
    """`judgements`: (family, norm, scheme) → judgement, at the greatest depth."""
    networks = [network(*key, judgement, judgement) for key, judgement in judgements.items()]
    networks.append(network('plain', 'none', 'he', 'level', depth=8))  # shallow: not looked at
    verdict = {'networks': networks, 'correlation': 0.5, 'correlations': correlations or {}}
    return Evidence([], verdict, {'plain, no norm, he': {8, 110}})


def test_the_gradient_shrinks_with_some_weights_only():
    evidence = gradient_flow(
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
    finding = claims.find(CLAIMS['shrinking'], evidence)
    assert (finding.status, finding.condition) == ('holds only if', [('glorot weights',)])
    assert [case.n for case in finding.cases] == [5, 2] * 4
    assert finding.cases[2].value == math.inf
    with_norm = claims.find(CLAIMS['shrinking_with_norm'], evidence)
    assert [case.holds for case in with_norm.cases] == [False, False, None, None]


@pytest.mark.parametrize(
    ('interval', 'status'),
    [([0.5, 0.9], 'holds'), ([-0.9, 0.49], 'does not hold'), ([0.3, 0.7], 'undecided')],
)
def test_the_shrinking_goes_with_the_failure(interval, status):
    found = {'correlation': 0.4, 'interval': interval, 'n': 24}
    before = 'before training, all depths'
    finding = claims.find(CLAIMS['failure'], gradient_flow({}, {'none': {before: found}}))
    assert finding.status == status
    both = {
        'none': {before: found, 'in training, all depths': found | {'interval': [-1, -1]}},
        'batch': {before: found | {'interval': [-1, 0]}},
    }
    if status == 'holds':
        finding = claims.find(CLAIMS['failure'], gradient_flow({}, both))
        assert finding.condition == [('no norm',)]


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
    evidence = gradient_flow({('plain', 'none', 'he'): plain, ('resnet', 'none', 'he'): residual})
    assert claims.find(CLAIMS['protection'], evidence).status == status


def test_a_residual_network_that_diverged_proves_nothing():
    networks = [
        network('plain', 'none', 'he', 'shrinks', 'shrinks'),
        network('resnet', 'none', 'he', 'grows', None),
    ]
    evidence = Evidence([], {'networks': networks}, {'': {110}})
    finding = claims.find(CLAIMS['protection'], evidence)
    assert (finding.status, finding.condition) == (claims.HOLDS_IF, [('before training',)])
    assert [(case.holds, case.n) for case in finding.cases] == [(True, 5), (None, 0)]


def test_a_planned_depth_that_is_missing_leaves_nothing_to_compare():
    evidence = depth_sweep()
    evidence.planned['resnet'] = {8, 56, 110}
    finding = claims.find(CLAIMS['fit'], evidence)
    assert [case.where['family'] for case in finding.cases] == ['plain']


def test_what_happens_in_training_is_another_case():
    networks = [
        network('plain', 'batch', 'he', 'grows', 'shrinks'),
        network('resnet', 'batch', 'he', 'level', 'level'),
    ]
    evidence = Evidence([], {'networks': networks}, {'': {110}})
    finding = claims.find(CLAIMS['shrinking_with_norm'], evidence)
    assert (finding.status, finding.condition) == ('holds only if', [('in training',)])
    assert [case.n for case in finding.cases] == [5, 2]
    finding = claims.find(CLAIMS['protection'], evidence)
    assert finding.status == 'holds'
    assert [case.where['when'] for case in finding.cases] == ['in training']


def jacobians(before, after, variant='identity, preactivation', relu=None):
    def found(interval):
        near = {'mean': 0.5, 'interval': interval, 'close': 0.5}
        beyond = near | {'interval': relu or interval}
        distances = {'distance_from_identity': near, 'distance_from_relu': beyond}
        return interval and distances | {'n': 25}

    network = {'variant': variant, 'depth': 56, 'before': found(before), 'after': found(after)}
    return Evidence([], {'networks': [network], 'close': 0.5}, {})


@pytest.mark.parametrize(
    ('before', 'after', 'status'),
    [
        ([0.1, 0.5], [0.2, 0.3], 'holds'),
        ([0.51, 0.6], [0.8, 0.9], 'does not hold'),
        ([0.51, 0.6], [0.1, 0.2], 'holds only if'),
        ([0.4, 0.6], [0.4, 0.6], 'undecided'),
        ([0.1, 0.2], None, 'holds'),  # it diverged
    ],
)
def test_blocks_near_the_identity(before, after, status):
    finding = claims.find(CLAIMS['identity'], jacobians(before, after))
    assert finding.status == status
    if status == 'holds only if':
        assert finding.condition == [('after training',)]
    other = claims.find(CLAIMS['identity'], jacobians(before, after, 'shortcut × 0'))
    assert other.status == 'not measured'


def test_the_last_relu_of_a_block_is_counted_and_not():
    evidence = jacobians([0.6, 0.7], [0.6, 0.7], 'identity', relu=[0.1, 0.2])
    finding = claims.find(CLAIMS['identity'], evidence)
    assert finding.status == 'holds only if'
    assert finding.condition == [('postactivation but for its last ReLU',)]


def test_without_evidence_nothing_is_measured():
    assert {claims.find(claim, None).status for claim in claims.CLAIMS} == {'not measured'}


def test_there_are_eight_in_the_order_of_the_story():
    assert [claim.key for claim in claims.CLAIMS] == [
        *('fit', 'degradation', 'shrinking', 'shrinking_with_norm'),
        *('failure', 'identity', 'protection', 'gain'),
    ]
    assert claims.SWEEPS == ('depth', 'gradient_flow', 'identity_shortcut')
