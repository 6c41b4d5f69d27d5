"""The words carry the numbers of the verdict, and no more."""

import math

import pytest
from planted import DIGITS_PLAIN, DIGITS_RESNET, TRAINED, runs

from vggres.findings.verdict import decide
from vggres.findings.verdict_words import in_words


def test_the_floor_is_said():
    words = in_words(decide(runs('resnet', DIGITS_RESNET)))
    assert 'the error is at its floor, 0 %, at both depths. The training loss' in words
    assert 'floor, 0 %' not in in_words(decide(runs('plain', TRAINED)))


def test_words_carry_the_numbers_and_the_caveat():
    found = decide(runs('plain', DIGITS_PLAIN) + runs('resnet', DIGITS_RESNET), learning_rate=0.1)
    words = in_words(found)
    for part in (
        'final training error at one learning rate (0.1) and one budget (10 updates)',
        'if its training error is 45 % or more, half of that of guessing',
        'plain: fails to train. Depth 56 failed to train in 3 of 3 runs (probability of failure: '
        '95 % interval 29 to 100 %), the shallower networks together in 0 of 12',
        'Failure to train is not degradation.',
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
    words = in_words(decide(results))
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
    assert in_words(decide([])) == 'There are no results to judge.'
    words = in_words(decide(runs('vgg', {11: [3.0], 13: [1.0]})))
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
    assert ('the deepest that both have' in in_words(decide(results))) == said
