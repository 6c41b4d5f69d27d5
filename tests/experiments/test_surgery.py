"""Planted updates: one treatment cures, one harms, the others do nothing."""

import dataclasses
import json

import pytest
from planted import finish

from experiments import surgery
from experiments.surgery import all_arms
from vggres.config import set_defaults
from vggres.errors import UserError
from vggres.findings.claims import Evidence, judge
from vggres.findings.contrasts import Status
from vggres.sweeps import arms
from vggres.sweeps.sweep import assemble

UPDATES = {'plain': 270, 'resnet': 40}
FACTORS = {'plain, equal gradients': 1 / 6, 'plain, first layers frozen': 2}


@pytest.fixture
def asked(config):
    set_defaults(config, surgery.defaults(config), [])
    config.sweep.depths, config.sweep.rates = (14,), (0.01, 0.03, 0.1)
    return config


@pytest.fixture
def begun(asked, tmp_path):
    return assemble('surgery', asked, tmp_path, surgery.cells(asked))


@pytest.fixture
def finished(asked, tmp_path):
    """(factors, seeds) → the sweep with all its stages; every arm is fastest at a rate of 0.03."""

    def finished(factors=FACTORS, seeds=4):
        asked.sweep.seeds = seeds
        sweep = assemble('surgery', asked, tmp_path, surgery.cells(asked))
        _finish_all(sweep.cells, factors)
        fresh = assemble('surgery', sweep.config, tmp_path, surgery.next_cells(sweep)).cells
        _finish_all(fresh, factors)
        return dataclasses.replace(sweep, cells=(*sweep.cells, *fresh))

    return finished


def _finish_all(cells, factors):
    for cell in cells:
        arm, _ = arms.network_of(cell)
        count = UPDATES[cell.config.model.family] * factors.get(arm, 1.0)
        count *= 1.02 ** (cell.config.seed % 3)  # seeds differ by some per cent
        count *= 1 if cell.config.optimizer.learning_rate == 0.03 else 1.5
        reached = round(count) if count <= cell.config.train.steps else None
        finish(cell, steps_to_error={'5': reached}, train_loss=count / 1000)


def test_each_arm_changes_one_thing(asked, begun):
    changed = {
        arm: {key: value for key, value in knobs.items() if key != 'model.family'}
        for arm, knobs in all_arms(asked).items()
    }
    assert len(changed) == 2 + 2 * 6
    assert changed['plain'] == changed['resnet'] == {}
    assert {len(knobs) for arm, knobs in changed.items() if ',' in arm} == {1}
    assert changed['resnet, first layers frozen'] == {'optimizer.frozen_first': 4}  # 14 // 3
    assert len({cell.id for cell in begun.cells}) == len(begun.cells) == 14 * 3
    assert {cell.config.seed for cell in begun.cells} == {1000}


@pytest.mark.parametrize(
    ('knob', 'value', 'message'),
    [
        ('sweep.families', ('plain',), 'leave sweep.families'),
        ('optimizer.clip_norm', 2.0, 'sets optimizer.clip_norm itself'),
        ('optimizer.layerwise', 'equal_gradients', 'sets optimizer.layerwise itself'),
        ('optimizer.frozen_last', 2, 'sets optimizer.frozen_last itself'),
        ('sweep.rates', (0.1,), '3 or more'),
        ('sweep.depths', (), 'names one or more depths'),
    ],
)
def test_what_does_not_suit_the_question_is_one_line(asked, knob, value, message):
    asked.update_from_flattened_dict({knob: value})
    with pytest.raises(UserError, match=message):
        list(surgery.cells(asked))


def test_the_verdict_is_what_was_planted(finished):
    sweep = finished()
    verdict = surgery.analyse(sweep)
    json.dumps(dataclasses.asdict(verdict), allow_nan=False)
    found = {each.arm: each.cure and each.cure.status for each in verdict.arms}
    assert found.pop('plain') is found.pop('resnet') is None
    assert found.pop('plain, equal gradients') == 'cures'
    assert found.pop('plain, first layers frozen') == 'harms'
    # Equal counts, within a look every five updates.
    assert {status for arm, status in found.items() if arm.startswith('plain')} == {'no effect'}
    assert {status for arm, status in found.items() if arm.startswith('resnet')} == {
        'nothing to cure'
    }
    assert len(surgery.judged(sweep)) == 14 * 4


def test_every_arm_is_told(finished):
    sweep = finished()
    verdict = surgery.analyse(sweep)
    assert set(surgery.figures(sweep, verdict)) == {'updates_by_treatment'}
    (table,) = surgery.tables(verdict)
    assert len(table.rows) == 14
    assert 'plain, equal gradients-14: cures' in surgery.words(verdict)
    told = surgery.in_short(verdict)
    assert len(told) == 12  # arms without the two that others are compared with
    assert told['plain, equal gradients'] == 'cures'
    assert told['resnet, clipped'] == 'nothing to cure'


def test_before_any_run_there_is_nothing_to_say(begun):
    verdict = surgery.analyse(begun)
    assert surgery.figures(begun, verdict) == {}
    assert 'plain-14: not run yet.' in surgery.words(verdict)


def judged(sweep):
    evidence = Evidence(surgery.judged(sweep), surgery.analyse(sweep), {})
    (found,) = judge(surgery.CLAIMS, {'surgery': evidence})
    return found


@pytest.mark.parametrize(('factor', 'status'), [(1 / 6, Status.HOLDS), (1, Status.FAILS)])
def test_the_status_is_that_of_what_was_planted(finished, factor, status):
    found = judged(finished({'plain, equal gradients': factor}, seeds=8))
    assert found.control.passed
    assert found.status is status


def test_before_any_run_nothing_is_measured(begun):
    assert judged(begun).status is Status.NOT_MEASURED
