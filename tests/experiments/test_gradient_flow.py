"""Planted gradients are judged as they were planted."""

import io
import json
import math
import re

import pytest
from planted import finish
from rich.console import Console

from experiments import gradient_flow
from vggres import config as configuration
from vggres.commands import conclude
from vggres.errors import UserError
from vggres.findings import along_layers, claims
from vggres.probes.quantities import names as quantity_names
from vggres.sweeps import sweep


def test_failed_networks_share_a_rank():
    def network(depth, decades, error):
        found = {'decades': decades, 'zeros': 0, 'interval': [decades, decades], 'r_squared': 1}
        flows = {'before': found | {'first_to_last': 1, 'ends': [1, 1]}, 'during': {}}
        place = {'family': 'plain', 'norm': 'none', 'depth': depth, 'train_error': error}
        return place | {'input_gradient': flows}

    # Ranks of decades 1 2 3 4 and of errors 1 2 3.5 3.5: Spearman's 0.9487 (3 / √10), though the
    # network that shrinks most errs less than the one that diverged.
    networks = [network(8, d, e) for d, e in ((1, 0), (2, 5), (3, 90), (4, 89.2))]
    arguments = 'none', 'before', 'all depths', 87.3
    found = gradient_flow._correlation(networks, *arguments)
    assert found['correlation'] == pytest.approx(3 / 10**0.5)


def test_ranks_within_a_depth():
    assert gradient_flow._ranks_within([8, 8, 8, 56, 56], [3, 1, 2, 9, 9]) == [1, -1, 0, 0, 0]


@pytest.fixture
def planned(config, tmp_path):
    """A sweep of all variants at two depths, done, with planted gradients and errors.

    Without norm the gradient of networks without shortcuts shrinks by a decade a layer, and their
    error rises with it; with batch norm everything is level.
    """
    given = {'sweep.depths': (8, 14), 'train.epochs': 2}
    configuration.set_defaults(config, gradient_flow.defaults(config) | given, [])
    planned = sweep.plan('gradient_flow', config, tmp_path, gradient_flow.cells(config))
    for number, cell in enumerate(planned.cells):
        model = cell.config.model
        shrinks = model.norm == 'none' and model.family != 'resnet'
        described = configuration.network_spec(cell.config)
        _, blocks = along_layers.along(described, 'input_gradient')
        error = (blocks[-1] - blocks[0] if shrinks else 0.0) + 0.01 * number
        cell.directory.mkdir(parents=True)
        (cell.directory / 'metrics.jsonl').write_text('')
        records = []
        for step, draw in ((0, 0), (0, 1), (0, 2), (10, 0)):
            row = {'epoch': step // 5, 'step': step, 'draw': draw}
            for quantity in quantity_names(jacobians=False):
                names, positions = along_layers.along(described, quantity)
                row[quantity] = {
                    name: 10.0 ** (shrinks * position + 0.001 * draw * position)
                    for name, position in zip(names, positions, strict=True)
                }
            records.append(json.dumps(row) + '\n')
        (cell.directory / 'probes.jsonl').write_text(''.join(records))
        finish(cell, error=error)
    return planned


def test_the_grid_is_families_by_norms_by_weights_by_depths(planned):
    assert len(planned.cells) == 3 * 2 * 3 * 2
    assert len({cell.id for cell in planned.cells}) == 36
    settings = {(c.config.model.norm, c.config.init.scheme) for c in planned.cells}
    assert len(settings) == 6


def test_the_analysis_finds_what_was_planted(planned):
    decision = gradient_flow.analyse(planned)
    json.dumps(decision)  # what verdict.json can hold
    judged = {}
    for network in (n for n in decision['networks'] if n['depth'] == 14):
        kind = judged.setdefault((network['family'], network['norm']), set())
        kind |= set(network['judgement'].values())
    assert judged == {
        ('vgg', 'batch'): {'level'},
        ('plain', 'batch'): {'level'},
        ('resnet', 'batch'): {'level'},
        ('vgg', 'none'): {'shrinks'},
        ('plain', 'none'): {'shrinks'},
        ('resnet', 'none'): {'level'},
    }
    plain = next(n for n in decision['networks'] if n['variant'] == 'plain, no norm, he')
    # Three blocks, two layers apart; the third takes half of the elements: √½ of the norm.
    decades = 4 - math.log10(2) / 2
    assert plain['input_gradient']['before']['decades'] == pytest.approx(decades, abs=0.1)
    assert plain['input_gradient']['during']['2']['decades'] == pytest.approx(decades)
    assert plain['weight_gradient']['before']['decades'] == pytest.approx(5, abs=0.1)
    found = decision['correlations']['none']
    assert [each['n'] for each in found.values()] == [12, 12, 12, 12]
    assert found['before training, all depths']['correlation'] > 0.8
    assert found['in training, one depth']['correlation'] > 0.5


def test_claims_read_what_the_analysis_writes(planned):
    evidence = claims.Evidence(planned.results(), gradient_flow.analyse(planned), planned.depths())
    found = {claim.key: claims.find(claim, evidence) for claim in claims.CLAIMS[2:5]}
    assert found['shrinking'].status == 'holds'
    assert found['shrinking_with_norm'].status == 'does not hold'
    assert found['failure'].cases[0].value is not None
    protection = claims.find(claims.CLAIMS[6], evidence)
    assert protection.status == 'holds'
    assert len(protection.cases) == 6  # three schemes, before and in training


def test_a_sweep_ends_with_tables_and_figures(planned):
    console = Console(file=io.StringIO(), width=200)
    conclude.conclude(planned, gradient_flow, [], console)
    said = console.file.getvalue()
    assert 'shrinks: vgg, no norm, he (×10^-1' in said
    assert 'Without shortcuts, no norm, rank correlation of the shrinking with the' in said
    assert re.search(r'before training, all depths \+0\.\d\d \(\+0', said)
    page = (planned.directory / 'report.html').read_text(encoding='utf-8')
    assert 'Does the shrinking go with the failure to train?' in page
    for name in ('gradient_by_layer_he', 'gradient_in_training_vgg', 'error_against_shrinking'):
        assert (planned.directory / 'figures' / f'{name}.png').stat().st_size > 10_000


@pytest.mark.slow
def test_what_is_not_finite_or_missing_ends_well(planned):
    first, second, *_ = planned.cells
    lines = (first.directory / 'probes.jsonl').read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    for row in rows:
        row |= {quantity: dict.fromkeys(row[quantity]) for quantity in quantity_names(jacobians=False)}
    lines = [json.dumps(row) + '\n' for row in rows[:3]]  # it diverged before the next look
    (first.directory / 'probes.jsonl').write_text(''.join(lines))
    (second.directory / 'probes.jsonl').unlink()
    console = Console(file=io.StringIO(), width=200)
    conclude.conclude(planned, gradient_flow, [], console)
    decision = json.loads((planned.directory / 'verdict.json').read_text())
    assert len(decision['networks']) == 35
    assert decision['networks'][0]['judgement'] == {'before': 'inconclusive', 'during': None}


@pytest.mark.parametrize(
    ('knob', 'value'), [('probes.every_epochs', 0), ('probes.names', ('head',))]
)
def test_a_sweep_without_looks_is_refused(config, knob, value):
    configuration.set_defaults(config, gradient_flow.defaults(config), [])
    config.update_from_flattened_dict({knob: value, 'probes.draws': 1})
    with pytest.raises(UserError, match='looks into all layers'):
        gradient_flow.cells(config)
