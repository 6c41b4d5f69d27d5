"""The grid of a sweep: variants by depths by seeds."""

import itertools
from collections.abc import Iterator, Mapping

from ml_collections import ConfigDict

from vggres import checks
from vggres.config import Config, dotted_keys, get
from vggres.errors import UserError

Grid = Iterator[tuple[str, ConfigDict]]  # of each cell its variant and its configuration
_EXAMPLES = {'families': "('plain', 'resnet')", 'depths': '(8, 20)'}


def grid(config: Config, variants: Mapping[str, Mapping[str, object]]) -> Grid:
    """Each variant at each depth of `config.sweep`, once per seed.

    >>> from configs import digits
    >>> cells = grid(digits.get_config(), {'plain': {'model.family': 'plain'}})
    >>> [(variant, each.model.depth, each.seed) for variant, each in cells][:4]
    [('plain', 8, 0), ('plain', 8, 1), ('plain', 8, 2), ('plain', 20, 0)]

    Args:
        config: what the cells share.
        variants: the dotted knobs that make each variant, by its name.

    Yields:
        The name of the variant and the configuration of each cell, checked.

    Raises:
        UserError: for a cell that makes no sense, or a depth that is named twice.
    """
    checks.check_numbers(config)  # before the number of seeds is believed
    depths = _axis(config, 'depths', int)
    seeds = range(config.seed, config.seed + config.sweep.seeds)
    for (name, knobs), depth in itertools.product(variants.items(), depths):
        shared = ConfigDict(config.to_dict()).lock()
        shared.update_from_flattened_dict(dict(knobs) | {'model.depth': depth})
        checks.check(shared)
        for seed in seeds:
            cell_config = ConfigDict(shared.to_dict()).lock()
            cell_config.seed = seed
            yield name, cell_config


def families(config: Config) -> dict[str, dict[str, object]]:
    """The variants that are the families of `config.sweep`.

    Raises:
        UserError: for none, or one that is named twice.
    """
    return {family: {'model.family': family} for family in _axis(config, 'families', str)}


def changes(config: Config, base: Config) -> dict[str, object]:
    """The dotted knobs in which a cell differs from its sweep's configuration."""
    keys = dotted_keys(base.to_dict())
    return {key: get(config, key) for key in keys if get(config, key) != get(base, key)}


def _axis(config: Config, axis: str, kind: type) -> tuple:
    values = tuple(config.sweep[axis])
    if not values or len(set(values)) < len(values) or {type(v) for v in values} != {kind}:
        raise UserError(
            f'sweep.{axis} names one or more {axis}, each once, as in {_EXAMPLES[axis]}, '
            f'not {values}.'
        )
    return values
