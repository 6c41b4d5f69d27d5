"""Two variants are compared seed by seed: differences by hand."""

import dataclasses
import math

import pytest
from planted import result, runs

from vggres.findings.verdict import decide
from vggres.findings.verdict_words import in_words


def test_difference_by_hand():
    results = [
        *runs('plain', {8: [1.0, 2.0, 3.0], 20: [11.0, 14.0, 13.0]}),
        *runs('resnet', {8: [4.0, 4.0, 4.0], 20: [3.0, 2.0, 4.0], 32: [1.0, 1.0, 1.0]}),
        result('resnet', 8, 3, 50.0),
    ]
    # Over depths 8 and 20: plain 10 12 10, resnet -1 -2 0, so 11 14 10; variance 13/3.
    mean, half = 35 / 3, 4.302653 * math.sqrt(13 / 3 / 3)
    difference = decide(results).differences[0]
    assert (difference.n, difference.trained, difference.depth) == (3, 3, 20)
    assert difference.excess_error == pytest.approx(mean)
    assert difference.confidence_interval == pytest.approx([mean - half, mean + half], abs=1e-5)
    assert (difference.failed, difference.failure_p) == ((0, 0), 1)

    # Seed 1 lost its plain depth 20: seeds 0 and 2 remain, 11 and 10; 1 d.f.: 12.706205.
    fewer = [r for r in results if (r.variant, r.depth, r.seed) != ('plain', 20, 1)]
    difference = decide(fewer).differences[0]
    half = 12.706205 * math.sqrt(0.5 / 2)
    assert difference.n == 2
    assert difference.confidence_interval == pytest.approx([10.5 - half, 10.5 + half], abs=1e-4)

    # Seed 1 failed at plain depth 20: it counts as a failure, and not in the excess.
    failed = [
        dataclasses.replace(r, train_error=90.0) if (r.variant, r.depth, r.seed) ==
        ('plain', 20, 1) else r for r in results
    ]  # fmt: skip
    difference = decide(failed).differences[0]
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
        (difference,) = decide(order).differences
        assert difference.confidence_interval == pytest.approx([5 - half, 5 + half], abs=1e-5)


def test_a_difference_without_spread_has_no_interval():
    results = runs('plain', {8: [0.0] * 3, 20: [9.0] * 3})
    results += runs('resnet', {8: [0.0] * 3, 20: [1.0] * 3})
    (difference,) = decide(results).differences
    assert (difference.excess_error, difference.confidence_interval) == (8, None)
    assert '8.00 points more excess error than resnet (n = 3)' in in_words(decide(results))
