"""The planted course of the effective rate, worked out by hand."""

import json

import pytest

from experiments import effective_rate
from experiments.effective_rate.analysis import analyse
from vggres.sweeps.sweep import assemble

# Depth 44: the stem and 42 convolutions have a norm behind them, the head has none. After 22
# updates the stem has grown by 1 decade and each other layer by 0.5, and 0.01 more for each seed.
FALL = (1 + 42 * 0.5) / 43


@pytest.mark.parametrize(('cures', 'status'), [(True, 'cures'), (False, 'no effect')])
def test_the_treated_network_is_judged_by_the_residual_one(all_stages, cures, status):
    verdict = analyse(all_stages(cures))
    assert verdict.arms.outcome('plain, fixed norms', 44).cure.status == status
    # 70, 75 and 70 updates are not twice 45, 50 and 45: plain-20 is no sick network.
    assert verdict.arms.outcome('plain, fixed norms', 20).cure.status == 'nothing to cure'
    assert verdict.arms.outcome('resnet, fixed norms', 44).cure.status == 'nothing to cure'


def test_the_families_are_compared_seed_by_seed(all_stages):
    verdict = analyse(all_stages(cures=False))
    assert verdict.depth == 44
    found = {(each.quantity, each.moment): each for each in verdict.comparisons}
    assert len(found) == 4 * 2
    same, end = found['fall', 'same'], found['fall', 'end']
    assert same.plain == pytest.approx(FALL + 0.01)
    assert same.resnet == pytest.approx(0.1)
    assert end.plain == pytest.approx(2 * (FALL + 0.01))
    assert end.resnet == pytest.approx(0.2)
    # Student's interval of three seeds that are 0.01 apart: 4.3027 · 0.01 / √3 to either side.
    half = 4.30265 * 0.01 / 3**0.5
    assert same.interval == pytest.approx((FALL - 0.09 - half, FALL - 0.09 + half), rel=1e-4)
    assert (same.answer, same.n) == ('higher', 3)
    assert found['unevenness', 'same'].plain == pytest.approx(0.5)
    assert found['unevenness', 'end'].plain == pytest.approx(1.0)
    assert found['unevenness', 'end'].resnet == pytest.approx(0, abs=1e-12)
    assert found['turn_unevenness', 'end'].plain == pytest.approx(1.0)
    # All seeds agree, which is no spread to speak of: no interval, and no answer.
    assert found['turn_unevenness', 'end'].answer == 'not decided'
    # The rate 0.01 by 32, less the fall; that of the residual network is 0.03.
    level = found['level', 'end']
    assert level.plain == pytest.approx(-2 - 1.50515 - 2 * (FALL + 0.01), rel=1e-4)
    assert level.resnet == pytest.approx(-1.52288 - 1.50515 - 0.2, rel=1e-4)
    assert level.answer == 'lower'


def test_looks_that_are_not_finite_are_left_out(all_stages):
    sweep = all_stages(cures=False)
    cell = next(each for each in sweep.cells if each.config.probes.every_epochs)
    path = cell.directory / 'probes.jsonl'
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1]['turn']['stem'] = None
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    courses = analyse(sweep).courses
    assert sorted({len(each.looks) for each in courses}) == [2, 3]
    assert sum(len(each.looks) == 2 for each in courses) == 1


def test_before_any_run_is_judged_nothing_is_said(asked, tmp_path):
    sweep = assemble('effective_rate', asked, tmp_path, effective_rate.cells(asked))
    verdict = analyse(sweep)
    assert verdict.courses == verdict.comparisons == ()
    assert verdict.depth is None
    assert 'not run yet' in effective_rate.words(verdict)
    assert effective_rate.figures(sweep, verdict) == {}
    assert all(table.rows is not None for table in effective_rate.tables(verdict))
