"""Planted responses and summands come out as they were planted."""

import dataclasses
import json

import pytest

from experiments.response.analysis import analyse, ratios


def test_the_analysis_finds_what_was_planted(sweep):
    verdict = analyse(sweep)
    json.dumps(dataclasses.asdict(verdict), allow_nan=False)  # what verdict.json can hold
    found = {(n.variant, n.depth, n.seed): n for n in verdict.networks}
    resnet = found['resnet', 20, 2]
    assert resnet.response == pytest.approx(1.02)
    assert resnet.start == 1
    assert resnet.layers == tuple(range(1, 20))  # the head is no 3×3 layer
    assert resnet.parts_before == pytest.approx([1 / (1 + 9)] * 9)
    assert resnet.draws == 2
    # The first block of the closed form is 2/3.
    assert resnet.deviation == pytest.approx(2 / 3 - 0.1)
    plain = found['plain', 56, 0]
    assert plain.failed
    assert plain.parts_before == plain.parts_after == plain.expected == ()
    assert plain.deviation is None


def test_a_run_that_diverged_has_no_response_after_training(sweep):
    (found,) = (
        n for n in analyse(sweep).networks if (n.variant, n.depth) == ('resnet, no norm', 20)
    )
    assert found.response is None
    assert found.by_layer == found.parts_after == ()
    assert found.expected[0] == pytest.approx(2 / 3, abs=0.1)


def test_ratios_are_paired_by_seed(sweep):
    """The seeds' factors cancel."""
    networks = analyse(sweep).networks
    found = ratios(networks, ('resnet', 20), ('plain', 20))
    assert found == pytest.approx([0.5] * 5)
    some = [n for n in networks if (n.variant, n.seed) != ('plain', 3)]
    assert len(ratios(some, ('resnet', 20), ('plain', 20))) == 4
    assert ratios(networks, ('resnet', 20), ('plain', 32)) == []


def test_values_that_are_not_finite_leave_the_rest(sweep):
    cell = next(each for each in sweep.cells if each.coordinates()['variant'] == 'resnet')
    path = cell.directory / 'probes.jsonl'
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[0]['response']['stem'] = rows[0]['branch_size']['stage1/block1'] = None
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    found = next(n for n in analyse(sweep).networks if n.cell == cell.id)
    assert (found.start, found.parts_before) == (None, ())
    assert found.response is not None
