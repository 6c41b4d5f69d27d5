"""Arms, as an intervention has them; the stages themselves are tested with `convergence`."""

import dataclasses

import pytest
from planted import finish

from configs import digits
from vggres.config import set_defaults
from vggres.errors import UserError
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
