"""Planted updates: tailored rectifiers cure, tanh does not."""

import pytest
from planted_arms import finish_stages

from configs import digits
from experiments import without_shortcuts
from vggres.config import network_spec, set_defaults
from vggres.findings.claims import Evidence


def updates(arm, depth):
    return 50 if arm in ('resnet', 'plain, tailored') else 50 + 3.5 * (depth - 8)


@pytest.fixture(scope='module')
def sweep(tmp_path_factory):
    directory = tmp_path_factory.mktemp('shortcuts')
    return finish_stages(without_shortcuts, digits.get_config(), directory, updates)


def test_each_arm_is_the_network_that_its_name_says():
    """The primary arm differs from the untreated network by its activation alone."""
    plain = without_shortcuts.ARMS['plain']
    for arm, knobs in without_shortcuts.ARMS.items():
        config = digits.get_config()
        set_defaults(config, knobs | {'model.depth': 44}, [])
        spec = network_spec(config)
        block = spec.stages[0].blocks[0]
        assert (block.shortcut is None) == arm.startswith('plain')
        assert block.norm == ('no norm' not in arm)
        kinds = {'tailored': 'tailored_relu', 'tanh': 'tanh'}
        named = [kind for name, kind in kinds.items() if name in arm]
        assert block.activation.kind == (named or ['relu'])[0]
        assert config.init.scheme == ('he' if block.norm else arm.split(', ')[-1])
    tailored = without_shortcuts.ARMS[without_shortcuts.TAILORED]
    assert tailored.items() - plain.items() == {('model.activation', 'tailored_relu')}


def test_what_is_as_fast_as_the_residual_network_cures(sweep):
    verdict = without_shortcuts.analyse(sweep)
    cures = {each.arm: each.cure for each in verdict.arms if each.depth == 44}
    assert cures['plain, tailored'].status == 'cures'
    assert cures['plain, tanh'].status == 'no effect'
    assert 'plain, tailored-44: cures' in without_shortcuts.words(verdict)
    assert len(without_shortcuts.judged(sweep)) == 2 * 3 * len(without_shortcuts.ARMS)
    assert [*without_shortcuts.figures(sweep, verdict)] == ['updates_without_shortcuts']
    (table,) = without_shortcuts.tables(verdict)
    assert len(table.rows) == 2 * len(without_shortcuts.ARMS)


def test_the_claim_is_about_tailored_rectifiers(sweep):
    (claim,) = without_shortcuts.CLAIMS
    evidence = Evidence((), without_shortcuts.analyse(sweep), {})
    (contrast,) = claim.contrasts(evidence)
    assert contrast.value == pytest.approx(0.0, abs=0.06)
    assert 'in 0 of 3 runs' in contrast.remark['en']  # a third of all runs may still not arrive
    assert claim.control(evidence).passed
