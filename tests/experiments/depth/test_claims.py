"""Planted losses and errors decide each claim about depth each way."""

import dataclasses
import math

import numpy as np
import planted
import pytest

from experiments.depth.claims import CLAIMS, FIT_MARGIN, ROOM_TO_GAIN
from vggres.findings.claims import Evidence, judge
from vggres.findings.contrasts import Word
from vggres.findings.outcomes import FAILED_SHARE, MARGIN

FIT, DEGRADATION, GAIN = CLAIMS


def evidence(losses=(0.1, 0.01), errors=(5.0, 4.0), n=8, **train_errors):
    """Three depths of two families, with almost the same losses and errors in each seed.

    Args:
        losses: of training, at depths 8 and 56.
        errors: of validation, likewise.
        n: seeds.
        train_errors: by family, at depths 8, 20 and 56; 0 for another family.
    """
    results = [
        planted.result(
            family,
            depth,
            seed,
            train_error=train_errors.get(family, (0, 0, 0))[place] + 0.01 * seed * (place == 2),
            train_loss=loss * (1 + 0.01 * seed),
            validation_error=error + 0.001 * seed * depth,
        )
        for family in ('plain', 'resnet')
        for place, (depth, loss, error) in enumerate(
            zip(
                (8, 20, 56),
                (losses[0], *losses),
                (errors[0], *errors),
                strict=True,
            )
        )
        for seed in range(n)
    ]
    return Evidence(results, None, {'plain': {8, 20, 56}, 'resnet': {8, 20, 56}})


def found(claim, evidence):
    (finding,) = judge([claim], {'depth': evidence})
    return finding


def test_without_a_finished_residual_network_nothing_is_measured():
    all_runs = evidence((0.1, 0.01))
    plain = [run for run in all_runs.results if run.family == 'plain']
    alone = dataclasses.replace(all_runs, results=plain)
    assert found(GAIN, alone).status == 'not measured'


def changed(found, change):
    """The evidence with each result changed: `change` gives new values of (number, result)."""
    results = [
        dataclasses.replace(result, **change(number, result))
        for number, result in enumerate(found.results)
    ]
    return dataclasses.replace(found, results=results)


@pytest.mark.parametrize(('losses', 'status'), [((0.1, 0.01), 'holds'), ((0.01, 0.1), 'fails')])
def test_more_layers_fit_better(losses, status):
    finding = found(FIT, evidence(losses))
    assert finding.status == status
    assert [each.contrast.value for each in finding.judged] == pytest.approx(
        2 * [math.log10(losses[1] / losses[0])]
    )
    assert [each.contrast.n for each in finding.judged] == [8, 8]


@pytest.mark.parametrize(
    ('decades', 'status'),
    [(-FIT_MARGIN - 0.02, 'holds'), (-FIT_MARGIN + 0.02, 'fails')],
)
def test_a_fit_has_to_be_better_by_the_margin(decades, status):
    def vary(number, result):
        is_deep = result.depth == 56
        return {'train_loss': 10 ** (is_deep * (decades + 0.001 * (result.seed % 2)))}

    assert found(FIT, changed(evidence(), vary)).status == status


def test_a_fit_is_judged_family_by_family():
    def diverge(number, result):
        is_deep_plain = (result.family, result.depth) == ('plain', 56)
        # A diverged run fits as guessing does.
        return {'train_loss': None, 'train_error': 90.0} if is_deep_plain else {}

    finding = found(FIT, changed(evidence(), diverge))
    assert finding.status == 'mixed'
    plain, resnet = finding.judged
    assert (plain.answer, resnet.answer) == (False, True)
    assert plain.contrast.where == {'family': Word.PLAIN}
    logs = [math.log10(0.1 * (1 + 0.01 * seed)) for seed in range(8)]
    assert plain.contrast.value == pytest.approx(math.log10(math.log(10)) - np.mean(logs))
    found(FIT, changed(evidence(), lambda i, _: {} if i else {'train_loss': 0.0}))  # log10 of 0


def test_a_fit_that_varies_is_inconclusive_and_says_how_many_seeds_it_takes():
    varied = changed(evidence(), lambda i, _: {'train_loss': 10.0 ** (i % 3 * (-1) ** i)})
    finding = found(FIT, varied)
    assert finding.status == 'inconclusive'
    assert all(each.needed is None or each.needed > 8 for each in finding.judged)
    one = found(FIT, evidence(n=1))
    assert (one.status, one.judged[0].contrast.n) == ('inconclusive', 1)


PLAIN_ERRORS = {
    (0.0, 0.0, 10.0): 'holds',
    (3.0, 2.0, 2.0): 'fails',
    (9.0, 3.0, 3.9): 'fails',  # less than the margin over the best shallower one
    (0.0, 0.0, 85.0): 'budget insufficient',  # it guesses: that is not degradation
    (0.0, 50.0, 85.0): 'budget insufficient',  # the control does not train
    (80.0, 80.0, 85.0): 'budget insufficient',
}


@pytest.mark.parametrize(('errors', 'status'), PLAIN_ERRORS.items())
def test_plain_networks_degrade(errors, status):
    finding = found(DEGRADATION, evidence(plain=errors))
    assert finding.status == status
    excess = errors[2] - min(errors[:2])
    assert finding.judged[0].contrast.value == pytest.approx(excess + 0.035)
    assert finding.judged[0].contrast.n == 8


def test_networks_that_fit_every_image_are_at_the_floor():
    level = changed(evidence(), lambda i, _: {'train_error': 0.0})
    finding = found(DEGRADATION, level)
    assert finding.status == 'floor'
    assert finding.judged[0].contrast.interval is None  # and not 0.00 to 0.00
    # One image of 1,437 in one run is still the floor, and refutes nothing.
    one = changed(evidence(), lambda i, _: {'train_error': 0.07 * (i == 20)})
    assert found(DEGRADATION, one).status == 'floor'


def test_three_runs_do_not_exclude_failures_and_refute_nothing():
    """Without an excess: three runs leave P(fail) up to 63 %, eight up to 31 %."""
    few, many = (found(DEGRADATION, evidence(plain=(3, 2, 2), n=n)) for n in (3, 8))
    assert (few.status, many.status) == ('inconclusive', 'fails')
    (judged,) = few.judged
    assert 'up to 63 %; 8 runs without another failure' in judged.contrast.remark['en']
    assert judged.needed is None


def test_runs_that_fail_are_counted_apart():
    def fail(number, result):
        failed = (result.family, result.depth) == ('plain', 56) and result.seed < 3
        return {'train_error': 88.0} if failed else {}

    # The five others degrade by 10 points; or do not, and then nothing is refuted either: they err
    # by more than the floor of 1 % and no more than the shallower ones.
    for error, status in ((10.0, 'holds'), (0.5, 'inconclusive')):
        finding = found(DEGRADATION, changed(evidence(plain=(2, 2, 2 + error)), fail))
        assert finding.status == status
        assert finding.judged[0].contrast.n == 5
        assert finding.judged[0].contrast.value == pytest.approx(error + 0.05)
        described = {each.where['depth']: each.value for each in finding.descriptions}
        assert described == {8: 0, 20: 0, 56: 3}


def test_the_choice_of_the_best_shallower_network_is_not_mistaken_for_degradation():
    """Five networks of one error: the lowest of four means is low by luck, the deepest is not."""
    generator = np.random.default_rng(0)
    decided = 0
    for _ in range(300):
        errors = {d: generator.normal(10 + (d == 56), 3, 8) for d in (8, 14, 20, 32, 56)}
        results = [
            *planted.runs('plain', errors),
            *planted.runs('resnet', {8: [0.0] * 8, 56: [0.0] * 8}),
        ]
        planned = {'plain': set(errors), 'resnet': {8, 56}}
        finding = found(DEGRADATION, Evidence(results, None, planned))
        decided += finding.status == 'holds'
    assert decided <= 300 * 0.025 + 3 * math.sqrt(300 * 0.025)


@pytest.mark.parametrize(
    ('errors', 'status'),
    [
        ((9.0, 4.0), 'holds'),
        ((5.0, 5.0), 'fails'),
        ((4.0, 9.0), 'fails'),
        ((1.5, 0.0), 'floor'),  # there are no two points to lose
    ],
)
def test_residual_networks_gain(errors, status):
    assert found(GAIN, evidence(errors=errors)).status == status


def test_a_gain_that_varies_is_inconclusive():
    def vary(number, result):
        factor = 1 if result.depth == 8 else 0.4
        return {'validation_error': 4.0 * (number % 3) * factor}  # of mean 4 at depth 8

    assert found(GAIN, changed(evidence(), vary)).status == 'inconclusive'


@pytest.mark.parametrize('claim', CLAIMS, ids=lambda claim: claim.key)
def test_where_residual_networks_do_not_train_nothing_is_concluded(claim):
    finding = found(claim, evidence(resnet=(0, 0, 80), plain=(0, 0, 10), errors=(9, 4)))
    assert finding.status == 'budget insufficient'
    assert 'ResNet-56 does not train: its training error is 80.0 %' in finding.control.words['en']


@pytest.mark.parametrize('claim', CLAIMS, ids=lambda claim: claim.key)
@pytest.mark.parametrize('depths', [(8,), (8, 20)])
def test_a_careless_sweep_says_so_in_the_status(claim, depths):
    results = [each for each in evidence().results if each.depth in depths]
    careless = Evidence(results, None, {key: set(depths) for key in ('plain', 'resnet')})
    finding = found(claim, careless)
    assert finding.status == 'not measured'
    words = [each.contrast.barrier.words['en'] for each in finding.judged]
    assert all('one of them 50 or more' in each for each in words)


def test_a_planned_depth_that_is_missing_leaves_nothing_to_compare():
    planned = {'plain': {8, 56}, 'resnet': {8, 56, 110}}
    finding = found(FIT, dataclasses.replace(evidence(), planned=planned))
    assert [each.contrast.value is None for each in finding.judged] == [False, True]


def test_the_texts_quote_the_margins():
    for language in ('en', 'zh'):
        assert f'{FIT_MARGIN:g}' in FIT.criterion[language]
        assert f'{MARGIN:g}' in DEGRADATION.criterion[language]
        assert f'{100 * FAILED_SHARE:g}' in DEGRADATION.criterion[language]
        for threshold in (MARGIN, ROOM_TO_GAIN):
            assert f'{threshold:g}' in GAIN.criterion[language]
