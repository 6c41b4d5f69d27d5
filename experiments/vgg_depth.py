"""Why not VGG-20, -50, -100? Error against depth for VGG itself, and with shortcuts added.

Simonyan & Zisserman 2015 (arXiv 1409.1556, Table 3) stop at 19 layers, where their error no longer
falls: at the smaller scale the 19-layer network is already worse than the 16-layer one. Popular
accounts say that deeper ones do not train because their gradient vanishes, that batch norm helps
for a while, and that only shortcuts go on. He et al. 2015 (arXiv 1512.03385) compare plain networks
of another design; here the networks are VGG's own, by its grammar, and the shortcuts have no
weights, so that nothing else changes (`vgg_shortcuts` in `grammar.Options`).

It would be refuted by VGGs that train as well at 50 or 100 layers as at 11, or by shortcuts that do
not change that.
"""

from collections.abc import Iterator
from itertools import product

from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments import depth
from vggres.errors import UserError
from vggres.findings import report, verdict
from vggres.sweeps import sweep
from vggres.sweeps.sweep import Sweep

TITLE = 'Why not VGG-20, -50, -100?'
CLAIM = (
    'VGGs of more than about 19 layers have a higher training error than shallower ones, batch '
    'norm or not; the same networks with shortcuts added do not.'
)
SOURCE = (
    'Simonyan & Zisserman 2015, Very Deep Convolutional Networks, Table 3 (arXiv 1409.1556); '
    'He et al. 2015, §1 (arXiv 1512.03385)'
)
VGG_POOLS = 5  # Simonyan & Zisserman 2015, Table 1
VARIES = ('model.norm', 'model.vgg_shortcuts')
_NORMS = {'batch': 'vgg, batch norm', 'none': 'vgg, no norm'}
_SHORTCUTS = {False: '', True: ', shortcuts'}


def defaults(config: ConfigDict) -> dict[str, object]:
    """Its own depths, those of the question; one family."""
    return {'sweep.families': ('vgg',), 'sweep.depths': (11, 16, 20, 50, 100)}


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """VGG with and without batch norm and shortcuts at each depth, once a seed.

    Raises:
        UserError: for other families.
    """
    if tuple(config.sweep.families) != ('vgg',):
        raise UserError("this sweep is about one family: leave sweep.families at ('vgg',).")
    variants = {
        words + more: {'model.family': 'vgg', 'model.norm': norm, 'model.vgg_shortcuts': shortcuts}
        for (shortcuts, more), (norm, words) in product(_SHORTCUTS.items(), _NORMS.items())
    }
    return sweep.grid(config, variants)


def analyse(sweep: Sweep) -> dict:
    """The verdict on each variant, what shortcuts change, and how many pools there were."""
    pairs = [(words, words + _SHORTCUTS[True]) for words in _NORMS.values()]
    decided = verdict.decide(sweep.results(), planned=sweep.depths(), pairs=pairs)
    return decided | {'pools': sweep.config.model.vgg_stages}


def words(decision: dict) -> str:
    """The verdict, a line a finding, and what differs from VGG."""
    found = verdict.in_words(decision)
    if decision['pools'] < VGG_POOLS:
        found += (
            f'\nThese VGGs have {decision["pools"]} pools instead of {VGG_POOLS} '
            '(model.vgg_stages), because the images are small; depth counts one dense layer '
            'instead of three.'
        )
    return found


def tables(decision: dict) -> list[report.Table]:
    """The verdict in numbers."""
    return [report.verdict_table(decision)]


def figures(sweep: Sweep, decision: dict) -> dict[str, tuple[Figure, str]]:
    """Those of error against depth."""
    return depth.figures(sweep, decision)
