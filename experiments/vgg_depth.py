"""Why not VGG-20, -50, -100? Error against depth for VGG itself, and with shortcuts added.

Simonyan & Zisserman 2015 (arXiv 1409.1556, Table 3) stop at 19 layers, where their error no longer
falls: at the smaller scale the 19-layer network is already worse than the 16-layer one. Popular
accounts say that deeper ones do not train because their gradient vanishes, that batch norm helps
for a while, and that only shortcuts go on. He et al. 2015 (arXiv 1512.03385) compare plain networks
of another design. Here the networks are VGG's own, by its grammar, and the shortcuts have no
weights, so that nothing else changes (`model.vgg.shortcuts`).

The claim would be refuted by VGGs that train as well at 50 or 100 layers as at 11, or by shortcuts
that do not change that.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from matplotlib.figure import Figure
from ml_collections import ConfigDict

from experiments import all_results, depth, no_more_cells
from vggres.errors import UserError
from vggres.findings import verdict_words
from vggres.findings.tables import Table, outcomes_table, verdict_table
from vggres.findings.verdict import Verdict, decide
from vggres.sweeps.grid import grid
from vggres.sweeps.sweep import Sweep

TITLE = 'Why not VGG-20, -50, -100?'
CLAIM = (
    'VGGs of more than about 19 layers have a higher training error than shallower ones, with or '
    'without batch norm; the same networks with shortcuts added do not.'
)
SOURCE = (
    'Simonyan & Zisserman 2015, Very Deep Convolutional Networks, Table 3 (arXiv 1409.1556); '
    'He et al. 2015, §1 (arXiv 1512.03385)'
)
VARIES = ('model.norm', 'model.vgg.shortcuts')
CLAIMS = ()
VGG_POOLS = 5  # Simonyan & Zisserman 2015, Table 1
_NORMS = {'batch': 'vgg, batch norm', 'none': 'vgg, no norm'}
_SHORTCUTS = {False: '', True: ', shortcuts'}


@dataclass(frozen=True)
class VggVerdict(Verdict):
    """The verdict on each variant of VGG.

    Attributes:
        pools: max-pools of each network; the published networks have `VGG_POOLS`.
    """

    pools: int


def defaults(config: ConfigDict) -> dict[str, object]:
    """The depths of the question, and one family."""
    return {'sweep.families': ('vgg',), 'sweep.depths': (11, 16, 20, 50, 100)}


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """VGG with and without batch norm and shortcuts at each depth, once per seed.

    Raises:
        UserError: for other families.
    """
    if tuple(config.sweep.families) != ('vgg',):
        raise UserError("this sweep is about one family: leave sweep.families at ('vgg',).")
    variants = {
        words + more: {'model.family': 'vgg', 'model.norm': norm, 'model.vgg.shortcuts': shortcuts}
        for (shortcuts, more), (norm, words) in product(_SHORTCUTS.items(), _NORMS.items())
    }
    return grid(config, variants)


next_cells = no_more_cells
judged = all_results
in_short = verdict_words.in_short


def analyse(sweep: Sweep) -> VggVerdict:
    """Judges each variant, what shortcuts change, and counts the pools."""
    pairs = [(words, words + _SHORTCUTS[True]) for words in _NORMS.values()]
    decided = decide(
        sweep.results(),
        planned=sweep.depths(),
        pairs=pairs,
        curves=sweep.curves(),
        learning_rate=sweep.config.optimizer.learning_rate,
    )
    pools = sum(stage.pool for stage in sweep.cells[0].network_spec.stages)
    return VggVerdict(**vars(decided), pools=pools)


def words(verdict: VggVerdict) -> str:
    """The verdict in words, one finding per line, and how these networks differ from VGG."""
    said = verdict_words.in_words(verdict)
    if verdict.pools < VGG_POOLS:
        said += (
            f'\nThese VGGs have {verdict.pools} pools instead of {VGG_POOLS}, because the images '
            'are small. Depth counts one dense layer instead of three.'
        )
    return said


def tables(verdict: VggVerdict) -> list[Table]:
    """The verdict in numbers."""
    return [verdict_table(verdict), outcomes_table(verdict)]


def figures(sweep: Sweep, verdict: VggVerdict) -> dict[str, tuple[Figure, str]]:
    """The figures of error against depth."""
    return depth.figures(sweep, verdict)
