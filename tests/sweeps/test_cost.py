import io

import pytest
from planted import finish
from rich.console import Console

from vggres.data import datasets
from vggres.sweeps import cost
from vggres.sweeps import sweep as sweeps
from vggres.sweeps.cell import Cell
from vggres.sweeps.cost import Cost
from vggres.sweeps.grid import families, grid


@pytest.fixture
def planned(config, tmp_path):
    """A sweep of 2 families × 2 depths × 2 seeds, of which the first cell is done."""
    planned = sweeps.assemble('depth', config, tmp_path, grid(config, families(config)))
    finish(planned.cells[0])
    return planned


def printed(table):
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()


@pytest.fixture
def flops(monkeypatch):
    """Each cell takes 2 TFLOPs."""
    monkeypatch.setattr(cost, 'flops', lambda cell, info: 2e12)


@pytest.mark.usefixtures('flops')
def test_the_table_says_what_is_done_and_what_is_left(planned):
    info = datasets.describe(planned.config.data)
    text = printed(cost.grid_table(planned, info))
    assert text.count('done') == 1
    assert text.count('plain, depth 14') == 2
    assert '8 cells, 7 to run: 14.0 of 16.0 TFLOPs' in text


def test_operations_of_a_cell_by_hand(config, tmp_path):
    info = datasets.describe(config.data)
    config.model.width = 1
    # 6×6, 3×3 and 2×2 pixels of 1, 2 and 4 channels.
    macs = 9 * (36 * (3 + 1 + 1) + 9 * (2 + 4) + 4 * (8 + 16)) + 4 * 4
    # 2 epochs of 5 steps of 8 images, three passes each; 2 evaluations of 40 + 5; 7 test images.
    expected = 2 * macs * (3 * 2 * 5 * 8 + 2 * 45 + 7)
    assert cost.flops(Cell(config, tmp_path, ''), info) == expected


def test_large_cells_and_one_alone_are_for_all_chips_of_a_tpu(config, tmp_path):
    info = datasets.describe(config.data)

    def cell(width):
        config.model.width = width
        return Cell(config, tmp_path, '')

    assert cost.are_for_all_chips([cell(2)], info)
    assert not cost.are_for_all_chips([cell(2), cell(4)], info)
    # About 9·(36·2·w² + 9·6·w² + 4·24·w²) = 1,998·w² products of 8 images, six operations each.
    at_limit = round((1e12 / (1998 * 8 * 6)) ** 0.5)
    assert not cost.are_for_all_chips([cell(2), cell(round(0.9 * at_limit))], info)
    assert cost.are_for_all_chips([cell(2), cell(round(1.1 * at_limit))], info)


def test_a_run_costs_its_updates_and_its_evaluations(config):
    # 40 images in batches of 8: 5 updates an epoch, 12 epochs. Evaluated in batches of 7, 6 of the
    # training set and 1 of validation, after epochs 5, 10 and 12; and 1 of the test set at the end.
    config.train.epochs = 12
    config.evaluation.every_epochs = 5
    info = datasets.describe(config.data)
    cost = Cost(1.0, compile_seconds=50.0, step_seconds=1.0, batch_seconds=0.01, batch_size=7)
    assert cost.run_seconds(config, info) == pytest.approx(60 + 0.01 * (3 * 7 + 1))


@pytest.mark.parametrize(
    ('every_epochs', 'observations'), [(0, 0), (1, 12), (5, 3), (12, 1), (20, 1)]
)
def test_a_run_costs_its_observations(config, every_epochs, observations):
    # 12 epochs: after those that are due, and after the last; before them, each of four draws.
    config.train.epochs = 12
    config.probes.every_epochs, config.probes.draws = every_epochs, 4
    info = datasets.describe(config.data)
    cost = Cost(1.0, 50.0, 0.0, 0.0, batch_size=7, observation_seconds=2.0)
    times = observations + 4 if observations else 0
    assert cost.run_seconds(config, info) == pytest.approx(2.0 * times)


@pytest.mark.parametrize(
    ('every_steps', 'epochs', 'every_epochs', 'looks'),
    [
        (0, 3, 1, 3),  # the evaluations at the ends of three epochs, of 5 updates each
        (0, 3, 2, 3),  # two evaluations, after epochs 2 and 3, and a look after epoch 1
        (2, 2, 1, 2 + 4),  # after 2, 4, 6 and 8 updates as well; the tenth ends an epoch
        (5, 2, 1, 2),
        (100, 2, 1, 2),
    ],
)
def test_a_run_that_may_stop_is_counted_to_its_end(
    config, every_steps, epochs, every_epochs, looks
):
    config.train.until_error, config.train.epochs = (5.0,), epochs
    config.evaluation.every_steps, config.evaluation.every_epochs = every_steps, every_epochs
    info = datasets.describe(config.data)
    cost = Cost(1.0, compile_seconds=50.0, step_seconds=1.0, batch_seconds=0.01, batch_size=7)
    evaluations = -(-epochs // every_epochs)
    batches = 6 * looks + evaluations + 1  # 40 training, 5 validation and 7 test images
    assert cost.run_seconds(config, info) == pytest.approx(5 * epochs + 0.01 * batches)


@pytest.mark.usefixtures('flops')
def test_the_cost_of_runs_that_may_stop_is_a_bound(config, tmp_path):
    config.train.until_error = (5.0,)
    planned = sweeps.assemble('depth', config, tmp_path, grid(config, families(config)))
    info = datasets.describe(config.data)
    text = printed(cost.grid_table(planned, info))
    assert '8 cells, 8 to run: at most 16.0 of 16.0 TFLOPs' in text
    costs = {cell.id: Cost(12.0, 30.0, 0.1, 0.0, 7, process_mb=700.0) for cell in planned.cells}
    text = printed(cost.cost_table(planned.cells, info, costs, 'here', workers=2))
    assert 'TFLOPs: at most' in text
    assert 'A process holds 700 MB, 2 of them 1,400 MB.' in text


@pytest.mark.usefixtures('flops')
def test_the_cost_of_a_sweep_is_the_sum_of_its_cells(planned):
    info = datasets.describe(planned.config.data)
    shared = {d: Cost(12.0, 30.0, 0.1 * d, 0.0, 7) for d in (8, 14)}  # 10 updates a cell
    costs = {cell.id: shared[cell.config.model.depth] for cell in planned.cells}
    text = printed(cost.cost_table(planned.cells, info, costs, 'v5e', workers=1))
    assert '8 cells to run, 16.0 TFLOPs: at least 88.0 s on one v5e' in text  # 4 · 8 + 4 · 14 s
    assert text.count('1,400.00') == 4  # ms an update
    text = printed(cost.cost_table(planned.cells, info, costs, 'here', workers=2))
    # Two networks are compiled, in 30 s each: 60 + 88 s, by two workers.
    assert '74.0 s on this machine, 2 at a time, 60.0 s of 2.5 min for compilation' in text
    (last,) = planned.cells[-1:]
    text = printed(cost.cost_table([last], info, costs, 'here', workers=2))
    assert '1 cell to run, 2.0 TFLOPs: 44.0 s on this machine, 1 at a time' in text


def test_cells_of_one_network_are_estimated_once(config, tmp_path):
    cells = []
    for layers, seed, rate in ((14, 0, 0.1), (8, 0, 0.1), (8, 1, 0.03)):
        config.model.depth, config.seed, config.optimizer.learning_rate = layers, seed, rate
        cells.append(Cell(config.copy_and_resolve_references(), tmp_path, ''))
    estimated, shown = [], []

    def estimate(config):
        estimated.append(config.model.depth)
        return Cost(1.0, 1.0, config.model.depth, 1.0, 7)

    costs = cost.of_cells(cells, estimate, lambda cell, found: shown.append(cell.id))
    assert estimated == [14, 8]
    assert shown == [cells[0].id, cells[1].id]
    assert [costs[cell.id].step_seconds for cell in cells] == [14, 8, 8]
