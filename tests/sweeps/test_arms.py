"""Arms, as an intervention has them; the stages themselves are tested with `convergence`."""

import dataclasses

import pytest
from planted import finish, result

from configs import digits
from vggres.config import set_defaults
from vggres.errors import UserError
from vggres.findings.fastest import TunedRate
from vggres.sweeps import arms
from vggres.sweeps.sweep import assemble

ARMS = {
    'plain': {'model.family': 'plain'},
    'plain, clipped': {'model.family': 'plain', 'optimizer.clip_norm': 1.0},
}


@pytest.fixture
def config():
    config = digits.get_config()
    set_defaults(config, arms.protocol(200), [])
    config.sweep.depths, config.sweep.rates, config.sweep.seeds = (8,), (0.01, 0.03, 0.1), 2
    return config


def begun(config, tmp_path):
    return assemble('arms', config, tmp_path, arms.first_cells(config, ARMS))


def test_each_arm_tries_each_rate_with_its_own_knobs(config, tmp_path):
    sweep = begun(config, tmp_path)
    found = [
        (arms.network_of(cell), cell.config.optimizer.learning_rate, cell.config.seed)
        for cell in sweep.cells
    ]
    assert found == [((arm, 8), rate, 1000) for arm in ARMS for rate in (0.01, 0.03, 0.1)]
    assert [cell.config.optimizer.clip_norm for cell in sweep.cells] == [0, 0, 0, 1, 1, 1]
    assert {cell.config.train.steps for cell in sweep.cells} == {100}  # half of the budget
    warmups = {cell.config.optimizer.warmup_fraction * 100 for cell in sweep.cells}
    assert [*warmups] == [pytest.approx(10)]
    assert len({cell.id for cell in sweep.cells}) == 6


def test_the_warm_up_of_an_arm_has_as_many_updates_when_its_rate_is_tuned(config, tmp_path):
    long = {'plain': {'model.family': 'plain', 'optimizer.warmup_fraction': 0.25}}  # 50 of 200
    sweep = assemble('arms', config, tmp_path, arms.first_cells(config, long))
    warmups = {
        each.config.optimizer.warmup_fraction * each.config.train.steps for each in sweep.cells
    }
    assert [*warmups] == [pytest.approx(50)]


def test_each_arm_is_judged_at_its_own_rate(config, tmp_path):
    sweep = begun(config, tmp_path)
    best = {'plain': 0.1, 'plain, clipped': 0.03}
    for cell in sweep.cells:
        arm, _ = arms.network_of(cell)
        fast = cell.config.optimizer.learning_rate == best[arm]
        finish(cell, steps_to_error={'5': 10 if fast else 90})
    assert {name: tuned.rate for (name, _), tuned in arms.tuned_rates(sweep, ARMS).items()} == best
    assert arms.judged(sweep, ARMS) == {}
    fresh = assemble('arms', sweep.config, tmp_path, arms.next_cells(sweep, ARMS)).cells
    assert [(arms.network_of(cell)[0], cell.config.seed) for cell in fresh] == [
        (arm, seed) for arm in ARMS for seed in (0, 1)
    ]
    for cell in fresh:
        assert cell.config.optimizer.learning_rate == best[arms.network_of(cell)[0]]
        assert cell.config.train.steps == 200
    finish(fresh[1], steps_to_error={'5': 40})
    whole = dataclasses.replace(sweep, cells=(*sweep.cells, *fresh))
    ((network, (run,)),) = arms.judged(whole, ARMS).items()
    assert (network, run.seed) == (('plain', 8), 1)
    verdict = arms.verdict(whole, ARMS, {'plain, clipped': ('plain', 'plain')})
    assert verdict.outcome('plain', 8).updates == {1: 40}
    assert verdict.outcome('plain, clipped', 8) is None
    assert (verdict.target, verdict.budget) == ('5', 200)


def test_judged_runs_stand_by_arm_and_seed(config, tmp_path):
    """All rates are equally fast, so that each arm is judged at the first one that is tried."""
    sweep = begun(config, tmp_path)
    for cell in sweep.cells:
        finish(cell, steps_to_error={'5': 10})
    assert arms.judged_runs(sweep, ARMS) == []
    fresh = assemble('arms', sweep.config, tmp_path, arms.next_cells(sweep, ARMS)).cells
    for cell in reversed(fresh):
        finish(cell, steps_to_error={'5': 40})
    whole = dataclasses.replace(sweep, cells=(*sweep.cells, *reversed(fresh)))
    found = [
        (run.variant.partition(', rate')[0], run.seed) for run in arms.judged_runs(whole, ARMS)
    ]
    assert found == [(arm, seed) for arm in ARMS for seed in (0, 1)]


def test_updates_are_those_to_the_first_error(config):
    config.train.until_error = (5.0, 1.0)
    runs = {
        ('plain', 8): [result(seed=0, steps_to_error={'5': 60, '1': 90})],
        ('plain, clipped', 8): [
            result(seed=0, steps_to_error={'5': 30, '1': 50}),
            result(seed=1, steps_to_error={'5': None, '1': None}),
        ],
    }
    tuned = dict.fromkeys(runs, TunedRate(0.1, (), {}, '', 1))
    verdict = arms.verdict_of(config, runs, tuned, {'plain, clipped': ('plain', 'plain')})
    assert verdict.outcome('plain', 8).updates == {0: 60}
    clipped = verdict.outcome('plain, clipped', 8)
    assert clipped.updates == {0: 30, 1: None}
    assert clipped.cure.to_untreated.factor == pytest.approx(27.5 / 57.5)  # looked at every 5
    assert (verdict.target, verdict.budget, verdict.every) == ('5', 200, 5)


def test_the_default_sweep_has_two_depths_and_a_warm_up_of_ten_updates(config):
    found = arms.defaults(config)
    assert found['sweep.depths'] == (20, 44)
    assert found['sweep.rates'] == (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    assert (found['sweep.seeds'], found['train.steps'], found['train.epochs']) == (3, 400, 0)
    assert found['optimizer.warmup_fraction'] * 400 == pytest.approx(10)
    assert found['train.until_error'] == (5.0,)


def test_what_varies_is_the_rate_and_each_knob_of_an_arm():
    normless = {'plain, no norm': {'model.family': 'plain', 'model.norm': 'none'}}
    found = arms.varied(ARMS | normless)
    assert found == ('optimizer.learning_rate', 'model.norm', 'optimizer.clip_norm')


@pytest.mark.parametrize(
    ('knob', 'value', 'message'),
    [
        ('sweep.rates', (0.1,), '3 or more'),
        ('seed', 999, 'overlap'),
        ('train.epochs', 3, 'budget in updates'),
        ('optimizer.decay_at', (0.5,), 'constant rate'),
        ('train.until_error', (), 'training errors to reach'),
        ('evaluation.every_steps', 101, 'between 1 and 100'),
    ],
)
def test_what_counts_no_updates_is_one_line(config, tmp_path, knob, value, message):
    config.update_from_flattened_dict({knob: value})
    with pytest.raises(UserError, match=message):
        begun(config, tmp_path)
