"""A planted sweep of VGGs is judged as it was planted."""

import dataclasses

import pytest
from planted import finish

from experiments import vgg_depth
from vggres.config import set_defaults
from vggres.errors import UserError
from vggres.sweeps.sweep import assemble


@pytest.fixture
def sweep(config, tmp_path):
    """Both norms with and without shortcuts, done: deep ones fail where there are none."""
    given = {'sweep.depths': (11, 20, 50), 'sweep.seeds': 3}
    set_defaults(config, vgg_depth.defaults(config) | given, [])
    done = assemble('vgg_depth', config, tmp_path, vgg_depth.cells(config))
    for cell in done.cells:
        at = cell.coordinates()
        fails = at['depth'] == 50 and 'shortcuts' not in at['variant']
        finish(cell, error=80.0 + at['seed'] if fails else 0.0)
    return done


def test_the_grid(sweep):
    assert len(sweep.cells) == 4 * 3 * 3
    assert list(sweep.depths()) == [
        *('vgg, batch norm', 'vgg, no norm'),
        *('vgg, batch norm, shortcuts', 'vgg, no norm, shortcuts'),
    ]
    assert {cell.config.model.family for cell in sweep.cells} == {'vgg'}


def test_the_verdict_compares_with_and_without_shortcuts(sweep):
    verdict = vgg_depth.analyse(sweep)
    assert [judged.verdict for judged in verdict.variants.values()] == [
        *('fails to train', 'fails to train', 'inconclusive', 'inconclusive')
    ]
    assert vgg_depth.in_short(verdict)['vgg, no norm'] == 'fails to train'
    assert [each.variants for each in verdict.differences] == [
        ('vgg, batch norm', 'vgg, batch norm, shortcuts'),
        ('vgg, no norm', 'vgg, no norm, shortcuts'),
    ]
    assert [(each.depth, each.failed) for each in verdict.differences] == 2 * [(50, (3, 0))]


def test_fewer_pools_are_said(sweep):
    verdict = vgg_depth.analyse(sweep)
    assert verdict.pools == 3
    assert '3 pools instead of 5' in vgg_depth.words(verdict)
    assert 'pools' not in vgg_depth.words(dataclasses.replace(verdict, pools=5))
    assert dataclasses.asdict(verdict)['pools'] == 3  # it stands in verdict.json


def test_other_families_are_refused(config):
    config.sweep.families = ('vgg', 'plain')
    with pytest.raises(UserError, match='one family'):
        vgg_depth.cells(config)
