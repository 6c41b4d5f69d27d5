"""Planted gradients are judged as they were planted."""

import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from planted import result

from experiments.gradient_flow.analysis import (
    NetworkFlow,
    analyse,
    correlate,
    expected,
    ranks_within,
)
from vggres.findings import expected_gradient
from vggres.findings.along_layers import Change, Flow
from vggres.networks import grammar
from vggres.results import Observation

_BLOCKS = [f'stage{i}/block1' for i in (1, 2, 3)]
_LAYERS = [f'{block}/conv{k}' for block in _BLOCKS for k in (1, 2)]
QUANTITY_NAMES = {'activation': _BLOCKS, 'weight_gradient': _LAYERS, 'update_ratio': _LAYERS}


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
        local=(),
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
        judgement='shrinks',
        shape='geometric',
        expected=None,
        finite_width=None,
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
        kind |= {each.judgement}
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
    assert plain.expected == expected(
        grammar.network_spec('plain', 8, norm='none'), (32, 32, 3), 'he'
    )
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


def test_a_prediction_is_fitted_as_a_measurement_is():
    """VGG-8 has seven blocks; the fit is no difference of the ends, as `numpy.polyfit` says."""
    described = grammar.network_spec('vgg', 8, vgg_stages=3, norm='none')
    profile = expected_gradient.profile(described, (8, 8, 1), 'he')
    slope = np.polyfit(range(7), profile, 1)[0]
    assert expected(described, (8, 8, 1), 'he') == pytest.approx(6 * slope)
    assert abs(6 * slope - (profile[-1] - profile[0])) > 0.05
    assert expected(grammar.network_spec('resnet', 8), (8, 8, 1), 'he') is None


def look(epoch, scale, draw=0):
    """A look at plain-8 whose gradient falls by `scale` decades a block, all of it by `epoch`."""
    # The inputs of the blocks have 16, 16 and, at half of the resolution, 32 channels.
    sizes = [32 * 32 * 16, 32 * 32 * 16, 16 * 16 * 32]
    values = {
        name: 10.0 ** (scale * block - epoch) / size**0.5
        for block, (name, size) in enumerate(zip(_BLOCKS, sizes, strict=True))
    }
    other = {name: dict.fromkeys(QUANTITY_NAMES[name], 1.0) for name in QUANTITY_NAMES}
    return Observation(epoch, 5 * epoch, draw, other | {'input_gradient': values})


def seeds(scales):
    """One run of plain-8 for each seed, whose gradient falls by so many decades a block."""
    described = grammar.network_spec('plain', 8, norm='none')
    config = SimpleNamespace(model=SimpleNamespace(norm='none'), init=SimpleNamespace(scheme='he'))
    cell = SimpleNamespace(network_spec=described, config=config)
    return [
        (cell, result(depth=8, seed=seed), [look(0, 0.0), *(look(e, scale) for e in (1, 2, 3))])
        for seed, scale in enumerate(scales)
    ]


def test_training_is_judged_over_seeds():
    runs = seeds([1.0, 1.1, 0.9, 1.0])
    (found,) = analyse(SimpleNamespace(observed=lambda: runs)).training
    assert (found.judgement, found.gradient.n) == ('shrinks', 4)
    assert found.gradient.decades == pytest.approx(2)
    # Student's 3.182 for three degrees of freedom; decades 2, 2.2, 1.8, 2 have a standard error of
    # √(0.08 / 3) / 2.
    half = 3.182 * (0.08 / 3) ** 0.5 / 2
    assert found.gradient.interval == pytest.approx([2 - half, 2 + half], abs=1e-3)
    # At the last of the three looks the whole profile is three decades lower, and a slope of one
    # decade a block lifts the middle of the three blocks by one.
    assert found.fallen == pytest.approx(2)
    # Two seeds, or many looks at one, are described.
    for few in (runs[:2], runs[:1]):
        (found,) = analyse(SimpleNamespace(observed=lambda few=few: few)).training
        assert (found.judgement, found.shape, found.fallen_interval) == (None, None, None)
        assert found.gradient.n == len(few)
        assert found.gradient.decades == pytest.approx(2, abs=0.2)


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
    assert verdict.networks[0].judgement == 'inconclusive'
    assert verdict.training[0].gradient.n == 0
