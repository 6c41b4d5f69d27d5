"""Planted gradients are judged as they were planted."""

import dataclasses
import json
import math

import pytest

from experiments.gradient_flow.analysis import NetworkFlow, analyse, correlate, ranks_within
from vggres.findings.along_layers import Change, Flow, Judgements


def network(depth, decades, error):
    change = Change(
        decades=decades,
        interval=(decades, decades),
        per_layer=decades / depth,
        r_squared=1.0,
        first_to_last=1.0,
        ends=(1.0, 1.0),
        zeros=0.0,
        not_finite=0.0,
        n=1,
    )
    flow = Flow(change, {})
    return NetworkFlow(
        cell='',
        variant='plain, no norm, he',
        family='plain',
        depth=depth,
        seed=0,
        status='finished',
        norm='none',
        scheme='he',
        train_error=error,
        padding=0.0,
        judgement=Judgements('shrinks', None),
        input_gradient=flow,
        weight_gradient=flow,
        update_ratio=flow,
        activation=flow,
    )


def test_failed_networks_share_a_rank():
    # Ranks of decades 1 2 3 4 and of errors 1 2 3.5 3.5: Spearman's 0.9487 (3 / √10), though the
    # network that shrinks most errs less than the one that diverged.
    networks = [network(8, d, e) for d, e in ((1, 0), (2, 5), (3, 90), (4, 89.2))]
    found = correlate(networks, 'none', 'before', 'all depths', 87.3)
    assert found.correlation == pytest.approx(3 / 10**0.5)
    assert (found.norm, found.moment, found.among, found.n) == ('none', 'before', 'all depths', 4)
    nothing = correlate(networks, 'batch', 'before', 'all depths', 87.3)
    assert (nothing.correlation, nothing.interval, nothing.n) == (None, None, 0)


def test_ranks_within_a_depth():
    assert ranks_within([8, 8, 8, 56, 56], [3, 1, 2, 9, 9]) == [1, -1, 0, 0, 0]


def test_the_analysis_finds_what_was_planted(sweep):
    verdict = analyse(sweep)
    json.dumps(dataclasses.asdict(verdict), allow_nan=False)  # what verdict.json can hold
    judged = {}
    for each in (each for each in verdict.networks if each.depth == 14):
        kind = judged.setdefault((each.family, each.norm), set())
        kind |= {each.judgement.before, each.judgement.during}
    assert judged == {
        ('vgg', 'batch'): {'level'},
        ('plain', 'batch'): {'level'},
        ('resnet', 'batch'): {'level'},
        ('vgg', 'none'): {'shrinks'},
        ('plain', 'none'): {'shrinks'},
        ('resnet', 'none'): {'level'},
    }
    plain = next(each for each in verdict.networks if each.variant == 'plain, no norm, he')
    # Three blocks, two layers apart; the third takes half of the elements: √½ of the norm.
    decades = 4 - math.log10(2) / 2
    assert plain.input_gradient.before.decades == pytest.approx(decades, abs=0.1)
    assert plain.input_gradient.during[2].decades == pytest.approx(decades)
    assert plain.weight_gradient.before.decades == pytest.approx(5, abs=0.1)
    found = [each for each in verdict.correlations if each.norm == 'none']
    assert [(each.moment, each.among, each.n) for each in found] == [
        ('before', 'all depths', 12),
        ('before', 'one depth', 12),
        ('during', 'all depths', 12),
        ('during', 'one depth', 12),
    ]
    assert found[0].correlation > 0.8
    assert found[3].correlation > 0.5


def test_the_classes_that_guessing_chooses_from_stand_in_the_results(sweep):
    # 97 % of 100 · (1 − 1/10): ten classes, as `planted.result` has them.
    assert analyse(sweep).failed == pytest.approx(87.3)


@pytest.mark.slow
def test_what_is_not_finite_or_missing_leaves_the_rest_judged(sweep):
    first, second, *_ = sweep.cells
    lines = (first.directory / 'probes.jsonl').read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row |= {key: dict.fromkeys(value) for key, value in row.items() if isinstance(value, dict)}
    lines = [json.dumps(row) + '\n' for row in rows[:3]]  # it diverged before the next observation
    (first.directory / 'probes.jsonl').write_text(''.join(lines))
    (second.directory / 'probes.jsonl').unlink()
    verdict = analyse(sweep)
    assert len(verdict.networks) == 35
    assert verdict.networks[0].judgement == Judgements('inconclusive', None)
