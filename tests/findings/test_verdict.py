"""The verdict against closed forms, sums by hand, exact enumeration and simulated truths.

The data of the simulations are what sweeps look like whose truth is known: networks of equal
quality, networks that fail now and then, errors at their floor, an effect like that of He et al.
"""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import curve, record, result, runs
from scipy import stats

from vggres.errors import UserError
from vggres.findings import estimates, verdict

DEPTHS = [8, 20, 32, 44, 56]
# Plain 6n+2 nets on digits, training error of three seeds, measured with another implementation.
DIGITS_PLAIN = {
    8: [0.0, 0.0, 0.0],
    20: [0.0, 0.0, 0.0],
    32: [1.7, 1.8, 5.8],
    44: [30.7, 34.9, 26.0],
    56: [84.6, 74.9, 46.8],
}
DIGITS_RESNET = {depth: [0.0, 0.0, 0.0] for depth in DEPTHS}
# Degradation as He et al. saw it: all networks train, and the deepest errs a little more.
TRAINED = {8: [0.9, 0.7, 0.8], 20: [0.7, 0.8, 0.6], 56: [3.4, 3.5, 3.2]}


def outcomes(rows, log_losses=None):
    """Of ten classes, where half of guessing is 45 %; losses are alike where none are given."""
    errors = np.array(rows, dtype=float)
    losses = np.zeros(errors.shape) if log_losses is None else np.array(log_losses, dtype=float)
    return verdict.Outcomes(errors, errors >= 45, losses)


def judge(rows, log_losses=None):
    found = outcomes(rows, log_losses)
    return verdict.judge(found, [6 * i + 8 for i in range(found.errors.shape[1])])


# The demonstration, by hand


def test_digits_table_is_judged_as_by_hand():
    found = verdict.decide(
        runs('plain', DIGITS_PLAIN) + runs('resnet', DIGITS_RESNET), 'train_error'
    )
    plain, resnet = found.variants['plain'], found.variants['resnet']

    assert plain.verdict == 'fails to train'  # 84.6, 74.9 and 46.8 are all above 45
    assert (plain.excess_error, plain.trained) == (None, 0)
    # Three of three against none of twelve is the most extreme table of all, so that its
    # probability at the least favourable chance 3/15 is the p-value.
    assert plain.failure_p == pytest.approx(0.2**3 * 0.8**12, rel=1e-3)
    # Each seed's errors, two equal, have 5!/2 = 60 orders; all three seeds are in the largest.
    assert plain.exchangeability_p == pytest.approx(60.0**-3)
    assert plain.mean_error == pytest.approx([0, 0, 9.3 / 3, 91.6 / 3, 206.3 / 3])
    assert (plain.deepest, plain.best_shallower, plain.n) == (56, 8, 3)
    assert plain.depths == tuple(DEPTHS)
    assert [each.failed for each in plain.networks] == [0, 0, 0, 0, 3]
    assert [each.median_error for each in plain.networks] == [0, 0, 1.8, 30.7, 74.9]
    # Clopper–Pearson without a failure: 1 − 0.025^(1/3).
    low, high = plain.networks[0].failure_interval
    assert (low, high) == (0, pytest.approx(1 - 0.025 ** (1 / 3)))

    assert resnet.verdict == 'inconclusive'  # three runs do not rule failures out
    assert resnet.excess_error == 0
    assert resnet.confidence_interval is None
    assert resnet.seeds_needed == 8
    assert resnet.exchangeability_p == 1
    assert resnet.mean_error == (0,) * 5

    (difference,) = found.differences
    assert difference.variants == ('plain', 'resnet')
    assert (difference.depth, difference.failed, difference.n) == (56, (3, 0), 3)
    assert difference.failure_p == pytest.approx(1 / 64)  # six runs of chance 1/2
    assert (difference.excess_error, difference.trained) == (None, 0)


def test_verdict_json_holds_all_of_it_under_the_agreed_keys():
    """`verdict.json` is what `dataclasses.asdict` makes of the verdict: tools rely on its keys."""
    found = dataclasses.asdict(
        verdict.decide(
            runs('plain', DIGITS_PLAIN) + runs('resnet', DIGITS_RESNET) + runs('vgg', {11: [2.0]}),
            learning_rate=0.1,
        )
    )
    json.dumps(found, allow_nan=False)
    numbers = {
        'metric': 'train_error',
        'confidence': 0.95,
        'margin': 1.0,
        'significance': 0.05,
        'tolerated_failures': 1 / 3,
        'failing_error': 45.0,
        'target_error': 5.0,
        'resolution': None,
        'learning_rate': 0.1,
        'updates': 10,
    }
    assert {key: found[key] for key in numbers} == numbers
    assert found.keys() == {*numbers, 'variants', 'differences'}
    assert list(found['variants']) == ['plain', 'resnet', 'vgg']
    for judged in found['variants'].values():
        assert judged.keys() == {
            'verdict', 'reason', 'excess_error', 'confidence_interval', 'trained', 'failure_p',
            'loss', 'exchangeability_p', 'seeds_needed', 'n', 'depths', 'mean_error', 'deepest',
            'best_shallower', 'networks',
        }  # fmt: skip
        for network in judged['networks']:
            assert network.keys() == {
                'depth', 'n', 'failed', 'failure_interval', 'median_error', 'lowest_error',
                'highest_error', 'updates',
            }  # fmt: skip
    assert found['differences'][0].keys() == {
        'variants', 'excess_error', 'confidence_interval', 'trained', 'depth', 'failed',
        'failure_p', 'n',
    }  # fmt: skip


# The rule


def test_the_excess_is_a_paired_t_interval_of_the_seeds_that_trained():
    judged = judge([[1, 2], [1, 3], [5, 8], [1, 90]])
    half = 4.302653 / math.sqrt(3)  # differences 1 2 3; t table, 2 degrees of freedom
    assert judged.confidence_interval == pytest.approx([2 - half, 2 + half], abs=1e-5)
    assert (judged.trained, judged.n) == (3, 4)
    assert judged.verdict == 'inconclusive'


EIGHT = np.arange(8.0)[:, None] / 100  # a spread of some hundredths


@pytest.mark.parametrize(
    ('rows', 'expected'),
    [
        ([[1, 12], [1, 13], [5, 18]], 'degrades'),
        ([[0.8, 3.4], [0.9, 3.4], [0.7, 3.6]], 'degrades'),  # 2.6 2.5 2.9: 2.15 to 3.18
        ([[0, 1.2], [0, 1.6], [0, 1.8]], 'inconclusive'),  # 0.77 to 2.29: above 0, not above 1
        ([[0, 1.2], [0, 1.3], [0, 1.35]], 'degrades'),  # 1.09 to 1.47
        ([[0, 0.2], [0, 0.3], [0, 0.4]], 'inconclusive'),  # below the margin, but only three seeds
        (np.hstack([0 * EIGHT, EIGHT]), 'does not degrade'),
        (np.hstack([5 + 0 * EIGHT, 1 + EIGHT]), 'does not degrade'),
        # Excess -1 1 3: [-3.97, 5.97] is on both sides of the margin.
        ([[5, 9, 4], [5, 9, 6], [5, 9, 8]], 'inconclusive'),
        ([[0, 0, 90]] * 3, 'fails to train'),
        ([[0, 90]] * 3, 'fails to train'),
        ([[0, 44.9]] * 3, 'inconclusive'),  # has trained, and three equal numbers have no spread
        ([[0, 45.0]] * 3, 'fails to train'),
        ([[0, 90], [0, 0], [0, 0]], 'inconclusive'),
        ([[90, 90]] * 3, 'budget insufficient'),
        ([[90, 0]] * 3, 'budget insufficient'),
        ([[90, 90], [0, 90], [0, 90]], 'inconclusive'),
        ([[90, 90], [90, 90], [0, 90], [0, 90]], 'budget insufficient'),
    ],
)
def test_rule(rows, expected):
    assert judge(rows).verdict == expected


@pytest.mark.parametrize('num_seeds', [2, 3, 5, 8, 20])
@pytest.mark.parametrize('excess', [0.0, 0.5, 6.0])
def test_errors_without_spread_have_no_interval_and_are_never_a_certainty(num_seeds, excess):
    """Of n equal excesses above the margin, n heads in a row tell: 0.5ⁿ ≤ 2.5 % from six on."""
    judged = judge([[0, 0, excess]] * num_seeds)
    assert judged.confidence_interval is None
    assert 'interval' not in judged.reason
    if excess > verdict.MARGIN:
        assert judged.verdict == ('degrades' if num_seeds >= 6 else 'inconclusive')
    else:
        assert judged.verdict == ('does not degrade' if num_seeds >= 8 else 'inconclusive')


def test_the_seeds_that_would_decide_are_said():
    # 0 of 7 leaves 1 − 0.05^(1/7) = 34.8 %, 0 of 8 leaves 31.2 %, which is below a third.
    assert judge([[0, 0]] * 7).seeds_needed == 8
    assert judge([[0, 6]] * 3).seeds_needed == 6
    # Differences 1 2 3 have deviation 1: t(n − 1) / √n is below 1 from n = 7 on (2.447 / 2.646).
    judged = judge([[0, 1], [0, 2], [0, 3]])
    assert judged.seeds_needed == 7
    assert '7 seeds will decide' in judged.reason
    # By Fisher's test one failure of three against none of three takes 4 of 12 against 0 of 12
    # (p = 0.047); 4 of 11 against 0 of 11 has 0.045.
    rows = [[0, 90], [0, 0], [0, 0]]
    assert judge(rows).seeds_needed == 11
    assert stats.fisher_exact([[4, 7], [0, 11]], 'greater').pvalue < 0.05
    assert stats.fisher_exact([[3, 7], [0, 10]], 'greater').pvalue > 0.05


def test_a_net_that_is_best_by_luck_does_not_count():
    rows = [[6.0, 7, 8, 5, 12, 10], [6.0, 7, 8, 12, 5, 10], [6.6, 7, 8, 12, 12, 10]]
    # In hindsight column 0 is best, excess 4 4 3.4: 3.8 ± 4.303 · 0.3464 / √3, well above 1.
    # Seed by seed column 3, 4 and 0 are; scored on the other seeds that leaves
    # 10 - (12 + 6) / 2 = 1, 10 - (12 + 6) / 2 = 1 and 10 - (12 + 12) / 2 = -2.
    assert estimates.excess(np.array(rows)) == pytest.approx([4, 4, 3.4])
    assert estimates.excess_without_hindsight(np.array(rows)) == pytest.approx([1, 1, -2])
    judged = judge(rows)
    assert judged.confidence_interval == pytest.approx([2.939, 4.661], abs=1e-3)
    assert judged.verdict == 'inconclusive'
    assert 'other seeds' in judged.reason


def test_of_equal_shallower_nets_the_shallowest_is_best():
    # 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last bit.
    judged = judge([[9, 0.1, 0.3, 7], [9, 0.2, 0.2, 7], [9, 0.3, 0.1, 7]])
    assert judged.best_shallower == judged.depths[1]


def test_at_the_floor_the_loss_tells_what_the_error_cannot():
    """Errors of 0 %; log10 losses fall by 1 ± 0.1 decades, but failed runs are left out."""
    losses = [[-1, -2, -3.0], [-1, -2, -3.1], [-1, -2, -2.9], [-1, -2, 0.3]]
    judged = judge([[0, 0, 0]] * 3 + [[0, 0, 90]], losses)
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert judged.loss.decades == pytest.approx(-1)
    assert judged.loss.confidence_interval == pytest.approx([-1 - half, -1 + half], abs=1e-5)
    assert (judged.loss.best_shallower, judged.loss.n) == (14, 3)


def test_the_floor_is_said():
    words = verdict.in_words(verdict.decide(runs('resnet', DIGITS_RESNET)))
    assert 'the error is at its floor, 0 %, at both depths. The training loss' in words
    assert 'floor, 0 %' not in verdict.in_words(verdict.decide(runs('plain', TRAINED)))


def test_the_loss_of_a_diverged_run_is_that_of_guessing():
    diverged = result(status='diverged', train_error=90.0, train_loss=None)
    assert verdict.log_loss(diverged) == pytest.approx(math.log10(math.log(10)))
    assert verdict.log_loss(result(train_loss=0.0)) < -20  # no error


# The speed of training


def test_the_updates_to_the_target_are_a_median_that_knows_its_limits():
    """Two looks, after 10 and 20 updates; a run that is not there by 20 took more than those."""
    results = runs('plain', {8: [1.0] * 3, 20: [1.0] * 3, 32: [90.0] * 3}, steps=20)
    first = {8: [3.0, 5.0, 9.0], 20: [9.0, 9.0, 9.0], 32: [90.0] * 3}
    last = {8: [1.0, 1.0, 1.0], 20: [1.0, 1.0, 8.0], 32: [90.0, 90.0, 4.0]}
    curves = [
        dataclasses.replace(
            curve('plain', run.depth, run.seed, [
                record(1, train_error=first[run.depth][run.seed]),
                record(2, train_error=last[run.depth][run.seed]),
            ]),
            cell=run.cell,
        )
        for run in results
    ]  # fmt: skip
    found = verdict.decide(results, curves=curves)
    updates = [each.updates for each in found.variants['plain'].networks]
    assert updates == [
        estimates.Median(10, False), estimates.Median(20, False), estimates.Median(20, True),
    ]  # fmt: skip
    assert found.resolution == 10
    words = verdict.in_words(found)
    assert 'looked at every 10 updates: 10 at depth 8, 20 at depth 20, more than 20 at' in words
    # Without the course of one run there is no median.
    lost = verdict.decide(results, curves=curves[1:]).variants['plain'].networks
    assert [each.updates is None for each in lost] == [True, False, False]


# Seeds and depths that are not there


@pytest.mark.parametrize('num_seeds', [1, 2])
def test_too_few_seeds_are_inconclusive(num_seeds):
    judged = judge([[0, 1, 40]] * num_seeds)
    assert judged.verdict == 'inconclusive'
    assert judged.excess_error == 40
    assert judged.n == num_seeds
    assert judged.confidence_interval is None
    assert f'Only {num_seeds} seed' in judged.reason


def test_one_depth_is_inconclusive():
    judged = verdict.decide(runs('vgg', {16: [1.0, 2.0, 6.0]})).variants['vgg']
    assert judged.verdict == 'inconclusive'
    assert judged.mean_error == (3,)
    assert (judged.deepest, judged.best_shallower, judged.failure_p) == (16, None, None)
    assert judged.excess_error is None
    assert 'no shallower network' in judged.reason


def test_no_complete_seed_is_inconclusive():
    results = runs('plain', {8: [1.0], 20: [2.0]})
    results[1] = dataclasses.replace(results[1], seed=1)
    judged = verdict.decide(results).variants['plain']
    assert judged.verdict == 'inconclusive'
    assert judged.n == 0
    assert judged.mean_error == (None, None)
    assert judged.excess_error is judged.failure_p is judged.confidence_interval is None
    assert judged.reason.startswith('No seeds have every depth')


def test_incomplete_seeds_are_left_out_and_named():
    results = runs('plain', DIGITS_PLAIN)
    stray = result('plain', 8, 7, 99.0)
    judged = verdict.decide([*results, stray]).variants['plain']
    complete = verdict.decide(results).variants['plain']
    left_out = {'reason': '', 'networks': ()}
    assert dataclasses.replace(judged, **left_out) == dataclasses.replace(complete, **left_out)
    assert judged.reason.startswith(complete.reason)
    assert 'seed 7 (depth 20, 32, 44, 56)' in judged.reason
    assert 'Left out' not in complete.reason
    # The runs of a depth are counted all the same.
    assert (judged.networks[0].n, judged.networks[0].failed) == (4, 1)


def test_difference_by_hand():
    results = [
        *runs('plain', {8: [1.0, 2.0, 3.0], 20: [11.0, 14.0, 13.0]}),
        *runs('resnet', {8: [4.0, 4.0, 4.0], 20: [3.0, 2.0, 4.0], 32: [1.0, 1.0, 1.0]}),
        result('resnet', 8, 3, 50.0),
    ]
    # Over depths 8 and 20: plain 10 12 10, resnet -1 -2 0, so 11 14 10; variance 13/3.
    mean, half = 35 / 3, 4.302653 * math.sqrt(13 / 3 / 3)
    difference = verdict.decide(results).differences[0]
    assert (difference.n, difference.trained, difference.depth) == (3, 3, 20)
    assert difference.excess_error == pytest.approx(mean)
    assert difference.confidence_interval == pytest.approx([mean - half, mean + half], abs=1e-5)
    assert (difference.failed, difference.failure_p) == ((0, 0), 1)

    # Seed 1 lost its plain depth 20: seeds 0 and 2 remain, 11 and 10; 1 d.f.: 12.706205.
    fewer = [r for r in results if (r.variant, r.depth, r.seed) != ('plain', 20, 1)]
    difference = verdict.decide(fewer).differences[0]
    half = 12.706205 * math.sqrt(0.5 / 2)
    assert difference.n == 2
    assert difference.confidence_interval == pytest.approx([10.5 - half, 10.5 + half], abs=1e-4)

    # Seed 1 failed at plain depth 20: it counts as a failure, and not in the excess.
    failed = [
        dataclasses.replace(r, train_error=90.0) if (r.variant, r.depth, r.seed) ==
        ('plain', 20, 1) else r for r in results
    ]  # fmt: skip
    difference = verdict.decide(failed).differences[0]
    assert (difference.n, difference.trained, difference.failed) == (3, 2, (1, 0))
    assert difference.excess_error == pytest.approx(10.5)


def test_difference_pairs_seeds():
    # Equal means, but paired only 5 ± 0.1 is left.
    results = [
        *runs('plain', {8: [0.0, 0.0, 0.0], 20: [15.0, 25.1, 34.9]}),
        *runs('resnet', {8: [0.0, 0.0, 0.0], 20: [10.0, 20.0, 30.0]}),
    ]
    half = 4.302653 * 0.1 / math.sqrt(3)
    for order in (results, results[::-1]):
        (difference,) = verdict.decide(order).differences
        assert difference.confidence_interval == pytest.approx([5 - half, 5 + half], abs=1e-5)


def test_a_difference_without_spread_has_no_interval():
    results = runs('plain', {8: [0.0] * 3, 20: [9.0] * 3})
    results += runs('resnet', {8: [0.0] * 3, 20: [1.0] * 3})
    (difference,) = verdict.decide(results).differences
    assert (difference.excess_error, difference.confidence_interval) == (8, None)
    assert '8.00 points more excess error than resnet (n = 3)' in verdict.in_words(
        verdict.decide(results)
    )


@pytest.mark.parametrize(
    'results',
    [
        runs('plain', DIGITS_PLAIN),
        runs('plain', DIGITS_PLAIN) + runs('vgg', DIGITS_RESNET),
        runs('plain', {8: [1.0], 20: [2.0]}) + runs('resnet', {20: [1.0], 32: [2.0]}),
        runs('plain', {8: [1.0], 20: [2.0]})
        + [dataclasses.replace(r, seed=5) for r in runs('resnet', {8: [1.0], 20: [2.0]})],
        [],
    ],
)
def test_difference_needs_both_families_two_depths_and_a_seed(results):
    assert verdict.decide(results).differences == ()


# Input


def test_another_metric():
    results = [
        dataclasses.replace(run, validation_error=run.train_error + 4 * run.depth / 56)
        for run in runs('plain', TRAINED)
    ]
    found = verdict.decide(results, metric='validation_error')
    assert found.metric == 'validation_error'
    # Means by hand: 0.8 + 4/7 at depth 8, 0.7 + 10/7 at depth 20.
    assert found.variants['plain'].best_shallower == 8
    assert found.variants['plain'].excess_error == pytest.approx(101 / 30 + 4 - 0.8 - 4 / 7)


@pytest.mark.parametrize('error', [None, math.nan, math.inf])
def test_errors_that_are_not_numbers_are_refused(error):
    results = runs('plain', {8: [1.0], 20: [error]})
    with pytest.raises(UserError, match='plain depth 20 seed 0: train_error'):
        verdict.decide(results)


def test_misspelt_metric_names_the_ones_there_are():
    with pytest.raises(UserError, match="'trian_error': did you mean train_error"):
        verdict.decide(runs('plain', DIGITS_PLAIN), metric='trian_error')


def test_two_runs_of_one_cell_are_refused():
    results = runs('plain', {8: [1.0], 20: [2.0]})
    with pytest.raises(UserError, match='plain depth 20 seed 0 is there twice'):
        verdict.decide([*results, results[-1]])


# Invariances

IMAGES = 1437
counts = st.lists(st.integers(0, IMAGES), min_size=4, max_size=4)
tables = st.lists(counts, min_size=3, max_size=5)


@settings(max_examples=50, deadline=None)
@given(plain=tables, resnet=tables, random=st.randoms(use_true_random=False))
def test_order_of_results_changes_nothing(plain, resnet, random):
    results = [
        result(variant, depth, seed, 100 * count / IMAGES)
        for variant, table in (('plain', plain), ('resnet', resnet))
        for seed, row in enumerate(table)
        for depth, count in zip(DEPTHS, row, strict=False)
    ]
    shuffled = random.sample(results, len(results))
    assert verdict.decide(shuffled) == verdict.decide(results)


@settings(max_examples=50, deadline=None)
@given(
    table=st.lists(st.lists(st.integers(0, 20), min_size=4, max_size=4), min_size=3, max_size=5),
    constants=st.lists(st.integers(0, 20), min_size=5, max_size=5),
)
def test_a_constant_a_seed_changes_nothing(table, constants):
    # Whole numbers, so that adding is exact; one constant a seed, because seeds are paired. The
    # sums stay below 45, where runs have trained.
    errors = np.array(table, dtype=float)
    moved = errors + np.array(constants[: len(errors)])[:, None]
    before, after = judge(errors), judge(moved)
    assert after.mean_error == pytest.approx(
        [mean + np.mean(constants[: len(errors)]) for mean in before.mean_error]
    )
    intervals = before.confidence_interval, after.confidence_interval
    assert intervals == (None, None) or intervals[0] == pytest.approx(intervals[1])
    moves = {'mean_error': (), 'reason': '', 'confidence_interval': None}
    assert dataclasses.replace(before, **moves) == dataclasses.replace(after, **moves)


# How often it is wrong, and how often it finds what is there

REPLICATES = 500


def rates(draw, num_seeds, replicates=REPLICATES):
    """The share of replicates with each status; `draw(rng, shape)` gives errors in percent."""
    rng = np.random.default_rng(2015)
    found = [judge(errors).verdict for errors in draw(rng, (replicates, num_seeds))]
    return {status: found.count(status) / replicates for status in STATUSES}


STATUSES = (
    *('degrades', 'fails to train', 'does not degrade', 'inconclusive', 'budget insufficient'),
)


def at_most(level, replicates=REPLICATES):
    """A true rate of `level` would come out above this in one test of a thousand."""
    return stats.binom.ppf(0.999, replicates, level) / replicates


def normal(means, spread=3.0, base=10.0):
    means = np.array(means, dtype=float)
    spread = np.broadcast_to(spread, means.shape)
    return lambda rng, shape: base + means + spread * rng.standard_normal((*shape, len(means)))


def heavy_tailed(rng, shape):
    return 20 + 3 * rng.standard_t(2, (*shape, 5))


def clipped_at_0(rng, shape):
    return np.clip(rng.normal(0, 5, (*shape, 5)), 0, None)


def skewed_with_a_floor(rng, shape):
    return rng.exponential(5, (*shape, 5)) * (rng.random((*shape, 5)) < 0.5)


def failing_now_and_then(rng, shape):
    return 90.0 * (rng.random((*shape, 5)) < 0.3)


def failing_half_of_the_time(rng, shape):
    return 90.0 * (rng.random((*shape, 5)) < 0.5)


def worse_in_the_middle(rng, shape):
    return 90.0 * (rng.random((*shape, 5)) < np.array([0.4, 1, 1, 1, 0.4]))


# In none of them is the deepest net worse, on average, than the best shallower one.
NULLS = {
    'equal, normal': normal([0] * 5),
    'equal, heavy-tailed': heavy_tailed,
    'equal, clipped at 0': clipped_at_0,
    'equal, skewed, half of them 0': skewed_with_a_floor,
    'equal, failing now and then': failing_now_and_then,
    'equal, failing half of the time': failing_half_of_the_time,
    'fails more often in the middle': worse_in_the_middle,
    'improving': normal([12, 9, 6, 3, 0]),
    'hill': normal([0, 10, 20, 10, 0]),
    'deepest as good as the best three': normal([0, 0, 0, 9, 0]),
    'the same, deepest without spread': normal([0, 0, 0, 9, 0], [3.0] * 4 + [0.0]),
}


@pytest.mark.parametrize('num_seeds', [3, 8])
@pytest.mark.parametrize('null', NULLS)
def test_false_positives(null, num_seeds):
    """`degrades` leaves out 2.5 % on one side, the exact test of failures 5 %."""
    found = rates(NULLS[null], num_seeds)
    assert found['degrades'] <= at_most(0.025)
    assert found['fails to train'] <= at_most(0.05)


@pytest.mark.parametrize('spread', [0.0, 0.5])
def test_a_true_excess_of_the_margin_is_on_neither_side(spread):
    """Just the margin is neither more nor less, up to the 2.5 % of each side."""
    for num_seeds in (3, 8):
        found = rates(normal([0, 0, 0, 0, 1], [0.5] * 4 + [spread]), num_seeds)
        assert found['degrades'] <= at_most(0.025)
        assert found['does not degrade'] <= at_most(0.025)


def test_a_network_that_fails_three_times_in_ten_is_not_called_equivalent():
    """A mean excess of 27 points, which a t interval of three seeds had called none in 34 %.

    Fewer than eight seeds never do so. Eight do where no run fails, in 0.7⁸ = 5.8 % of all cases;
    at the tolerated third it is (2/3)⁸ = 3.9 %, below 5 %.
    """

    def draw(rng, shape):
        errors = np.zeros((*shape, 5))
        errors[..., -1] = 90 * (rng.random(shape) < 0.3)
        return errors

    for num_seeds in (3, 5, 7):
        assert rates(draw, num_seeds)['does not degrade'] == 0
    found = rates(draw, 8)
    assert found['does not degrade'] <= at_most(0.7**8)
    assert found['does not degrade'] >= stats.binom.ppf(0.001, REPLICATES, 0.7**8) / REPLICATES
    assert found['fails to train'] > 0.6


def test_an_effect_like_he_et_als_is_found_with_three_seeds():
    """Training errors of 0.8 % at depth 20 and 3.4 % at depth 56, each with a spread of 0.2."""
    errors = normal([0.1, 0, 0.05, 2.1, 2.6], 0.2, base=0.8)
    assert rates(errors, 3)['degrades'] > 0.95
    assert rates(normal([0, 2.6], 0.2, base=0.8), 3)['degrades'] > 0.95


def test_power_for_two_depths_is_that_of_the_t_test():
    """Noncentral t: excess 3 ± √2, of which 2 are beyond the margin; five seeds."""
    expected = stats.nct.sf(2.776445, 4, 2 / math.sqrt(2) * math.sqrt(5))
    tolerance = 4 * math.sqrt(expected * (1 - expected) / REPLICATES)
    found = rates(normal([0, 3], 1.0), 5)['degrades']
    assert found == pytest.approx(expected, abs=tolerance)


def test_errors_that_are_all_0_are_neither_worse_nor_failures():
    found = {n: judge(np.zeros((n, 5))).verdict for n in (3, 7, 8, 20)}
    assert found == {
        3: 'inconclusive', 7: 'inconclusive', 8: 'does not degrade', 20: 'does not degrade',
    }  # fmt: skip


def test_what_digits_shows_is_found():
    def draw(rng, shape):
        # Means and standard deviations of FACTS section 4.
        errors = normal([0, 0, 3.1, 30.5, 68.8], [0, 0, 2.3, 4.5, 19.6], base=0)(rng, shape)
        return np.clip(errors, 0, 90)

    assert rates(draw, 3)['fails to train'] > 0.8


def test_improvement_and_level_are_found_with_eight_seeds():
    assert rates(normal([8, 6, 4, 2, 0], 0.3), 8)['does not degrade'] > 0.95
    assert rates(normal([0] * 5, 0.1), 8)['does not degrade'] > 0.95


# Words


def test_what_was_lost_does_not_make_a_smaller_grid():
    plain = [r for r in runs('plain', DIGITS_PLAIN) if r.depth != 56]
    resnet = runs('resnet', DIGITS_RESNET)
    depths = {8, 20, 32, 44, 56}
    found = verdict.decide(plain + resnet, planned={'plain': depths, 'resnet': depths})
    assert found.variants['plain'].verdict == 'inconclusive'
    assert found.variants['plain'].n == 0
    assert found.variants['plain'].deepest == 56
    assert 'seeds 0 (depth 56)' in found.variants['plain'].reason
    assert found.variants['resnet'].n == 3
    assert found.differences == ()
    nothing = verdict.decide(resnet, planned={'plain': depths, 'resnet': depths})
    assert nothing.variants['plain'].verdict == 'inconclusive'


def test_failure_at_every_depth_is_no_evidence_about_depth():
    for status in ('diverged', 'finished'):
        everywhere = runs('plain', {8: [90.0] * 3, 20: [90.0] * 3}, status=status)
        judged = verdict.decide(everywhere).variants['plain']
        assert judged.verdict == 'budget insufficient'
        assert 'nothing can be said' in judged.reason
        assert ('6 runs diverged' in judged.reason) == (status == 'diverged')


def test_divergence_of_the_deepest_is_failure():
    results = runs('plain', {8: [0.0] * 3, 20: [1.0, 2.0, 3.0]})
    results += runs('plain', {32: [1.0] * 3}, status='diverged')  # whatever its error
    judged = verdict.decide(results).variants['plain']
    assert judged.verdict == 'fails to train'
    assert '3 runs diverged' in judged.reason


def test_failing_begins_at_half_of_guessing():
    assert verdict.failing_error(10) == 45
    assert verdict.failing_error(2) == 25
    assert verdict.has_failed(result(error=45.0))
    assert not verdict.has_failed(result(error=44.9))
    assert verdict.has_failed(result(error=30.0, num_classes=2))


def test_words_carry_the_numbers_and_the_caveat():
    found = verdict.decide(
        runs('plain', DIGITS_PLAIN) + runs('resnet', DIGITS_RESNET), learning_rate=0.1
    )
    words = verdict.in_words(found)
    for part in (
        'final training error at one learning rate (0.1) and one budget (10 updates)',
        'if its training error is 45 % or more, half of that of guessing',
        'plain: fails to train. Depth 56 failed to train in 3 of 3 runs (probability of failure: '
        '95 % interval 29 to 100 %), the shallower networks together in 0 of 12',
        'An error near that of guessing is not degradation.',
        'plain: runs that failed to train: 3 of 3 at depth 56.',
        'resnet: inconclusive. Depth 56 has no more error than depth 8',
        'failure of up to 63 % (one-sided 95 %); less than 33 % is asked for',
        'If all goes on like this, 8 seeds will decide.',
        'plain failed to train in 3 of 3 runs and resnet in 0 of 3 (exact test: p = 0.016)',
    ):
        assert part in words
    for lie in ('0.00 to 0.00', 'reproduce', '±'):
        assert lie not in words


def test_words_of_trained_networks():
    results = runs('plain', TRAINED) + runs('resnet', DIGITS_RESNET)
    words = verdict.in_words(verdict.decide(results))
    # 2.7 2.7 2.6: mean 2.67, deviation 0.0577.
    half = 4.302653 * math.sqrt(1 / 300) / math.sqrt(3)
    low, high = 8 / 3 - half, 8 / 3 + half
    assert (
        'plain: degrades. Depth 56 has 2.67 points more error than depth 20, the best shallower '
        f'network (95 % interval {low:.2f} to {high:.2f}, all 3 seeds trained at both), which is '
        'above the margin of 1.'
    ) in words
    assert 'Where both trained, plain has 2.67 points more excess error than resnet' in words


def test_words_without_results_or_partner():
    assert verdict.in_words(verdict.decide([])) == 'There are no results to judge.'
    words = verdict.in_words(verdict.decide(runs('vgg', {11: [3.0], 13: [1.0]})))
    assert 'vgg: inconclusive. Only 1 seed has every depth; at least 3 are needed.' in words
    assert 'excess' not in words


@pytest.mark.parametrize(('num_seeds', 'said'), [(2, False), (3, True)])
def test_families_are_compared_in_words_only_with_enough_seeds(num_seeds, said):
    results = [
        run
        for variant, errors in (('plain', DIGITS_PLAIN), ('resnet', DIGITS_RESNET))
        for run in runs(variant, errors)
        if run.seed < num_seeds
    ]
    assert ('the deepest that both have' in verdict.in_words(verdict.decide(results))) == said
