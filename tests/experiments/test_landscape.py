"""Planted surfaces are measured and told."""

import dataclasses
import json
import math

import numpy as np
import planted
import pytest

from experiments import landscape
from experiments.landscape import (
    analyse,
    local_minima,
    wider,
)
from vggres.config import set_defaults
from vggres.errors import UserError
from vggres.probes.landscape import grid, name
from vggres.sweeps.sweep import assemble

GUESSING = math.log(10)


def bowl(steepness):
    """A loss that reaches that of guessing where the square of the distance is 1/steepness."""
    return {name(x, y): GUESSING * steepness * (x * x + y * y) for x, y in grid().tolist()}


@pytest.fixture
def sweep(config, tmp_path):
    """Two seeds, done; the surface of plain networks rises as their depth, others not at all."""
    set_defaults(config, landscape.defaults(config) | {'train.epochs': 2, 'sweep.seeds': 2}, [])
    done = assemble('landscape', config, tmp_path, landscape.cells(config))
    for cell in done.cells:
        at = cell.coordinates()
        steepness = at['depth'] / 8 if at['family'] == 'plain' else 0.1
        first = {'epoch': 0, 'step': 0, 'draw': 0, 'activation': {'stem': 1.0}}
        last = first | {'epoch': 2, 'step': 10, 'surface': bowl(steepness)}
        cell.directory.mkdir(parents=True)
        text = json.dumps(first) + '\n' + json.dumps(last) + '\n'
        (cell.directory / 'probes.jsonl').write_text(text)
        (cell.directory / 'metrics.jsonl').write_text('')
        planted.finish(cell, error=1.0)
    return done


def test_the_width_is_the_part_below_guessing(sweep):
    verdict = analyse(sweep)
    json.dumps(dataclasses.asdict(verdict), allow_nan=False)
    found = {(n.family, n.depth, n.seed): n for n in verdict.networks}
    x, y = grid().T
    inside = 100 * float(np.mean(2.5 * (x**2 + y**2) < 1 - 1e-9))
    assert found['plain', 20, 0].wide == pytest.approx(inside)
    assert found['resnet', 56, 1].wide == 100
    assert found['plain', 8, 0].centre == 0
    assert found['plain', 8, 0].minima == 0
    assert wider(verdict.networks, 20) == pytest.approx([100 - inside] * 2)


def test_minima_beside_the_centre_are_counted():
    losses = np.add.outer(np.arange(-3.0, 4) ** 2, np.arange(-3.0, 4) ** 2)
    assert local_minima(losses) == 0
    losses[1, 1] = losses[5, 4] = -1  # two more
    losses[0, 3] = -1  # at the edge, where it has no eight neighbours
    assert local_minima(losses) == 2


def test_a_loss_that_is_not_finite_counts_as_high(sweep):
    path = sweep.cells[0].directory / 'probes.jsonl'
    first, last = map(json.loads, path.read_text().splitlines())
    before = analyse(sweep).networks[0].wide
    last['surface']['0,0.1'] = None
    path.write_text(json.dumps(first) + '\n' + json.dumps(last) + '\n')
    assert analyse(sweep).networks[0].wide == pytest.approx(before - 100 / 441)
    last['surface']['0,0'] = None
    path.write_text(json.dumps(first) + '\n' + json.dumps(last) + '\n')
    assert len(analyse(sweep).networks) == len(sweep.cells) - 1


def test_it_is_told(sweep):
    verdict = analyse(sweep)
    said = landscape.words(verdict)
    wide = next(n.wide for n in verdict.networks if (n.family, n.depth) == ('plain', 56))
    assert (
        f'Depth 56: the loss is below that of guessing on {wide:.0f} % of the plane around plain '
        'networks, whose training error is 1.0 %, and on 100 % of the plane around resnet networks'
    ) in said
    (table,) = landscape.tables(verdict)
    assert len(table.rows) == 12
    assert {len(row) for row in table.rows} == {len(table.columns)}
    drawn = landscape.figures(sweep, verdict)
    figure, caption = drawn['surfaces']
    assert caption.endswith('.')
    titles = [ax.get_title(loc='left') for ax in figure.axes if ax.get_title(loc='left')]
    assert titles == ['plain-8', 'plain-20', 'plain-56', 'resnet-8', 'resnet-20', 'resnet-56']
    nothing = dataclasses.replace(verdict, networks=())
    assert landscape.words(nothing) == 'No surface of a finished network was observed.'


def test_what_the_sweep_needs(config):
    set_defaults(config, landscape.defaults(config), [])
    config.probes.also = ()
    with pytest.raises(UserError, match='observes surfaces'):
        landscape.cells(config)
    config.sweep.families = ('vgg',)
    with pytest.raises(UserError, match='compares two families'):
        landscape.cells(config)


@pytest.mark.parametrize(('epochs', 'steps'), [(2, 0), (100, 0), (0, 640)])
def test_nothing_is_observed_between_the_first_update_and_the_last(config, epochs, steps):
    config.train.epochs, config.train.steps = epochs, steps
    defaults = landscape.defaults(config)
    assert defaults['probes.every_epochs'] >= max(defaults.get('train.epochs', 0), epochs or steps)
