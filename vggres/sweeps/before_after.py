"""Sweeps whose networks are observed before training and after it, and at no other time.

Several questions compare plain and residual networks at these two moments, with batch norm and
without, and differ in what they measure: `defaults` and `cells` are the grid of those. What comes
of them is compared in `findings.before_after`.
"""

from collections.abc import Iterator
from itertools import product

from ml_collections import ConfigDict

from vggres.config import Config
from vggres.errors import UserError
from vggres.findings.before_after import FAMILIES, NORMS
from vggres.sweeps.grid import families, grid

_EPOCHS = 5  # so that a sweep takes minutes


def at_both_ends(config: Config, epochs: int | None = None) -> dict[str, object]:
    """The knobs by which networks are observed before the first update and after the last one.

    No run has more epochs than `probes.every_epochs` then (an epoch has an update at least), so
    that nothing is observed in between.

    Args:
        config: with the knobs that the user gave.
        epochs: how many a run gets that is counted in epochs, evaluated every five of them; None
            for runs that stay as long as they are.
    """
    if not config.train.epochs:
        return {'probes.every_epochs': config.train.steps}
    if epochs is None:
        return {'probes.every_epochs': config.train.epochs}
    return {
        'train.epochs': epochs,
        'evaluation.every_epochs': 5,
        'probes.every_epochs': max(epochs, config.train.epochs),  # the user may give train.epochs
    }


def defaults(config: Config, probe: str) -> dict[str, object]:
    """Three depths, three seeds, three draws of weights each; runs in epochs get five of them.

    Args:
        config: with the knobs that the user gave.
        probe: the further probe that the question is about.
    """
    return at_both_ends(config, _EPOCHS) | {
        'sweep.depths': (8, 20, 56),
        'sweep.seeds': 3,
        'probes.draws': 3,
        'probes.also': (probe,),
    }


def cells(config: Config, probe: str) -> Iterator[tuple[str, ConfigDict]]:
    """Plain and residual networks with and without batch norm at each depth, once per seed.

    Args:
        config: what the cells share.
        probe: the further probe that the question is about.

    Raises:
        UserError: for other families, or where not all blocks would be observed.
    """
    if not set(config.sweep.families) <= set(FAMILIES):
        raise UserError(f'this sweep compares {FAMILIES}, not {tuple(config.sweep.families)}.')
    if probe not in config.probes.also or not config.probes.every_epochs or config.probes.names:
        raise UserError(
            f'this sweep observes all blocks: leave {probe!r} in probes.also, probes.names empty '
            'and probes.every_epochs at 1 or more.'
        )
    variants = {
        f'{family}, {NORMS[norm]}': knobs | {'model.norm': norm}
        for norm, (family, knobs) in product(NORMS, families(config).items())
    }
    return grid(config, variants)
