import pytest

from experiments import vgg_depth
from vggres import config as configuration
from vggres.errors import UserError
from vggres.files import write_json
from vggres.sweeps import sweep


@pytest.fixture
def planned(config, tmp_path):
    """Both norms with and without shortcuts, done: deep ones fail where there are none."""
    given = {'sweep.depths': (11, 20, 50), 'sweep.seeds': 3}
    configuration.set_defaults(config, vgg_depth.defaults(config) | given, [])
    planned = sweep.plan('vgg_depth', config, tmp_path, vgg_depth.cells(config))
    for cell in planned.cells:
        at = cell.describe()
        fails = at['depth'] == 50 and 'shortcuts' not in at['variant']
        cell.directory.mkdir(parents=True)
        write_json(
            cell.directory / 'result.json', {'train_error': 80.0 + at['seed'] if fails else 0.0}
        )
    return planned


def test_the_grid(planned):
    assert len(planned.cells) == 4 * 3 * 3
    assert list(planned.depths()) == [
        *('vgg, batch norm', 'vgg, no norm'),
        *('vgg, batch norm, shortcuts', 'vgg, no norm, shortcuts'),
    ]
    assert {cell.config.model.family for cell in planned.cells} == {'vgg'}


def test_the_verdict_compares_with_and_without_shortcuts(planned):
    decision = vgg_depth.analyse(planned)
    verdicts = [judged['verdict'] for judged in decision['variants'].values()]
    assert verdicts == ['degrades', 'degrades', 'does not degrade', 'does not degrade']
    assert [each['variants'] for each in decision['differences']] == [
        ['vgg, batch norm', 'vgg, batch norm, shortcuts'],
        ['vgg, no norm', 'vgg, no norm, shortcuts'],
    ]
    assert [each['excess_error'] for each in decision['differences']] == [81, 81]


def test_fewer_pools_are_said(planned):
    decision = vgg_depth.analyse(planned)
    assert decision['pools'] == 3
    assert '3 pools instead of 5' in vgg_depth.words(decision)
    assert 'pools' not in vgg_depth.words(decision | {'pools': 5})


def test_other_families_are_refused(config):
    config.sweep.families = ('vgg', 'plain')
    with pytest.raises(UserError, match='one family'):
        vgg_depth.cells(config)
