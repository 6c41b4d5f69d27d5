"""Planted updates: without a norm, residual networks are slow unless their branches start small."""

import math

import pytest
from planted_arms import finish_stages

from configs import digits
from experiments import without_norm
from vggres.config import network_spec, set_defaults
from vggres.findings.claims import Evidence
from vggres.networks.spec import NetworkSpec
from vggres.sweeps.sweep import assemble

SMALL = ('resnet, SkipInit from 0', 'resnet, SkipInit from 1/√L', 'resnet, Fixup')


def updates(arm, depth):
    fast = arm == 'resnet' or arm in SMALL
    return 50 if fast else 50 + 3.5 * (depth - 8)


@pytest.fixture(scope='module')
def sweep(tmp_path_factory):
    config = digits.get_config()
    return finish_stages(without_norm, config, tmp_path_factory.mktemp('norm'), updates)


def specs(depth=44) -> dict[str, NetworkSpec]:
    found = {}
    for arm, knobs in without_norm.ARMS.items():
        config = digits.get_config()
        set_defaults(config, knobs | {'model.depth': depth}, [])
        found[arm] = network_spec(config)
    return found


def test_each_arm_is_the_network_that_its_name_says():
    """ResNet-44 has L = 21 residual blocks."""
    found = specs()
    shortcuts = {arm: spec.stages[1].blocks[1].shortcut for arm, spec in found.items()}
    starts = {
        arm: (each.branch_scale, each.learned_branch_scale)
        for arm, each in shortcuts.items()
        if each is not None
    }
    assert starts == {
        'resnet': (1.0, False),
        'resnet, no norm': (1.0, False),
        'resnet, SkipInit from 0': (0.0, True),
        'resnet, SkipInit from 1/√L': (1 / math.sqrt(21), True),
        'resnet, SkipInit from 1': (1.0, True),
        'resnet, Fixup': (1.0, True),
    }
    norms = {arm for arm, spec in found.items() if spec.stages[0].blocks[0].norm}
    assert norms == {'resnet', 'plain'}
    schemes = {arm: knobs.get('init.scheme') for arm, knobs in without_norm.ARMS.items()}
    assert [arm for arm, scheme in schemes.items() if scheme] == ['resnet, Fixup']


def test_small_branches_cure_and_a_branch_of_full_size_does_not(sweep):
    verdict = without_norm.analyse(sweep)
    cures = {each.arm: each.cure for each in verdict.arms if each.depth == 44}
    statuses = {arm: cure and cure.status for arm, cure in cures.items()}
    assert statuses == {
        **dict.fromkeys(without_norm.ARMS),
        **dict.fromkeys(SMALL, 'cures'),
        'resnet, SkipInit from 1': 'no effect',
    }
    # 176 updates, and 50, but for the noise.
    slow = cures['resnet, SkipInit from 1'].to_control
    assert slow.factor == pytest.approx(3.52, rel=0.15)
    assert len(without_norm.judged(sweep)) == 2 * 3 * len(without_norm.ARMS)
    assert 'resnet, Fixup-44: cures' in without_norm.words(verdict)
    (table,) = without_norm.tables(verdict)
    assert len(table.rows) == 2 * len(without_norm.ARMS)
    assert [*without_norm.figures(sweep, verdict)] == ['updates_without_norm']


def test_the_claim_is_about_branches_that_start_at_zero(sweep):
    (claim,) = without_norm.CLAIMS
    evidence = Evidence((), without_norm.analyse(sweep), {})
    (contrast,) = claim.contrasts(evidence)
    assert contrast.value == pytest.approx(0.0, abs=0.06)
    assert 'in 0 of 3 runs' in contrast.remark['en']  # a third of all runs may still not arrive
    assert claim.control(evidence).passed


def test_nothing_is_drawn_before_anything_was_judged(tmp_path):
    config = digits.get_config()
    set_defaults(config, without_norm.defaults(config), [])
    sweep = assemble('planted', config, tmp_path, without_norm.cells(config))
    verdict = without_norm.analyse(sweep)
    assert without_norm.figures(sweep, verdict) == {}
    assert 'not run yet' in without_norm.words(verdict)
