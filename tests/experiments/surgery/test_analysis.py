"""Planted updates come out as they were planted."""

import dataclasses
import json

from experiments import surgery


def test_the_verdict_is_what_was_planted(finished):
    sweep = finished()
    verdict = surgery.analyse(sweep)
    json.dumps(dataclasses.asdict(verdict), allow_nan=False)
    found = {each.arm: each.cure and each.cure.status for each in verdict.arms}
    assert found.pop('plain') is found.pop('resnet') is None
    assert found.pop('plain, equal gradients') == 'cures'
    assert found.pop('plain, first layers frozen') == 'harms'
    # Four equal ratios leave no interval: "no effect" is a statement on a spread.
    assert {status for arm, status in found.items() if arm.startswith('plain')} == {'inconclusive'}
    assert {status for arm, status in found.items() if arm.startswith('resnet')} == {
        'nothing to cure'
    }
    assert len(surgery.judged(sweep)) == 14 * 4
