"""Planted gradients decide each claim about the gradient each way."""

import dataclasses
import math

import planted
import pytest

from experiments.gradient_flow.analysis import (
    CORRELATION,
    FlowInTraining,
    FlowVerdict,
    NetworkFlow,
    analyse,
)
from experiments.gradient_flow.claims import CLAIMS
from vggres.findings.along_layers import DECADES, UNEVENNESS, Change, Flow
from vggres.findings.claims import Evidence, judge
from vggres.findings.contrasts import Word
from vggres.findings.controls import DEEP

BY_KEY = {claim.key: claim for claim in CLAIMS}
SHRINKING, WITH_NORM = BY_KEY['shrinking'], BY_KEY['shrinking_with_norm']
FAILURE, PROTECTION = BY_KEY['failure'], BY_KEY['protection']


def change(decades, n=5, depth=110):
    """A change by so many decades, give or take 0.25."""
    return Change(
        decades=decades,
        interval=(decades - 0.25, decades + 0.25),
        per_layer=decades / depth,
        r_squared=1.0,
        first_to_last=1.0,
        ends=(1.0, 1.0),
        zeros=0.0,
        not_finite=0.0,
        local=(),
        n=n,
    )


def network(family, norm, scheme, decades, error=0.0, depth=110, seed=0, shape='geometric'):
    """A network whose gradient shrinks by so many decades in five draws of its weights."""
    flow = Flow(before=change(decades, depth=depth), during={})
    return NetworkFlow(
        cell='',
        variant=f'{family}, {norm}, {scheme}',
        family=family,
        depth=depth,
        seed=seed,
        status='finished',
        norm=norm,
        scheme=scheme,
        train_error=error,
        judgement='shrinks',
        shape=shape,
        expected=None if family == 'resnet' else 8.4,
        finite_width=None,
        input_gradient=flow,
        weight_gradient=flow,
        update_ratio=flow,
        activation=flow,
    )


def trained(family, norm, decades, n=3, judgement='shrinks'):
    """A network with He initialisation during training, over its seeds."""
    return FlowInTraining(
        variant=f'{family}, {norm}, he',
        family=family,
        depth=110,
        norm=norm,
        scheme='he',
        gradient=change(decades, n),
        judgement=judgement,
        shape='geometric',
        fallen=None,
        fallen_interval=None,
    )


# The control: residual networks with batch norm that train at both depths.
TRAINED = [network('resnet', 'batch', 'he', 0.0, depth=depth) for depth in (8, 110)]


def found(claim, networks, depths=(8, 110), training=()):
    verdict = FlowVerdict(tuple(networks), tuple(training), failed=87.3, correlations=())
    evidence = Evidence([planted.result()], verdict, {'plain, no norm, he': set(depths)})
    (finding,) = judge([claim], {'gradient_flow': evidence})
    return finding


@pytest.mark.parametrize(
    ('decades', 'status'),
    [(8.7, 'holds'), (0.2, 'fails'), (-6.5, 'fails'), (DECADES + 0.1, 'inconclusive')],
)
@pytest.mark.parametrize(('claim', 'norm'), [(SHRINKING, 'none'), (WITH_NORM, 'batch')])
def test_the_gradient_shrinks_before_training(claim, norm, decades, status):
    other = 'batch' if norm == 'none' else 'none'
    finding = found(
        claim,
        [
            network('plain', norm, 'he', decades),
            network('plain', norm, 'he', 99.0, depth=8),  # shallow: it does not count
            network('plain', other, 'he', 5.0 - decades),
            network('resnet', norm, 'he', 5.0 - decades),
        ],
    )
    assert finding.status == status
    (judged,) = finding.judged
    assert judged.contrast.where == {'family': Word.PLAIN, 'scheme': Word.HE}
    assert (judged.contrast.value, judged.contrast.n) == (pytest.approx(decades), 5)


def test_a_course_that_is_not_geometric_is_no_confirmation():
    straight = network('plain', 'none', 'he', 8.7)
    assert found(SHRINKING, [straight]).status == 'holds'
    for shape in ('uneven', 'undecided'):
        bent = network('plain', 'none', 'he', 8.7, seed=1, shape=shape)
        assert found(SHRINKING, [bent]).status == 'inconclusive'
        (judged,) = found(SHRINKING, [straight, bent]).judged
        assert (judged.answer, judged.needed) == (None, None)
        assert judged.contrast.remark['en'] == 'it shrinks, but not geometrically'
        # A gradient that does not shrink by a decade refutes the claim, whatever its course.
        level = network('plain', 'none', 'he', 0.2, shape=shape)
        assert found(SHRINKING, [level]).status == 'fails'


def test_the_closed_form_stands_beside_the_measurement():
    (judged,) = found(SHRINKING, [network('plain', 'none', 'he', 8.7)]).judged
    assert judged.contrast.prediction == 8.4
    shortcuts = [network('plain', 'none', 'he', 8.7), network('resnet', 'none', 'he', 0.1)]
    (judged,) = found(PROTECTION, [*TRAINED, *shortcuts]).judged
    assert judged.contrast.prediction is None  # no closed form is known


def test_the_gradient_shrinks_with_some_weights_only():
    finding = found(
        SHRINKING,
        [
            network('plain', 'none', 'glorot', 24.5),
            network('vgg', 'none', 'glorot', 30.0),
            network('vgg', 'none', 'vgg', -5.6),
        ],
    )
    assert finding.status == 'mixed'
    answers = {(*each.contrast.where.values(),): each.answer for each in finding.judged}
    assert answers == {
        (Word.VGG, Word.GLOROT): True,
        (Word.VGG, Word.SMALL_NORMAL): False,
        (Word.PLAIN, Word.GLOROT): True,
    }


def test_the_draws_of_several_seeds_are_one_sample():
    finding = found(
        SHRINKING,
        [network('plain', 'none', 'he', 8.0), network('plain', 'none', 'he', 9.0, seed=1)],
    )
    assert (finding.judged[0].contrast.value, finding.judged[0].contrast.n) == (8.5, 10)


def test_what_happens_during_training_is_descriptive():
    training = [
        trained('plain', 'batch', 8.0),
        trained('vgg', 'batch', 9.0, judgement='vanishes'),
        trained('resnet', 'batch', 7.0),
        trained('plain', 'none', 6.0),
    ]
    finding = found(WITH_NORM, [network('plain', 'batch', 'he', -6.4)], training=training)
    assert finding.status == 'fails'
    plain, vgg = finding.descriptions
    assert (plain.value, plain.n) == (8.0, 3)  # seeds
    assert vgg.value == math.inf
    (residual,) = found(PROTECTION, TRAINED, training=training).descriptions
    assert residual.value == 7.0


def test_a_network_that_is_deeper_than_the_others_does_not_speak_for_them():
    networks = [
        network('plain', 'none', 'he', 0.0),
        network('vgg', 'none', 'he', 0.0),
        network('vgg', 'none', 'he', 9.0, depth=200),
    ]
    verdict = FlowVerdict(tuple(networks), (), failed=87.3, correlations=())
    grown = Evidence([], verdict, {'plain': {8, 110}, 'vgg': {8, 110, 200}})
    (finding,) = judge([SHRINKING], {'gradient_flow': grown})
    assert [each.contrast.value for each in finding.judged] == [0.0, 0.0]


@pytest.mark.parametrize('claim', CLAIMS, ids=lambda claim: claim.key)
def test_a_careless_sweep_says_so_in_the_status(claim):
    kinds = [('plain', 'none'), ('plain', 'batch'), ('resnet', 'none'), ('resnet', 'batch')]
    shallow = [network(*kind, 'he', 9.0, depth=8) for kind in kinds]
    finding = found(claim, shallow, depths=(8,))
    assert finding.status == 'not measured'
    reasons = [each.contrast.barrier.words['en'] for each in finding.judged]
    assert all(f'{DEEP} layers or more' in each for each in reasons)


def ranked(rising, seeds, norm='none', depth=110):
    """Six networks a seed, in which the error rises or falls with the shrinking."""
    kinds = [(f, s) for f in ('plain', 'vgg') for s in ('he', 'glorot', 'vgg')]
    return [
        network(
            family,
            norm,
            scheme,
            decades=float(place),
            # One pair is exchanged in every second seed, so that the seeds differ.
            error=10.0 * (rising * (place ^ (seed % 2 and place < 2)) % 6),
            depth=depth,
            seed=seed,
        )
        for seed in range(seeds)
        for place, (family, scheme) in enumerate(kinds)
    ]


@pytest.mark.parametrize(
    ('rising', 'seeds', 'status'),
    [(1, 8, 'holds'), (-1, 8, 'fails'), (1, 1, 'inconclusive'), (-1, 1, 'inconclusive')],
)
def test_the_shrinking_goes_with_the_failure_seed_by_seed(rising, seeds, status):
    networks = ranked(rising, seeds) + ranked(rising, seeds, 'batch')
    finding = found(FAILURE, [*TRAINED, *networks])
    assert finding.status == status
    assert {each.contrast.n for each in finding.judged} == {seeds}  # and not networks
    if (rising, seeds) == (1, 8):
        # Spearman by hand: one pair exchanged among six is 1 − 6 · 2 / (6 · 35), in half the seeds.
        for each in finding.judged:
            assert each.contrast.value == pytest.approx((1 + 1 - 12 / 210) / 2)
            assert not each.contrast.is_constant
    assert {each.contrast.where['norm'] for each in finding.judged} == {
        Word.NO_NORM,
        Word.BATCH_NORM,
    }


def test_depths_at_which_the_control_fails_do_not_count():
    failed = network('resnet', 'batch', 'he', 0.0, error=80.0)
    trained = [network('resnet', 'batch', 'he', 0.0, depth=depth) for depth in (8, 56)]
    rising, falling = ranked(1, 8, depth=56), ranked(-1, 8, depth=110)
    (alone,) = found(FAILURE, [*trained, failed, *rising]).judged[1:]
    (both,) = found(FAILURE, [*trained, failed, *rising, *falling]).judged[1:]
    assert both.contrast == alone.contrast
    assert both.contrast.where == {'norm': Word.NO_NORM}


def test_networks_that_fail_alike_order_nothing():
    level = [dataclasses.replace(each, train_error=90.0) for each in ranked(1, 8)]
    assert found(FAILURE, [*TRAINED, *level]).status == 'floor'


@pytest.mark.parametrize('claim', [FAILURE, PROTECTION], ids=lambda claim: claim.key)
def test_where_the_residual_network_does_not_train_nothing_is_concluded(claim):
    """110 layers after 110 updates: ResNet-110 errs 80 %, so that the budget is to blame."""
    failed = [TRAINED[0], network('resnet', 'batch', 'he', 0.0, error=80.0)]
    networks = [*ranked(1, 8), network('resnet', 'none', 'he', -5.0)]
    finding = found(claim, [*failed, *networks])
    assert finding.status == 'budget insufficient'
    assert 'ResNet-110 does not train' in finding.control.words['en']
    # At a depth at which it trains, the same networks count.
    rescued = [*failed, network('resnet', 'batch', 'he', 0.0, depth=56)]
    shallower = [dataclasses.replace(each, depth=56) for each in networks]
    finding = found(claim, [*rescued, *networks, *shallower])
    assert finding.control.passed
    assert 'ResNet-56 trains' in finding.control.words['en']
    assert all(each.contrast.barrier is None for each in finding.judged if each.contrast.n)


@pytest.mark.parametrize(
    ('plain', 'residual', 'error', 'status'),
    [
        (8.7, 0.1, 0.0, 'holds'),
        (8.7, -0.1, 0.0, 'holds'),
        (8.7, 3.0, 0.0, 'fails'),
        (8.7, -5.45, 0.0, 'fails'),  # an explosion is no protection
        (8.7, -5.45, 90.0, 'fails'),
        (8.7, 0.1, 90.0, 'budget insufficient'),  # kept, and it fails to train nonetheless
        (8.7, 0.95, 0.0, 'inconclusive'),
        (0.3, 0.1, 0.0, 'not measured'),  # nothing to keep it from
        (-6.0, 0.1, 0.0, 'not measured'),
    ],
)
def test_shortcuts_keep_the_gradient_where_it_shrinks_without_them(plain, residual, error, status):
    networks = [
        network('plain', 'none', 'he', plain),
        network('resnet', 'none', 'he', residual, error),
    ]
    finding = found(PROTECTION, [*TRAINED, *networks])
    assert finding.status == status
    if status != 'not measured':
        (judged,) = finding.judged
        assert judged.contrast.where == {'norm': Word.NO_NORM, 'scheme': Word.HE}


def test_claims_read_what_the_analysis_finds(sweep):
    """The planted sweep has 14 layers, which are too few for any of these claims."""
    evidence = Evidence(sweep.results(), analyse(sweep), sweep.depths())
    for finding in judge(CLAIMS, {'gradient_flow': evidence}):
        assert finding.status == 'not measured'
        assert finding.descriptions


def test_the_texts_quote_the_margins():
    for language in ('en', 'zh'):
        assert f'{10**DECADES:g}' in SHRINKING.criterion[language]
        assert f'{100 * UNEVENNESS:.0f}' in SHRINKING.criterion[language]
        assert f'{CORRELATION:g}' in FAILURE.criterion[language]
        assert f'{10**DECADES:g}' in PROTECTION.criterion[language]
