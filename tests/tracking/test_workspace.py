"""The views of W&B, as its own library reads them, and as a server receives them."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import planted
import pytest
import wandb_server

from vggres.figures import charts
from vggres.findings import run_charts
from vggres.findings.along_layers import along
from vggres.networks.grammar import network_spec
from vggres.probes.quantities import QUANTITIES
from vggres.results import Observation
from vggres.sweeps.records import to_dict
from vggres.tracking.workspace import View, specification

ROOT = Path(__file__).parents[2]
VIEW = View(
    sweep='depth',
    group='depth-digits-3f9c1a',
    title='Error against depth',
    text='Deeper is worse.',
    figures=('error_against_depth',),
    quantities=(QUANTITIES['activation'], QUANTITIES['weight_gradient']),
)
pytestmark = pytest.mark.needs('dashboard')


def panels(spec, section):
    """The kinds and the settings of the panels in a section."""
    sections = {each['name']: each for each in spec['section']['panelBankConfig']['sections']}
    return [(each['viewType'], each['config']) for each in sections[section]['panels']]


def test_a_view_shows_the_runs_of_its_sweep_by_variant_and_depth():
    (runs,) = specification(VIEW)['section']['runSets']
    (kept,) = runs['filters']['filters']
    assert (kept['key'], kept['op'], kept['value']) == (
        {'section': 'run', 'name': 'group'},
        *('=', 'depth-digits-3f9c1a'),
    )
    everywhere = dataclasses.replace(VIEW, group='')
    (kept,) = specification(everywhere)['section']['runSets'][0]['filters']['filters']
    assert (kept['key'], kept['op'], kept['value']) == (
        {'section': 'config', 'name': 'experiment'},
        *('=', 'depth'),
    )
    grouped = [each['name'] for each in runs['grouping']]
    assert grouped == ['variant.value', 'model.value.depth']
    settings = specification(VIEW)['section']['settings']
    assert (settings['xAxis'], settings['maxRuns']) == ('epoch', 100)


def test_curves_are_means_with_their_range_and_of_keys_that_runs_log():
    spec = specification(VIEW)
    lines = panels(spec, 'Learning curves by family and depth')
    lines += panels(spec, 'Throughput and failures')
    lines = [config for kind, config in lines if kind == 'Run History Line Plot']
    whole = dict.fromkeys(('train_loss', 'validation_error', 'validation_loss'), 1.0)
    logged = to_dict(dataclasses.replace(planted.record(1, 50.0), **whole))
    assert {key for config in lines for key in config['metrics']} <= {*logged}
    assert {(config['groupAgg'], config['groupArea']) for config in lines} == {('mean', 'minmax')}
    result = {each.name for each in dataclasses.fields(planted.result())}
    bars = [
        config for kind, config in panels(spec, 'Throughput and failures') if kind == 'Bar Chart'
    ]
    assert {
        key.removeprefix('summary_metrics.') for config in bars for key in config['metrics']
    } <= result
    assert len(bars) == 4


def test_figures_and_courses_along_the_layers_are_asked_for_by_their_keys():
    spec = specification(VIEW)
    first = panels(spec, 'Error against depth')
    assert [config['yAxis'] for kind, config in first if kind == 'Scatter Plot'] == [
        *('summary:train_error', 'summary:validation_error'),
    ]
    assert [config['mediaKeys'] for kind, config in first if kind == 'Media Browser'] == [
        ['figures/error_against_depth']
    ]
    along = [config['mediaKeys'] for _, config in panels(spec, 'Gradients along layers')]
    assert along == [
        [f'{kind}/{name}']
        for name in ('activation', 'weight_gradient')
        for kind in ('by_layer', 'heat_map')
    ]


def test_charts_of_the_summary_run_are_drawn_by_presets():
    results = [planted.result('plain', depth, steps_to_error={'5': 3}) for depth in (8, 20)]
    network = network_spec('plain', 8)
    names, _ = along(network, 'block')
    look = Observation(0.0, 0, 0, {'input_gradient': dict.fromkeys(names, 1.0)})
    drawn = run_charts.of_sweep(results, [(results[0], network, [look])])
    spec = specification(dataclasses.replace(VIEW, charts=drawn))
    drawn = [c for kind, c in panels(spec, 'Error against depth') if kind == 'Vega2']
    drawn += [c for kind, c in panels(spec, 'Gradients along layers') if kind == 'Vega2']
    tables = [
        json.dumps(each['userQuery']).partition('"tableKey", "value": "')[2].partition('"')[0]
        for each in drawn
    ]
    assert tables == [
        *('errors_by_run', 'errors_by_run', 'updates_to_5_by_run', 'gradients_by_run'),
    ]
    kinds = [re.fullmatch('vggres_(.*)_[0-9a-f]{8}', each['panelDefId'])[1] for each in drawn]
    assert kinds == [
        *('error_against_depth', 'error_against_depth'),
        *('updates_against_depth', 'gradient_along_layers'),
    ]
    assert [each['fieldSettings'].get('error') for each in drawn[:2]] == [
        *('train_error', 'validation_error'),
    ]
    assert drawn[2]['stringSettings'] == {'title': 'Updates to 5 % training error against depth'}


def test_the_library_reads_what_is_printed():
    from wandb_workspaces.workspaces import internal

    text = json.dumps(specification(VIEW))
    again = internal.WorkspaceViewspec.model_validate_json(text)
    assert json.loads(again.model_dump_json(by_alias=True, exclude_none=True)) == json.loads(text)


def belonging_to(experiment, group):
    """What the start of a run says that belongs to an experiment and a directory."""
    return {'config': json.dumps({'experiment': {'value': experiment}}), 'groupName': group}


# Saves the view of a sweep as often as there are titles.
_SAVES = """
import dataclasses, sys
import planted
from vggres.errors import UserError
from vggres.findings import run_charts
from vggres.tracking import workspace
charts = run_charts.of_sweep([planted.result('plain', depth) for depth in (8, 20)], [])
for title in sys.argv[2:]:
    view = workspace.View(*sys.argv[1].split('/'), title, '', (), (), charts)
    try:
        print(workspace.save(view, '', 'vggres').partition('?')[2])
    except UserError as error:
        print(error)
"""


@pytest.mark.slow
def test_a_view_is_replaced_and_one_that_was_changed_by_hand_is_kept():
    with wandb_server.serving() as (address, runs):
        surroundings = {name: os.environ[name] for name in os.environ if 'WANDB' not in name}
        surroundings |= {'WANDB_BASE_URL': address, 'WANDB_API_KEY': wandb_server.KEY}
        surroundings |= {'PYTHONPATH': f'{ROOT}:{ROOT / "tests"}', 'WANDB_SILENT': 'true'}

        def save(sweep, *titles):
            command = [sys.executable, '-c', _SAVES, sweep, *titles]
            done = subprocess.run(
                command, check=True, capture_output=True, text=True, env=surroundings
            )
            return done.stdout.splitlines()

        (refused,) = save('depth/depth-digits-3f9c1a', 'one')
        assert refused.startswith('me/vggres has no runs of depth-digits-3f9c1a')
        runs.told['a'] = belonging_to('depth', 'depth-cifar10-3f9c1a')
        assert save('depth/depth-digits-3f9c1a', 'one') == [refused]
        runs.told['b'] = belonging_to('depth', 'depth-digits-3f9c1a')
        ours = 'nw=vggresdepthdigits3f9c1a'
        assert save('depth/depth-digits-3f9c1a', 'one', 'one', 'two') == [ours] * 3
        (view,) = runs.views
        assert '## two' in view['spec']
        ((name, spec),) = runs.presets.items()  # stored once
        assert spec == charts.preset('error_against_depth')
        assert f'"me/{name}"' in view['spec']
        assert save('depth/', 'one') == ['nw=vggresdepth']  # of whatever directory
        view['spec'] = view['spec'].replace('## two', '## two, and what I think of it')
        by_hand = dict(view)
        assert save('depth/depth-digits-3f9c1a', 'two', 'two') == [f'{ours}2'] * 2
        assert len(runs.views) == 3
        assert runs.views[0] == by_hand
