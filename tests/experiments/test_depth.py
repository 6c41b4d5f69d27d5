"""A planted sweep of depths is judged as it was planted, and so are its claims."""

import dataclasses
import math

import planted
import pytest

from configs import cifar10
from experiments import depth
from vggres.findings.claims import Evidence, Word, find
from vggres.findings.verdict import (
    MARGIN,
    MIN_SEEDS,
    SIGNIFICANCE,
    TOLERATED_FAILURES,
    VariantVerdict,
    Verdict,
)
from vggres.sweeps.sweep import assemble

FIT, DEGRADATION, GAIN = depth.CLAIMS


@pytest.fixture
def sweep(config, tmp_path):
    """Two families at two depths with three seeds, done: plain errs by 40 to 42 % at depth 14."""
    config.sweep.seeds = 3
    done = assemble('depth', config, tmp_path, depth.cells(config))
    for cell in done.cells:
        at = cell.coordinates()
        fails = (at['family'], at['depth']) == ('plain', 14)
        planted.finish(cell, error=40.0 + at['seed'] if fails else 0.0)
        (cell.directory / 'metrics.jsonl').write_text('')
    return done


def test_the_grid_is_families_by_depths_by_seeds(sweep):
    assert len(sweep.cells) == 2 * 2 * 3
    assert sweep.depths() == {'plain': {8, 14}, 'resnet': {8, 14}}


def test_the_verdict_is_on_the_training_error_of_each_family(sweep):
    verdict = depth.analyse(sweep)
    assert verdict.metric == 'train_error'
    assert verdict.variants['plain'].verdict == 'degrades'
    assert verdict.variants['plain'].excess_error == 41
    assert verdict.variants['resnet'].verdict == 'inconclusive'  # three seeds rule no failure out
    words = depth.words(verdict)
    assert 'plain: degrades.' in words
    # It says at which rate and budget, and what tests the rest.
    assert 'one learning rate (0.1) and one budget (10 updates)' in words
    assert words.endswith('python launch.py --sweep depth_tuned')
    table, by_depth = depth.tables(verdict)
    assert [row[0] for row in table.rows] == ['plain', 'resnet', 'plain − resnet']
    assert [row[:2] for row in by_depth.rows] == [
        *(['plain', '8'], ['plain', '14'], ['resnet', '8'], ['resnet', '14'])
    ]


def test_there_are_no_learning_curves_where_no_run_completed_an_epoch(sweep):
    assert list(depth.figures(sweep, depth.analyse(sweep))) == ['error_against_depth']


@pytest.mark.parametrize(
    ('steps', 'figures'),
    [(64_000, ['error_against_depth', 'error_beside_published']), (300, ['error_against_depth'])],
)
def test_published_errors_are_drawn_where_the_protocol_is_theirs(tmp_path, steps, figures):
    config = cifar10.get_config()
    config.sweep.depths, config.sweep.seeds, config.train.steps = (20, 56, 110), 1, steps
    done = assemble('depth', config, tmp_path, depth.cells(config))
    sizes = {'train': 45_000, 'validation': 5_000, 'test': 10_000}
    for cell in done.cells:
        planted.finish(cell, error=5.0, steps=steps, num_images=sizes)
    drawn = depth.figures(done, depth.analyse(done))
    assert list(drawn) == figures
    if steps == 64_000:
        _, test = drawn['error_beside_published'][0].axes
        lines = [(found.get_label(), found.get_ydata()[0]) for found in test.lines]
        dashes = sorted(y for label, y in lines if label == 'resnet 56 published')
        assert dashes == [6.97, 7.04, 7.40, 7.47]
        # Nothing is published on plain-110, whose error of 60 % and more would hide the others.
        assert 'resnet 110 seed 0' in dict(lines)
        assert 'plain 110 seed 0' not in dict(lines)


# The claims


def evidence(losses=(0.1, 0.01), errors=(5.0, 4.0), verdict='degrades', n=3):
    """Two families at depths 8 and 56, with almost the same losses and errors in each seed."""
    results = [
        planted.result(
            family,
            depth,
            seed,
            train_loss=loss * 10 ** (0.001 * (seed - 1) * depth),  # the mean is that of seed 1
            validation_error=error + 0.01 * seed * depth,
        )
        for family in ('plain', 'resnet')
        for depth, loss, error in zip((8, 56), losses, errors, strict=True)
        for seed in range(n)
    ]
    judged = VariantVerdict(
        verdict=verdict,
        reason='',
        excess_error=10.0,
        confidence_interval=(9.0, 11.0),
        trained=n,
        failure_p=1.0,
        loss=None,
        exchangeability_p=0.01,
        seeds_needed=None,
        n=n,
        depths=(8, 56),
        mean_error=(0.0, 10.0),
        deepest=56,
        best_shallower=8,
    )
    variants = {'plain': judged, 'resnet': judged}
    found = Verdict(
        metric='train_error',
        confidence=0.95,
        margin=MARGIN,
        significance=SIGNIFICANCE,
        tolerated_failures=TOLERATED_FAILURES,
        failing_error=45.0,
        target_error=5.0,
        resolution=11,
        learning_rate=0.1,
        updates=220,
        variants=variants,
        differences=(),
    )
    return Evidence(results, found, {'plain': {8, 56}, 'resnet': {8, 56}})


def changed(found, change):
    """The evidence with each result changed: `change` gives new values of (number, result)."""
    results = [
        dataclasses.replace(result, **change(number, result))
        for number, result in enumerate(found.results)
    ]
    return dataclasses.replace(found, results=results)


@pytest.mark.parametrize(
    ('losses', 'status'), [((0.1, 0.01), 'holds'), ((0.01, 0.1), 'does not hold')]
)
def test_more_layers_fit_better(losses, status):
    finding = find(FIT, evidence(losses))
    assert finding.status == status
    assert [case.value for case in finding.cases] == pytest.approx(
        2 * [math.log10(losses[1] / losses[0])]
    )


def test_a_fit_that_varies_is_undecided():
    varied = changed(evidence(), lambda i, _: {'train_loss': 10.0 ** (i % 3 * (-1) ** i)})
    assert find(FIT, varied).status == 'undecided'


def test_a_diverged_run_fits_as_guessing_does_and_two_seeds_are_too_few():
    def diverge(number, result):
        is_deep_plain = (result.family, result.depth) == ('plain', 56)
        return {'train_loss': None, 'train_error': 90.0} if is_deep_plain else {}

    found = changed(evidence(), diverge)
    finding = find(FIT, found)
    assert (finding.status, finding.conditions) == ('holds only if', [(Word.RESNET,)])
    guessing = math.log(10)  # ten classes
    assert finding.cases[0].value == pytest.approx(math.log10(guessing / 0.1))
    find(FIT, changed(found, lambda i, _: {} if i else {'train_loss': 0.0}))  # log10 of 0
    assert find(FIT, evidence(n=2)).status == 'not measured'


@pytest.mark.parametrize(
    ('verdict', 'status'),
    [
        ('degrades', 'holds'),
        ('fails to train', 'holds'),
        ('does not degrade', 'does not hold'),
        ('inconclusive', 'undecided'),
        ('budget insufficient', 'undecided'),
    ],
)
def test_plain_networks_degrade(verdict, status):
    assert find(DEGRADATION, evidence(verdict=verdict)).status == status
    assert find(DEGRADATION, evidence(n=2)).status == 'not measured'


def test_a_failure_to_train_is_claimed_without_an_interval():
    """Its value is the difference of the mean errors of all runs, 10 points here."""
    (case,) = find(DEGRADATION, evidence(verdict='fails to train')).cases
    assert (case.value, case.interval) == (10.0, None)


@pytest.mark.parametrize(
    ('errors', 'status'),
    [
        ((9.0, 4.0), 'holds'),
        ((5.0, 5.0), 'does not hold'),
        ((4.0, 9.0), 'does not hold'),
        ((1.5, 0.0), 'not measured'),  # there are no two points to lose
    ],
)
def test_residual_networks_gain(errors, status):
    assert find(GAIN, evidence(errors=errors)).status == status


def test_a_gain_that_varies_is_undecided():
    def vary(number, result):
        factor = 1 if result.depth == 8 else 0.4
        return {'validation_error': 4.0 * (number % 3) * factor}  # of mean 4 at depth 8

    assert find(GAIN, changed(evidence(), vary)).status == 'undecided'


def test_a_planned_depth_that_is_missing_leaves_nothing_to_compare():
    planned = {'plain': {8, 56}, 'resnet': {8, 56, 110}}
    finding = find(FIT, dataclasses.replace(evidence(), planned=planned))
    assert [case.where['family'] for case in finding.cases] == [Word.PLAIN]


def test_the_texts_quote_the_thresholds():
    for language in ('en', 'zh'):
        assert f'{depth.NO_CHANGE:g}' in FIT.criterion[language]
        for threshold in (f'p ≤ {SIGNIFICANCE:g}', f'{MARGIN:g}', f'{TOLERATED_FAILURES:.0%}'):
            assert threshold in DEGRADATION.criterion[language]
        for threshold in (MARGIN, MIN_SEEDS, depth.ROOM_TO_GAIN):
            assert f'{threshold:g}' in GAIN.criterion[language]
