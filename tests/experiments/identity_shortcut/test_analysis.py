"""Planted Jacobians and gradients come out as they were planted."""

import dataclasses
import json
import math

import pytest

from experiments.identity_shortcut.analysis import analyse, beyond


def test_the_analysis_finds_what_was_planted(sweep):
    verdict = analyse(sweep)
    json.dumps(dataclasses.asdict(verdict), allow_nan=False)  # what verdict.json can hold
    networks = {network.variant: network for network in verdict.networks}
    half = networks['shortcut × 0.5']
    assert half.blocks == 9
    assert half.fall == pytest.approx(2 * [8 * math.log10(2)])
    assert half.beyond.mean == pytest.approx(8 * math.log10(2))
    assert half.expected == pytest.approx(8 * math.log10(2))
    assert networks['both × 0.5'].expected == half.expected
    assert networks['shortcut × 1.1'].expected < 0
    for variant in ('shortcut × 0', 'identity', 'branch × 0.5', 'shortcut-only gate, bias 0'):
        assert networks[variant].expected is None
    assert half.chain == 1
    found = networks['identity'].after
    assert len(found.blocks) == len(networks['identity'].kept) == 7  # of nine, two change it
    assert found.from_identity.total == pytest.approx(7 * 0.25**2)
    assert found.from_relu.root == pytest.approx(math.sqrt(7) * 0.05)
    assert found.draws == 1
    assert networks['identity'].before.draws == 2


def test_a_fall_is_measured_against_the_identity_of_the_same_draw():
    more = beyond([1.0, 3.0, None], [0.5, 1.5, 2.0])
    assert more.mean == 1
    # Differences 0.5 and 1.5: a standard error of 0.5 and Student's 12.706.
    assert more.interval == pytest.approx([1 - 6.353, 1 + 6.353], abs=1e-3)
    assert beyond([1.0], []).mean is None


def test_what_is_not_finite_or_missing_leaves_the_rest(sweep):
    first, second, *_ = sweep.cells
    lines = (first.directory / 'probes.jsonl').read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row |= {key: dict.fromkeys(value) for key, value in row.items() if isinstance(value, dict)}
    text = ''.join(json.dumps(row) + '\n' for row in rows)
    (first.directory / 'probes.jsonl').write_text(text)
    (second.directory / 'probes.jsonl').unlink()
    verdict = analyse(sweep)
    assert len(verdict.networks) == 14
    assert verdict.networks[0].before is None


def test_the_files_of_an_earlier_version_lack_the_jacobians_alone(sweep):
    for cell in sweep.cells:
        path = cell.directory / 'probes.jsonl'
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        for row in rows:
            for name in ('identity_distance', 'relu_distance', 'spectral_norm', 'chain_gain'):
                row['earlier_' + name] = row.pop(name)
        path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    for network in analyse(sweep).networks:
        assert network.before is network.after is network.chain is None
        assert network.kept
        assert None not in network.fall
