import dataclasses
import doctest

import jax
import pandas
import pytest
import stages

import vggres
from configs import digits
from vggres.commands import python
from vggres.data import datasets
from vggres.errors import UserError
from vggres.sweeps.cell import Cell
from vggres.sweeps.run import run


def test_training_from_python_is_training_from_the_command_line(config, tmp_path, capsys):
    outcome, variables = vggres.train(config)
    printed = capsys.readouterr().out
    assert 'resnet-d8-s0-' in printed
    assert 'error: train' in printed
    result = run(Cell(config, tmp_path, ''))
    assert dataclasses.asdict(outcome).items() <= dataclasses.asdict(result).items()
    sizes = [leaf.size for leaf in jax.tree.leaves(variables['params'])]
    assert sum(sizes) == result.parameters
    vggres.train(config, progress=False)
    assert capsys.readouterr().out == ''


def test_a_configuration_that_makes_no_sense(config):
    config.model.depth = 9
    with pytest.raises(vggres.UserError, match='nearest 8 or 14'):
        vggres.train(config)


@pytest.mark.slow
def test_data_that_are_missing_are_prepared_with_a_word(config, monkeypatch):
    def prepare(data, console=None):
        raise UserError(f'{data.name} is prepared for {type(console).__name__}')

    monkeypatch.setattr(datasets, 'prepare', prepare)
    with pytest.raises(UserError, match='small_color is prepared for Console'):
        vggres.train(config)


@pytest.mark.slow
def test_a_sweep_from_python(config, tmp_path):
    config.sweep.depths, config.probes.every_epochs = (8,), 1
    sweep = vggres.run_sweep('depth', config, tmp_path, progress=False)
    results = pandas.DataFrame(sweep.results)
    assert sorted(results.family) == ['plain', 'plain', 'resnet', 'resnet']
    curves = pandas.DataFrame(sweep.curves)
    assert len(curves) == 4 * 2  # epochs
    last = curves[curves.epoch == 2].set_index('cell').train_error
    assert last.to_dict() == results.set_index('cell').train_error.to_dict()
    assert set(sweep.figures()) == {'error_against_depth', 'learning_curves'}
    assert sweep.verdict.variants['plain'].verdict == 'inconclusive'
    assert 'plain: inconclusive' in sweep.words
    observed = sweep.observations('plain', 8, seed=1)
    assert [each.epoch for each in observed] == [0, 1, 2]
    assert sweep.observations('vgg', 8) == []
    # Loaded again, from the folder above as well.
    for place in (tmp_path, tmp_path / 'depth'):
        assert vggres.load_sweep(place).results == sweep.results


@pytest.mark.slow
def test_a_sweep_in_stages_from_python(tmp_path, monkeypatch):
    """Three stages are trained; the second one takes the better rate of the first."""
    stages.register(monkeypatch)
    config = digits.get_config()
    config.model.width, config.train.epochs, config.wandb.mode = 2, 1, 'disabled'
    config.sweep.depths, config.sweep.seeds = (8,), 1
    overrides = ('train.epochs',)
    sweep = vggres.run_sweep('stages', config, tmp_path, 1, progress=False, overrides=overrides)
    results = pandas.DataFrame(sweep.results).set_index('variant')
    first = results.validation_loss[[f'plain, rate {rate}' for rate in stages.RATES]]
    best = first.idxmin()
    assert set(results.index) == {*first.index, f'{best}, fresh', f'{best}, twice as long'}
    assert results.steps[f'{best}, twice as long'] == 2 * results.steps[best]
    # One network at two rates: the worker of a stage compiles once.
    assert sorted(results.compile_seconds[first.index] > 0.1) == [False, True]
    again = vggres.run_sweep('stages', config, tmp_path, 1, progress=False, overrides=overrides)
    assert again.results == sweep.results


@pytest.mark.parametrize(
    ('name', 'workers', 'message'),
    [('', None, 'needs the name'), ('depth', 0, 'at least 1'), ('depth', '2', 'whole number')],
)
def test_a_sweep_that_makes_no_sense_is_refused_at_once(config, tmp_path, name, workers, message):
    with pytest.raises(UserError, match=message):
        vggres.run_sweep(name, config, tmp_path, workers=workers)
    assert list(tmp_path.iterdir()) == []


class Stopped(Exception):
    """Raised in place of running a sweep, which it holds."""


def asked(monkeypatch, config, workdir, **arguments):
    """The configuration of the sweep that `run_sweep` would run."""

    def stop(sweep, *rest):
        raise Stopped(sweep)

    monkeypatch.setattr(python.command, 'run', stop)
    with pytest.raises(Stopped) as caught:
        vggres.run_sweep('gradient_flow', config, workdir, **arguments)
    return caught.value.args[0].config


def test_values_that_differ_from_the_base_beat_the_defaults_of_an_experiment(
    monkeypatch, tmp_path, capsys
):
    config = digits.get_config()
    config.train.epochs, config.sweep.depths = 7, (8, 14)
    found = asked(monkeypatch, config, tmp_path)
    assert (found.train.epochs, found.sweep.depths) == (7, (8, 14))
    assert found.sweep.seeds == 1  # the experiment's, in place of the base's 3
    printed = capsys.readouterr().out
    assert 'gradient_flow sets' in printed
    assert 'sweep.seeds to 1' in printed
    assert 'train.epochs' not in printed


def test_overrides_keep_their_values_though_they_are_those_of_the_base(monkeypatch, tmp_path):
    config = digits.get_config()
    assert (config.train.epochs, config.sweep.seeds) == (20, 3)
    found = asked(monkeypatch, config, tmp_path, overrides=('train.epochs', 'sweep.seeds'))
    assert (found.train.epochs, found.sweep.seeds) == (20, 3)
    with pytest.raises(UserError, match=r'sets model.depth itself'):
        vggres.run_sweep('gradient_flow', config, tmp_path, overrides=('model.depth',))


def test_loading_where_there_is_none_or_several(tmp_path):
    with pytest.raises(UserError, match='there is no sweep in'):
        vggres.load_sweep(tmp_path)
    for name in ('a', 'b'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'sweep.json').write_text('{}')
    with pytest.raises(UserError, match=r'holds several sweeps, choose one: .*a, .*b'):
        vggres.load_sweep(tmp_path)


def test_the_public_names():
    assert {'create', 'names', 'train', 'run_sweep', 'load_sweep', 'UserError'} <= set(dir(vggres))
    for name in dir(vggres):
        assert getattr(vggres, name)
    assert vggres.__version__ == '0.2.0'
    with pytest.raises(AttributeError, match='no attribute'):
        vggres.nothing  # noqa: B018


@pytest.mark.slow
def test_the_examples_in_the_docstrings(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    found = doctest.testmod(python)
    assert found.failed == 0
    assert found.attempted == 17  # two more need a sweep that is there
