import json
import re

import pytest
from planted import finish

import experiments
from vggres.config import set_defaults
from vggres.errors import UserError
from vggres.sweeps import sweep as sweeps
from vggres.sweeps.grid import families, grid


def assemble(config, workdir, name='depth'):
    return sweeps.assemble(name, config, workdir, grid(config, families(config)))


def join(sweep):
    sweep.directory.mkdir(parents=True, exist_ok=True)
    return sweeps.joined(sweep)


RECORD = {
    'epoch': 1,
    'step': 5,
    'learning_rate': 0.1,
    'gradient_norm': 1.0,
    'batch/loss': 1.0,
    'batch/error': 50.0,
    'images_per_second': 9.0,
}


def test_what_is_done_and_what_is_left(config, tmp_path):
    sweep = assemble(config, tmp_path)
    assert sweep.missing() == list(sweep.cells)
    done = sweep.cells[2]
    finish(done, error=1.0)
    (done.directory / 'metrics.jsonl').write_text(json.dumps(RECORD) + '\n')
    assert sweep.missing() == [cell for cell in sweep.cells if cell != done]
    (result,) = sweep.results()
    assert (result.cell, result.train_error) == (done.id, 1.0)
    (curve,) = sweep.curves()
    assert (curve.cell, curve.variant, curve.depth) == (done.id, 'plain', 14)
    assert [record.epoch for record in curve.records] == [1]
    assert sweep.depths() == {'plain': {8, 14}, 'resnet': {8, 14}}


def test_who_is_done_without_the_probes_asked_for_now(config, tmp_path):
    config.probes.every_epochs = 1
    sweep = assemble(config, tmp_path)
    assert sweep.unobserved() == []
    for cell in sweep.cells[:2]:
        finish(cell)
    empty = sweep.cells[0].directory / 'probes.jsonl'
    empty.write_text('')  # as where a disk was full
    assert sweep.unobserved() == [sweep.cells[1]]
    assert sweep.observed() == []
    named = f'{empty} holds no observation. It is left out of the figures.'
    assert named in sweep.damages()
    config.probes.every_epochs = 0
    assert assemble(config, tmp_path).unobserved() == []


def test_what_is_damaged_is_named_and_left_out(config, tmp_path):
    sweep = assemble(config, tmp_path)
    first, second, third = sweep.cells[:3]
    for cell in (first, second, third):
        finish(cell)
        (cell.directory / 'metrics.jsonl').write_text(json.dumps(RECORD) + '\n')
    assert sweep.damages() == []
    (first.directory / 'result.json').write_text('{}')
    (second.directory / 'metrics.jsonl').write_text('garbage\n' + json.dumps(RECORD) + '\n')
    assert [curve.cell for curve in sweep.curves()] == [third.id]
    assert [result.cell for result in sweep.results()] == [second.id, third.id]
    not_done, left_out = sweep.damages()
    assert str(first.directory) in not_done
    assert not_done.endswith('counts as not done.')
    assert str(second.directory / 'metrics.jsonl') in left_out
    assert left_out.endswith('left out of the figures.')
    (third.directory / 'probes.jsonl').write_text('[]\n')
    assert str(third.directory / 'probes.jsonl') in sweep.damages()[-1]
    assert sweep.observed() == []


def test_the_directory_gives_the_sweep_back(config, tmp_path):
    config.model.shortcut.scale = 0.5
    sweep = join(assemble(config, tmp_path))
    stored = json.loads((tmp_path / 'depth' / 'sweep.json').read_text())
    assert stored['sweep'] == 'depth'
    assert stored['format'] == 2
    assert len(stored['grid']) == 8
    assert {'python', 'jax', 'flax'} <= set(stored['versions'])
    again = sweeps.load(tmp_path / 'depth')
    assert [cell.id for cell in again.cells] == [cell.id for cell in sweep.cells]
    assert [cell.config.to_dict() for cell in again.cells] == [
        cell.config.to_dict() for cell in sweep.cells
    ]
    assert again.config.to_dict() == sweep.config.to_dict()
    (launch,) = again.launches
    assert launch.cells == 8
    assert re.fullmatch(r'\d{4}-\d\d-\d\d \d\d:\d\d', launch.when)


def test_a_grid_may_grow_and_keeps_what_is_there(config, tmp_path):
    first = join(assemble(config, tmp_path))
    finish(first.cells[0], error=3.0)
    config.sweep.depths, config.sweep.seeds = (14, 20), 3
    grown = join(assemble(config, tmp_path))
    # Two families: depth 8 has seeds 0 and 1 still, the others have three.
    assert len(grown.cells) == 2 * (2 + 3 + 3)
    assert {cell.id for cell in first.cells} < {cell.id for cell in grown.cells}
    at = [cell.coordinates() for cell in grown.cells]
    order = [(each['variant'], each['depth'], each['seed']) for each in at]
    assert order == sorted(order)
    assert grown.results()[0].train_error == 3.0
    assert [launch.cells for launch in grown.launches] == [8, 8]
    # The same again adds nothing; a smaller one keeps the rest.
    assert join(assemble(config, tmp_path)).launches == grown.launches
    config.sweep.seeds = 1
    assert len(join(assemble(config, tmp_path)).cells) == len(grown.cells)
    stored = sweeps.load(tmp_path / 'depth').cells
    assert [cell.id for cell in stored] == [cell.id for cell in grown.cells]


def test_when_the_error_is_looked_at_belongs_to_the_protocol_where_training_stops_by_it(
    config, tmp_path
):
    join(assemble(config, tmp_path))
    config.evaluation.every_steps = 3
    join(assemble(config, tmp_path))
    config.train.until_error = (5.0, 1.0)
    kept = join(assemble(config, tmp_path / 'stops'))
    assert sweeps.load(kept.directory).config.train.until_error == (5.0, 1.0)
    join(assemble(config, tmp_path / 'stops'))
    config.evaluation.every_steps = 4
    with pytest.raises(UserError, match=r'holds another sweep .*evaluation\.every_steps 3, not 4'):
        join(assemble(config, tmp_path / 'stops'))


@pytest.mark.parametrize(
    ('knob', 'value', 'message'),
    [
        ('train.epochs', 9, r'train\.epochs 2, not 9'),
        ('model.width', 4, r'model\.width 2, not 4'),
        ('model.shortcut.kind', 'B', r'model\.shortcut\.kind A, not B'),
        ('data.test_split', 'test', r'data\.test_split test.5:., not test'),
        ('optimizer.learning_rate', 0.2, r'optimizer\.learning_rate 0\.1, not 0\.2'),
        ('init.scheme', 'vgg', r'init\.scheme he, not vgg'),
        ('probes.every_epochs', 1, r'probes\.every_epochs 0, not 1'),
        ('train.until_error', (5.0,), r'train\.until_error \[\], not \[5\.0\]'),
    ],
)
def test_another_protocol_is_refused_and_nothing_written(config, tmp_path, knob, value, message):
    join(assemble(config, tmp_path))
    config.data.dir += '/'
    join(assemble(config, tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    config.update_from_flattened_dict({knob: value})
    with pytest.raises(UserError, match=f'holds another sweep .*{message}'):
        join(assemble(config, tmp_path))
    after = {path: path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    assert after == before


@pytest.mark.parametrize('release', [1, 2])
@pytest.mark.parametrize('name', ['identity_shortcut', 'gradient_flow', 'vgg_depth'])
def test_the_variants_of_every_experiment_come_back(config, tmp_path, name, release):
    experiment = experiments.load(name)
    depths = (8, 14) if name != 'vgg_depth' else (8, 9)
    set_defaults(config, experiment.defaults(config) | {'sweep.depths': depths}, [])
    sweep = join(sweeps.assemble(name, config, tmp_path, experiment.cells(config)))
    path = tmp_path / name / 'sweep.json'
    if release == 1:
        stored = json.loads(path.read_text())
        for at in stored['grid']:
            del at['changes']
        del stored['format'], stored['launches']
        path.write_text(json.dumps(stored | {'config': in_format_1(stored['config'])}))
        for cell in sweep.cells:
            cell.directory.mkdir(parents=True)
            parts = in_format_1(cell.config.to_dict())
            (cell.directory / 'config.json').write_text(json.dumps(parts))
    again = sweeps.load(tmp_path / name)
    assert [cell.to_json() | {'stored_id': ''} for cell in again.cells] == [
        cell.to_json() for cell in sweep.cells
    ]
    assert len({cell.id for cell in again.cells}) == len(again.cells)


def test_another_network_at_a_place_of_the_grid_is_refused(config, tmp_path):
    join(assemble(config, tmp_path))
    path = tmp_path / 'depth' / 'sweep.json'
    stored = json.loads(path.read_text())
    stored['grid'][0]['cell'] = 'plain-d8-s0-ffffff'  # as from another release
    path.write_text(json.dumps(stored))
    with pytest.raises(UserError, match='another network as plain, depth 8, seed 0'):
        join(assemble(config, tmp_path))


def test_a_later_format_is_not_run_again(config, tmp_path):
    sweep = assemble(config, tmp_path, name='')
    finish(sweep.cells[0])
    path = sweep.cells[0].directory / 'result.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | {'format': 3}))
    with pytest.raises(UserError, match='format 3, which a release later than vggres'):
        sweep.missing()


def test_a_workdir_that_cannot_be_written(config, tmp_path):
    (tmp_path / 'file').write_text('')
    for place in (tmp_path / 'file', tmp_path / 'file' / 'below'):
        with pytest.raises(UserError, match='cannot write'):
            sweeps.check_directory(assemble(config, place))


def test_files_and_folders_in_the_place_of_one_another(config, tmp_path):
    sweep = assemble(config, tmp_path)
    sweep.directory.mkdir()
    (sweep.directory / 'figures').write_text('')
    with pytest.raises(UserError, match='figures is a file where a directory belongs'):
        sweeps.check_outputs(sweep)
    (sweep.directory / 'figures').unlink()
    for path in (sweep.directory / 'report.html', sweep.cells[3].directory / 'result.json'):
        path.mkdir(parents=True)
        with pytest.raises(UserError, match=f'{path.name} is a directory where a file belongs'):
            sweeps.check_directory(sweep)
        path.rmdir()
    sweeps.check_directory(sweep)


def test_there_is_nothing_to_report_on(tmp_path):
    with pytest.raises(UserError, match='there is no sweep in'):
        sweeps.load(tmp_path)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('', 'it holds no JSON. Move it away'),
        ('[]', 'holds a list'),
        ('{}', 'damaged'),
        ('{"format": 2}', 'damaged .KeyError'),
        ('{"format": 9}', 'of format 9, which a release later than'),
        ('{"format": []}', 'as its format'),
        ('{"format": 2, "config": {}, "grid": 5, "sweep": "depth"}', 'damaged .TypeError'),
    ],
)
def test_a_damaged_sweep_is_one_line(tmp_path, content, message):
    (tmp_path / 'sweep.json').write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        sweeps.load(tmp_path)
    assert 'sweep.json' in str(caught.value)
    assert '\n' not in str(caught.value)


FLAT = {
    'vgg': {n: f'vgg_{n}' for n in ('stages', 'pointwise', 'shortcuts')} | {'dropout': 'dropout'},
    'shortcut': {'kind': 'shortcut', 'scale': 'shortcut_scale', 'dropout': 'shortcut_dropout'}
    | {name: name for name in ('branch_scale', 'gate', 'gate_bias')},
}


def in_format_1(parts):
    """A configuration as vggres 0.1 stored it."""
    model = dict(parts['model'])
    for section, names in FLAT.items():
        for knob, value in model.pop(section).items():
            if knob in names:  # the others came later
                model[names[knob]] = value
    return parts | {'model': model}


def test_a_sweep_of_the_first_release_is_read_and_not_added_to(config, tmp_path):
    sweep = join(assemble(config, tmp_path))
    for cell in sweep.cells[:3]:
        finish(cell, error=2.0)
        parts = in_format_1(cell.config.to_dict())
        (cell.directory / 'config.json').write_text(json.dumps(parts))
    path = tmp_path / 'depth' / 'sweep.json'
    old = {
        'sweep': 'depth',
        'grid': [cell.coordinates() for cell in sweep.cells],
        'config': in_format_1(sweep.config.to_dict()),
        'versions': {},
        'git_commit': None,
    }
    path.write_text(json.dumps(old))
    again = sweeps.load(tmp_path / 'depth')
    assert [cell.id for cell in again.cells] == [cell.id for cell in sweep.cells]
    assert [result.train_error for result in again.results()] == [2.0] * 3
    assert again.depths() == sweep.depths()
    with pytest.raises(UserError, match=r'written by vggres 0.1 \(format 1\).*--report_only'):
        join(assemble(config, tmp_path))
    assert json.loads(path.read_text()) == json.loads(json.dumps(old))
