"""Planted surfaces and curvature are measured."""

import dataclasses
import json
import math

import numpy as np
import planted
import pytest

from experiments.landscape.analysis import analyse, doublings, local_minima, wider
from vggres.probes.landscape import grid


def rewritten(cell, change):
    """Changes the looks of a cell: `change` is given their list."""
    path = cell.directory / 'probes.jsonl'
    looks = [json.loads(line) for line in path.read_text().splitlines()]
    change(looks)
    path.write_text(''.join(json.dumps(look) + '\n' for look in looks))


def test_the_width_is_the_part_below_guessing(sweep):
    verdict = analyse(sweep)
    json.dumps(dataclasses.asdict(verdict), allow_nan=False)
    found = {(n.family, n.depth, n.seed): n for n in verdict.networks}
    x, y = grid().T
    inside = 100 * float(np.mean(2.5 * (x**2 + y**2) < 1 - 1e-9))
    assert found['plain', 20, 0].wide == pytest.approx(inside)
    assert found['resnet', 56, 1].wide == 100
    assert found['plain', 8, 0].centre == 0
    assert found['plain', 8, 0].minima == 0
    assert wider(verdict.networks, 20) == pytest.approx([100 - inside] * 2)


def test_minima_beside_the_centre_are_counted():
    losses = np.add.outer(np.arange(-3.0, 4) ** 2, np.arange(-3.0, 4) ** 2)
    assert local_minima(losses) == 0
    losses[1, 1] = losses[5, 4] = -1  # two more
    losses[0, 3] = -1  # at the edge, where it has no eight neighbours
    assert local_minima(losses) == 2


def test_a_loss_that_is_not_finite_counts_as_high(sweep):
    before = analyse(sweep).networks[0].wide
    rewritten(sweep.cells[0], lambda looks: looks[-1]['surface'].update({'0,0.1': None}))
    assert analyse(sweep).networks[0].wide == pytest.approx(before - 100 / 441)
    rewritten(sweep.cells[0], lambda looks: looks[-1]['surface'].update({'0,0': None}))
    assert len(analyse(sweep).networks) == len(sweep.cells) - 1


def test_curvature_at_the_end_and_along_training(sweep):
    verdict = analyse(sweep)
    assert verdict.edge == pytest.approx(3.8)  # 2 (1 + 0.9)
    found = {(n.family, n.depth, n.seed): n for n in verdict.curvatures}
    plain = found['plain', 56, 0]
    assert (plain.end, plain.peak, plain.relative) == (56, 168, 56 * 25)
    assert [look.step for look in plain.looks] == [0, 5, 10]
    assert [look.largest for look in plain.looks] == [-3, 168, 56]
    assert doublings(verdict.curvatures, 56) == pytest.approx([math.log2(28)] * 2)
    assert doublings(verdict.curvatures, 8, lambda n: n.peak) == pytest.approx([2, 2])


def test_runs_without_a_curvature_at_the_end_are_left_out_of_pairs(sweep):
    plain = [cell for cell in sweep.cells if cell.coordinates()['variant'] == 'plain']
    deep = [cell for cell in plain if cell.coordinates()['depth'] == 56]
    rewritten(deep[0], lambda looks: looks[-1]['curvature'].update(largest=None))
    verdict = analyse(sweep)
    found = {(n.family, n.depth, n.seed): n for n in verdict.curvatures}
    assert found['plain', 56, 0].end is found['plain', 56, 0].relative is None
    assert len(found['plain', 56, 0].looks) == 2
    assert len(doublings(verdict.curvatures, 56)) == 1
    rewritten(deep[1], lambda looks: looks[-1]['curvature'].update(largest=-0.5))
    assert doublings(analyse(sweep).curvatures, 56) == []


def test_a_run_that_diverged_has_no_end(sweep):
    planted.finish(sweep.cells[0], error=90.0, status='diverged', train_loss=None)
    verdict = analyse(sweep)
    at = sweep.cells[0].coordinates()
    (found,) = [
        n
        for n in verdict.curvatures
        if (n.family, n.depth, n.seed) == (at['family'], at['depth'], at['seed'])
    ]
    assert (found.end, found.failed, len(found.looks)) == (None, True, 3)
    assert len(verdict.networks) == len(sweep.cells) - 1
