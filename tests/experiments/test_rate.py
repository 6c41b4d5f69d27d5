"""A planted sweep of learning rates is judged as it was planted."""

import dataclasses
import json

import pytest
from planted import finish

from experiments import rate
from vggres.config import set_defaults
from vggres.errors import UserError
from vggres.findings.tuning import FIRST_TUNING_SEED
from vggres.sweeps.sweep import assemble

# The validation loss of each network at 0.01, 0.1 and 1; the loss of guessing is 2.3.
LOSSES = {
    ('plain', 8): (0.3, 0.1, 0.5),
    ('plain', 14): (1.0, 2.3, 2.3),
    ('resnet', 8): (0.3, 0.1, 0.5),
    ('resnet', 14): (0.9, 0.1, 0.05),
}


def planned(config, tmp_path):
    given = {'sweep.rates': (1.0, 0.01, 0.1), 'sweep.depths': (8, 14)}
    set_defaults(config, rate.defaults(config) | given, [])
    return assemble('rate', config, tmp_path, rate.cells(config))


@pytest.fixture
def sweep(config, tmp_path):
    """Two families at two depths and three rates, done."""
    done = planned(config, tmp_path)
    for cell in done.cells:
        at = cell.coordinates()
        place = (0.01, 0.1, 1.0).index(cell.config.optimizer.learning_rate)
        loss = LOSSES[at['family'], at['depth']][place]
        finish(cell, validation_loss=loss, error=90.0 if loss > 2 else 0.0)
    return done


def test_the_grid_is_families_by_rates_by_depths_on_tuning_seeds(sweep):
    assert len(sweep.cells) == 2 * 3 * 2
    assert {cell.config.seed for cell in sweep.cells} == {FIRST_TUNING_SEED}
    assert {cell.config.optimizer.learning_rate for cell in sweep.cells} == {0.01, 0.1, 1.0}
    assert set(sweep.depths()) == {
        f'{family}, rate {each}' for family in ('plain', 'resnet') for each in ('0.01', '0.1', '1')
    }


def test_the_rate_of_all_and_of_each(sweep):
    """By hand: products 0.081, 0.0023 and 0.028 of the four losses."""
    verdict = rate.analyse(sweep)
    json.dumps(dataclasses.asdict(verdict), allow_nan=False)  # what verdict.json can hold
    assert (verdict.choice.rate, verdict.choice.edge, verdict.choice.n) == (0.1, '', 4)
    assert verdict.choice.losses == pytest.approx([0.081**0.25, 0.0023**0.25, 0.02875**0.25], 1e-3)
    own = {(each.family, each.depth): each.choice for each in verdict.networks}
    assert [(own[network].rate, own[network].edge) for network in LOSSES] == [
        *((0.1, ''), (0.01, 'lowest'), (0.1, ''), (1.0, 'highest'))
    ]
    assert (verdict.updates, verdict.seeds) == (10, (FIRST_TUNING_SEED,))


def test_the_words_state_rule_rate_budget_and_control(sweep):
    verdict = rate.analyse(sweep)
    words = rate.words(verdict)
    for part in (
        'The rule: the learning rate with the lowest geometric mean of the validation loss',
        'It chooses 0.1 (',
        'the rate of the configuration, 0.1, is the same',
        'It lies inside the grid, which reaches from 0.01 to 1.',
        'runs of plain-14 fail to train; those of the shallowest networks do not',
        'a budget of 10 updates, on tuning seed 1000',
    ):
        assert part in words
    assert 'differs' in rate.words(dataclasses.replace(verdict, default=0.2))
    edge = dataclasses.replace(verdict.choice, edge='highest')
    assert 'add a higher one' in rate.words(dataclasses.replace(verdict, choice=edge))


def test_a_budget_in_which_shallow_networks_fail_is_insufficient(sweep):
    for cell in sweep.cells:
        finish(cell, validation_loss=0.1, error=90.0)
    assert 'The budget is insufficient' in rate.words(rate.analyse(sweep))


def test_the_table_shows_each_network_and_all(sweep):
    (table,) = rate.tables(rate.analyse(sweep))
    assert [column.heading for column in table.columns][2:5] == ['0.01', '0.1', '1']
    assert table.rows[1] == ['plain', '14', '1', '2.3 (1)', '2.3 (1)', '0.01*', '1']
    assert table.rows[-1][0] == 'all'
    assert table.rows[-1][-2:] == ['0.1', '4']


def test_the_figure_has_a_line_for_each_network(sweep):
    drawn = rate.figures(sweep, rate.analyse(sweep))
    figure, _ = drawn['validation_loss_against_rate']
    labels = [line.get_label() for ax in figure.axes for line in ax.lines]
    assert {'plain 8', 'plain 14', 'resnet 8', 'resnet 14', 'chosen'} <= set(labels)


def test_an_unfinished_sweep_chooses_nothing(sweep):
    for cell in sweep.cells[1:]:
        (cell.directory / 'result.json').unlink()
    for cell in sweep.cells[1:2]:
        finish(cell, validation_loss=0.1)
    verdict = rate.analyse(sweep)
    assert rate.words(verdict)
    assert rate.tables(verdict)


def test_seeds_of_other_sweeps_are_refused(config, tmp_path):
    set_defaults(config, rate.defaults(config) | {'seed': 5}, [])
    with pytest.raises(UserError, match='seed 5 serves the sweeps that are judged'):
        rate.cells(config)


def test_in_short_it_is_the_rate(sweep):
    verdict = rate.analyse(sweep)
    assert rate.in_short(verdict) == {'learning rate': '0.1'}
    none = dataclasses.replace(verdict.choice, rate=None)
    assert rate.in_short(dataclasses.replace(verdict, choice=none)) == {'learning rate': 'none'}
