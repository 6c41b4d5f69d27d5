"""Planted Jacobians and gradients come out as they were planted."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest

from experiments.identity_shortcut.analysis import analyse, beyond, least_branches


def test_the_analysis_finds_what_was_planted(sweep):
    verdict = analyse(sweep)
    json.dumps(dataclasses.asdict(verdict), allow_nan=False)  # what verdict.json can hold
    networks = {network.variant: network for network in verdict.networks}
    half = networks['shortcut × 0.5']
    assert half.blocks == 9
    # The root mean square falls by half a block. The inputs of blocks 1 to 4 have 2^14 elements,
    # those of 5 to 7 half as many and those of 8 and 9 a quarter, so that the norm falls by less:
    # by least squares, Σ x·y / Σ x² with x = −4 … 4 and y = 0, −1/4 and −1/2 of log10(4).
    norms = 8 * (-(0 + 1 + 2) / 4 - (3 + 4) / 2) / 60 * math.log10(4)
    assert half.fall == pytest.approx(2 * [8 * math.log10(2) + norms])
    assert networks['identity'].fall == pytest.approx(2 * [norms])
    assert half.beyond.mean == pytest.approx(8 * math.log10(2))
    assert half.shortest == pytest.approx(8 * math.log10(2))
    # The energy falls by λ² a block, and by less for the norm's sake: few branches explain it.
    measured = 10 ** (-2 * (8 * math.log10(2) + norms) / 8)
    assert half.branches == pytest.approx(8 * (1 - 0.25 / measured))
    assert networks['both × 0.5'].shortest == half.shortest
    assert networks['shortcut × 1.1'].shortest < 0
    for variant in ('shortcut × 0', 'identity', 'branch × 0.5', 'shortcut-only gate, bias 0'):
        assert networks[variant].shortest is None
        assert networks[variant].branches is None
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


def test_paths_are_counted():
    """All 2^L paths, one by one: their energies, and the branches on them, weighted by energy."""
    factor, gain, blocks = 0.5, 0.8, 8
    energies, branches = [], []
    for path in itertools.product((False, True), repeat=blocks):
        energies.append(math.prod(gain**2 if branch else factor**2 for branch in path))
        branches.append(sum(path))
    fall = -math.log10(sum(energies)) / 2
    expected = np.average(branches, weights=energies)
    assert least_branches(fall, factor, blocks) == pytest.approx(expected)
    # The shortest path alone, and what falls faster than that.
    assert least_branches(blocks * math.log10(2), 0.5, blocks) == pytest.approx(0, abs=1e-9)
    assert least_branches(blocks * 1.0, 0.5, blocks) == 0


def test_energies_of_random_paths_add_up():
    """A wide linear residual network with random branches has λ² + g² of the energy a block."""
    random, factor, gain, width, falls = np.random.default_rng(0), 0.5, 0.8, 200, []
    for _ in range(20):
        gradient = before = random.normal(size=width)
        for _ in range(8):
            weights = random.normal(size=(width, width)) * gain / math.sqrt(width)
            gradient = factor * gradient + weights.T @ gradient
        falls.append(math.log10(np.linalg.norm(before) / np.linalg.norm(gradient)))
    expected = -8 * math.log10(factor**2 + gain**2) / 2
    assert np.mean(falls) == pytest.approx(expected, abs=4 * np.std(falls) / math.sqrt(20))
    share = gain**2 / (factor**2 + gain**2)
    assert least_branches(float(np.mean(falls)), factor, 8) == pytest.approx(8 * share, rel=0.05)


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
