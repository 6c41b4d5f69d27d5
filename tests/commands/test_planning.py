import pytest
import stages
from planted import finish

from configs import digits
from vggres.commands import planning
from vggres.errors import UserError


def test_a_sweep_is_checked_frozen_and_leaves_the_configuration_as_it_was(config, tmp_path):
    config.sweep.families = ('plain', 'resnet')  # vgg needs larger images
    before = config.to_dict()
    sweep, info = planning.checked_sweep(
        'gradient_flow', config, tmp_path / 'runs', given=['sweep.families']
    )
    assert config.to_dict() == before
    assert sweep.config.probes.draws == 5  # the experiment's own default
    assert sweep.directory == tmp_path / 'runs' / 'gradient_flow'
    assert info.num_images == {'train': 40, 'validation': 5, 'test': 7}
    with pytest.raises(AttributeError):
        sweep.config.seed = 3
    assert list(tmp_path.iterdir()) == []


def test_one_network_is_a_sweep_of_one_cell(config, tmp_path):
    config.model.name = 'cifar_plain20'
    sweep, _ = planning.checked_sweep('', config, tmp_path, overrides=['model.width'])
    (cell,) = sweep.cells
    assert cell.coordinates()['family'] == 'plain'
    assert (cell.config.model.depth, cell.config.model.width) == (20, 2)
    assert cell.directory == tmp_path / 'cells' / cell.id


def test_given_values_are_kept_from_the_experiments_defaults(config, tmp_path):
    config.sweep.seeds, config.train.epochs = 4, 3
    config.sweep.families = ('plain', 'resnet')
    given = ['sweep.seeds', 'train.epochs', 'sweep.depths', 'sweep.families']
    sweep, _ = planning.checked_sweep('gradient_flow', config, tmp_path, given)
    assert (sweep.config.sweep.seeds, sweep.config.train.epochs) == (4, 3)
    assert sweep.config.sweep.depths == (8, 14)


def test_from_python_what_differs_from_base_was_given():
    config = digits.get_config()
    config.train.epochs = 3
    assert {'train.epochs', 'optimizer.warmup'} <= planning.given(config)
    assert 'sweep.depths' not in planning.given(config)


@pytest.mark.parametrize(
    ('name', 'knobs', 'overrides', 'message'),
    [
        ('depht', {}, (), "unknown sweep 'depht': did you mean depth"),
        ('depth', {'model.name': 'resnet18'}, (), 'leave model.name empty'),
        ('depth', {}, ('model.depth',), '--sweep depth sets model.depth itself'),
        ('gradient_flow', {}, ('model.norm',), 'sets model.norm itself'),
        ('depth', {}, ('sweep.rates',), 'sweep.rates changes nothing in --sweep depth'),
        ('depth', {}, ('sweep.tuning_seeds',), 'sweep.tuning_seeds changes nothing in --sweep'),
        ('depth', {}, ('sweep.thorough',), 'sweep.thorough changes nothing in --sweep depth'),
        ('rate', {}, ('optimizer.learning_rate',), 'sets optimizer.learning_rate itself'),
        ('rate', {'sweep.rates': (0.1,)}, ('sweep.rates',), 'names 3 or more positive'),
        ('', {'init.new_head': True}, (), 'init.new_head needs init.weights'),
        ('', {'model.width': 0}, (), 'model.width has to be at least 1'),
        ('depth', {'sweep.families': ('plane', 'resnet')}, (), "unknown family 'plane'"),
        ('depth', {'sweep.seeds': -1}, (), 'sweep.seeds has to be at least 1'),
        ('depth', {'sweep.families': ('plain',)}, ('model.shortcut.gate',), 'changes nothing in a'),
        ('', {}, ('model.vgg.stages',), 'model.vgg.stages changes nothing in a resnet network'),
        ('', {'model.depth': 9}, (), 'nearest 8 or 14'),
        ('', {'train.batch_size': 41}, (), 'more than the 40 training images'),
    ],
)
def test_what_makes_no_sense_is_one_line_and_nothing_written(
    config, tmp_path, name, knobs, overrides, message
):
    config.update_from_flattened_dict(knobs)
    with pytest.raises(UserError, match=message) as caught:
        planning.checked_sweep(name, config, tmp_path / 'runs', overrides=overrides)
    assert '\n' not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# Cells that depend on results


def finish_all(cells):
    for cell in cells:
        finish(cell, validation_loss=stages.loss_of(cell))


def test_cells_follow_when_all_that_they_depend_on_have_a_result(config, tmp_path, monkeypatch):
    """Three stages: two rates, two fresh seeds at the better one, and both again, longer."""
    stages.register(monkeypatch)
    config.sweep.depths = (8,)
    sweep, info = planning.checked_sweep('stages', config, tmp_path)
    assert [cell.config.optimizer.learning_rate for cell in sweep.cells] == [0.1, 0.01]
    assert '2 of the 2 cells that are known so far have none yet' in planning.undecided(sweep)
    finish_all(sweep.cells[:1])
    assert planning.with_next_cells(sweep, info) == sweep  # not by a part of the results
    assert '1 of the 2 cells' in planning.undecided(sweep)

    finish_all(sweep.cells)
    second = planning.with_next_cells(sweep, info)
    assert second.cells[:2] == sweep.cells
    assert [cell.coordinates()['variant'] for cell in second.cells[2:]] == [
        'plain, rate 0.01, fresh'
    ] * 2
    finish_all(second.cells)
    third = planning.with_next_cells(second, info)
    assert [cell.config.train.epochs for cell in third.cells] == [2, 2, 2, 2, 4, 4]
    assert '2 of the 6 cells' in planning.undecided(third)
    finish_all(third.cells)
    assert planning.with_next_cells(third, info) == third
    assert planning.undecided(third) == ''
    # Another launch finds them from the grid on.
    again, _ = planning.checked_sweep('stages', config, tmp_path)
    assert [cell.id for cell in again.cells] == [cell.id for cell in third.cells]


def test_a_diverged_run_is_a_result_to_decide_by(config, tmp_path, monkeypatch):
    def next_cells(sweep):
        assert {result.status for result in sweep.results()} == {'diverged'}
        return iter(())

    stages.register(monkeypatch, next_cells=next_cells)
    config.sweep.depths = (8,)
    sweep, info = planning.checked_sweep('stages', config, tmp_path)
    for cell in sweep.cells:
        finish(cell, status='diverged', validation_loss=None, diverged_at_step=3)
    assert planning.with_next_cells(sweep, info) == sweep
    assert planning.undecided(sweep) == ''


def test_where_the_grid_is_everything_nothing_follows(config, tmp_path):
    for name in ('depth', ''):
        sweep, _ = planning.checked_sweep(name, config, tmp_path)
        assert planning.undecided(sweep) == ''


def test_cells_that_follow_are_checked_as_the_others_are(config, tmp_path, monkeypatch):
    def next_cells(sweep):
        for variant, cell_config in stages.next_cells(sweep):
            cell_config.train.batch_size = 41
            yield variant, cell_config

    stages.register(monkeypatch, next_cells=next_cells)
    config.sweep.depths = (8,)
    sweep, info = planning.checked_sweep('stages', config, tmp_path)
    finish_all(sweep.cells)
    with pytest.raises(UserError, match='41 is more than the 40 training images'):
        planning.with_next_cells(sweep, info)
