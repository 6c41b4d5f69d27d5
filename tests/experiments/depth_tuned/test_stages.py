"""The rates that finished cells speak for, and the cells that they call for."""

import dataclasses

from experiments import depth_tuned
from experiments.depth_tuned import stages
from vggres.findings.tuning import FIRST_TUNING_SEED


def test_nothing_follows_from_a_part_of_the_rates(config, tmp_path, world):
    sweep = world.begun(config, tmp_path)
    world.finish(sweep.cells[: len(world.RATES) - 1], sweep)
    assert list(depth_tuned.next_cells(sweep)) == []


def test_a_network_goes_on_at_its_best_rate_as_soon_as_it_is_known(config, tmp_path, world):
    sweep = world.begun(config, tmp_path)
    world.finish([cell for cell in sweep.cells if cell.id.startswith('plain-d14')], sweep)
    _, new = world.stage(sweep)
    fresh = [cell for cell in new if cell.config.seed < FIRST_TUNING_SEED]
    assert {cell.network_spec.depth for cell in new} == {14}
    assert [cell.config.seed for cell in fresh] == list(range(5))
    assert {cell.config.optimizer.learning_rate for cell in fresh} == {world.RATES[2]}
    tuning = [cell for cell in new if cell.config.seed >= FIRST_TUNING_SEED]
    assert [cell.config.optimizer.learning_rate for cell in tuning] == list(world.RATES[1:4])
    assert {cell.config.train.epochs for cell in tuning} == {3 * config.train.epochs}
    assert not {cell.variant for cell in fresh} & {cell.variant for cell in sweep.cells}


def test_the_search_follows_an_optimum_that_moves(config, tmp_path, world):
    """By hand: at 3× the best rate of plain-14 is one place higher, so one more rate is tried."""
    sweep, counts = world.whole(world.begun(config, tmp_path))
    chosen = {
        place: world.RATES.index(search.choice.rate)
        for place, search in stages.search_all(sweep).items()
    }
    planted = {(*network, 1): place for network, place in world.OPTIMA.items()}
    planted |= {(*network, 3): place for network, place in world.OPTIMA.items()}
    assert chosen == planted | {('plain', 14, 3): world.OPTIMA['plain', 14] + 1}
    fresh = 4 * 5
    assert counts == [4 * 6, fresh + 4 * 3, fresh - 5 + 1, 5]


def test_a_thorough_sweep_grows_out_of_a_quick_one(config, tmp_path, world):
    """More tuning seeds may move a rate: the runs at the old one are kept and not judged."""
    config.sweep.rates = world.RATES[1:5]
    quick, _ = world.whole(world.begun(config, tmp_path))
    config.sweep.thorough = True
    config.sweep.tuning_seeds, config.sweep.seeds = 3, 8
    grown = world.begun(config, tmp_path)
    kept = {cell.id for cell in quick.cells}
    new = [cell for cell in grown.cells if cell.id not in kept]
    assert len(new) == 4 * 4 * 2

    def moved(place, rate, seed):
        return world.decades(place, rate, seed, world.OPTIMA | {('plain', 14): 3})

    sweep, _ = world.whole(dataclasses.replace(grown, cells=(*quick.cells, *new)), moved)
    verdict = depth_tuned.analyse(sweep)
    assert verdict.tuning_seeds == tuple(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + 3))
    assert {each.outcome.n for each in verdict.networks} == {8}
    assert {each.budget for each in verdict.networks} == {1, 3, 10}
    runs = [cell for cell in sweep.cells if cell.id.startswith('plain-d14-s0')]
    assert len(runs) == 2 + 3  # quick: two budgets; then three, at rates that have moved
    shown = [
        (run.steps // 10, run.family, run.depth, run.seed) for run in depth_tuned.judged(sweep)
    ]
    networks = [('plain', 8), ('plain', 14), ('resnet', 8), ('resnet', 14)]
    assert shown == [(b, *network, s) for b in (1, 3, 10) for network in networks for s in range(8)]
