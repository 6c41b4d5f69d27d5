import io
import json
import sys

import pytest
from planted import finish
from rich.console import Console

from experiments import depth
from vggres.commands import dashboard
from vggres.errors import UserError
from vggres.sweeps.sweep import assemble, joined


def shown(name, workdir, config):
    """What a dry run prints, by sweep."""
    console = Console(file=io.StringIO())
    dashboard.show(name, workdir, config, True, console)
    return json.loads(console.file.getvalue())


def keys(views, name):
    """The keys of the pictures in a view."""
    sections = views[name]['section']['panelBankConfig']['sections']
    panels = [panel['config'] for section in sections for panel in section['panels']]
    return [key for config in panels for key in config.get('mediaKeys', ())]


@pytest.mark.needs('dashboard')
def test_a_directory_has_a_view_for_each_of_its_sweeps(config, tmp_path):
    config.probes.also, config.probes.every_epochs = ('collapse',), 1
    for name in ('depth', 'mine'):
        (tmp_path / name).mkdir()
    sweep = joined(assemble('depth', config, tmp_path, depth.cells(config)))
    for cell in sweep.cells:
        finish(cell)
    (sweep.directory / 'figures').mkdir()
    (sweep.directory / 'figures' / 'learning_curves.png').write_bytes(b'')
    config.probes.also = ()  # the sweep has its own
    views = shown('', tmp_path, config)
    assert list(views) == ['depth']
    found = keys(views, 'depth')
    assert found[:2] == ['charts', 'figures/learning_curves']
    assert {'by_layer/activation', 'heat_map/feature_cosine'} <= {*found}
    assert not any('identity_distance' in key for key in found)  # for which nobody has asked
    assert 'he et al' in json.dumps(views).lower()


@pytest.mark.needs('dashboard')
def test_a_sweep_that_is_named_need_not_be_there(config, tmp_path):
    views = shown('gradient_flow', tmp_path, config)
    assert list(views) == ['gradient_flow']
    assert 'by_layer/weight_gradient' in keys(views, 'gradient_flow')
    assert keys(shown('depth', tmp_path, config), 'depth') == []  # which observes nothing


def test_what_cannot_be_shown_is_one_line(config, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r'there is no sweep in .*: name one by --sweep'):
        dashboard.show('', tmp_path, config, True, Console(quiet=True))
    with pytest.raises(UserError, match='did you mean depth'):
        dashboard.show('dept', tmp_path, config, True, Console(quiet=True))
    monkeypatch.setitem(sys.modules, 'wandb_workspaces', None)
    with pytest.raises(UserError, match=r"pip install -e '.\[dashboard\]'"):
        dashboard.show('depth', tmp_path, config, True, Console(quiet=True))
