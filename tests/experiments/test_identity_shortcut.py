"""Planted Jacobians and gradients come out as they were planted."""

import io
import json
import math

import pytest
from planted import finish
from rich.console import Console

from experiments import identity_shortcut
from vggres import config as configuration
from vggres.commands import conclude
from vggres.errors import UserError
from vggres.findings import claims
from vggres.networks import spec
from vggres.sweeps import sweep


@pytest.fixture
def planned(config, tmp_path):
    """All variants at depth 20, done: the gradient falls by λ a block, the distance is 0.25."""
    given = {'sweep.depths': (20,), 'train.epochs': 2}
    configuration.set_defaults(config, identity_shortcut.defaults(config) | given, [])
    planned = sweep.plan('identity_shortcut', config, tmp_path, identity_shortcut.cells(config))
    for number, cell in enumerate(planned.cells):
        names = [n for n in spec.positions(configuration.network_spec(cell.config)) if '/b' in n]
        names = [name for name in names if name.count('/') == 1]
        scale = cell.config.model.shortcut_scale or 1.0
        rows = []
        for step, draw in ((0, 0), (0, 1), (10, 0)):
            row = {'epoch': step // 5, 'step': step, 'draw': draw}
            row['input_gradient'] = {
                name: scale ** (len(names) - j) for j, name in enumerate(names)
            }
            row['distance_from_identity'] = {
                name: None if name in ('stage2/block1', 'stage3/block1') else 0.25 for name in names
            }
            row['largest_singular_value'] = dict.fromkeys(names, 2.0)
            row['smallest_singular_value'] = dict.fromkeys(names, 0.5)
            row['mean_squared_singular_value'] = dict.fromkeys(names, 1.5)
            row['distance_from_relu'] = {
                name: each and each / 5 for name, each in row['distance_from_identity'].items()
            }
            row['chain'] = {name: 2.0**-j for j, name in enumerate(names)}
            rows.append(json.dumps(row) + '\n')
        cell.directory.mkdir(parents=True)
        (cell.directory / 'probes.jsonl').write_text(''.join(rows))
        (cell.directory / 'metrics.jsonl').write_text('')
        finish(cell, error=float(number))
    return planned


def test_every_kind_of_shortcut_is_another_network(planned):
    assert len({cell.id for cell in planned.cells}) == len(identity_shortcut.VARIANTS) == 15


def test_the_analysis_finds_what_was_planted(planned):
    decision = identity_shortcut.analyse(planned)
    json.dumps(decision)
    networks = {network['variant']: network for network in decision['networks']}
    half = networks['shortcut × 0.5']
    assert half['blocks'] == 9
    assert half['fall'] == pytest.approx(2 * [8 * math.log10(2)])
    assert half['beyond']['mean'] == pytest.approx(8 * math.log10(2))
    assert half['expected'] == pytest.approx(8 * math.log10(2))
    assert networks['both × 0.5']['expected'] == half['expected']
    assert networks['shortcut × 1.1']['expected'] < 0
    for variant in ('shortcut × 0', 'identity', 'branch × 0.5', 'shortcut-only gate, bias 0'):
        assert networks[variant]['expected'] is None
    assert half['chain'] == 1
    found = networks['identity']['after']
    assert found['n'] == 7  # nine blocks, two change the shape
    near = found['distance_from_identity']
    assert near['mean'] == pytest.approx(0.25)
    assert near['interval'] == pytest.approx([0.25, 0.25])
    assert near['close'] == 1
    assert found['distance_from_relu']['mean'] == pytest.approx(0.05)
    assert (found['largest'], found['smallest']) == pytest.approx((2, 0.5))
    assert found['mean_squared'] == pytest.approx(1.5)


def test_a_fall_is_measured_against_the_identity_of_the_same_draw():
    beyond = identity_shortcut._beyond([1.0, 3.0, None], [0.5, 1.5, 2.0])
    assert beyond['mean'] == 1
    # Differences 0.5 and 1.5: a standard error of 0.5 and Student's 12.706.
    assert beyond['interval'] == pytest.approx([1 - 6.353, 1 + 6.353], abs=1e-3)
    assert identity_shortcut._beyond([1.0], None)['mean'] is None


def test_claims_read_what_the_analysis_writes(planned):
    evidence = claims.Evidence(
        planned.results(), identity_shortcut.analyse(planned), planned.depths()
    )
    finding = claims.find(claims.CLAIMS[5], evidence)
    assert finding.status == 'holds'
    assert len(finding.cases) == 6


def test_what_is_not_finite_or_missing_ends_well(planned):
    first, second, *_ = planned.cells
    lines = (first.directory / 'probes.jsonl').read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row |= {key: dict.fromkeys(value) for key, value in row.items() if isinstance(value, dict)}
    text = ''.join(json.dumps(row) + '\n' for row in rows)
    (first.directory / 'probes.jsonl').write_text(text)
    (second.directory / 'probes.jsonl').unlink()
    conclude.conclude(planned, identity_shortcut, [], Console(file=io.StringIO(), width=200))
    decision = json.loads((planned.directory / 'verdict.json').read_text())
    assert len(decision['networks']) == 14
    assert decision['networks'][0]['before'] is None


def test_a_sweep_ends_with_tables_and_figures(planned):
    console = Console(file=io.StringIO(), width=200)
    conclude.conclude(planned, identity_shortcut, [], console)
    said = console.file.getvalue()
    assert 'identity, depth 20, before training: blocks 0.25 from the identity, 100 % of 7' in said
    assert '0.05 from what the last ReLU makes of it, 100 % of 7 within 0.5' in said
    assert 'shortcut × 0.5 +2.4 (+2.4)' in said
    assert 'identity 0.00; of 9 other shortcuts 9 are worse by more than 1 point' in said
    for name in ('singular_values_before_training', 'chain_before_training', 'error_by_shortcut'):
        assert (planned.directory / 'figures' / f'{name}.png').stat().st_size > 10_000


def test_a_zero_singular_value_has_a_mean_of_zero():
    row = {
        'distance_from_identity': {'a': 1.0, 'b': 3.0},
        'distance_from_relu': {'a': 0.5, 'b': 0.6},
        'largest_singular_value': {'a': 1.0, 'b': 4.0},
        'smallest_singular_value': {'a': 0.0, 'b': 1.0},
        'mean_squared_singular_value': {'a': 1.0, 'b': 9.0},
    }
    found = identity_shortcut.summary([row], ['a', 'b'])
    means = found['largest'], found['smallest'], found['mean_squared']
    assert means == pytest.approx((2, 0, 3))
    near = found['distance_from_identity']
    assert near['close'] == 0
    assert near['mean'] == pytest.approx(3**0.5)  # of 1 and 3
    # Logarithms 0 and log 3: a standard error of log √3, Student's 12.706.
    assert near['interval'] == pytest.approx([3 ** (0.5 - 6.353), 3 ** (0.5 + 6.353)], rel=1e-3)
    assert found['distance_from_relu']['close'] == 0.5
    assert identity_shortcut.summary([], ['a']) is None


def test_what_the_sweep_needs(config):
    configuration.set_defaults(config, identity_shortcut.defaults(config), [])
    config.probes.jacobians = False
    with pytest.raises(UserError, match='looks into all blocks'):
        identity_shortcut.cells(config)
    config.sweep.families = ('resnet', 'plain')
    with pytest.raises(UserError, match='about shortcuts'):
        identity_shortcut.cells(config)
