"""The degradation result: does the training error grow with depth, and does a shortcut change that?

He et al. 2015 (arXiv 1512.03385), §1, §4.2 and Fig. 6: a deeper plain network reaches a higher
training error than a shallower one, while a residual network does not. This would be refuted by a
plain family whose deepest network trains as well as its best shallower one, or by a residual family
whose deepest network does not. A deepest network that ends near guessing has failed to train within
the budget, which is another finding than degradation (see `vggres.findings.verdict`).

All networks share one learning rate and one budget. `--sweep rate` reproduces the choice of the
rate, and `--sweep depth_tuned` tests whether the finding survives other rates and budgets.
"""

from collections.abc import Iterator

from ml_collections import ConfigDict

from vggres.sweeps.grid import families, grid

TITLE = 'Error against depth'
CLAIM = (
    'Deeper plain networks have a higher training error than shallower ones; residual networks '
    'of the same depths do not.'
)
SOURCE = 'He et al. 2015, Deep Residual Learning for Image Recognition, §4.2 (arXiv 1512.03385)'
VARIES = ()


def defaults(config: ConfigDict) -> dict[str, object]:
    """Nothing: the grid of the configuration is the one of this question."""
    return {}


def cells(config: ConfigDict) -> Iterator[tuple[str, ConfigDict]]:
    """Each family at each depth, once per seed.

    The seed pairs random weights and the order of the data across families.
    """
    return grid(config, families(config))
