from vggres.executors.schedule import Waiting
from vggres.sweeps.cell import Cell


def test_the_costliest_network_starts_first_and_each_worker_takes_another(config, tmp_path):
    def make(depth, seed):
        config.model.depth, config.seed = depth, seed
        return Cell(config, tmp_path, 'depth')

    cells = {(d, s): make(d, s) for d in (8, 14, 20) for s in (0, 1)}
    waiting = Waiting(cells.values(), {c.id: float(c.config.model.depth) for c in cells.values()})
    first = waiting.take(None, [])
    second = waiting.take(None, [first])
    assert [cell.config.model.depth for cell in (first, second)] == [20, 14]
    assert waiting.take(first, [second]) == cells[20, 1]
    third = waiting.take(first, [second])
    assert third == cells[8, 0]
    # Everything has started somewhere: help with the costliest that is left.
    assert waiting.take(first, [second, third]) == cells[14, 1]
    assert waiting.take(first, []) == cells[8, 1]
    assert waiting.take(first, []) is None


def test_rates_and_budgets_of_a_network_follow_one_another(config, tmp_path):
    def make(depth, rate, epochs):
        config.model.depth, config.optimizer.learning_rate = depth, rate
        config.train.epochs = epochs
        return Cell(config, tmp_path, 'depth')

    deep, *shallow = cells = [make(14, 0.1, 2), make(8, 0.1, 2), make(8, 0.03, 2), make(8, 0.1, 9)]
    waiting = Waiting(cells, {cell.id: 1.0 for cell in cells})
    first = waiting.take(None, [])
    taken = [first, *(waiting.take(first, []) for _ in range(2))]
    assert taken == shallow
    assert waiting.take(first, []) == deep
