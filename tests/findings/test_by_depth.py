"""How fast the networks of each depth train, from planted courses."""

import dataclasses

from planted import curve, record, runs

from vggres.findings import estimates
from vggres.findings.verdict import decide
from vggres.findings.verdict_words import in_words


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
    found = decide(results, curves=curves)
    updates = [each.updates for each in found.variants['plain'].networks]
    assert updates == [
        estimates.Median(10, False), estimates.Median(20, False), estimates.Median(20, True),
    ]  # fmt: skip
    assert found.resolution == 10
    words = in_words(found)
    assert 'looked at every 10 updates: 10 at depth 8, 20 at depth 20, more than 20 at' in words
    # Without the course of one run there is no median.
    lost = decide(results, curves=curves[1:]).variants['plain'].networks
    assert [each.updates is None for each in lost] == [True, False, False]
